//! Finding messages by key or by place. Indexes give candidates; the records decide.

use std::ops::RangeInclusive;

use rocketkube_protocol::record::RecordView;

use crate::{
    active::Copied,
    error::ReadError,
    key_index::{key_hash, topic_hash},
    message::Indexed,
    position::PhysicalOffset,
    queue_index::Entry,
    store::Store,
};

/// Bytes of a record up to and with its physical offset.
const HEAD: usize = 36;
/// Candidates read in one query: bounds what a key on every message costs.
const CANDIDATES_MAX: usize = 4_096;
/// Bytes of one answer, unless its first message alone has more.
const BYTES_MAX: usize = 4 << 20;

/// What to look for.
#[derive(Debug, Clone)]
pub struct KeyQuery<'a> {
    pub topic: &'a str,
    pub key: &'a str,
    /// Only messages whose `UNIQ_KEY` it is; otherwise also those that have it among their keys.
    pub unique_only: bool,
    /// Store time in milliseconds.
    pub stored: RangeInclusive<i64>,
    /// Fewer are found where they would take more than 4 MiB together.
    pub max_messages: usize,
}

/// Whole records, one behind the other, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matches {
    pub records: Vec<u8>,
    pub messages: usize,
}

impl Store {
    /// Finds visible messages of a topic by key.
    pub fn find_by_key(&self, query: &KeyQuery<'_>) -> Result<Matches, ReadError> {
        self.noted(self.search(query))
    }

    fn search(&self, query: &KeyQuery<'_>) -> Result<Matches, ReadError> {
        let hash = key_hash(topic_hash(query.topic), query.key);
        let matches = Matches::default();
        let mut search = Search { store: self, query, matches, last: None, read: 0, full: false };
        search.take(self.tables.keys.find(hash))?;
        let (first, covered) = self.tables.indexes.covered();
        let numbered: Vec<_> = (first..).zip(&covered).collect();
        for (number, covered) in numbered.into_iter().rev() {
            if search.is_done() {
                break;
            }
            // Also true of files without messages, whose first time is after their last.
            let apart =
                covered.first_ms > *query.stored.end() || covered.last_ms < *query.stored.start();
            if apart {
                continue;
            }
            if let Some(file) = self.tables.indexes.open(number)? {
                let mut candidates = file.find(hash)?;
                candidates.reverse();
                search.take(candidates)?;
            }
        }
        Ok(search.matches)
    }

    /// The visible record at a physical offset, appended to `out`; false if there is none. Only
    /// places where the queue index has a message count, so bytes inside a body never do.
    pub fn record_at(&self, at: PhysicalOffset, out: &mut Vec<u8>) -> Result<bool, ReadError> {
        let start = out.len();
        let shown = self.read_record(at.0, out).and_then(|found| {
            let record = found.then(|| RecordView::parse(&out[start..]).ok()).flatten();
            record.map_or(Ok(false), |record| self.is_shown(at.0, &record))
        });
        if !matches!(shown, Ok(true)) {
            out.truncate(start);
        }
        shown
    }

    /// Appends what may be a record at `at`.
    fn read_record(&self, at: u64, out: &mut Vec<u8>) -> Result<bool, ReadError> {
        let (start, confirmed) = (self.start().0, self.confirmed());
        let mut head = [0; HEAD];
        if at < start || at.checked_add(HEAD as u64).is_none_or(|end| end > confirmed) {
            return Ok(false);
        }
        match self.log.read_at(at, &mut head) {
            Err(rocketkube_log::ReadError::OutOfRange { .. }) => return Ok(false),
            other => other?,
        }
        let [s0, s1, s2, s3, .., p0, p1, p2, p3, p4, p5, p6, p7] = head;
        let size = u32::from_be_bytes([s0, s1, s2, s3]);
        let physical = u64::from_be_bytes([p0, p1, p2, p3, p4, p5, p6, p7]);
        // Before memory is set aside for a size that any client may have made up.
        let plausible = physical == at && size as usize > HEAD && u64::from(size) <= confirmed - at;
        if !plausible || self.log.file_range(at, size).is_err() {
            return Ok(false);
        }
        let from = out.len();
        out.resize(from + size as usize, 0);
        match self.log.read_at(at, &mut out[from..]) {
            Ok(()) => Ok(true),
            Err(error) => {
                out.truncate(from);
                Err(error.into())
            }
        }
    }

    /// Whether the queue index has this record at this place.
    fn is_shown(&self, at: u64, record: &RecordView<'_>) -> Result<bool, ReadError> {
        let topic = self.topic(record.topic());
        let id = u32::try_from(record.queue_id()).ok();
        let Some(queue) = topic.as_ref().zip(id).and_then(|(topic, id)| topic.queue(id)) else {
            return Ok(false);
        };
        let offset = record.queue_offset();
        let bounds = queue.bounds();
        if !(bounds.min.0..bounds.max.0).contains(&offset) {
            return Ok(false);
        }
        let mut entry = [Entry::default()];
        let copied = self.noted(self.tables.entries_at(queue, offset, &mut entry))?;
        Ok(matches!(copied, Copied::Entries(1)) && entry[0].physical == at)
    }
}

struct Search<'s, 'q> {
    store: &'s Store,
    query: &'s KeyQuery<'q>,
    matches: Matches,
    /// A message whose keys repeat is a candidate several times in a row.
    last: Option<u64>,
    read: usize,
    /// The next match would have been over [`BYTES_MAX`].
    full: bool,
}

impl Search<'_, '_> {
    fn is_done(&self) -> bool {
        let enough = self.matches.messages >= self.query.max_messages;
        enough || self.full || self.read >= CANDIDATES_MAX
    }

    /// Takes candidates, newest first.
    fn take(&mut self, candidates: Vec<u64>) -> Result<(), ReadError> {
        for at in candidates {
            // Lower than the last one also excludes what is in memory and in a file for a moment.
            if self.is_done() || self.last.is_some_and(|last| at >= last) {
                continue;
            }
            self.last = Some(at);
            self.read += 1;
            let start = self.matches.records.len();
            let found = self.store.record_at(PhysicalOffset(at), &mut self.matches.records)?;
            let is_match = found && self.is_wanted(start);
            self.full = is_match && start > 0 && self.matches.records.len() > BYTES_MAX;
            if is_match && !self.full {
                self.matches.messages += 1;
            } else {
                self.matches.records.truncate(start);
            }
        }
        Ok(())
    }

    fn is_wanted(&self, start: usize) -> bool {
        let Ok(record) = RecordView::parse(&self.matches.records[start..]) else { return false };
        let (query, indexed) = (self.query, Indexed::of(record.properties()));
        let has_key = if query.unique_only {
            indexed.unique_key() == Some(query.key)
        } else {
            indexed.keys().any(|key| key == query.key)
        };
        has_key && record.topic() == query.topic && query.stored.contains(&record.store_timestamp())
    }
}
