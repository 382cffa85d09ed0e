//! Who consumes what by decision of the broker (400, 401), and acknowledging in batches (200151).

use serde::{Deserialize, Serialize};

use super::{MessageModel, MessageQueue, json_bodies, or_default};

wire_enum! {
    /// How a queue is read.
    RequestMode {
        /// Pulled.
        Pull = "PULL",
        /// Leased.
        Pop = "POP",
    }
}

/// Body of `QUERY_ASSIGNMENT` (400).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryAssignment {
    /// Client id.
    #[serde(deserialize_with = "or_default")]
    pub client_id: String,
    /// Consumer group.
    #[serde(deserialize_with = "or_default")]
    pub consumer_group: String,
    /// Who of the group gets a message.
    pub message_model: MessageModel,
    /// Name of the strategy, for example `AVG`.
    #[serde(deserialize_with = "or_default")]
    pub strategy_name: String,
    /// Topic.
    #[serde(deserialize_with = "or_default")]
    pub topic: String,
}

/// One queue a consumer shall take.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueAssignment {
    /// The queue; id -1 for all of a broker.
    #[serde(deserialize_with = "or_default")]
    pub message_queue: MessageQueue,
    /// How to read it.
    pub mode: RequestMode,
}

/// Answer to `QUERY_ASSIGNMENT` (400).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Assignments {
    /// All queues of the consumer; missing if nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_queue_assignments: Option<Vec<QueueAssignment>>,
}

/// Body of `SET_MESSAGE_REQUEST_MODE` (401).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SetRequestMode {
    /// Consumer group.
    #[serde(deserialize_with = "or_default")]
    pub consumer_group: String,
    /// How its members read the topic.
    pub mode: RequestMode,
    /// With how many others a member shares its queues; all if 0.
    pub pop_share_queue_num: i32,
    /// Topic.
    #[serde(deserialize_with = "or_default")]
    pub topic: String,
}

/// Acknowledged messages of one lease.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchAck {
    /// Bit i stands for queue offset `start_offset` + i; little-endian, in Base64.
    #[serde(rename = "b", alias = "bitSet", deserialize_with = "or_default")]
    pub bit_set: String,
    /// Consumer group.
    #[serde(rename = "c", alias = "consumerGroup", deserialize_with = "or_default")]
    pub consumer_group: String,
    /// How long the messages are hidden, in milliseconds.
    #[serde(rename = "it", alias = "invisibleTime")]
    pub invisible_time_ms: i64,
    /// When they were leased, in milliseconds.
    #[serde(rename = "pt", alias = "popTime")]
    pub pop_time_ms: i64,
    /// Queue within the topic.
    #[serde(rename = "q", alias = "queueId")]
    pub queue_id: i32,
    /// `0` for the topic itself, `1` and `2` for its retry topics.
    #[serde(rename = "r", alias = "retry", deserialize_with = "or_default")]
    pub retry: String,
    /// Revive queue.
    #[serde(rename = "rq", alias = "reviveQueueId")]
    pub revive_queue_id: i32,
    /// Offset the lease counts from.
    #[serde(rename = "so", alias = "startOffset")]
    pub start_offset: i64,
    /// Topic.
    #[serde(rename = "t", alias = "topic", deserialize_with = "or_default")]
    pub topic: String,
}

/// Body of `BATCH_ACK_MESSAGE` (200151).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchAcks {
    /// What is acknowledged.
    #[serde(deserialize_with = "or_default")]
    pub acks: Vec<BatchAck>,
    /// Name of the replication group.
    #[serde(deserialize_with = "or_default")]
    pub broker_name: String,
}

json_bodies!(QueryAssignment, Assignments, SetRequestMode, BatchAcks);
