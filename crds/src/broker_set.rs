//! Kind `BrokerSet`: broker groups and their name servers.

mod access;
mod broker;
mod name_server;
mod status;
mod storage;

pub use access::{Access, NetworkPolicy, TopicNamespaces, TopicNamespacesFrom};
pub use broker::{Flush, FlushMode, ImagePullPolicy, Messages, PodOptions, SecretRef};
use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::CustomResource;
use kube::core::Rule;
pub use name_server::{ManagedNameServer, NameServer, NameServerRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use status::{
    BrokerSetStatus, Counts, GroupState, GroupStatus, NameServerStatus, ReplicaStatus,
};
pub use storage::{AccessMode, Storage, StorageKind, StorageRetention, WhenDeleted};

/// A cluster of broker groups.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mq.rocketkube.dev",
    version = "v1alpha1",
    kind = "BrokerSet",
    doc = "A cluster of RocketMQ-compatible brokers and the name servers that clients find them \
           by. An empty spec works: one broker with 20Gi, and two name servers.",
    namespaced,
    plural = "brokersets",
    shortname = "bset",
    category = "mq",
    status = "BrokerSetStatus",
    derive = "PartialEq",
    selectable = ".status.phase",
    scale(
        spec_replicas_path = ".spec.groups",
        status_replicas_path = ".status.groups",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Groups",
        type_ = "string",
        json_path = ".status.readyGroups",
        description = "Groups that are ready, of those there should be"
    ),
    printcolumn(
        name = "Brokers",
        type_ = "string",
        json_path = ".status.brokers",
        description = "Broker pods that are ready, of those there should be"
    ),
    printcolumn(
        name = "Writable",
        type_ = "integer",
        json_path = ".status.writableGroups",
        description = "Groups that take messages"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether everything is as the spec says"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.phase",
        description = "What is going on"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.version",
        description = "What the pods run"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Up-to-date",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"UpToDate\")].status",
        description = "Whether all pods run what the spec says",
        priority = 1
    ),
    printcolumn(
        name = "Namesrv",
        type_ = "string",
        json_path = ".status.nameServer.internal",
        description = "Name servers to give to clients",
        priority = 1
    ),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".status.image",
        description = "Image that the pods run",
        priority = 1
    ),
    // Services and labels are named after it; the longest adds 16 characters and a hash.
    validation = Rule::new(
        "size(self.metadata.name) <= 40 && \
         self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')"
    )
    .message(
        "the name of a BrokerSet has at most 40 of the characters a-z, 0-9 and -, starts with a \
         letter and does not end with -"
    ),
    validation = Rule::new(
        "(has(self.spec.clusterName) ? self.spec.clusterName : self.metadata.name) == \
         (has(oldSelf.spec.clusterName) ? oldSelf.spec.clusterName : oldSelf.metadata.name)"
    )
    .message("clusterName cannot be changed; without it the cluster has the name of the BrokerSet")
    .field_path(".spec.clusterName")
)]
#[serde(default, rename_all = "camelCase")]
pub struct BrokerSetSpec {
    /// Name of the cluster as clients and tools see it. Cannot be changed. Default: the name of the
    /// `BrokerSet`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub cluster_name: Option<String>,

    /// Image of brokers and name servers, with a tag or a digest. A change restarts the brokers.
    /// Default: the one that brokers have served with before; before any has, that of the release of
    /// the operator. So a newer operator does not change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,

    /// When nodes pull the image: Always, `IfNotPresent` or Never. A change restarts the brokers.
    pub image_pull_policy: ImagePullPolicy,

    /// Secrets of this namespace for pulling the image. A change restarts the brokers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub image_pull_secrets: Vec<SecretRef>,

    /// Broker groups. Each holds its share of every topic and keeps its own data; more groups take
    /// more load. A new group gets all topics and consumer groups before the first message. Groups
    /// cannot be taken away yet.
    #[schemars(
        range(min = 1, max = 64),
        extend("x-kubernetes-validations" = [
            Rule::new("self >= oldSelf")
                .message("groups can only grow: taking one away needs its messages drained first, \
                          which is not there yet"),
        ])
    )]
    pub groups: i32,

    /// Brokers in each group. Only 1 for now: a group has no second broker that could take over, so
    /// it does not answer while its pod is restarted.
    #[schemars(
        range(min = 1, max = 5),
        extend("x-kubernetes-validations" = [
            Rule::new("self == 1")
                .message("replicasPerGroup must be 1: replication is not there yet"),
        ])
    )]
    pub replicas_per_group: i32,

    /// Name servers of the cluster: exactly one of managed, fromBrokerSet and addresses. A change to
    /// other name servers restarts the brokers. Default: two that are managed.
    // Neither a default nor merged field by field: the API server would keep the part that was
    // there beside the one that replaces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend(
        "x-kubernetes-map-type" = "atomic",
        "x-kubernetes-validations" = [
            Rule::new("[has(self.managed), has(self.fromBrokerSet), has(self.addresses)]\
                       .exists_one(is, is)")
                .message("nameServer has exactly one of managed, fromBrokerSet and addresses"),
        ]
    ))]
    pub name_server: Option<NameServer>,

    /// What an OK to a producer waits for.
    pub flush: Flush,

    /// Volumes of the brokers.
    pub storage: Storage,

    /// Settings of messages, topics and consumer groups. A change restarts the brokers.
    pub messages: Messages,

    /// CPU and memory of a broker. A change restarts the brokers. Default: neither requested nor
    /// limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// Where and how broker pods run. A change restarts the brokers, except one of labels and
    /// annotations: pods that run are given those.
    pub pod: PodOptions,

    /// Who may declare topics and consumer groups here.
    pub access: Access,

    /// Who may connect.
    pub network_policy: NetworkPolicy,

    /// Stops all pods but name servers that others use, in an orderly way, and keeps volumes,
    /// addresses and names, until it is false again.
    pub hibernate: bool,
}

impl Default for BrokerSetSpec {
    fn default() -> Self {
        Self {
            cluster_name: None,
            image: None,
            image_pull_policy: ImagePullPolicy::default(),
            image_pull_secrets: Vec::new(),
            groups: 1,
            replicas_per_group: 1,
            name_server: None,
            flush: Flush::default(),
            storage: Storage::default(),
            messages: Messages::default(),
            resources: None,
            pod: PodOptions::default(),
            access: Access::default(),
            network_policy: NetworkPolicy::default(),
            hibernate: false,
        }
    }
}
