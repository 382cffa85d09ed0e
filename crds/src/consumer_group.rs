//! Kind `ConsumerGroup`: settings of a consumer group, and how far it got.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Span;
use crate::managed::{AdoptionPolicy, BrokerSetRef, DeletionPolicy, Drift, GroupSync};
use crate::offset_reset::{LastReset, OffsetReset};

/// A consumer group on every broker group of a `BrokerSet`.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mq.rocketkube.dev",
    version = "v1alpha1",
    kind = "ConsumerGroup",
    doc = "A group of consumers that share the messages of topics of a BrokerSet: its settings, \
           and how far it got.",
    namespaced,
    plural = "consumergroups",
    shortname = "mqcg",
    category = "mq",
    status = "ConsumerGroupStatus",
    derive = "PartialEq",
    selectable = ".spec.brokerSetRef.name",
    printcolumn(
        name = "Group",
        type_ = "string",
        json_path = ".status.groupName",
        description = "Name that clients use"
    ),
    printcolumn(
        name = "BrokerSet",
        type_ = "string",
        json_path = ".spec.brokerSetRef.name",
        description = "Where the group is"
    ),
    printcolumn(
        name = "Members",
        type_ = "integer",
        json_path = ".status.members",
        description = "Consumers that are connected"
    ),
    printcolumn(
        name = "Lag",
        type_ = "integer",
        json_path = ".status.lag.total",
        description = "Messages not consumed yet, as last sampled"
    ),
    printcolumn(
        name = "Oldest",
        type_ = "string",
        json_path = ".status.lag.oldestAge",
        description = "Age of the oldest of them"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether everything is as the spec says"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(
        "has(self.spec.groupName) || \
         (size(self.metadata.name) <= 120 && !self.metadata.name.contains('.'))"
    )
    .message(
        "groupName is needed: a name with a dot or of more than 120 characters cannot be that of a \
         consumer group"
    )
    .field_path(".spec.groupName"),
    validation = Rule::new(
        "(has(self.spec.groupName) ? self.spec.groupName : self.metadata.name) == \
         (has(oldSelf.spec.groupName) ? oldSelf.spec.groupName : oldSelf.metadata.name)"
    )
    .message("groupName cannot be changed; without it the group has the name of the object")
    .field_path(".spec.groupName")
)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerGroupSpec {
    /// The `BrokerSet` that holds the group. Cannot be changed.
    #[schemars(extend("x-kubernetes-validations" = [
        Rule::new("self == oldSelf")
            .message("the brokerSetRef of a ConsumerGroup cannot be changed: offsets do not move"),
    ]))]
    pub broker_set_ref: BrokerSetRef,

    /// Name of the group as clients use it. Cannot be changed. Default: the name of this object;
    /// needed where that has a dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 120),
        regex(pattern = "^[A-Za-z0-9_-]+$"),
        extend("x-kubernetes-validations" = [
            Rule::new("!self.startsWith('CID_RMQ_SYS_') && !(self in ['DEFAULT_CONSUMER', \
                       'DEFAULT_PRODUCER', 'TOOLS_CONSUMER', 'SCHEDULE_CONSUMER', \
                       'FILTERSRV_CONSUMER', '__MONITOR_CONSUMER', 'CLIENT_INNER_PRODUCER', \
                       'SELF_TEST_P_GROUP', 'SELF_TEST_C_GROUP', 'CID_ONS-HTTP-PROXY', \
                       'CID_ONSAPI_PERMISSION', 'CID_ONSAPI_OWNER', 'CID_ONSAPI_PULL'])")
                .message("groupName is one of the broker's own groups"),
        ])
    )]
    pub group_name: Option<String>,

    /// Whether the group may consume. False stops it where it is; its offsets stay.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// Whether members may consume as broadcast, each of them every message.
    #[serde(default = "yes")]
    pub broadcast: bool,

    /// Lag from which the condition Lagging is true. Default: it is never set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_alert: Option<LagAlert>,

    /// Has the group go on elsewhere in a topic, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_reset: Option<OffsetReset>,

    /// What happens with the group and its offsets when this object is deleted: Retain or Delete.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// What happens with a group of that name that exists already. `IfCompatible` and Always: it
    /// is taken over, and keeps its offsets. Never: it is left alone, and this object does not
    /// become ready.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,
}

fn yes() -> bool {
    true
}

/// How much lag is too much; at least one bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("has(self.messages) || has(self.age)")
        .message("lagAlert needs messages, age or both"),
]))]
pub struct LagAlert {
    /// More messages than this are not consumed, over all topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub messages: Option<i64>,
    /// The oldest of them was stored longer ago than this, e.g. 5m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<Span>,
}

/// Where the group is, who is in it, and how far it got.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerGroupStatus {
    /// Generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Name of the group as clients use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 120))]
    pub group_name: Option<String>,
    /// Each broker group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["index"])
    )]
    pub groups: Vec<GroupSync>,
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
    /// Consumers that are connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<i32>,
    /// Ten of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 10),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"])
    )]
    pub clients: Vec<GroupMember>,
    /// What is not consumed yet. Sampled, and written only when it changed by a tenth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
    /// When members and lag were sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampled_at: Option<Time>,
    /// The reset that was last begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reset: Option<LastReset>,
    /// Names of the last resets that are through, whatever came of them, the oldest first: none of
    /// them is done again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 63)))]
    pub finished_resets: Vec<String>,
    /// Ready, Consuming (it has members), and Lagging with a lagAlert; Reconciling and Stalled
    /// while true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

/// One consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupMember {
    /// Client id.
    #[schemars(length(max = 255))]
    pub id: String,
    /// Language of the client, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub language: Option<String>,
    /// Version of the client, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub version: Option<String>,
}

/// What is not consumed yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Lag {
    /// Messages, over all topics.
    pub total: i64,
    /// Age of the oldest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_age: Option<Span>,
    /// The topics with most of it, largest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 20),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["topic"])
    )]
    pub topics: Vec<TopicLag>,
}

/// What of one topic is not consumed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicLag {
    /// Topic.
    #[schemars(length(max = 255))]
    pub topic: String,
    /// Messages.
    pub lag: i64,
}
