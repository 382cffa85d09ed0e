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

/// Most memory that an empty batch keeps for the next messages. There is one per producer
/// connection, and what the largest batch of each once took must not add up.
const KEPT_BYTES: usize = 64 << 10;
/// About as many messages, each of which takes at least 92 bytes, as fit into `KEPT_BYTES`.
const KEPT_MESSAGES: usize = 512;
const KEPT_KEYS: usize = 1024;

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
    /// Makes room for so many more bytes, to spare copying while it grows.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

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

    /// Takes out what was pushed after the checkpoint, and the memory it took: a batch that was
    /// refused whole is not appended, which would return it.
    pub fn roll_back(&mut self, to: Checkpoint) {
        self.bytes.truncate(to.bytes);
        self.messages.truncate(to.messages);
        self.keys.truncate(to.keys);
        // More than that will be appended; copying it for each refused message would cost too much.
        if to.bytes <= KEPT_BYTES {
            self.shrink();
        }
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
        self.shrink();
    }

    /// Keeps a bounded part of the memory that nothing is in.
    fn shrink(&mut self) {
        self.bytes.shrink_to(KEPT_BYTES);
        self.messages.shrink_to(KEPT_MESSAGES);
        self.keys.shrink_to(KEPT_KEYS);
        self.closes.shrink_to(0);
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

    /// The empty batch, with a bounded part of its memory, for the next messages.
    pub fn into_batch(mut self) -> Batch {
        self.batch.clear();
        self.batch
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::queue::Shore;

    /// Four thousand messages, a batch as large as there are.
    fn large() -> Batch {
        let host = SocketAddr::from(([127, 0, 0, 1], 1));
        let queue = Queue::new(&Arc::from("t"), 0, &Shore::new(host));
        let mut batch = Batch::default();
        let parts = MessageParts {
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1,
            born_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            properties: "KEYS\u{1}a b c\u{2}",
            appended_properties: &[],
            body: &[0; 1_000],
        };
        for _ in 0..4_000 {
            batch.push_message(&queue, &parts).unwrap();
        }
        assert!(batch.bytes.capacity() > 4 << 20);
        batch
    }

    fn check_memory(batch: &Batch) {
        assert!(batch.is_empty() && batch.bytes.capacity() <= KEPT_BYTES);
        assert!(batch.messages.capacity() <= KEPT_MESSAGES);
        assert!(batch.keys.capacity() <= KEPT_KEYS);
    }

    #[test]
    fn one_large_batch_does_not_keep_its_memory_for_ever() {
        check_memory(&Receipt::new(large(), 0, 0).into_batch());
    }

    #[test]
    fn a_large_batch_that_was_refused_does_not_keep_its_memory() {
        let mut batch = large();
        batch.roll_back(Batch::default().checkpoint());
        check_memory(&batch);
    }

    #[test]
    fn a_batch_that_stays_large_is_not_copied_for_a_refused_message() {
        let mut batch = large();
        let (checkpoint, before) = (batch.checkpoint(), batch.bytes.capacity());
        batch.roll_back(checkpoint);
        assert_eq!(batch.bytes.capacity(), before);
    }
}
