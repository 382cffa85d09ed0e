//! What a message says about itself: its properties and the hash of its tag.
//!
//! Properties travel and are stored as one string, `name 0x01 value 0x02` repeated, and are kept
//! verbatim. They are scanned where they are. What a property does is decided by the broker.

use std::iter;

/// Ends a property's name.
pub const NAME_END: char = '\u{1}';
/// Ends a property's value.
pub const VALUE_END: char = '\u{2}';

/// Names of properties. Source: `MessageConst` of Apache RocketMQ 5.
pub mod property {
    macro_rules! names {
        ($($(#[$doc:meta])* $constant:ident = $name:literal;)*) => {
            $($(#[$doc])* pub const $constant: &str = $name;)*
        };
    }

    names! {
        /// Keys for the index, separated by spaces.
        KEYS = "KEYS";
        /// Tag to filter by.
        TAGS = "TAGS";
        /// Unique id made by the client, or by the broker if it is missing.
        UNIQ_KEY = "UNIQ_KEY";
        /// Whether the producer waits until the message is stored.
        WAIT = "WAIT";
        /// Delay level, 1 to 18.
        DELAY = "DELAY";
        /// When to deliver, in milliseconds of the epoch.
        TIMER_DELIVER_MS = "TIMER_DELIVER_MS";
        /// Delay in milliseconds.
        TIMER_DELAY_MS = "TIMER_DELAY_MS";
        /// Delay in seconds; goes before the other two.
        TIMER_DELAY_SEC = "TIMER_DELAY_SEC";
        /// Set by the broker: when the message is due.
        TIMER_OUT_MS = "TIMER_OUT_MS";
        /// Set by the broker: when the timer took the message.
        TIMER_ENQUEUE_MS = "TIMER_ENQUEUE_MS";
        /// Set by the broker: when the timer gave the message back.
        TIMER_DEQUEUE_MS = "TIMER_DEQUEUE_MS";
        /// Set by the broker: how often a far timer was put forward.
        TIMER_ROLL_TIMES = "TIMER_ROLL_TIMES";
        /// Set by the broker: delay level kept by a timer.
        TIMER_DELAY_LEVEL = "TIMER_DELAY_LEVEL";
        /// Unique id of the timer message that this one cancels.
        TIMER_DEL_UNIQKEY = "TIMER_DEL_UNIQKEY";
        /// Topic of a message before it went to a retry topic.
        RETRY_TOPIC = "RETRY_TOPIC";
        /// Offset message id of the first delivery.
        ORIGIN_MESSAGE_ID = "ORIGIN_MESSAGE_ID";
        /// Tries before, when the client itself sends to a retry topic.
        RECONSUME_TIME = "RECONSUME_TIME";
        /// Most tries, when the client itself sends to a retry topic.
        MAX_RECONSUME_TIMES = "MAX_RECONSUME_TIMES";
        /// Where a delayed or half message goes in the end: topic.
        REAL_TOPIC = "REAL_TOPIC";
        /// Where a delayed or half message goes in the end: queue id.
        REAL_QID = "REAL_QID";
        /// `true` for a half message.
        TRAN_MSG = "TRAN_MSG";
        /// Producer group that is asked about a half message.
        PGROUP = "PGROUP";
        /// Seconds before a half message is asked about.
        CHECK_IMMUNITY_TIME_IN_SECONDS = "CHECK_IMMUNITY_TIME_IN_SECONDS";
        /// How often a half message was asked about.
        TRANSACTION_CHECK_TIMES = "TRANSACTION_CHECK_TIMES";
        /// Queue offset of the first copy of a half message.
        TRAN_PREPARED_QUEUE_OFFSET = "TRAN_PREPARED_QUEUE_OFFSET";
        /// Id of the transaction.
        TRANSACTION_ID = "__transactionId__";
        /// Region of the broker.
        MSG_REGION = "MSG_REGION";
        /// Whether the message is traced.
        TRACE_ON = "TRACE_ON";
        /// Cluster of the broker.
        CLUSTER = "CLUSTER";
        /// Namespace instance of the client.
        INSTANCE_ID = "INSTANCE_ID";
        /// Request-reply: which request.
        CORRELATION_ID = "CORRELATION_ID";
        /// Request-reply: client id that waits for the reply.
        REPLY_TO_CLIENT = "REPLY_TO_CLIENT";
        /// Request-reply: how long it waits, in milliseconds.
        TTL = "TTL";
        /// Request-reply: `reply`.
        MSG_TYPE = "MSG_TYPE";
        /// Request-reply: when the reply reached the broker.
        ARRIVE_TIME = "ARRIVE_TIME";
        /// Request-reply: when the broker passed the reply on.
        PUSH_REPLY_TIME = "PUSH_REPLY_TIME";
        /// Key by which messages are ordered.
        SHARDING_KEY = "__SHARDINGKEY";
        /// Receipt handle of a popped message; removed from messages that are sent.
        POP_CK = "POP_CK";
        /// Offset part of a receipt handle.
        POP_CK_OFFSET = "POP_CK_OFFSET";
        /// When the message was popped for the first time.
        FIRST_POP_TIME = "1ST_POP_TIME";
        /// Messages in an inner batch.
        INNER_NUM = "INNER_NUM";
        /// Queue offset of the first message of an inner batch.
        INNER_BASE = "INNER_BASE";
        /// Light queues the message also goes to.
        INNER_MULTI_DISPATCH = "INNER_MULTI_DISPATCH";
        /// Its offsets in them.
        INNER_MULTI_QUEUE_OFFSET = "INNER_MULTI_QUEUE_OFFSET";
        /// Tracing context.
        TRACE_CONTEXT = "TRACE_CONTEXT";
        /// Topic of a dead letter before it was one.
        DLQ_ORIGIN_TOPIC = "DLQ_ORIGIN_TOPIC";
        /// Id of a dead letter before it was one.
        DLQ_ORIGIN_MESSAGE_ID = "DLQ_ORIGIN_MESSAGE_ID";
        /// Born host, set by proxies.
        BORN_HOST = "__BORNHOST";
        /// Born time, set by proxies.
        BORN_TIMESTAMP = "BORN_TIMESTAMP";
        /// Checksum of the record, last of all.
        CRC32 = "__CRC32#";
        /// Names that start so are never stored.
        TRANSIENT_PREFIX = "__RMQ.TRANSIENT.";
    }
}

/// Properties in their string form, read as Java reads them: an entry without a name, a separator
/// or a value does not count, and of a name that comes twice the last one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Properties<'a>(pub &'a str);

impl<'a> Properties<'a> {
    /// The value of a property. Each call walks the string: to read several, use [`iter`](Self::iter).
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().filter(|(key, _)| *key == name).last().map(|(_, value)| value)
    }

    /// Every name with its value, in the order of the string, duplicates included.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut rest = self.0;
        iter::from_fn(move || {
            while !rest.is_empty() {
                let (entry, after) = split_at_byte(rest, VALUE_END as u8).unwrap_or((rest, ""));
                rest = after;
                let parts = split_at_byte(entry, NAME_END as u8);
                if let Some((name, value)) = parts
                    && !name.is_empty()
                    && !value.is_empty()
                {
                    return Some((name, value));
                }
            }
            None
        })
    }

    /// The keys of the message, one by one.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.get(property::KEYS).unwrap_or_default().split(' ').filter(|key| !key.is_empty())
    }

    /// Appends all properties but those named to `out`, in their string form.
    pub fn append_without(&self, names: &[&str], out: &mut Vec<u8>) {
        for (name, value) in self.iter().filter(|(name, _)| !names.contains(name)) {
            append_property(out, name, value);
        }
    }

    /// Appends all properties to `out` as they are, with the last separator, which old clients
    /// leave out, so that more can follow.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
        if !self.0.is_empty() && !self.0.ends_with(VALUE_END) {
            out.push(VALUE_END as u8);
        }
    }
}

