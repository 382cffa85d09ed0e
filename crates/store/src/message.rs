//! What handlers say of a message, and which of its properties are indexed.
//!
//! The record's bytes are [`rocketkube_protocol::record`]'s; nothing here decides about a message.

use std::net::SocketAddr;

use rocketkube_protocol::{
    message::{Properties, append_property, property, tag_hash},
    record::{Record, RecordError},
};

/// Stamped on a message whose topic was deleted before it reached the tail: never indexed.
pub(crate) const NOWHERE: u64 = u64::MAX;

/// Words of `KEYS` by which a message can be found; it is not found by those behind them. Each is 16
/// bytes of memory until its segment has an index file, and a property has room for 16,000.
pub(crate) const MAX_KEYS: usize = 64;

/// The caller's share of a message; the rest is known at the tail of the log.
#[derive(Debug, Clone, Copy)]
pub struct MessageParts<'a> {
    pub flag: i32,
    /// As the client sent it; the bits for the hosts' address families are set when encoding.
    pub sys_flag: i32,
    /// Milliseconds by the client's clock.
    pub born_timestamp: i64,
    pub born_host: SocketAddr,
    pub reconsume_times: i32,
    pub prepared_transaction_offset: u64,
    /// The client's properties: `name 0x01 value 0x02`, repeated.
    pub properties: &'a str,
    /// Properties to add behind them, as name and value.
    pub appended_properties: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

impl MessageParts<'_> {
    /// Bytes of the record's properties, of which a record holds at most 32,767.
    pub fn properties_len(&self) -> usize {
        let appended = self.appended_properties.iter();
        let appended: usize = appended.map(|(name, value)| name.len() + value.len() + 2).sum();
        self.properties.len() + usize::from(self.needs_separator()) + appended
    }

    /// Old clients leave out the last separator.
    fn needs_separator(&self) -> bool {
        !self.appended_properties.is_empty()
            && self.properties.as_bytes().last().is_some_and(|byte| *byte != 2)
    }

    /// Appends the record to `out`, all but what is stamped later. Gives its size.
    pub(crate) fn encode(
        &self,
        topic: &str,
        queue_id: u32,
        store_host: SocketAddr,
        out: &mut Vec<u8>,
    ) -> Result<u32, RecordError> {
        let record = Record {
            queue_id: queue_id.cast_signed(),
            flag: self.flag,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: self.sys_flag,
            born_timestamp: self.born_timestamp,
            born_host: self.born_host,
            store_timestamp: 0,
            store_host,
            reconsume_times: self.reconsume_times,
            prepared_transaction_offset: self.prepared_transaction_offset,
            body: self.body,
            topic,
            properties: self.properties,
        };
        record.write_with(out, |out| {
            if self.needs_separator() {
                out.push(2);
            }
            for (name, value) in self.appended_properties {
                append_property(out, name, value);
            }
        })
    }
}

/// The properties that are indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Indexed<'a> {
    /// Java's `String.hashCode` of the tag; 0 without a tag.
    pub(crate) tag: i32,
    keys: &'a str,
    unique_key: Option<&'a str>,
}

impl<'a> Indexed<'a> {
    /// One pass over the properties. Of a repeated name the last one counts, as in Java's map.
    pub(crate) fn add(mut self, properties: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        for (name, value) in properties {
            match name {
                property::TAGS => self.tag = tag_hash(value),
                property::KEYS => self.keys = value,
                property::UNIQ_KEY => self.unique_key = Some(value),
                _ => {}
            }
        }
        self
    }

    pub(crate) fn of(properties: Properties<'a>) -> Self {
        Self::default().add(properties.iter())
    }

    /// Everything the message can be found by: its unique key and the first [`MAX_KEYS`] words of
    /// its keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let words = self.keys.split(' ').filter(|word| !word.is_empty());
        self.unique_key.into_iter().chain(words.take(MAX_KEYS))
    }

    pub(crate) fn unique_key(&self) -> Option<&'a str> {
        self.unique_key
    }
}

#[cfg(test)]
mod tests {
    use rocketkube_protocol::record::RecordView;

    use super::*;

    fn parts<'a>() -> MessageParts<'a> {
        MessageParts {
            flag: 3,
            sys_flag: 1,
            born_timestamp: 5,
            born_host: SocketAddr::from(([10, 0, 0, 9], 50_000)),
            reconsume_times: 2,
            prepared_transaction_offset: 7,
            properties: "KEYS\u{1}a b\u{2}TAGS\u{1}TagA",
            appended_properties: &[("UNIQ_KEY", "0A")],
            body: b"hello",
        }
    }

    #[test]
    fn appended_properties_follow_those_of_old_clients_without_last_separator() {
        let mut out = Vec::new();
        let host = SocketAddr::from(([10, 0, 0, 1], 10_911));
        let size = parts().encode("T1", 5, host, &mut out).unwrap();
        assert_eq!(size as usize, out.len());
        let view = RecordView::parse(&out).unwrap();
        let text = "KEYS\u{1}a b\u{2}TAGS\u{1}TagA\u{2}UNIQ_KEY\u{1}0A\u{2}";
        assert_eq!(view.properties(), Properties(text));
        assert_eq!(parts().properties_len(), text.len());
        assert_eq!((view.queue_id(), view.topic()), (5, "T1"));
    }

    #[test]
    fn a_message_is_found_by_its_unique_key_and_each_of_its_keys() {
        let indexed =
            Indexed::of(Properties("UNIQ_KEY\u{1}0A\u{2}KEYS\u{1} a  b\u{2}TAGS\u{1}TagA"));
        assert_eq!(indexed.keys().collect::<Vec<_>>(), ["0A", "a", "b"]);
        assert_eq!((indexed.tag, indexed.unique_key()), (2_598_919, Some("0A")));
    }

    #[test]
    fn a_message_is_found_by_so_many_keys_and_no_more() {
        let keys: Vec<_> = (0..16_000).map(|n| n.to_string()).collect();
        let properties = format!("KEYS\u{1}{}\u{2}UNIQ_KEY\u{1}0A\u{2}", keys.join("  "));
        let found: Vec<_> = Indexed::of(Properties(&properties)).keys().collect();
        assert_eq!((found.len(), found[0], found[MAX_KEYS]), (1 + MAX_KEYS, "0A", "63"));
    }

    #[test]
    fn a_message_without_properties_is_found_by_nothing() {
        assert_eq!(Indexed::of(Properties("")).keys().count(), 0);
        assert_eq!(Indexed::of(Properties("KEYS\u{1}  \u{2}")).keys().count(), 0);
    }
}
