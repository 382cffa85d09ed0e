//! Committed offsets: where each consumer group goes on in each queue.
//!
//! A commit is visible at once and stays pending until a record of it is in the log; pending ones
//! are gathered so that many become one record. Does not check that a group or topic exists.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included, Unbounded},
};

use foldhash::fast::FixedState;
use parking_lot::Mutex;

use crate::{
    position::QueueOffset,
    state::{OffsetsRecord, TopicCommits},
};

/// Groups share a lock by hash.
const SHARDS: usize = 64;
/// Commits looked at per lock, and what looking at one topic counts at least. An append that
/// applies a commit waits for that many, however many there are.
const SLICE: usize = 4_096;
const TOPIC_COST: usize = 8;
/// Commits per record: about 300 KiB.
const COMMITS_PER_RECORD: usize = 20_000;

/// What is known of one group in one queue.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    queue: u32,
    /// Offset and place in the log of the last applied commit.
    logged: Option<(u64, u64)>,
    /// A newer commit, not in the log yet.
    pending: Option<u64>,
}

/// Queues of one topic, sorted by id.
#[derive(Debug, Default)]
struct TopicSlots {
    slots: Vec<Slot>,
    dirty: bool,
}

impl TopicSlots {
    fn slot(&mut self, queue: u32) -> &mut Slot {
        let index = match self.slots.binary_search_by_key(&queue, |slot| slot.queue) {
            Ok(index) => index,
            Err(index) => {
                self.slots.insert(index, Slot { queue, ..Slot::default() });
                index
            }
        };
        &mut self.slots[index]
    }
}

#[derive(Debug, Default)]
struct GroupSlots {
    topics: BTreeMap<Box<str>, TopicSlots>,
    dirty: bool,
}

impl GroupSlots {
    fn topic(&mut self, topic: &str) -> &mut TopicSlots {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.into(), TopicSlots::default());
        }
        self.topics.get_mut(topic).expect("inserted above if it was missing")
    }
}

#[derive(Debug, Default)]
struct Shard {
    groups: BTreeMap<Box<str>, GroupSlots>,
    dirty: bool,
}

impl Shard {
    fn group(&mut self, group: &str) -> &mut GroupSlots {
        if !self.groups.contains_key(group) {
            self.groups.insert(group.into(), GroupSlots::default());
        }
        self.groups.get_mut(group).expect("inserted above if it was missing")
    }

    /// Visits the topics behind `after` until a slice is full; gives the last one, if there may be
    /// more.
    fn slice(&self, after: Option<&Visited>, f: &mut Visit<'_>) -> Option<Visited> {
        let mut seen = 0;
        let from = after.map_or(Unbounded, |(group, _)| Included(&**group));
        for (group, slots) in self.groups.range::<str, _>((from, Unbounded)) {
            let same = after.filter(|(last, _)| last == group);
            let behind = same.map_or(Unbounded, |(_, topic)| Excluded(&**topic));
            for (topic, slots) in slots.topics.range::<str, _>((behind, Unbounded)) {
                f(group, topic, &slots.slots);
                seen += slots.slots.len() + TOPIC_COST;
                if seen >= SLICE {
                    return Some((group.clone(), topic.clone()));
                }
            }
        }
        None
    }
}

/// How far a pass over all offsets has come.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    shard: usize,
    last: Option<Visited>,
}

/// A group and a topic.
type Visited = (Box<str>, Box<str>);
/// Is shown a group, a topic and its queues.
type Visit<'f> = dyn FnMut(&str, &str, &[Slot]) + 'f;

/// One committed offset, as queries list it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Committed {
    pub group: String,
    pub topic: String,
    pub queue: u32,
    pub offset: QueueOffset,
}

/// All committed offsets.
#[derive(Debug)]
pub(crate) struct Offsets {
    shards: Vec<Mutex<Shard>>,
}

impl Default for Offsets {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Offsets {
    fn shard(&self, group: &str) -> &Mutex<Shard> {
        use std::hash::BuildHasher;
        let hash = FixedState::default().hash_one(group);
        // The low bits choose the bucket inside the shard's map; these do not.
        &self.shards[usize::from(hash.to_be_bytes()[0]) % SHARDS]
    }

    pub(crate) fn get(&self, group: &str, topic: &str, queue: u32) -> Option<QueueOffset> {
        let shard = self.shard(group).lock();
        let slots = &shard.groups.get(group)?.topics.get(topic)?.slots;
        let index = slots.binary_search_by_key(&queue, |slot| slot.queue).ok()?;
        let slot = slots[index];
        slot.pending.or(slot.logged.map(|(offset, _)| offset)).map(QueueOffset)
    }

