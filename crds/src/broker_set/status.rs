//! Status of a `BrokerSet`. Written by the operator, and only when something changed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is there, and what is missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct BrokerSetStatus {
    /// Generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is going on, for people: Creating, Running, Degraded, Updating, Scaling or
    /// Hibernated. Conditions are for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub phase: Option<String>,
    /// Groups there are, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<i32>,
    /// Selector of the broker pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,
    /// Broker pods that are ready, of those there should be, as in 3/3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub brokers: Option<String>,
    /// Groups that are ready, of those there should be, as in 3/3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub ready_groups: Option<String>,
    /// Groups that take messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writable_groups: Option<i32>,
    /// Image that the pods run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// Version of that image, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub version: Option<String>,
    /// Which rendering of pods is in use. A newer operator keeps it, so that its arrival restarts
    /// nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub render_version: Option<i32>,
    /// Addresses to give to clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_server: Option<NameServerStatus>,
    /// Each broker group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["index"])
    )]
    pub group_status: Vec<GroupStatus>,
    /// Topics in the brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topics: Option<Counts>,
    /// Consumer groups in the brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer_groups: Option<Counts>,
    /// Ready, Available, `UpToDate`, `StorageReady`, `SpecValid`; Reconciling and Stalled while
    /// true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

/// Name servers, as clients are given them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct NameServerStatus {
    /// For clients inside the Kubernetes cluster: host:port, several separated by a semicolon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub internal: Option<String>,
}

/// One broker group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// Index of the group, from 0.
    #[schemars(range(min = 0, max = 63))]
    pub index: i32,
    /// Name that clients see (`brokerName`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub name: Option<String>,
    /// Where it is in its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<GroupState>,
    /// Whether it takes messages.
    #[serde(default)]
    pub writable: bool,
    /// Address that clients are told. It stays the same when the pod is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub address: Option<String>,
    /// Its brokers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 5),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["replica"])
    )]
    pub replicas: Vec<ReplicaStatus>,
}

/// Joining: it is given topics and consumer groups, and takes no messages yet. Active: it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GroupState {
    /// It is given what the other groups have.
    Joining,
    /// It serves.
    Active,
}

/// One broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplicaStatus {
    /// Number of the broker in its group, from 1.
    #[schemars(range(min = 1, max = 5))]
    pub replica: i32,
    /// Its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod: Option<String>,
    /// Node that the pod runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
    /// Whether the pod is ready.
    #[serde(default)]
    pub ready: bool,
    /// Revision of the pod template that the pod was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub revision: Option<String>,
}

/// How many things of a kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Counts {
    /// Declared by an object, and as declared.
    pub managed: i32,
    /// Declared by no object.
    pub unmanaged: i32,
    /// Declared by an object, and not as declared.
    pub failed: i32,
}
