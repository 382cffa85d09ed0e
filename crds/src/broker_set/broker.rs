//! Settings of the brokers of a `BrokerSet`, and of their pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use kube::core::Rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Size, Span};

/// What an OK to a producer waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Flush {
    /// Auto and Sync: until the message is on disk. Async: until it is in memory; a broker that is
    /// killed loses nothing, a node that loses power up to the last 200 ms. A change restarts the
    /// brokers.
    pub mode: FlushMode,
}

/// What an OK to a producer waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FlushMode {
    /// The disk, as long as a group has one member.
    #[default]
    Auto,
    /// The disk.
    Sync,
    /// The page cache.
    Async,
}

/// Settings of messages, topics and consumer groups. Named as the settings of the broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Messages {
    /// Longest message body in bytes, 1 to 8Mi. Clients have a limit of their own, 4Mi unless set.
    #[schemars(extend("x-kubernetes-validations" = [
        Rule::new("quantity(self).compareTo(quantity('1')) >= 0 && \
                   quantity(self).compareTo(quantity('8Mi')) <= 0")
            .message("messages.maxBodySize must be 1 to 8Mi"),
    ]))]
    pub max_body_size: Size,
    /// How long a message is kept after it was stored, consumed or not: 1m to 87600h (3650 days).
    /// A volume that gets full is cleared earlier.
    #[schemars(extend("x-kubernetes-validations" = [
        Rule::new("duration(self) >= duration('1m') && duration(self) <= duration('87600h')")
            .message("messages.retention must be 1m to 87600h (3650 days)"),
    ]))]
    pub retention: Span,
    /// Whether a send to an unknown topic creates it. A topic made so belongs to no Topic.
    pub auto_create_topics: bool,
    /// Whether an unknown consumer group is created when its first member connects. A group made so
    /// belongs to no `ConsumerGroup`.
    pub auto_create_groups: bool,
    /// Most queues in each broker group that a topic gets which is created by a send.
    #[schemars(range(min = 1, max = 65_536))]
    pub default_queues: i32,
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            max_body_size: Size::mebibytes(4),
            retention: Span::hours(72),
            auto_create_topics: false,
            auto_create_groups: false,
            default_queues: 8,
        }
    }
}

/// Where and how pods run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PodOptions {
    /// Further labels of the pods. Those that start with mq.rocketkube.dev/ or
    /// app.kubernetes.io/ are the operator's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "x-kubernetes-validations" = [
        Rule::new("!self.exists(key, key.startsWith('mq.rocketkube.dev/') || \
                   key.startsWith('app.kubernetes.io/'))")
            .message("pod.labels cannot start with mq.rocketkube.dev/ or app.kubernetes.io/: \
                      those are set by the operator"),
    ]))]
    pub labels: BTreeMap<String, String>,
    /// Further annotations of the pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the nodes that the pods may run on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that the pods tolerate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Affinity as in a pod. It replaces the operator's own, which spreads the pods over nodes
    /// where it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub affinity: Option<Map<String, Value>>,
    /// Priority class of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
}

/// The schema of affinity would be half of the definition. The API server checks it in the pod.
fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// When nodes pull an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// At every start.
    Always,
    /// If the node does not have it.
    #[default]
    IfNotPresent,
    /// Never: the node has to have it.
    Never,
}

/// Names a Secret of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}
