//! Writing again, at the tail, what is still live in segments that are about to go.
//!
//! In portions: what was read is still true when it is appended because nobody may change topics
//! and groups meanwhile, and whoever wants to waits for one portion only. What changes between two
//! portions has its newest record at the tail anyway.

use std::sync::{Arc, atomic::Ordering};

use crate::{
    batch::Batch,
    error::StoreError,
    offsets::Cursor,
    state::{QueueEndsRecord, State, TopicEnds, TrimRecord},
    store::Store,
    topics::Topic,
};

/// Bytes of carried records per batch.
const BATCH: usize = 1 << 20;
/// Topics, each counted as so many as it has queues, per portion.
const PORTION: usize = 10_000;

impl Store {
    /// Appends what is live below `new_start`, and the record of the new start; gives the position
    /// to wait for. Topics come first because offsets and ends refer to them.
    pub(crate) fn carry(&self, new_start: u64, now_ms: i64) -> Result<u64, StoreError> {
        let topics = self.tables.topics.all();
        for topics in portions(&topics) {
            self.append_live(now_ms, || self.topics_below(topics, new_start))?;
        }
        for groups in self.tables.groups.all().chunks(PORTION) {
            self.append_live(now_ms, || {
                let now = groups.iter().filter_map(|group| self.group(group.name()));
                let old = now.filter(|group| group.position() < new_start);
                old.map(|group| State::Group(group.record())).collect()
            })?;
        }
        let (mut cursor, mut more) = (Cursor::default(), true);
        while more {
            self.append_live(now_ms, || {
                let slice = self.tables.offsets.carried(new_start, &mut cursor);
                more = slice.is_some();
                slice.into_iter().flatten().map(State::Offsets).collect()
            })?;
        }
        for topics in portions(&topics) {
            self.append_live(now_ms, || self.ends_below(topics, new_start))?;
        }
        let mut batch = Batch::default();
        let unknown = self.tables.unknown.load(Ordering::Relaxed);
        batch.push_state(&State::Trim(TrimRecord { start: new_start, unknown }));
        self.append_reserved(batch, now_ms)
    }

    /// Appends what `live` finds, while nobody changes topics or groups.
    fn append_live(
        &self,
        now_ms: i64,
        live: impl FnOnce() -> Vec<State>,
    ) -> Result<(), StoreError> {
        let _admin = self.admin.lock();
        let mut batch = Batch::default();
        for state in live() {
            batch.push_state(&state);
            if batch.len() >= BATCH {
                self.append_reserved(std::mem::take(&mut batch), now_ms)?;
            }
        }
        if !batch.is_empty() {
            self.append_reserved(batch, now_ms)?;
        }
        Ok(())
    }

    /// Those of the topics that are there still, as they are now.
    fn current(&self, topics: &[Arc<Topic>]) -> impl Iterator<Item = Arc<Topic>> {
        topics.iter().filter_map(|topic| self.tables.topics.get(topic.name()))
    }

    fn topics_below(&self, topics: &[Arc<Topic>], new_start: u64) -> Vec<State> {
        let old = self.current(topics).filter(|topic| topic.position() < new_start);
        old.map(|topic| State::Topic(topic.record())).collect()
    }

    /// Ends of queues that will have no message left. Said again at each trim, because the record
    /// that said it before may be what is trimmed.
    fn ends_below(&self, topics: &[Arc<Topic>], new_start: u64) -> Vec<State> {
        let file = self.tables.indexes.first_above(new_start);
        let mut record = QueueEndsRecord::default();
        for topic in self.current(topics) {
            let mut ends = TopicEnds { topic: topic.name().to_owned(), ..TopicEnds::default() };
            for queue in topic.queues() {
                let entries = queue.entries();
                if entries.end() > 0 && entries.is_empty_above(new_start, file) {
                    ends.queues.push(queue.id());
                    ends.ends.push(entries.end());
                }
            }
            if !ends.queues.is_empty() {
                record.topics.push(ends);
            }
        }
        if record.topics.is_empty() { Vec::new() } else { vec![State::QueueEnds(record)] }
    }
}

/// Runs of topics with about as many queues each.
fn portions(mut topics: &[Arc<Topic>]) -> impl Iterator<Item = &[Arc<Topic>]> {
    std::iter::from_fn(move || {
        let mut queues = 0;
        let within = topics.iter().position(|topic| {
            queues += topic.queues().len() + 1;
            queues >= PORTION
        });
        let (portion, rest) = topics.split_at(within.map_or(topics.len(), |last| last + 1));
        topics = rest;
        (!portion.is_empty()).then_some(portion)
    })
}
