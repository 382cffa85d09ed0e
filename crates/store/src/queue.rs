//! One queue of one topic, as handlers hold it. Reads no bytes of messages.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};

use crate::{
    position::QueueOffset,
    queue_index::{Entries, Floor},
};

/// What all queues of a store look at.
#[derive(Debug)]
pub(crate) struct Shore {
    pub(crate) floor: Floor,
    confirmed: AtomicU64,
    store_host: SocketAddr,
}

impl Shore {
    pub(crate) fn new(store_host: SocketAddr) -> Arc<Self> {
        Arc::new(Self { floor: Floor::default(), confirmed: AtomicU64::new(0), store_host })
    }

    /// The broker's advertised address, part of every record.
    pub(crate) fn store_host(&self) -> SocketAddr {
        self.store_host
    }

    pub(crate) fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Acquire)
    }

    pub(crate) fn confirm(&self, position: u64) {
        self.confirmed.fetch_max(position, Ordering::AcqRel);
    }
}

/// One ordered lane of a topic. Stays usable, but empty of use, after its topic was deleted.
pub struct Queue {
    topic: Arc<str>,
    shore: Arc<Shore>,
    /// Unknown, 0, until the record of the topic was seen.
    topic_id: AtomicU64,
    id: u32,
    /// The topic was deleted: no message may be placed here any more.
    closed: AtomicBool,
    watched: AtomicBool,
    announced: AtomicBool,
    /// Next queue offset to give out. Ahead of `entries` while a frame is being written; changed
    /// only under the log's tail lock.
    next: AtomicU64,
    entries: Mutex<Entries>,
}

/// First retained and next queue offset, as consumers may see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub min: QueueOffset,
    pub max: QueueOffset,
}

impl Queue {
    pub(crate) fn new(topic: &Arc<str>, id: u32, shore: &Arc<Shore>) -> Arc<Self> {
        Arc::new(Self {
            topic: Arc::clone(topic),
            shore: Arc::clone(shore),
            topic_id: AtomicU64::new(0),
            id,
            closed: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            next: AtomicU64::new(0),
            entries: Mutex::new(Entries::default()),
        })
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The incarnation of the topic, as in [`crate::Topic::id`].
    pub fn topic_id(&self) -> u64 {
        self.topic_id.load(Ordering::Relaxed)
    }

    pub(crate) fn set_topic_id(&self, id: u64) {
        self.topic_id.store(id, Ordering::Relaxed);
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether the topic was deleted since this handle was taken; look the topic up again.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The first retained queue offset; equal to [`Queue::max`] in a queue without messages.
    pub fn min(&self) -> QueueOffset {
        self.bounds().min
    }

    /// The queue offset that the next message to become visible will have.
    pub fn max(&self) -> QueueOffset {
        self.bounds().max
    }

    /// [`Queue::min`] and [`Queue::max`] of the same moment.
    pub fn bounds(&self) -> Bounds {
        let confirmed = self.shore.confirmed();
        let entries = self.entries();
        let max = entries.confirmed_end(confirmed);
        Bounds { min: QueueOffset(entries.min().min(max)), max: QueueOffset(max) }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn shore(&self) -> &Arc<Shore> {
        &self.shore
    }

    /// The entries, without what is trimmed.
    pub(crate) fn entries(&self) -> MutexGuard<'_, Entries> {
        let mut entries = self.entries.lock();
        entries.settle(&self.shore.floor);
        entries
    }

    /// Gives out the next queue offset; under the tail lock.
    pub(crate) fn take_offset(&self) -> QueueOffset {
        QueueOffset(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// New offsets start at `end` at least; under the tail lock or before the store is open.
    pub(crate) fn raise_next(&self, end: u64) {
        self.next.fetch_max(end, Ordering::Relaxed);
    }

    /// What is below `end` may have been given out: the next message gets it at least.
    pub(crate) fn go_on_at(&self, end: u64) {
        self.entries().go_on_at(end);
        self.raise_next(end);
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    pub(crate) fn set_watched(&self) {
        self.watched.store(true, Ordering::Release);
    }

    pub(crate) fn is_announced(&self) -> bool {
        self.announced.load(Ordering::Acquire)
    }

    /// Claims the one announcement a watched queue may have waiting; false if there is one, or
    /// nobody watches. Under the lock of [`crate::arrivals`], like everything that changes either.
    pub(crate) fn claim_announcement(&self) -> bool {
        self.is_watched() && !self.announced.swap(true, Ordering::AcqRel)
    }

    /// What was announced is told: whoever wants to know more watches again.
    pub(crate) fn end_watch(&self) {
        self.watched.store(false, Ordering::Release);
        self.announced.store(false, Ordering::Release);
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("topic", &self.topic)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue_index::Entry;

    #[test]
    fn an_idle_queue_takes_at_most_200_bytes() {
        let arc = size_of::<Queue>() + 16 + size_of::<Arc<Queue>>();
        let one_entry = size_of::<Entry>() + 8; // and the allocator's header
        assert!(arc + one_entry <= 200, "{arc} + {one_entry}");
    }

    #[test]
    fn messages_are_counted_once_they_are_confirmed() {
        let shore = Shore::new(SocketAddr::from(([127, 0, 0, 1], 10_911)));
        let queue = Queue::new(&Arc::from("t"), 0, &shore);
        assert_eq!(queue.take_offset(), QueueOffset(0));
        let entry = Entry { physical: 96, size: 100, tag: 0, store_ms: 1 };
        queue.entries().push(0, entry).unwrap();
        assert_eq!(queue.max(), QueueOffset(0));
        shore.confirm(196);
        assert_eq!((queue.min(), queue.max()), (QueueOffset(0), QueueOffset(1)));
    }
}
