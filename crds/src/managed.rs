//! What `Topic` and `ConsumerGroup` share: both declare something that lives in brokers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names a `BrokerSet`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokerSetRef {
    /// Name of the `BrokerSet`.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
    /// Namespace of the `BrokerSet`. Default: the namespace of this object. A `BrokerSet` in
    /// another namespace has to consent with `spec.access.topicNamespaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// What happens in the brokers when the object is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Nothing.
    #[default]
    Retain,
    /// It is deleted there as well.
    Delete,
}

/// What happens with something of that name that exists already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AdoptionPolicy {
    /// It is taken over if nothing of it has to shrink.
    #[default]
    IfCompatible,
    /// It is taken over.
    Always,
    /// It is left alone, and the object does not become ready.
    Never,
}

/// Changes that somebody made behind the object's back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Drift {
    /// When a difference was last found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_detected: Option<Time>,
    /// How often differences were corrected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrections: Option<i64>,
    /// What differed last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64)))]
    pub fields: Vec<String>,
}

/// Whether one broker group has what the object says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupSync {
    /// Index of the broker group.
    #[schemars(range(min = 0, max = 63))]
    pub index: i32,
    /// Whether the broker group has it as declared.
    #[serde(default)]
    pub synced: bool,
    /// Why it does not have it as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}
