//! What one caller appends at once: encoded outside the log's tail, stamped inside it.

use std::{fmt, sync::Arc};

use rocketkube_protocol::{message::Properties, record::RecordError};

use crate::{
    key_index::{key_hash, topic_hash},
    message::{Indexed, MessageParts},
    position::{PhysicalOffset, QueueOffset},
    queue::Queue,
    state::State,
};

/// Encoded messages and state records, in order. One batch is one frame of the log, so after a
/// crash either all of it is there or none. Can be used again after [`Receipt::into_batch`].
#[derive(Default)]
pub struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) messages: Vec<Staged>,
    /// Hashes of the messages' keys, in order.
    pub(crate) keys: Vec<u64>,
    /// Queues of the topics that this batch deletes: closed at the tail.
    pub(crate) closes: Vec<Arc<Queue>>,
}

/// A message in a batch and what its place in the indexes needs.
#[derive(Debug)]
pub(crate) struct Staged {
    /// First byte in the batch.
    pub(crate) start: usize,
    pub(crate) size: u32,
    pub(crate) tag: i32,
    /// So many of the batch's key hashes.
    pub(crate) keys: u32,
    pub(crate) queue: Arc<Queue>,
    /// Set at the tail; `None` if the topic was deleted before.
    pub(crate) offset: Option<QueueOffset>,
}

/// How far a batch was filled; see [`Batch::roll_back`].
#[derive(Debug, Clone, Copy)]
pub struct Checkpoint {
    bytes: usize,
    messages: usize,
    keys: usize,
}

impl Batch {
    /// Bytes encoded so far. The log takes up to 4 MiB and one more message as one frame.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Messages encoded so far.
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// Where [`Batch::roll_back`] can return to.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { bytes: self.bytes.len(), messages: self.messages.len(), keys: self.keys.len() }
    }

    /// Takes out what was pushed after the checkpoint.
    pub fn roll_back(&mut self, to: Checkpoint) {
        self.bytes.truncate(to.bytes);
        self.messages.truncate(to.messages);
        self.keys.truncate(to.keys);
    }

    /// Encodes one message for a queue. Its body is copied and checksummed here, once. After an
    /// error the batch is as it was before.
    pub fn push_message(
        &mut self,
        queue: &Arc<Queue>,
        parts: &MessageParts<'_>,
    ) -> Result<(), RecordError> {
        let (topic, start) = (queue.topic(), self.bytes.len());
        let size = parts.encode(topic, queue.id(), queue.shore().store_host(), &mut self.bytes)?;
        let appended = parts.appended_properties.iter().copied();
        let indexed = Indexed::of(Properties(parts.properties)).add(appended);
        let before = self.keys.len();
        let topic = topic_hash(topic);
        self.keys.extend(indexed.keys().map(|key| key_hash(topic, key)));
        let keys = u32::try_from(self.keys.len() - before).expect("fewer keys than bytes");
        let queue = Arc::clone(queue);
        self.messages.push(Staged { start, size, tag: indexed.tag, keys, queue, offset: None });
        Ok(())
    }

    pub(crate) fn push_state(&mut self, state: &State) {
        state.encode(&mut self.bytes);
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
        self.keys.clear();
        self.closes.clear();
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .field("messages", &self.messages())
            .finish_non_exhaustive()
    }
}

/// Where a message was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    pub physical_offset: PhysicalOffset,
    pub queue_offset: QueueOffset,
}

/// A batch that is in the log.
#[derive(Debug)]
pub struct Receipt {
    /// One per message, in order. `None`: its topic was deleted meanwhile; the message is not, and
    /// never will be, readable.
    pub placed: Vec<Option<Placed>>,
    /// The batch may be acknowledged once the store has confirmed this position.
    pub end: u64,
    batch: Batch,
}

impl Receipt {
    pub(crate) fn new(batch: Batch, start: u64, end: u64) -> Self {
        let placed = batch.messages.iter().map(|message| {
            let physical_offset = PhysicalOffset(start + message.start as u64);
            message.offset.map(|queue_offset| Placed { physical_offset, queue_offset })
        });
        Self { placed: placed.collect(), end, batch }
    }

    /// The empty batch, with its memory, for the next messages.
    pub fn into_batch(mut self) -> Batch {
        self.batch.clear();
        self.batch
    }
}
