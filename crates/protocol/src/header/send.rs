//! Headers of sending: `SEND_MESSAGE` (10), `SEND_MESSAGE_V2` (310), `SEND_BATCH_MESSAGE` (320) and
//! the replies of request-reply consumers (324, 325).

use super::{Header, HeaderError, Str, field};
use crate::ext::{ExtFields, ExtWriter};

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
    fn decode(ext: &ExtFields<'a>) -> Result<Self, HeaderError> {
        // One slot per letter from `a` to `n`.
        let mut found = [None; 14];
        for (key, value) in ext.texts() {
            if let Some(slot) = slot(&key.to_cow()) {
                found[slot] = Some(value);
            }
        }
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
        self.encode_with(ext, |letter, _| letter);
    }
}

impl SendMessage<'_> {
    fn encode_with(
        &self,
        ext: &mut ExtWriter<'_>,
        name: impl Fn(&'static str, &'static str) -> &'static str,
    ) {
        ext.field(name("a", "producerGroup"), &self.producer_group);
        ext.field(name("b", "topic"), &self.topic);
        ext.field(name("c", "defaultTopic"), &self.default_topic);
        ext.field(name("d", "defaultTopicQueueNums"), self.default_topic_queues);
        ext.field(name("e", "queueId"), self.queue_id);
        ext.field(name("f", "sysFlag"), self.sys_flag);
        ext.field(name("g", "bornTimestamp"), self.born_timestamp);
        ext.field(name("h", "flag"), self.flag);
        ext.field(name("i", "properties"), &self.properties);
        ext.field(name("j", "reconsumeTimes"), self.reconsume_times);
        ext.field(name("k", "unitMode"), self.unit_mode);
        ext.field(name("l", "maxReconsumeTimes"), self.max_reconsume_times);
        ext.field(name("m", "batch"), self.batch);
        ext.field(name("n", "bname"), &self.broker_name);
    }
}

/// Place of a field by either of its names.
fn slot(key: &str) -> Option<usize> {
    if let [letter @ b'a'..=b'n'] = key.as_bytes() {
        return Some(usize::from(letter - b'a'));
    }
    Some(match key {
        "producerGroup" => 0,
        "topic" => 1,
        "defaultTopic" => 2,
        "defaultTopicQueueNums" => 3,
        "queueId" => 4,
        "sysFlag" => 5,
        "bornTimestamp" => 6,
        "flag" => 7,
        "properties" => 8,
        "reconsumeTimes" => 9,
        "unitMode" => 10,
        "maxReconsumeTimes" => 11,
        "batch" => 12,
        "brokerName" | "bname" => 13,
        _ => return None,
    })
}

/// The same header, written with long names: for `SEND_MESSAGE` (10) and `SEND_REPLY_MESSAGE` (324).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SendMessageV1<'a>(pub SendMessage<'a>);

impl<'a> Header<'a> for SendMessageV1<'a> {
    fn decode(ext: &ExtFields<'a>) -> Result<Self, HeaderError> {
        SendMessage::decode(ext).map(Self)
    }

    fn encode(&self, ext: &mut ExtWriter<'_>) {
        self.0.encode_with(ext, |_, name| name);
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
