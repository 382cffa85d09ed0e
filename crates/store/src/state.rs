//! State records: changes other than messages, as items of the log.
//!
//! | bytes   | field     | meaning                                                 |
//! |---------|-----------|---------------------------------------------------------|
//! | `0..4`  | `size`    | bytes of the whole record, big-endian like a message's  |
//! | `4..8`  | `magic`   | [`STATE_MAGIC`]                                         |
//! | `8..10` | `kind`    | [`Kind`]                                                |
//! | `10..12`| `version` | lowest store version that understands this kind         |
//! | `12..`  |           | protobuf                                                |
//!
//! Fields are only ever added. This module knows the bytes, not what a record does to the state.

use std::collections::BTreeMap;

use prost::Message;

/// Second word of every state record: `RKST`.
pub(crate) const STATE_MAGIC: u32 = 0x524B_5354;
/// What this build writes and the highest it reads.
pub(crate) const STATE_VERSION: u16 = 1;
const HEAD: usize = 12;

/// What a state record changes. Numbers are on disk: never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Kind {
    Topic = 1,
    Group = 2,
    Offsets = 3,
    Trim = 4,
    QueueEnds = 5,
}

/// A topic was made, changed or deleted.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TopicRecord {
    /// The topic's incarnation; 0 in the record that creates it, whose own offset becomes the id.
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(bool, tag = "3")]
    pub(crate) deleted: bool,
    #[prost(uint32, tag = "4")]
    pub(crate) read_queues: u32,
    #[prost(uint32, tag = "5")]
    pub(crate) write_queues: u32,
    #[prost(uint32, tag = "6")]
    pub(crate) perm: u32,
    #[prost(bool, tag = "7")]
    pub(crate) order: bool,
    #[prost(bool, tag = "8")]
    pub(crate) multi_tag: bool,
    #[prost(uint32, tag = "9")]
    pub(crate) sys_flag: u32,
    #[prost(btree_map = "string, string", tag = "10")]
    pub(crate) attributes: BTreeMap<String, String>,
    /// Queues that ever existed; reducing the counts above does not lose what others hold.
    #[prost(uint32, tag = "11")]
    pub(crate) queues: u32,
    /// Where queues start that this record makes: behind what damage may have held of them.
    #[prost(uint64, tag = "12")]
    pub(crate) first_offset: u64,
    /// So many queues were there before and start where their messages say, also if the record that
    /// made them is gone when this one is read.
    #[prost(uint32, tag = "13")]
    pub(crate) existing: u32,
}

/// A consumer group's settings were made, changed or deleted.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct GroupRecord {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(bool, tag = "2")]
    pub(crate) deleted: bool,
    /// With `deleted`: committed offsets go too.
    #[prost(bool, tag = "3")]
    pub(crate) clean_offsets: bool,
    /// The settings as the protocol's JSON, which is what clients add fields to.
    #[prost(string, tag = "4")]
    pub(crate) config: String,
}

/// Consumer groups moved on.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OffsetsRecord {
    #[prost(message, repeated, tag = "1")]
    pub(crate) commits: Vec<TopicCommits>,
    /// Not 0 in a record that carries older commits to the tail before their segment is trimmed:
    /// they must not replace a commit made at or after this physical offset.
    #[prost(uint64, tag = "2")]
    pub(crate) carried_below: u64,
}

/// Commits of one group in one topic.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TopicCommits {
    #[prost(string, tag = "1")]
    pub(crate) group: String,
    #[prost(string, tag = "2")]
    pub(crate) topic: String,
    #[prost(uint32, repeated, tag = "3")]
    pub(crate) queues: Vec<u32>,
    #[prost(uint64, repeated, tag = "4")]
    pub(crate) offsets: Vec<u64>,
    /// In snapshots only: where each commit lies in the log.
    #[prost(uint64, repeated, tag = "5")]
    pub(crate) positions: Vec<u64>,
}

/// Retention: everything below `start` is gone.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TrimRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) start: u64,
    /// Messages that damage may have taken of queues that nothing else tells of.
    #[prost(uint64, tag = "2")]
    pub(crate) unknown: u64,
}

/// Where queues without retained messages go on, so that their offsets never start again.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct QueueEndsRecord {
    #[prost(message, repeated, tag = "1")]
    pub(crate) topics: Vec<TopicEnds>,
}

/// Ends of queues of one topic.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TopicEnds {
    #[prost(string, tag = "1")]
    pub(crate) topic: String,
    #[prost(uint32, repeated, tag = "2")]
    pub(crate) queues: Vec<u32>,
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) ends: Vec<u64>,
}

/// One state record, decoded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum State {
    Topic(TopicRecord),
    Group(GroupRecord),
    Offsets(OffsetsRecord),
    Trim(TrimRecord),
    QueueEnds(QueueEndsRecord),
}

