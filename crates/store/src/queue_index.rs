//! The queue index (RocketMQ's consume queue): where in the log each message of a queue is.
//!
//! Entries of segments that are not indexed on disk yet are held here; for the others a queue
//! keeps one [`Run`] per segment. Knows no file: readers take a run to [`crate::indexes`].

use std::sync::atomic::{AtomicU64, Ordering};

use crate::active::{Active, Copied};

/// Smallest message record: fixed fields, IPv4 hosts, a topic of one byte, nothing else.
pub(crate) const MIN_RECORD: u64 = 92;

/// Where one message is, and what can be decided without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    pub(crate) physical: u64,
    /// Bytes of the whole record; 0 marks a message of a repaired index that the log has lost.
    pub(crate) size: u32,
    /// Java's `String.hashCode` of the tag; 0 without a tag.
    pub(crate) tag: i32,
    pub(crate) store_ms: i64,
}

impl Entry {
    pub(crate) fn end(&self) -> u64 {
        self.physical + u64::from(self.size)
    }
}

/// Entries of one queue in the index file of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Queue offset of the run's first entry.
    pub(crate) first: u64,
    /// Which index file, as numbered by [`crate::indexes::Indexes`].
    pub(crate) file: u32,
    /// Row of the file's queue directory.
    pub(crate) row: u32,
}

/// What is below here is trimmed. Shared by all queues and moved by trim records, so that
/// trimming costs nothing per queue while the tail is locked; each queue follows when used.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    /// First retained physical offset.
    start: AtomicU64,
    /// First index file that is not wholly below `start`.
    file: AtomicU64,
    /// Up to where retention deleted; below `start` only where the front of the log was lost.
    trimmed: AtomicU64,
}

impl Floor {
    pub(crate) fn start(&self) -> u64 {
        self.start.load(Ordering::Acquire)
    }

    /// Everything below was deleted on purpose; it is what a snapshot remembers.
    pub(crate) fn trimmed(&self) -> u64 {
        self.trimmed.load(Ordering::Acquire)
    }

    /// Retention deleted what is below.
    pub(crate) fn trim(&self, start: u64, file: u32) {
        self.trimmed.fetch_max(start, Ordering::AcqRel);
        self.raise(start, file);
    }

    /// What is below cannot be read.
    pub(crate) fn raise(&self, start: u64, file: u32) {
        self.file.fetch_max(u64::from(file), Ordering::AcqRel);
        self.start.fetch_max(start, Ordering::AcqRel);
    }

    fn file(&self) -> u64 {
        self.file.load(Ordering::Acquire)
    }
}

/// Why an entry was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Already here: recovery replays from before what a snapshot holds.
    Known,
    /// More messages would be missing than fit into the log before it.
    Implausible,
}

/// All entries of one queue.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Oldest first; their files are in ascending order. Offsets that are in none are a hole.
    runs: Vec<Run>,
    /// Entries not in an index file yet.
    active: Active,
}

/// Where an entry is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// So many were copied from memory.
    Active(usize),
    /// In an index file: entry number `skip` of the run, if it has so many; the next run or memory
    /// goes on at `until`.
    Filed { run: Run, skip: u64, until: u64 },
    /// Messages that are lost; the next one can be at `until`.
    Hole { until: u64 },
    /// No such entry.
    Nothing,
}

impl Entries {
    pub(crate) fn starting_at(first: u64) -> Self {
        Self { runs: Vec::new(), active: Active::starting_at(first) }
    }

    /// The queue offset after the last entry.
    pub(crate) fn end(&self) -> u64 {
        self.active.end()
    }

    /// The queue offset of the first entry not in an index file.
    pub(crate) fn first_active(&self) -> u64 {
        self.active.first()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.active.entries().is_empty()
    }

    /// Whether index files have all entries.
    pub(crate) fn is_filed(&self) -> bool {
        self.active.entries().is_empty()
    }

    /// Lets go of what is below the floor.
    pub(crate) fn settle(&mut self, floor: &Floor) {
        let file = floor.file();
        if self.runs.first().is_some_and(|run| u64::from(run.file) < file) {
            let gone = self.runs.partition_point(|run| u64::from(run.file) < file);
            self.runs.drain(..gone);
            self.runs.shrink_to_fit();
        }
        let start = floor.start();
        if self.active.entries().first().is_some_and(|entry| entry.physical < start) {
            self.active.drop_first(self.active_below(start));
        }
    }

    /// Number of the entries in memory that lie below a physical offset.
    fn active_below(&self, physical: u64) -> usize {
        self.active.entries().partition_point(|entry| entry.physical < physical)
    }

