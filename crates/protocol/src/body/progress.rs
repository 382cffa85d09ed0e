//! How far groups are (43, 202, 208, 220 to 223, 303, 317, 345).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Body, BodyError, DataVersion, MessageQueue, QueueMap, SubscriptionData, from_json, json_bodies,
    or_default, to_json,
};
use crate::fastjson::{self, write_queue_map};

/// Offsets of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicOffset {
    /// Store time of the last message, in milliseconds.
    pub last_update_timestamp: i64,
    /// Queue offset the next message will get.
    pub max_offset: i64,
    /// First queue offset that is still there.
    pub min_offset: i64,
}

/// Answer to `GET_TOPIC_STATS_INFO` (202).
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStatsTable {
    /// Offsets by queue.
    pub offset_table: QueueMap<TopicOffset>,
    /// Messages per second.
    pub topic_put_tps: f64,
}

/// Progress of a group in one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetWrapper {
    /// Queue offset the next message will get.
    pub broker_offset: i64,
    /// Committed queue offset.
    pub consumer_offset: i64,
    /// Store time of the last consumed message, in milliseconds.
    pub last_timestamp: i64,
    /// Queue offset of the last pull; 4.x does not send it.
    pub pull_offset: i64,
}

/// Answer to `GET_CONSUME_STATS` (208).
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStats {
    /// Messages per second.
    pub consume_tps: f64,
    /// Progress by queue.
    pub offset_table: QueueMap<OffsetWrapper>,
}

/// Offsets by queue: body of `RESET_CONSUMER_CLIENT_OFFSET` (220), answer to
/// `INVOKE_BROKER_TO_RESET_OFFSET` (222).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsetBody {
    /// Queue offsets by queue.
    pub offset_table: QueueMap<i64>,
}

/// The offsets a consumer is at: its answer to `GET_CONSUMER_STATUS_FROM_CLIENT` (221), and the
/// answer to `INVOKE_BROKER_TO_GET_CONSUMER_STATUS` (223).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerStatusBody {
    /// Queue offsets by client id and queue, in the answer to 223.
    #[serde(deserialize_with = "or_default")]
    pub consumer_table: BTreeMap<String, QueueMap<i64>>,
    /// Queue offsets by queue, in the answer to 221.
    pub message_queue_table: QueueMap<i64>,
}

/// Answer to `GET_BROKER_CONSUME_STATS` (317).
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerConsumeStatsAnswer {
    /// `ip:port` of the broker.
    pub broker_addr: String,
    /// Progress by group, in several maps.
    #[serde(deserialize_with = "or_default")]
    pub consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    /// Messages not consumed.
    pub total_diff: i64,
    /// Messages pulled and not consumed.
    pub total_inflight_diff: i64,
}

/// Implements [`Body`] for shapes that hold queue-keyed maps, by a writer of the body's bytes.
macro_rules! queue_map_bodies {
    ($($name:ty: |$it:ident, $out:ident| $write:block)*) => {$(
        impl Body for $name {
            fn decode(bytes: &[u8]) -> Result<Self, BodyError> {
                from_json(bytes)
            }

            fn encode(&self) -> Vec<u8> {
                let ($it, mut bytes) = (self, Vec::new());
                let $out = &mut bytes;
                $write
                bytes
            }
        }
    )*};
}