    /// Takes a commit; it waits for the next [`Offsets::take_pending`].
    pub(crate) fn commit(&self, group: &str, topic: &str, queue: u32, offset: QueueOffset) {
        let mut shard = self.shard(group).lock();
        let slots = shard.group(group).topic(topic);
        let slot = slots.slot(queue);
        // One that is pending already may be of a record that could not be written.
        let logged = slot.logged.map(|(offset, _)| offset);
        if slot.pending.is_none() && logged == Some(offset.0) {
            return;
        }
        slot.pending = Some(offset.0);
        slots.dirty = true;
        shard.group(group).dirty = true;
        shard.dirty = true;
    }

    /// Pending commits, as records for the log. They stay visible and pending until applied.
    pub(crate) fn take_pending(&self) -> Vec<OffsetsRecord> {
        let mut records = Records::new(0);
        for shard in &self.shards {
            let mut shard = shard.lock();
            if !std::mem::take(&mut shard.dirty) {
                continue;
            }
            for (group, slots) in shard.groups.iter_mut().filter(|(_, slots)| slots.dirty) {
                slots.dirty = false;
                for (topic, slots) in slots.topics.iter_mut().filter(|(_, slots)| slots.dirty) {
                    slots.dirty = false;
                    let pending = slots.slots.iter().filter_map(|s| Some((s.queue, s.pending?, 0)));
                    records.add(group, topic, pending);
                }
            }
        }
        records.done
    }

    /// The record could not be appended: its commits wait for the next attempt.
    pub(crate) fn put_back(&self, record: &OffsetsRecord) {
        for commits in &record.commits {
            let mut shard = self.shard(&commits.group).lock();
            shard.dirty = true;
            let group = shard.group(&commits.group);
            group.dirty = true;
            group.topic(&commits.topic).dirty = true;
        }
    }

    /// Applies a record that lies at `position` in the log.
    pub(crate) fn apply(&self, record: &OffsetsRecord, position: u64) {
        let carried = (record.carried_below > 0).then_some(record.carried_below);
        for commits in &record.commits {
            let mut shard = self.shard(&commits.group).lock();
            let slots = shard.group(&commits.group).topic(&commits.topic);
            for (index, (&queue, &offset)) in
                commits.queues.iter().zip(&commits.offsets).enumerate()
            {
                let slot = slots.slot(queue);
                let newer = |below| slot.logged.is_some_and(|(_, at)| at >= below);
                if carried.is_some_and(newer) {
                    continue;
                }
                let position = commits.positions.get(index).copied().unwrap_or(position);
                slot.logged = Some((offset, position));
                if slot.pending == Some(offset) {
                    slot.pending = None;
                }
            }
        }
    }

    /// Takes away what one group committed in one topic.
    pub(crate) fn forget(&self, group: &str, topic: &str) {
        let mut shard = self.shard(group).lock();
        let Some(slots) = shard.groups.get_mut(group) else { return };
        slots.topics.remove(topic);
        if slots.topics.is_empty() {
            shard.groups.remove(group);
        }
    }

    /// Forgets what was committed in topics that are not there, or before they were made; `made` says
    /// where in the log that was.
    pub(crate) fn retain(&self, made: impl Fn(&str) -> Option<u64>) {
        for shard in &self.shards {
            shard.lock().groups.retain(|_, slots| {
                slots.topics.retain(|topic, slots| {
                    let made = made(topic).unwrap_or(u64::MAX);
                    slots.slots.retain(|slot| slot.logged.is_none_or(|(_, at)| at >= made));
                    !slots.slots.is_empty()
                });
                !slots.topics.is_empty()
            });
        }
    }

    pub(crate) fn remove_topic(&self, topic: &str) {
        for shard in &self.shards {
            shard.lock().groups.retain(|_, slots| {
                let _ = slots.topics.remove(topic);
                !slots.topics.is_empty()
            });
        }
    }

    pub(crate) fn remove_group(&self, group: &str) {
        self.shard(group).lock().groups.remove(group);
    }

    /// Commits of the next slice whose record lies below `start`, to be written again at the tail;
    /// `None` once all were seen.
    pub(crate) fn carried(&self, start: u64, cursor: &mut Cursor) -> Option<Vec<OffsetsRecord>> {
        let mut records = Records::new(start);
        let seen = self.next_slice(cursor, &mut |group, topic, slots| {
            let old = slots.iter().filter_map(|slot| {
                let (offset, position) = slot.logged?;
                (position < start).then_some((slot.queue, offset, 0))
            });
            records.add(group, topic, old);
        });
        seen.then_some(records.done)
    }