    /// The first retained queue offset; the end if nothing is retained.
    pub(crate) fn min(&self) -> u64 {
        self.runs.first().map_or(self.active.first(), |run| run.first)
    }

    /// Number of the entries in memory whose bytes end at or below `confirmed`.
    fn visible(&self, confirmed: u64) -> usize {
        let entries = self.active.entries();
        if entries.last().is_none_or(|entry| entry.end() <= confirmed) {
            return entries.len();
        }
        entries.partition_point(|entry| entry.end() <= confirmed)
    }

    /// The queue offset of the first entry whose bytes end above `confirmed`; the end if there is
    /// none. Entries in files are confirmed: files are used only from then on.
    pub(crate) fn confirmed_end(&self, confirmed: u64) -> u64 {
        self.active.offset_of(self.visible(confirmed))
    }

    /// The end, in the log, of the first entry that is not confirmed.
    pub(crate) fn next_unconfirmed(&self, confirmed: u64) -> Option<u64> {
        self.active.entries().get(self.visible(confirmed)).map(Entry::end)
    }

    /// Takes the entry for queue offset `at`.
    pub(crate) fn push(&mut self, at: u64, entry: Entry) -> Result<(), Refused> {
        let end = self.end();
        if at < end {
            return Err(Refused::Known);
        }
        if at > end {
            self.skip_to(at, entry)?;
        }
        self.active.push(entry);
        Ok(())
    }

    /// Messages `end..at` are not in the log any more. A queue that holds nothing starts here;
    /// others have a hole.
    fn skip_to(&mut self, at: u64, entry: Entry) -> Result<(), Refused> {
        let missing = at - self.end();
        if !self.is_empty() && missing > entry.physical / MIN_RECORD {
            return Err(Refused::Implausible);
        }
        self.active.skip(missing);
        Ok(())
    }

    /// An empty queue goes on at `end`; one that is there already stays.
    pub(crate) fn raise_end(&mut self, end: u64) {
        if self.is_empty() {
            self.go_on_at(end);
        }
    }

    /// The next message gets `end` at least: what is below it may have been given out.
    pub(crate) fn go_on_at(&mut self, end: u64) {
        self.active.skip(end.saturating_sub(self.end()));
    }

    /// Copies entries from queue offset `from` on into `into`, or says which file has them.
    pub(crate) fn place(&self, from: u64, into: &mut [Entry]) -> Place {
        if from >= self.active.first() {
            return match self.active.copy(from, into) {
                Copied::Entries(count) => Place::Active(count),
                Copied::Hole { until } => Place::Hole { until },
                Copied::Nothing => Place::Nothing,
            };
        }
        let next = self.runs.partition_point(|run| run.first <= from);
        let Some(run) = next.checked_sub(1).map(|index| self.runs[index]) else {
            return Place::Nothing;
        };
        let until = self.runs.get(next).map_or(self.active.first(), |run| run.first);
        Place::Filed { run, skip: from - run.first, until }
    }

    /// Whether the queue has no message but below `start` or in index files below number `file`.
    pub(crate) fn is_empty_above(&self, start: u64, file: u32) -> bool {
        self.active.entries().last().is_none_or(|entry| entry.physical < start)
            && self.runs.last().is_none_or(|run| run.file < file)
    }

    /// The entries below the physical offset `end` are in an index file now, as `runs`. If some
    /// were trimmed while it was written, the rest of it is below the floor as well.
    pub(crate) fn filed(&mut self, runs: &[Run], end: u64) {
        let count = self.active_below(end);
        if count > 0 && runs.first().is_some_and(|run| run.first == self.active.first()) {
            self.runs.extend_from_slice(runs);
        }
        self.active.drop_first(count);
    }

