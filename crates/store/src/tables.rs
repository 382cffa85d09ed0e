//! Everything a store knows, fed by the log: shared between the machine, which changes it under
//! the tail lock, and handlers, which read it.

use std::{
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    arrivals::{Arrivals, OnArrival},
    groups::Groups,
    indexes::Indexes,
    key_index::RecentKeys,
    offsets::Offsets,
    queue::Shore,
    state::{QueueEndsRecord, State, TopicRecord},
    topics::Topics,
};

/// All state machines of a store.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) shore: Arc<Shore>,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) offsets: Offsets,
    pub(crate) keys: RecentKeys,
    pub(crate) indexes: Indexes,
    pub(crate) arrivals: Arrivals,
    /// Lost parts of the log of which all queues know that were there when they were found.
    pub(crate) skipped: Mutex<Vec<Range<u64>>>,
    /// So many messages at most were lost of topics and queues that nothing tells of any more. Where
    /// they are made anew, offsets start behind that.
    pub(crate) unknown: AtomicU64,
}

impl Tables {
    pub(crate) fn new(shore: &Arc<Shore>, dir: &Path, on_arrival: OnArrival) -> Self {
        Self {
            shore: Arc::clone(shore),
            topics: Topics::new(shore),
            groups: Groups::default(),
            offsets: Offsets::default(),
            keys: RecentKeys::default(),
            indexes: Indexes::new(dir),
            arrivals: Arrivals::new(shore, on_arrival),
            skipped: Mutex::default(),
            unknown: AtomicU64::new(0),
        }
    }

    /// Applies a state record that lies at `position`. All of it is set-by-key, so that replaying
    /// records over a later state ends in that state again.
    pub(crate) fn apply(&self, state: State, position: u64) {
        match state {
            State::Topic(record) => self.apply_topic(&record, position),
            State::Group(record) => {
                if record.deleted && record.clean_offsets {
                    self.offsets.remove_group(&record.name);
                }
                self.groups.apply(record, position);
            }
            State::Offsets(record) => self.offsets.apply(&record, position),
            State::Trim(record) => {
                self.unknown.fetch_max(record.unknown, Ordering::Relaxed);
                self.shore.floor.trim(record.start, self.indexes.first_above(record.start));
            }
            State::QueueEnds(record) => self.apply_ends(&record, position),
        }
    }

    fn apply_topic(&self, record: &TopicRecord, position: u64) {
        if record.deleted {
            self.offsets.remove_topic(&record.name);
        }
        self.topics.apply(record, position);
    }

    /// The topic's own record may come later, if it was carried to the tail after this one.
    fn apply_ends(&self, record: &QueueEndsRecord, position: u64) {
        for ends in &record.topics {
            for (&id, &end) in ends.queues.iter().zip(&ends.ends) {
                let known = self.topics.get(&ends.topic).filter(|topic| topic.queue(id).is_some());
                let topic = known.or_else(|| self.topics.provisional(&ends.topic, id, position));
                let topic = topic.filter(|topic| topic.id() <= position);
                if let Some(queue) = topic.as_ref().and_then(|topic| topic.queue(id)) {
                    queue.entries().raise_end(end);
                    queue.raise_next(end);
                }
            }
        }
    }

    /// The log is confirmed up to `position`.
    pub(crate) fn confirm(&self, position: u64) {
        self.shore.confirm(position);
        self.arrivals.confirmed();
    }
}