queue_map_bodies! {
    TopicStatsTable: |it, out| {
        out.extend_from_slice(b"{\"offsetTable\":");
        write_queue_map(out, &it.offset_table);
        member(out, ",\"topicPutTps\":", &it.topic_put_tps);
        out.push(b'}');
    }
    ConsumeStats: |it, out| {
        member(out, "{\"consumeTps\":", &it.consume_tps);
        out.extend_from_slice(b",\"offsetTable\":");
        write_queue_map(out, &it.offset_table);
        out.push(b'}');
    }
    ResetOffsetBody: |it, out| {
        out.extend_from_slice(b"{\"offsetTable\":");
        write_queue_map(out, &it.offset_table);
        out.push(b'}');
    }
    ConsumerStatusBody: |it, out| {
        out.extend_from_slice(b"{\"consumerTable\":{");
        for (index, (client, table)) in it.consumer_table.iter().enumerate() {
            member(out, if index == 0 { "" } else { "," }, client);
            out.push(b':');
            write_queue_map(out, table);
        }
        out.extend_from_slice(b"},\"messageQueueTable\":");
        write_queue_map(out, &it.message_queue_table);
        out.push(b'}');
    }
    BrokerConsumeStatsAnswer: |it, out| {
        member(out, "{\"brokerAddr\":", &it.broker_addr);
        out.extend_from_slice(b",\"consumeStatsList\":[");
        for (index, groups) in it.consume_stats_list.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"{" } else { b",{" });
            write_groups(out, groups);
            out.push(b'}');
        }
        member(out, "],\"totalDiff\":", &it.total_diff);
        member(out, ",\"totalInflightDiff\":", &it.total_inflight_diff);
        out.push(b'}');
    }
}

/// Appends text and then a value as JSON.
fn member(out: &mut Vec<u8>, before: &str, value: &impl Serialize) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(&to_json(value));
}

fn write_groups(out: &mut Vec<u8>, groups: &BTreeMap<String, Vec<ConsumeStats>>) {
    for (index, (group, stats)) in groups.iter().enumerate() {
        member(out, if index == 0 { "" } else { "," }, group);
        out.extend_from_slice(b":[");
        for (index, stats) in stats.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"" } else { b"," });
            out.extend_from_slice(&stats.encode());
        }
        out.push(b']');
    }
}

impl ResetOffsetBody {
    /// The list form that C++ clients read instead.
    pub fn encode_for_cpp(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Entry<'a> {
            broker_name: &'a str,
            offset: i64,
            queue_id: i32,
            topic: &'a str,
        }
        let entry = |(queue, offset): &'_ (MessageQueue, i64)| -> Vec<u8> {
            to_json(&Entry {
                broker_name: &queue.broker_name,
                offset: *offset,
                queue_id: queue.queue_id,
                topic: &queue.topic,
            })
        };
        let entries: Vec<Vec<u8>> = self.offset_table.0.iter().map(entry).collect();
        [&b"{\"offsetTable\":["[..], &entries.join(&b','), b"]}"].concat()
    }
}

/// Committed offsets of a broker: answer to `GET_ALL_CONSUMER_OFFSET` (43).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerOffsetTable {
    /// Changes with every change of an offset.
    #[serde(deserialize_with = "or_default")]
    pub data_version: DataVersion,
    /// Queue offsets by `topic@group` and queue id.
    #[serde(deserialize_with = "or_default")]
    pub offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// Written with bare queue ids, as Java does.
impl Body for ConsumerOffsetTable {
    fn decode(bytes: &[u8]) -> Result<Self, BodyError> {
        from_json(bytes)
    }

    fn encode(&self) -> Vec<u8> {
        fastjson::to_vec(self)
    }
}

/// Between which times a group stands in one queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueTimeSpan {
    /// Store time of the last consumed message, in milliseconds.
    pub consume_time_stamp: i64,
    /// How far that is behind, in milliseconds.
    pub delay_time: i64,
    /// Store time of the last message, in milliseconds.
    pub max_time_stamp: i64,
    /// The queue.
    #[serde(deserialize_with = "or_default")]
    pub message_queue: MessageQueue,
    /// Store time of the first message, in milliseconds.
    pub min_time_stamp: i64,
}

/// Answer to `QUERY_CONSUME_TIME_SPAN` (303).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeTimeSpan {
    /// One entry per queue.
    #[serde(deserialize_with = "or_default")]
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// Answer to `QUERY_SUBSCRIPTION_BY_CONSUMER` (345).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionAnswer {
    /// Consumer group.
    pub group: String,
    /// Its subscription; missing if it is offline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    /// Topic.
    pub topic: String,
}

json_bodies!(ConsumeTimeSpan, SubscriptionAnswer);
