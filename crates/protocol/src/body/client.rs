//! Which clients there are (38, 203, 204, 328) and which queues they locked (41, 42).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    ConsumeFromWhere, ConsumeType, MessageModel, MessageQueue, SubscriptionData, json_bodies,
    or_default,
};

/// Answer to `GET_CONSUMER_LIST_BY_GROUP` (38).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerIdList {
    /// Client ids, in any order.
    #[serde(deserialize_with = "or_default")]
    pub consumer_id_list: Vec<String>,
}

/// One connected client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Connection {
    /// `ip:port` of the client.
    pub client_addr: String,
    /// Client id.
    pub client_id: String,
    /// Name of its language; only such that old tools know.
    pub language: String,
    /// Version ordinal.
    pub version: i32,
}

/// Answer to `GET_CONSUMER_CONNECTION_LIST` (203).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerConnection {
    /// Members.
    #[serde(deserialize_with = "or_default")]
    pub connection_set: Vec<Connection>,
    /// Of the group.
    pub consume_from_where: ConsumeFromWhere,
    /// Of the group.
    pub consume_type: ConsumeType,
    /// Of the group.
    pub message_model: MessageModel,
    /// Subscriptions by topic.
    #[serde(deserialize_with = "or_default")]
    pub subscription_table: BTreeMap<String, SubscriptionData>,
}

/// Answer to `GET_PRODUCER_CONNECTION_LIST` (204).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerConnection {
    /// Members.
    #[serde(deserialize_with = "or_default")]
    pub connection_set: Vec<Connection>,
}

/// One producer, in the answer to `GET_ALL_PRODUCER_INFO` (328).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerInfo {
    /// Client id.
    pub client_id: String,
    /// Name of its language.
    pub language: String,
    /// Last heartbeat, in milliseconds.
    pub last_update_timestamp: i64,
    /// `ip:port` of the client.
    #[serde(rename = "remoteIP")]
    pub remote_ip: String,
    /// Version ordinal.
    pub version: i32,
}

/// Answer to `GET_ALL_PRODUCER_INFO` (328).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerTable {
    /// Producers by group.
    #[serde(deserialize_with = "or_default")]
    pub data: BTreeMap<String, Vec<ProducerInfo>>,
}

/// Body of `LOCK_BATCH_MQ` (41) and `UNLOCK_BATCH_MQ` (42).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockBatch {
    /// Client id.
    #[serde(deserialize_with = "or_default")]
    pub client_id: String,
    /// Consumer group.
    #[serde(deserialize_with = "or_default")]
    pub consumer_group: String,
    /// Queues.
    #[serde(deserialize_with = "or_default")]
    pub mq_set: Vec<MessageQueue>,
    /// Whether not to ask other replicas.
    #[serde(deserialize_with = "or_default")]
    pub only_this_broker: bool,
}

/// Answer to `LOCK_BATCH_MQ` (41).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LockedQueues {
    /// The queues that are locked now for the client.
    #[serde(rename = "lockOKMQSet", deserialize_with = "or_default")]
    pub locked: Vec<MessageQueue>,
}

json_bodies!(
    ConsumerIdList,
    ConsumerConnection,
    ProducerConnection,
    ProducerTable,
    LockBatch,
    LockedQueues
);