    /// All logged commits with their places in the log.
    pub(crate) fn capture(&self) -> Vec<TopicCommits> {
        let mut records = Records::new(0);
        self.for_each_topic(|group, topic, slots| {
            let logged = slots.iter().filter_map(|slot| {
                let (offset, position) = slot.logged?;
                Some((slot.queue, offset, position))
            });
            records.add(group, topic, logged);
        });
        records.done.into_iter().flat_map(|record| record.commits).collect()
    }

    /// Committed offsets of one group, or of all groups in one topic, sorted.
    pub(crate) fn list(&self, wanted: impl Fn(&str, &str) -> bool) -> Vec<Committed> {
        let mut list = Vec::new();
        self.for_each_topic(|group, topic, slots| {
            if !wanted(group, topic) {
                return;
            }
            list.extend(slots.iter().filter_map(|slot| {
                let offset = slot.pending.or(slot.logged.map(|(offset, _)| offset))?;
                Some(Committed {
                    group: group.to_owned(),
                    topic: topic.to_owned(),
                    queue: slot.queue,
                    offset: QueueOffset(offset),
                })
            }));
        });
        list.sort_unstable();
        list
    }

    /// In slices, between which commits go on: each topic is seen as it is at some moment.
    fn for_each_topic(&self, mut f: impl FnMut(&str, &str, &[Slot])) {
        let mut cursor = Cursor::default();
        while self.next_slice(&mut cursor, &mut f) {}
    }

    /// Visits one slice; false if there is none any more.
    fn next_slice(&self, cursor: &mut Cursor, f: &mut Visit<'_>) -> bool {
        let Some(shard) = self.shards.get(cursor.shard) else { return false };
        cursor.last = shard.lock().slice(cursor.last.as_ref(), f);
        cursor.shard += usize::from(cursor.last.is_none());
        true
    }
}

/// Gathers commits into records of bounded size.
struct Records {
    carried_below: u64,
    room: usize,
    done: Vec<OffsetsRecord>,
}

impl Records {
    fn new(carried_below: u64) -> Self {
        Self { carried_below, room: 0, done: Vec::new() }
    }

