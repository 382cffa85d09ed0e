//! Messages on their way to a broker, and as they come from one.

use std::io::Read;
use std::net::SocketAddr;

use flate2::read::ZlibDecoder;
use rocketkube_protocol::message::{NAME_END, VALUE_END, append_property, property};
use rocketkube_protocol::record::sys_flag;
use rocketkube_protocol::{OffsetMessageId, Properties, RecordView};

use crate::ClientError;

/// Bytes a compressed body may unpack to. Brokers accept 4 MiB by default, packed or not.
const MAX_UNPACKED: u64 = 64 * 1024 * 1024;

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Topic it is sent to.
    pub topic: String,
    /// What it says, in bytes.
    pub body: Vec<u8>,
    /// Flags of the application, delivered as they are.
    pub flag: i32,
    properties: Vec<(String, String)>,
}

impl Message {
    /// A message without properties.
    pub fn new(topic: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { topic: topic.into(), body: body.into(), flag: 0, properties: Vec::new() }
    }

    /// The same message with a tag, by which consumers can choose.
    #[must_use]
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.property(property::TAGS, tag)
    }

    /// The same message with a key, by which it can be found. May be called more than once; the
    /// broker finds a message by its first 64 keys.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        let known = self.properties.iter().find(|(name, _)| name == property::KEYS);
        let keys = known.map_or_else(|| key.to_owned(), |(_, keys)| format!("{keys} {key}"));
        self.property(property::KEYS, keys)
    }

    /// The same message with a property; the last of one name counts.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.properties.retain(|(known, _)| *known != name);
        self.properties.push((name, value.into()));
        self
    }

    /// All properties, in the order they were given.
    pub fn properties(&self) -> &[(String, String)] {
        &self.properties
    }

    /// The properties in their string form, with the unique id among them.
    pub(crate) fn properties_with(&self, unique_id: &str) -> Result<String, ClientError> {
        let mut out = Vec::new();
        append_property(&mut out, property::UNIQ_KEY, unique_id);
        append_property(&mut out, property::WAIT, "true");
        for (name, value) in &self.properties {
            if [name, value].iter().any(|text| text.contains([NAME_END, VALUE_END])) {
                return Err(ClientError::Property { name: name.clone() });
            }
            append_property(&mut out, name, value);
        }
        // Every part was text and so are the separators.
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}

/// A message as a broker keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Topic it was sent to.
    pub topic: String,
    /// Queue it is in.
    pub queue_id: i32,
    /// Its position in the queue, in messages.
    pub queue_offset: u64,
    /// Its position in the broker's log, in bytes.
    pub physical_offset: u64,
    /// Flags of the application.
    pub flag: i32,
    /// What it says, unpacked unless [`compressed`](Self::compressed).
    pub body: Vec<u8>,
    /// Whether the body is still packed, because this client cannot unpack it.
    pub compressed: bool,
    /// When it was sent, in milliseconds since the epoch by the producer's clock.
    pub born_timestamp: i64,
    /// Who sent it.
    pub born_host: SocketAddr,
    /// When it was stored, in milliseconds since the epoch by the broker's clock.
    pub store_timestamp: i64,
    /// Who stored it.
    pub store_host: SocketAddr,
    /// How often consumers failed to consume it.
    pub reconsume_times: i32,
    properties: String,
}

impl Received {
    pub(crate) fn new(record: &RecordView<'_>) -> Self {
        let packed = record.sys_flag() & sys_flag::COMPRESSED != 0;
        let unpacked = if packed { unpack(record) } else { None };
        Self {
            topic: record.topic().to_owned(),
            queue_id: record.queue_id(),
            queue_offset: record.queue_offset(),
            physical_offset: record.physical_offset(),
            flag: record.flag(),
            compressed: packed && unpacked.is_none(),
            body: unpacked.unwrap_or_else(|| record.body().to_vec()),
            born_timestamp: record.born_timestamp(),
            born_host: record.born_host(),
            store_timestamp: record.store_timestamp(),
            store_host: record.store_host(),
            reconsume_times: record.reconsume_times(),
            properties: record.properties().0.to_owned(),
        }
    }

    /// All properties.
    pub fn properties(&self) -> Properties<'_> {
        Properties(&self.properties)
    }

    /// Its tag, if it has one.
    pub fn tag(&self) -> Option<&str> {
        self.properties().get(property::TAGS)
    }

    /// Its unique id, which the producer gave it, if it has one.
    pub fn unique_id(&self) -> Option<&str> {
        self.properties().get(property::UNIQ_KEY)
    }

    /// Its offset id: where it is kept.
    pub fn offset_id(&self) -> OffsetMessageId {
        OffsetMessageId { broker: self.store_host, physical_offset: self.physical_offset }
    }
}

/// The body of a record packed with zlib, which old clients use without saying so.
fn unpack(record: &RecordView<'_>) -> Option<Vec<u8>> {
    if !matches!(record.sys_flag() & sys_flag::COMPRESSION, 0 | sys_flag::ZLIB) {
        return None;
    }
    let mut body = Vec::new();
    let read = ZlibDecoder::new(record.body()).take(MAX_UNPACKED + 1).read_to_end(&mut body);
    (read.ok()? as u64 <= MAX_UNPACKED).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_gathered_and_other_properties_replaced() {
        let message = Message::new("t", "b").key("a").tag("x").key("b").tag("y");
        let text = message.properties_with("id").unwrap();
        let properties = Properties(&text);
        assert_eq!(properties.get("KEYS"), Some("a b"));
        assert_eq!(properties.get("TAGS"), Some("y"));
        assert_eq!(properties.get("UNIQ_KEY"), Some("id"));
    }

    #[test]
    fn separators_in_properties_are_refused() {
        let message = Message::new("t", "b").property("a\u{1}b", "c");
        assert!(matches!(message.properties_with("id"), Err(ClientError::Property { .. })));
    }
}
