//! Kind `Topic`: a topic on every broker group of a `BrokerSet`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::managed::{AdoptionPolicy, BrokerSetRef, DeletionPolicy, Drift};

/// A topic on every broker group of a `BrokerSet`.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mq.rocketkube.dev",
    version = "v1alpha1",
    kind = "Topic",
    doc = "A topic on every broker group of a BrokerSet.",
    namespaced,
    plural = "topics",
    shortname = "mqt",
    category = "mq",
    status = "TopicStatus",
    derive = "PartialEq",
    selectable = ".spec.brokerSetRef.name",
    printcolumn(
        name = "Topic",
        type_ = "string",
        json_path = ".status.topicName",
        description = "Name that clients use"
    ),
    printcolumn(
        name = "BrokerSet",
        type_ = "string",
        json_path = ".spec.brokerSetRef.name",
        description = "Where the topic is"
    ),
    printcolumn(
        name = "Queues",
        type_ = "integer",
        json_path = ".spec.queues",
        description = "Queues in each broker group"
    ),
    printcolumn(
        name = "Type",
        type_ = "string",
        json_path = ".spec.messageType",
        description = "What messages are sent to it"
    ),
    printcolumn(
        name = "Synced",
        type_ = "string",
        json_path = ".status.syncedGroups",
        description = "Broker groups that have it as declared, of those there are"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether everything is as the spec says"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why, or why not"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(
        "has(self.spec.topicName) || \
         (size(self.metadata.name) <= 127 && !self.metadata.name.contains('.'))"
    )
    .message(
        "topicName is needed: a name with a dot or of more than 127 characters cannot be that of a \
         topic"
    )
    .field_path(".spec.topicName"),
    validation = Rule::new(
        "(has(self.spec.topicName) ? self.spec.topicName : self.metadata.name) == \
         (has(oldSelf.spec.topicName) ? oldSelf.spec.topicName : oldSelf.metadata.name)"
    )
    .message("topicName cannot be changed; without it the topic has the name of the object")
    .field_path(".spec.topicName")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("!has(self.readQueues) || self.readQueues >= self.queues")
        .message("readQueues must be at least queues: nobody could read what is sent to the others")
        .field_path(".readQueues"),
    Rule::new("self.messageType != 'Fifo' || self.ordered")
        .message("messageType Fifo needs ordered: true")
        .field_path(".ordered"),
]))]
pub struct TopicSpec {
    /// The `BrokerSet` that holds the topic. Cannot be changed.
    #[schemars(extend("x-kubernetes-validations" = [
        Rule::new("self == oldSelf")
            .message("the brokerSetRef of a Topic cannot be changed: messages do not move"),
    ]))]
    pub broker_set_ref: BrokerSetRef,

    /// Name of the topic as clients use it. Cannot be changed. Default: the name of this object;
    /// needed where that has a dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 127),
        regex(pattern = "^[A-Za-z0-9_-]+$"),
        extend("x-kubernetes-validations" = [
            Rule::new("!self.startsWith('rmq_sys_') && !(self in ['TBW102', 'SCHEDULE_TOPIC_XXXX', \
                       'BenchmarkTest', 'RMQ_SYS_TRANS_HALF_TOPIC', 'RMQ_SYS_TRACE_TOPIC', \
                       'RMQ_SYS_TRANS_OP_HALF_TOPIC', 'TRANS_CHECK_MAX_TIME_TOPIC', \
                       'SELF_TEST_TOPIC', 'OFFSET_MOVED_EVENT', 'CHECKPOINT_TOPIC'])")
                .message("topicName is one of the broker's own topics"),
        ])
    )]
    pub topic_name: Option<String>,

    /// Queues that messages are sent to, in each broker group. More queues let more consumers of a
    /// group work at once. Growing is immediate; shrinking waits until the queues that go are
    /// consumed.
    #[serde(default = "default_queues")]
    #[schemars(range(min = 1, max = 65_536))]
    pub queues: i32,

    /// Queues that messages are read from, in each broker group. Default: as many as queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub read_queues: Option<i32>,

    /// What clients may do: `ReadWrite`, `ReadOnly`, `WriteOnly` or None.
    #[serde(default)]
    pub access: Access,

    /// What messages are sent to it (`message.type`): Normal, or Fifo for messages that are
    /// consumed in order. Unspecified says nothing. Can be changed from Unspecified only.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" = [
        Rule::new("oldSelf == 'Unspecified' || self == oldSelf")
            .message("messageType can be changed from Unspecified only"),
    ]))]
    pub message_type: MessageType,

    /// Whether the topic is marked as ordered for clients and tools (`order`). Needed by
    /// messageType Fifo.
    #[serde(default)]
    pub ordered: bool,

    /// What happens with the topic and its messages when this object is deleted: Retain or Delete.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// What happens with a topic of that name that exists already. `IfCompatible`: it is taken over
    /// unless it has more queues or another type. Always: it is taken over and changed. Never: it
    /// is left alone, and this object does not become ready.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,
}

fn default_queues() -> i32 {
    8
}

/// What clients may do with a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Access {
    /// Send and consume.
    #[default]
    ReadWrite,
    /// Consume.
    ReadOnly,
    /// Send.
    WriteOnly,
    /// Nothing.
    None,
}

/// What messages are sent to a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MessageType {
    /// Nothing is said.
    Unspecified,
    /// Messages without order.
    #[default]
    Normal,
    /// Messages that are consumed in order.
    Fifo,
}

/// Where the topic is, and where it is not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicStatus {
    /// Generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Name of the topic as clients use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 127))]
    pub topic_name: Option<String>,
    /// Each broker group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["index"])
    )]
    pub groups: Vec<TopicGroupSync>,
    /// Broker groups that have it as declared, of those there are, as in 3/3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub synced_groups: Option<String>,
    /// Whether it was there before this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopted: Option<bool>,
    /// Changes that somebody made behind this object's back. They are undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// Ready; Reconciling and Stalled while true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

/// The topic in one broker group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicGroupSync {
    /// Index of the broker group.
    #[schemars(range(min = 0, max = 63))]
    pub index: i32,
    /// Whether the broker group has it as declared.
    #[serde(default)]
    pub synced: bool,
    /// Queues that messages are sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queues: Option<i32>,
    /// Queues that messages are read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_queues: Option<i32>,
    /// What clients may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// Why it is not as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}
