//! Tables and numbers of a broker (28, 315, 321, 907).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{SubscriptionData, json_bodies, or_default};

/// Text by key: answer to `GET_BROKER_RUNTIME_INFO` (28) and `GET_KVLIST_BY_NAMESPACE` (219).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KvTable {
    /// Values by key.
    #[serde(deserialize_with = "or_default")]
    pub table: BTreeMap<String, String>,
}

/// A statistics item in one window.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatsWindow {
    /// Sum per recording.
    pub avgpt: f64,
    /// Events.
    pub sum: i64,
    /// Events per second.
    pub tps: f64,
}

/// Answer to `VIEW_BROKER_STATS_DATA` (315).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsData {
    /// Last day.
    pub stats_day: StatsWindow,
    /// Last hour.
    pub stats_hour: StatsWindow,
    /// Last minute.
    pub stats_minute: StatsWindow,
}

/// One entry of a queue index, in the answer to `QUERY_CONSUME_QUEUE` (321).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeQueueEntry {
    /// Whether the subscription matches.
    pub eval: bool,
    /// Physical offset of the message.
    #[serde(rename = "physicOffset")]
    pub physical_offset: i64,
    /// Bytes of its record.
    #[serde(rename = "physicSize")]
    pub physical_size: i32,
    /// Hash of its tag.
    pub tags_code: i64,
}

/// Answer to `QUERY_CONSUME_QUEUE` (321).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeQueueAnswer {
    /// Queue offset the next message will get.
    pub max_queue_index: i64,
    /// First queue offset that is still there.
    pub min_queue_index: i64,
    /// Entries.
    #[serde(deserialize_with = "or_default")]
    pub queue_data: Vec<ConsumeQueueEntry>,
    /// Subscription of the group that was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
}

/// A replica as its master sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HaConnectionInfo {
    /// `ip:port` of the replica.
    pub addr: String,
    /// Bytes it is behind.
    pub diff: i64,
    /// Whether it counts as in sync.
    pub in_sync: bool,
    /// Physical offset it confirmed.
    pub slave_ack_offset: i64,
    /// Physical offset it is sent.
    pub transfer_from_where: i64,
    /// Bytes per second.
    pub transferred_byte_in_second: i64,
}

/// A replica as it sees itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HaClientInfo {
    /// Last read from the master, in milliseconds.
    pub last_read_timestamp: i64,
    /// Last write to the master, in milliseconds.
    pub last_write_timestamp: i64,
    /// `ip:port` of the master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_addr: Option<String>,
    /// Physical offset the master has flushed.
    pub master_flush_offset: i64,
    /// End of its own log.
    pub max_offset: i64,
    /// Bytes per second.
    pub transferred_byte_in_second: i64,
}

/// Answer to `GET_BROKER_HA_STATUS` (907).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HaRuntimeInfo {
    /// Of a replica.
    #[serde(deserialize_with = "or_default")]
    pub ha_client_runtime_info: HaClientInfo,
    /// Of a master.
    #[serde(deserialize_with = "or_default")]
    pub ha_connection_info: Vec<HaConnectionInfo>,
    /// Replicas in sync.
    pub in_sync_slave_nums: i32,
    /// Whether this is the master.
    pub master: bool,
    /// End of the master's log.
    pub master_commit_log_max_offset: i64,
}

json_bodies!(KvTable, BrokerStatsData, ConsumeQueueAnswer, HaRuntimeInfo);
