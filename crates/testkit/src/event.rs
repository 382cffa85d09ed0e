//! One event of a history, and its form of 64 bytes.
//!
//! The form is for files that one test run writes and reads; it is not a format to keep.

/// Number of a topic inside one history; the test keeps the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(pub u16);

/// Number of a consumer group inside one history; the test keeps the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub u16);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A send is about to leave.
    Invoke = 1,
    /// A send was acknowledged at `offset`.
    Ok = 2,
    /// A send was refused with a code that says "certainly not stored".
    Refused = 3,
    /// A send ended in a way that says nothing: time-out, broken connection, ambiguous code.
    Unknown = 4,
    /// A consumer of `group` was given the message at `offset`.
    Deliver = 5,
    /// A commit of `group`'s progress to `offset` is about to leave.
    Commit = 6,
    /// That commit was acknowledged.
    Committed = 7,
    /// `group`'s progress was asked for and is `offset`; -1 if there is none.
    Progress = 8,
    /// The smallest offset of a queue was asked for and is `offset`.
    Lowest = 9,
    /// The next offset of a queue was asked for and is `offset`.
    Highest = 10,
    /// The test broke something: a kill, a cut connection, a consumer time-out.
    Fault = 11,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        const ALL: [Kind; 11] = [
            Kind::Invoke,
            Kind::Ok,
            Kind::Refused,
            Kind::Unknown,
            Kind::Deliver,
            Kind::Commit,
            Kind::Committed,
            Kind::Progress,
            Kind::Lowest,
            Kind::Highest,
            Kind::Fault,
        ];
        ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One thing that a client saw or did. Fields without a meaning for the kind are 0.
///
/// | bytes    | field      | unit and meaning                                                |
/// |----------|------------|-----------------------------------------------------------------|
/// | `0..8`   | `time`     | ns since the recorder started, when the event was seen          |
/// | `8..16`  | `since`    | ns, when the operation that ends with this event began          |
/// | `16..24` | `op`       | number of the operation; an invocation and its end share it     |
/// | `24..32` | `offset`   | queue offset                                                    |
/// | `32..40` | `sequence` | the producer's number of the message, from 0                    |
/// | `40..48` | `hash`     | hash of the whole body                                          |
/// | `48..52` | `queue`    | queue id                                                        |
/// | `52..56` | `producer` | number of the producer; unique in the run                       |
/// | `56..58` | `topic`    | number of the topic                                             |
/// | `58..60` | `group`    | number of the consumer group                                    |
/// | `60..62` | `process`  | who saw it                                                      |
/// | `62`     | `kind`     | see [`Kind`]                                                    |
/// | `63`     |            | 0                                                               |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    pub time: u64,
    pub since: u64,
    pub op: u64,
    pub offset: i64,
    pub sequence: u64,
    pub hash: u64,
    pub queue: u32,
    pub producer: u32,
    pub topic: Topic,
    pub group: Group,
    pub process: u16,
    pub kind: Kind,
}

/// Why 64 bytes are not an event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    #[error("no event kind has number {0}")]
    UnknownKind(u8),
}

impl Event {
    /// Bytes of an encoded event.
    pub const SIZE: usize = 64;

    /// An event of this kind with every other field 0.
    pub fn of(kind: Kind) -> Self {
        Self {
            time: 0,
            since: 0,
            op: 0,
            offset: 0,
            sequence: 0,
            hash: 0,
            queue: 0,
            producer: 0,
            topic: Topic(0),
            group: Group(0),
            process: 0,
            kind,
        }
    }

    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..8].copy_from_slice(&self.time.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.since.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.op.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.offset.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.hash.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.queue.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.producer.to_le_bytes());
        bytes[56..58].copy_from_slice(&self.topic.0.to_le_bytes());
        bytes[58..60].copy_from_slice(&self.group.0.to_le_bytes());
        bytes[60..62].copy_from_slice(&self.process.to_le_bytes());
        bytes[62] = self.kind as u8;
        bytes
    }

    pub fn decode(bytes: &[u8; Self::SIZE]) -> Result<Self, EventError> {
        Ok(Self {
            time: u64::from_le_bytes(part(bytes, 0)),
            since: u64::from_le_bytes(part(bytes, 8)),
            op: u64::from_le_bytes(part(bytes, 16)),
            offset: i64::from_le_bytes(part(bytes, 24)),
            sequence: u64::from_le_bytes(part(bytes, 32)),
            hash: u64::from_le_bytes(part(bytes, 40)),
            queue: u32::from_le_bytes(part(bytes, 48)),
            producer: u32::from_le_bytes(part(bytes, 52)),
            topic: Topic(u16::from_le_bytes(part(bytes, 56))),
            group: Group(u16::from_le_bytes(part(bytes, 58))),
            process: u16::from_le_bytes(part(bytes, 60)),
            kind: Kind::from_byte(bytes[62]).ok_or(EventError::UnknownKind(bytes[62]))?,
        })
    }
}

/// `N` bytes of an event from `at` on; every caller stays inside the 64.
fn part<const N: usize>(bytes: &[u8; Event::SIZE], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: Kind) -> Event {
        Event {
            time: 1,
            since: 2,
            op: 3,
            offset: -4,
            sequence: 5,
            hash: u64::MAX,
            queue: 6,
            producer: 7,
            topic: Topic(8),
            group: Group(9),
            process: 10,
            kind,
        }
    }

    #[test]
    fn every_kind_survives_a_round_trip() {
        for byte in 0..=u8::MAX {
            let Some(kind) = Kind::from_byte(byte) else { continue };
            let original = event(kind);
            assert_eq!(Event::decode(&original.encode()).unwrap(), original);
        }
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        let mut bytes = event(Kind::Ok).encode();
        bytes[62] = 200;
        assert!(matches!(Event::decode(&bytes), Err(EventError::UnknownKind(200))));
    }
}