/// What stands before and after the first `byte`, which is ASCII.
#[inline]
fn split_at_byte(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(byte, text.as_bytes())?;
    Some((&text[..at], &text[at + 1..]))
}

/// Appends one property in its string form. Neither part may hold a separator.
pub fn append_property(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(NAME_END as u8);
    out.extend_from_slice(value.as_bytes());
    out.push(VALUE_END as u8);
}

/// Hash by which consumers filter tags: Java's `String.hashCode`, over UTF-16 units.
pub fn tag_hash(tag: &str) -> i32 {
    tag.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_hash_as_in_java() {
        assert_eq!(tag_hash("TagA"), 2_598_919);
        assert_eq!(tag_hash("TagB"), 2_598_920);
        assert_eq!(tag_hash(""), 0);
        // Two surrogates, and an overflow on the way.
        assert_eq!(tag_hash("\u{1f600}"), 0xd83d_i32.wrapping_mul(31).wrapping_add(0xde00));
        assert_eq!(tag_hash("polygenelubricants"), i32::MIN);
    }

    #[test]
    fn odd_entries_are_read_as_in_java() {
        let read = |text| Properties(text).iter().collect::<Vec<_>>();
        assert_eq!(read("a\u{1}b"), [("a", "b")]);
        assert_eq!(read("a\u{1}b\u{2}"), [("a", "b")]);
        assert_eq!(read("a\u{1}b\u{2}\u{2}\u{2}c\u{1}d"), [("a", "b"), ("c", "d")]);
        assert_eq!(read("a\u{1}b\u{1}c\u{2}"), [("a", "b\u{1}c")]);
        for nothing in
            ["", "a", "abc\u{2}", "\u{1}b\u{2}", "a\u{1}\u{2}", "\u{2}\u{2}", "\u{1}\u{1}"]
        {
            assert_eq!(read(nothing), [], "{nothing:?}");
        }
        assert_eq!(Properties("a\u{1}1\u{2}a\u{1}2").get("a"), Some("2"));
    }

    #[test]
    fn properties_can_be_taken_out_and_added() {
        let mut out = Vec::new();
        Properties("a\u{1}1\u{2}POP_CK\u{1}x\u{2}b\u{1}2").append_without(&["POP_CK"], &mut out);
        assert_eq!(out, b"a\x011\x02b\x012\x02");
        out.clear();
        Properties("a\u{1}1").append_to(&mut out);
        append_property(&mut out, "b", "2");
        assert_eq!(out, b"a\x011\x02b\x012\x02");
    }

    #[test]
    fn keys_are_separated_by_any_number_of_spaces() {
        let keys: Vec<_> = Properties("KEYS\u{1}k1  k2 \u{2}").keys().collect();
        assert_eq!(keys, ["k1", "k2"]);
    }

    proptest! {
        #[test]
        fn appended_properties_are_read_back(pairs in prop::collection::vec(("[^\u{1}\u{2}]+", "[^\u{1}\u{2}]+"), 0..6)) {
            let mut out = Vec::new();
            for (name, value) in &pairs {
                append_property(&mut out, name, value);
            }
            let text = String::from_utf8(out).unwrap();
            let read: Vec<_> = Properties(&text).iter().collect();
            let expected: Vec<_> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn any_text_can_be_scanned(text in "[ab\u{1}\u{2}é]{0,30}") {
            for (name, value) in Properties(&text).iter() {
                prop_assert_eq!(Properties(&text).get(name).is_some(), !value.is_empty());
            }
        }
    }
}
