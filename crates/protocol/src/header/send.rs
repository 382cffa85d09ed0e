//! Headers of sending: `SEND_MESSAGE` (10), `SEND_MESSAGE_V2` (310), `SEND_BATCH_MESSAGE` (320) and
//! the replies of request-reply consumers (324, 325).

use super::{Header, HeaderError, Str, field};
use crate::ext::{ExtFields, ExtWriter};

/// Names of the fields in 310, 320 and 325.
const SHORT_NAMES: [&str; 14] =
    ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"];

/// Names of the same fields in 10 and 324.
const LONG_NAMES: [&str; 14] = [
    "producerGroup",
    "topic",
    "defaultTopic",
    "defaultTopicQueueNums",
    "queueId",
    "sysFlag",
    "bornTimestamp",
    "flag",
    "properties",
    "reconsumeTimes",
    "unitMode",
    "maxReconsumeTimes",
    "batch",
    "bname",
];

/// Header of every kind of send, read from long names (10, 324) and one-letter names (310, 320, 325)
/// alike; written with one-letter names.
///
/// Source of the letters: `SendMessageRequestHeaderV2` of Apache RocketMQ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SendMessage<'a> {
    /// Producer group; `a`, `producerGroup`.
    pub producer_group: Str<'a>,
    /// Topic; `b`, `topic`.
    pub topic: Str<'a>,
    /// Topic whose settings an automatically created topic gets; `c`, `defaultTopic`.
    pub default_topic: Str<'a>,
    /// Queues of such a topic; `d`, `defaultTopicQueueNums`.
    pub default_topic_queues: i32,
    /// Queue; negative if the broker shall choose; `e`, `queueId`.
    pub queue_id: i32,
    /// System flags, see [`sys_flag`](crate::record::sys_flag); `f`, `sysFlag`.
    pub sys_flag: i32,
    /// When the message was made, in milliseconds by the client's clock; `g`, `bornTimestamp`.
    pub born_timestamp: i64,
    /// Flags of the application, kept as they are; `h`, `flag`.
    pub flag: i32,
    /// Properties in their string form, see [`Properties`](crate::Properties); `i`, `properties`.
    pub properties: Option<Str<'a>>,
    /// How often the message was tried before; sends to retry topics only; `j`, `reconsumeTimes`.
    pub reconsume_times: Option<i32>,
    /// Unit mode; `k`, `unitMode`.
    pub unit_mode: Option<bool>,
    /// Tries after which the message is given up; to be honoured from version
    /// [`V3_4_9`](crate::version::V3_4_9) on; `l`, `maxReconsumeTimes`.
    pub max_reconsume_times: Option<i32>,
    /// Whether the body is a batch; `m`, `batch`.
    pub batch: Option<bool>,
    /// Broker the client means to send to; `n`, `brokerName` (310, 320) or `bname` (10).
    pub broker_name: Option<Str<'a>>,
}

impl<'a> Header<'a> for SendMessage<'a> {
    const FIELDS: &'static [&'static str] = &SHORT_NAMES;

    fn decode(ext: &ExtFields<'a>) -> Result<Self, HeaderError> {
        // One slot per letter from `a` to `n`.
        let mut found = [None; 14];
        ext.for_each(|key, value| {
            if let Some(slot) = slot(&key.to_bytes()) {
                found[slot] = Some(value);
            }
        });
        Ok(Self {
            producer_group: field("producerGroup", found[0])?,
            topic: field("topic", found[1])?,
            default_topic: field("defaultTopic", found[2])?,
            default_topic_queues: field("defaultTopicQueueNums", found[3])?,
            queue_id: field("queueId", found[4])?,
            sys_flag: field("sysFlag", found[5])?,
            born_timestamp: field("bornTimestamp", found[6])?,
            flag: field("flag", found[7])?,
            properties: field("properties", found[8])?,
            reconsume_times: field("reconsumeTimes", found[9])?,
            unit_mode: field("unitMode", found[10])?,
            max_reconsume_times: field("maxReconsumeTimes", found[11])?,
            batch: field("batch", found[12])?,
            broker_name: field("brokerName", found[13])?,
        })
    }

    fn encode(&self, ext: &mut ExtWriter<'_>) {
        self.encode_with(ext, &SHORT_NAMES);
    }
}