    /// Takes over a run found in an index file at opening.
    pub(crate) fn restore(&mut self, run: Run, count: u64) {
        self.runs.push(run);
        self.go_on_at(run.first + count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(physical: u64) -> Entry {
        Entry { physical, size: 100, tag: 1, store_ms: 5 }
    }

    fn filled(count: u64) -> Entries {
        let mut entries = Entries::default();
        for n in 0..count {
            entries.push(n, entry(1000 * n)).unwrap();
        }
        entries
    }

    #[test]
    fn an_entry_takes_24_bytes_and_a_run_16() {
        assert_eq!((size_of::<Entry>(), size_of::<Run>()), (24, 16));
    }

    #[test]
    fn only_the_confirmed_prefix_counts() {
        let entries = filled(3);
        assert_eq!(entries.confirmed_end(0), 0);
        assert_eq!(entries.confirmed_end(99), 0);
        assert_eq!(entries.confirmed_end(100), 1);
        assert_eq!(entries.next_unconfirmed(100), Some(1100));
        assert_eq!(entries.confirmed_end(2100), 3);
        assert_eq!(entries.next_unconfirmed(2100), None);
    }

    #[test]
    fn replayed_entries_change_nothing() {
        let mut entries = filled(3);
        assert_eq!(entries.push(1, entry(9000)), Err(Refused::Known));
        assert_eq!(entries.end(), 3);
    }

    #[test]
    fn messages_lost_to_damage_leave_holes_and_later_ones_keep_their_offsets() {
        let mut entries = filled(2);
        entries.push(4, entry(9000)).unwrap();
        let mut into = [Entry::default(); 4];
        assert_eq!(entries.place(1, &mut into), Place::Active(1));
        assert_eq!(entries.place(2, &mut into), Place::Hole { until: 4 });
        assert_eq!((entries.place(4, &mut into), into[0]), (Place::Active(1), entry(9000)));
    }

    #[test]
    fn the_end_of_a_queue_that_lost_its_last_messages_is_what_the_next_one_gets() {
        let mut entries = filled(3);
        entries.go_on_at(1_000_000);
        assert_eq!((entries.confirmed_end(u64::MAX), entries.end()), (1_000_000, 1_000_000));
        entries.filed(&[Run { first: 0, file: 1, row: 0 }], 5000);
        assert_eq!((entries.min(), entries.first_active()), (0, 1_000_000));
        entries.push(1_000_000, entry(9000)).unwrap();
        assert_eq!(entries.confirmed_end(9000), 1_000_000);
    }

    #[test]
    fn a_gap_that_no_log_could_explain_is_refused() {
        let mut entries = filled(1);
        assert_eq!(entries.push(1_000_000, entry(9000)), Err(Refused::Implausible));
        assert_eq!(entries.end(), 1);
    }

    #[test]
    fn the_first_message_of_a_trimmed_log_sets_the_start_of_its_queue() {
        let mut entries = Entries::default();
        entries.push(500, entry(9000)).unwrap();
        assert_eq!((entries.min(), entries.end()), (500, 501));
    }

    #[test]
    fn filed_entries_are_found_by_their_run() {
        let mut entries = filled(5);
        let run = Run { first: 0, file: 7, row: 3 };
        entries.filed(&[run], 3000);
        let mut into = [Entry::default(); 8];
        assert_eq!(entries.place(2, &mut into), Place::Filed { run, skip: 2, until: 3 });
        assert_eq!(entries.place(3, &mut into), Place::Active(2));
        assert_eq!(into[0], entry(3000));
        assert_eq!(entries.place(5, &mut into), Place::Nothing);
    }

    #[test]
    fn the_floor_takes_files_and_entries_below_it() {
        let mut entries = filled(5);
        entries.filed(&[Run { first: 0, file: 7, row: 3 }], 3000);
        let floor = Floor::default();
        floor.raise(3001, 8);
        entries.settle(&floor);
        assert_eq!((entries.min(), entries.end(), entries.runs.len()), (4, 5, 0));
    }

    #[test]
    fn a_queue_without_messages_goes_on_where_its_end_record_says() {
        let mut entries = Entries::default();
        entries.raise_end(40);
        assert_eq!((entries.min(), entries.end()), (40, 40));
        entries.raise_end(30);
        assert_eq!(entries.end(), 40);
    }

    proptest! {
        #[test]
        fn every_offset_is_in_exactly_one_place(counts in prop::collection::vec(1_usize..5, 1..6)) {
            let total: usize = counts.iter().sum();
            let mut entries = filled(total as u64 + 2);
            for (file, count) in (0..).zip(&counts) {
                let run = Run { first: entries.first_active(), file, row: 0 };
                entries.filed(&[run], 1000 * (run.first + *count as u64));
            }
            let mut into = [Entry::default(); 1];
            for offset in 0..entries.end() {
                match entries.place(offset, &mut into) {
                    Place::Active(1) => prop_assert_eq!(into[0], entry(1000 * offset)),
                    Place::Filed { run, skip, until } => {
                        prop_assert_eq!(run.first + skip, offset);
                        prop_assert!(offset < until);
                        prop_assert!(skip < counts[run.file as usize] as u64);
                    }
                    other => prop_assert!(false, "{offset}: {other:?}"),
                }
            }
        }
    }
}