/// Why a state record cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Written by a newer build; going on without it would silently lose what it says.
    #[error(
        "state record of kind {kind} needs store version {version}, this build has {STATE_VERSION}"
    )]
    UnknownKind { kind: u16, version: u16 },
    #[error("state record of kind {kind} and {size} bytes is malformed: {reason}")]
    Malformed { kind: u16, size: usize, reason: String },
}

impl State {
    fn kind(&self) -> Kind {
        match self {
            Self::Topic(_) => Kind::Topic,
            Self::Group(_) => Kind::Group,
            Self::Offsets(_) => Kind::Offsets,
            Self::Trim(_) => Kind::Trim,
            Self::QueueEnds(_) => Kind::QueueEnds,
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Topic(record) => record.encoded_len(),
            Self::Group(record) => record.encoded_len(),
            Self::Offsets(record) => record.encoded_len(),
            Self::Trim(record) => record.encoded_len(),
            Self::QueueEnds(record) => record.encoded_len(),
        }
    }

    /// Appends the whole record to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let size = HEAD + self.encoded_len();
        let size = i32::try_from(size).expect("callers split records far below 2 GiB");
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(&STATE_MAGIC.to_be_bytes());
        out.extend_from_slice(&(self.kind() as u16).to_be_bytes());
        out.extend_from_slice(&STATE_VERSION.to_be_bytes());
        match self {
            Self::Topic(record) => record.encode_raw(out),
            Self::Group(record) => record.encode_raw(out),
            Self::Offsets(record) => record.encode_raw(out),
            Self::Trim(record) => record.encode_raw(out),
            Self::QueueEnds(record) => record.encode_raw(out),
        }
    }

    /// Reads a whole item whose magic is [`STATE_MAGIC`].
    pub(crate) fn decode(item: &[u8]) -> Result<Self, StateError> {
        let (Some(&[_, _, _, _, _, _, _, _, k0, k1, v0, v1]), Some(body)) =
            (item.first_chunk::<HEAD>(), item.get(HEAD..))
        else {
            let reason = "shorter than its head".to_owned();
            return Err(StateError::Malformed { kind: 0, size: item.len(), reason });
        };
        let kind = u16::from_be_bytes([k0, k1]);
        let version = u16::from_be_bytes([v0, v1]);
        let decoded = match kind {
            k if k == Kind::Topic as u16 => TopicRecord::decode(body).map(Self::Topic),
            k if k == Kind::Group as u16 => GroupRecord::decode(body).map(Self::Group),
            k if k == Kind::Offsets as u16 => OffsetsRecord::decode(body).map(Self::Offsets),
            k if k == Kind::Trim as u16 => TrimRecord::decode(body).map(Self::Trim),
            k if k == Kind::QueueEnds as u16 => QueueEndsRecord::decode(body).map(Self::QueueEnds),
            _ => return Err(StateError::UnknownKind { kind, version }),
        };
        decoded.map_err(|error| StateError::Malformed {
            kind,
            size: item.len(),
            reason: error.to_string(),
        })
    }
}

/// Whether an item of the log is a state record; all others are message records.
pub(crate) fn is_state(item: &[u8]) -> bool {
    item.get(4..8) == Some(&STATE_MAGIC.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic() -> State {
        State::Topic(TopicRecord {
            id: 4192,
            name: "orders".to_owned(),
            read_queues: 8,
            write_queues: 8,
            perm: 6,
            attributes: BTreeMap::from([("message.type".to_owned(), "FIFO".to_owned())]),
            queues: 8,
            ..TopicRecord::default()
        })
    }

    #[test]
    fn a_record_starts_like_every_item_of_the_log() {
        let mut bytes = Vec::new();
        topic().encode(&mut bytes);
        assert_eq!(bytes[..4], i32::try_from(bytes.len()).unwrap().to_be_bytes());
        assert_eq!(&bytes[4..12], b"RKST\x00\x01\x00\x01");
        assert!(is_state(&bytes));
        assert_eq!(State::decode(&bytes), Ok(topic()));
    }

    #[test]
    fn an_unknown_kind_names_the_version_that_is_needed() {
        let mut bytes = Vec::new();
        topic().encode(&mut bytes);
        bytes[8..12].copy_from_slice(&[0, 77, 0, 9]);
        assert_eq!(State::decode(&bytes), Err(StateError::UnknownKind { kind: 77, version: 9 }));
    }

    #[test]
    fn a_field_of_a_later_version_is_not_an_error() {
        let mut bytes = Vec::new();
        State::Trim(TrimRecord { start: 7, unknown: 0 }).encode(&mut bytes);
        bytes.extend_from_slice(&[0xFA, 0x01, 0x02, b'h', b'i']); // field 31, two bytes
        assert_eq!(State::decode(&bytes), Ok(State::Trim(TrimRecord { start: 7, unknown: 0 })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, kind in 0_u16..9) {
            let mut item = vec![0; 12];
            item[8..10].copy_from_slice(&kind.to_be_bytes());
            item.extend_from_slice(&bytes);
            let _ = State::decode(&item);
            let _ = State::decode(&bytes);
        }
    }
}