impl SendMessage<'_> {
    /// Writes the fields by the names given, from `producerGroup` to `brokerName`.
    fn encode_with(&self, ext: &mut ExtWriter<'_>, names: &[&str; 14]) {
        ext.field(names[0], &self.producer_group);
        ext.field(names[1], &self.topic);
        ext.field(names[2], &self.default_topic);
        ext.field(names[3], self.default_topic_queues);
        ext.field(names[4], self.queue_id);
        ext.field(names[5], self.sys_flag);
        ext.field(names[6], self.born_timestamp);
        ext.field(names[7], self.flag);
        ext.field(names[8], &self.properties);
        ext.field(names[9], self.reconsume_times);
        ext.field(names[10], self.unit_mode);
        ext.field(names[11], self.max_reconsume_times);
        ext.field(names[12], self.batch);
        ext.field(names[13], &self.broker_name);
    }
}

/// Place of a field by either of its names.
fn slot(key: &[u8]) -> Option<usize> {
    if let [letter @ b'a'..=b'n'] = key {
        return Some(usize::from(letter - b'a'));
    }
    // Requests name the broker `bname` where the header itself has no field for it.
    match key {
        b"brokerName" => Some(13),
        _ => LONG_NAMES.iter().position(|name| name.as_bytes() == key),
    }
}

/// The same header, written with long names: for `SEND_MESSAGE` (10) and `SEND_REPLY_MESSAGE` (324).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SendMessageV1<'a>(pub SendMessage<'a>);

impl<'a> Header<'a> for SendMessageV1<'a> {
    const FIELDS: &'static [&'static str] = &LONG_NAMES;

    fn decode(ext: &ExtFields<'a>) -> Result<Self, HeaderError> {
        SendMessage::decode(ext).map(Self)
    }

    fn encode(&self, ext: &mut ExtWriter<'_>) {
        self.0.encode_with(ext, &LONG_NAMES);
    }
}

headers! {
    /// Answer to a send. Clients read it with the codes 0, 10, 11 and 12, where all required fields
    /// have to be there.
    SendReceipt<'a> {
        /// Offset message id; of a batch, one per message, joined by commas.
        msg_id: Str<'a> = "msgId";
        /// Queue of the message.
        queue_id: i32 = "queueId";
        /// Queue offset of the (first) message.
        queue_offset: i64 = "queueOffset";
        /// Unique id of the message.
        transaction_id: Option<Str<'a>> = "transactionId";
        /// Unique id of a batch stored as one record.
        batch_uniq_id: Option<Str<'a>> = "batchUniqId";
        /// By which a timer message can be recalled.
        recall_handle: Option<Str<'a>> = "recallHandle";
        /// Region of the broker.
        region: Option<Str<'a>> = "MSG_REGION";
        /// Whether the client shall trace this message.
        trace_on: Option<bool> = "TRACE_ON";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Command, RequestCode};

    fn example() -> SendMessage<'static> {
        SendMessage {
            producer_group: "g".into(),
            topic: "t".into(),
            default_topic: "TBW102".into(),
            default_topic_queues: 4,
            queue_id: -1,
            born_timestamp: 1_700_000_000_000,
            properties: Some("KEYS\u{1}k\u{2}".into()),
            batch: Some(true),
            ..SendMessage::default()
        }
    }

    #[test]
    fn long_and_short_names_mean_the_same() {
        let short = Command::request(RequestCode::SEND_MESSAGE_V2, &example());
        let long = Command::request(RequestCode::SEND_MESSAGE, &SendMessageV1(example()));
        assert_eq!(short.ext[0].0, "a");
        assert_eq!(long.ext[0].0, "producerGroup");
        assert_eq!(short.header::<SendMessage>(), Ok(example()));
        assert_eq!(long.header::<SendMessage>(), Ok(example()));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let mut command = Command::request(RequestCode::SEND_MESSAGE_V2, &example());
        command.ext[4].1 = "many".to_owned();
        let error = command.header::<SendMessage>().unwrap_err();
        assert_eq!(error.to_string(), "the header field queueId is not a 32-bit integer: many");
        command.ext.remove(4);
        let error = command.header::<SendMessage>().unwrap_err();
        assert_eq!(error, HeaderError::Missing { field: "queueId" });
    }
}