    /// Adds commits (queue, offset, position) of one group in one topic; positions only if known.
    fn add(&mut self, group: &str, topic: &str, commits: impl Iterator<Item = (u32, u64, u64)>) {
        let mut entry = TopicCommits {
            group: group.to_owned(),
            topic: topic.to_owned(),
            ..TopicCommits::default()
        };
        for (queue, offset, position) in commits {
            entry.queues.push(queue);
            entry.offsets.push(offset);
            if position > 0 {
                entry.positions.push(position);
            }
        }
        if entry.queues.is_empty() {
            return;
        }
        if self.room == 0 {
            let carried_below = self.carried_below;
            self.done.push(OffsetsRecord { commits: Vec::new(), carried_below });
            self.room = COMMITS_PER_RECORD;
        }
        self.room = self.room.saturating_sub(entry.queues.len());
        self.done.last_mut().expect("pushed above when there was no room").commits.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flush(offsets: &Offsets, position: u64) -> usize {
        let records = offsets.take_pending();
        for record in &records {
            offsets.apply(record, position);
        }
        records.iter().flat_map(|r| &r.commits).map(|c| c.queues.len()).sum()
    }

    fn carried_below(offsets: &Offsets, start: u64) -> Vec<OffsetsRecord> {
        let mut cursor = Cursor::default();
        std::iter::from_fn(|| offsets.carried(start, &mut cursor)).flatten().collect()
    }

    #[test]
    fn a_commit_is_visible_before_it_is_logged() {
        let offsets = Offsets::default();
        assert_eq!(offsets.get("g", "t", 0), None);
        offsets.commit("g", "t", 0, QueueOffset(5));
        assert_eq!(offsets.get("g", "t", 0), Some(QueueOffset(5)));
        assert!(offsets.capture().is_empty());
    }

    #[test]
    fn many_commits_of_one_queue_become_one() {
        let offsets = Offsets::default();
        for n in 0..100 {
            offsets.commit("g", "t", 0, QueueOffset(n));
            offsets.commit("g", "t", 1, QueueOffset(2 * n));
        }
        assert_eq!(flush(&offsets, 100), 2);
        assert_eq!(flush(&offsets, 200), 0);
        assert_eq!(offsets.get("g", "t", 1), Some(QueueOffset(198)));
    }

    #[test]
    fn repeating_a_commit_writes_nothing() {
        let offsets = Offsets::default();
        offsets.commit("g", "t", 0, QueueOffset(5));
        flush(&offsets, 100);
        offsets.commit("g", "t", 0, QueueOffset(5));
        assert_eq!(flush(&offsets, 200), 0);
    }

    #[test]
    fn a_commit_made_while_an_older_one_is_written_is_not_lost() {
        let offsets = Offsets::default();
        offsets.commit("g", "t", 0, QueueOffset(5));
        let records = offsets.take_pending();
        offsets.commit("g", "t", 0, QueueOffset(7));
        offsets.apply(&records[0], 100);
        assert_eq!(offsets.get("g", "t", 0), Some(QueueOffset(7)));
        assert_eq!(flush(&offsets, 200), 1);
    }

    #[test]
    fn commits_that_could_not_be_written_are_tried_again() {
        let offsets = Offsets::default();
        offsets.commit("g", "t", 0, QueueOffset(5));
        let records = offsets.take_pending();
        offsets.put_back(&records[0]);
        assert_eq!(flush(&offsets, 100), 1);
    }

    #[test]
    fn a_commit_made_again_before_it_is_in_the_log_is_written() {
        let offsets = Offsets::default();
        offsets.commit("g", "t", 0, QueueOffset(5));
        assert_eq!(offsets.take_pending().len(), 1);
        offsets.commit("g", "t", 0, QueueOffset(5));
        assert_eq!(flush(&offsets, 100), 1);
    }

    #[test]
    fn going_back_is_allowed() {
        let offsets = Offsets::default();
        offsets.commit("g", "t", 0, QueueOffset(5));
        flush(&offsets, 100);
        offsets.commit("g", "t", 0, QueueOffset(1));
        flush(&offsets, 200);
        assert_eq!(offsets.get("g", "t", 0), Some(QueueOffset(1)));
    }

    #[test]
    fn a_carried_commit_never_replaces_a_newer_one() {
        let offsets = Offsets::default();
        offsets.commit("g", "old", 0, QueueOffset(5));
        offsets.commit("g", "moving", 0, QueueOffset(5));
        flush(&offsets, 100);
        let carried = carried_below(&offsets, 1000);
        offsets.commit("g", "moving", 0, QueueOffset(9));
        flush(&offsets, 2000);
        offsets.apply(&carried[0], 3000);
        assert_eq!(offsets.get("g", "old", 0), Some(QueueOffset(5)));
        assert_eq!(offsets.get("g", "moving", 0), Some(QueueOffset(9)));
        assert!(carried_below(&offsets, 1000).is_empty());
    }

    #[test]
    fn deleting_a_topic_takes_the_offsets_of_all_groups() {
        let offsets = Offsets::default();
        for group in ["a", "b"] {
            offsets.commit(group, "t", 0, QueueOffset(5));
            offsets.commit(group, "u", 0, QueueOffset(6));
        }
        offsets.remove_topic("t");
        assert_eq!(offsets.list(|_, topic| topic == "t"), []);
        offsets.commit("b", "t", 0, QueueOffset(7));
        offsets.forget("b", "t");
        assert_eq!(offsets.list(|group, _| group == "b").len(), 1);
        assert_eq!(offsets.list(|group, _| group == "a").len(), 1);
        offsets.remove_group("a");
        assert_eq!(offsets.list(|_, _| true).len(), 1);
    }

    #[test]
    fn however_many_offsets_there_are_few_are_looked_at_per_lock() {
        let offsets = Offsets::default();
        for topic in 0..40 {
            for queue in 0..1_000 {
                offsets.commit("g", &format!("t{topic}"), queue, QueueOffset(1));
            }
        }
        let shard = offsets.shard("g");
        let (mut last, mut topics, mut slices) = (None, Vec::new(), 0);
        loop {
            let mut seen = 0;
            let mut visit = |_: &str, topic: &str, slots: &[Slot]| {
                seen += slots.len();
                topics.push(topic.to_owned());
            };
            last = shard.lock().slice(last.as_ref(), &mut visit);
            assert!(seen < SLICE + 1_000, "{seen}");
            slices += 1;
            if last.is_none() {
                break;
            }
            // What is committed meanwhile hides nothing.
            offsets.commit("g", "t0", slices, QueueOffset(7));
            offsets.commit("a", &format!("t{slices}"), 0, QueueOffset(7));
        }
        topics.sort_unstable();
        topics.dedup();
        assert_eq!((topics.len(), slices), (40, 9));
    }

    #[test]
    fn large_tables_are_split_into_records() {
        let offsets = Offsets::default();
        for group in 0..50 {
            for queue in 0..1000 {
                offsets.commit(&format!("g{group}"), "t", queue, QueueOffset(1));
            }
        }
        let records = offsets.take_pending();
        assert_eq!(records.len(), 3);
        for record in records {
            offsets.apply(&record, 10);
        }
        assert_eq!(offsets.capture().iter().map(|c| c.positions.len()).sum::<usize>(), 50_000);
    }
}
