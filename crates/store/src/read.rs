//! Reading messages of a queue: which ones, and where their bytes are. Never creates anything.

use crate::{
    active::Copied,
    error::ReadError,
    position::{PhysicalOffset, QueueOffset},
    queue::{Bounds, Queue},
    queue_index::{Entry, Place},
    tables::Tables,
};

/// Entries looked at in one call, so that a filter that matches nothing has an end.
const SCAN_MAX: u64 = 16_384;
/// Entries copied at a time.
const STEP: usize = 64;

/// How a read went; what consumers are told depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Found,
    /// Messages were looked at and none matched; go on at [`Read::next`].
    NoMatch,
    /// Exactly at the end: wait, or ask again.
    EndOfQueue,
    /// Below the first retained message; go on at [`Read::next`], which is that one.
    OffsetTooSmall,
    /// Above the end; [`Read::next`] is the end.
    OffsetBeyondEnd,
    /// At 0 in a queue that never had a message.
    EmptyQueue,
}

/// Most that one read may give; at least one message comes even if it is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_messages: usize,
    pub max_bytes: u64,
}

/// Bytes of the log that hold whole records, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub physical_offset: PhysicalOffset,
    pub size: u32,
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub status: Status,
    /// The records in queue order; neighbours in the log are one extent.
    pub extents: Vec<Extent>,
    pub messages: usize,
    pub size_bytes: u64,
    /// Where to go on.
    pub next: QueueOffset,
    pub min: QueueOffset,
    pub max: QueueOffset,
}

impl Read {
    fn empty(status: Status, next: u64, bounds: Bounds) -> Self {
        let Bounds { min, max } = bounds;
        let next = QueueOffset(next);
        Self { status, extents: Vec::new(), messages: 0, size_bytes: 0, next, min, max }
    }

    fn push(&mut self, entry: &Entry) {
        self.messages += 1;
        self.size_bytes += u64::from(entry.size);
        if let Some(last) = self.extents.last_mut()
            && last.physical_offset.0 + u64::from(last.size) == entry.physical
            && let Some(size) = last.size.checked_add(entry.size)
        {
            last.size = size;
            return;
        }
        let physical_offset = PhysicalOffset(entry.physical);
        self.extents.push(Extent { physical_offset, size: entry.size });
    }
}

impl Tables {
    pub(crate) fn read(
        &self,
        queue: &Queue,
        from: QueueOffset,
        limits: Limits,
        filter: &dyn Fn(i64) -> bool,
    ) -> Result<Read, ReadError> {
        let bounds = queue.bounds();
        let (min, max) = (bounds.min.0, bounds.max.0);
        let nothing = |status, next| Ok(Read::empty(status, next, bounds));
        match from.0 {
            0 if max == 0 => nothing(Status::EmptyQueue, 0),
            from if from < min => nothing(Status::OffsetTooSmall, min),
            from if from == max => nothing(Status::EndOfQueue, max),
            from if from > max => nothing(Status::OffsetBeyondEnd, max),
            from => self.scan(queue, from, bounds, limits, filter),
        }
    }

    fn scan(
        &self,
        queue: &Queue,
        from: u64,
        bounds: Bounds,
        limits: Limits,
        filter: &dyn Fn(i64) -> bool,
    ) -> Result<Read, ReadError> {
        let mut read = Read::empty(Status::NoMatch, from, bounds);
        let end = bounds.max.0.min(from + SCAN_MAX);
        let mut entries = [Entry::default(); STEP];
        let mut at = from;
        while at < end && read.messages < limits.max_messages.max(1) {
            let room = usize::try_from(end - at).map_or(STEP, |rest| rest.min(STEP));
            let count = match self.entries_at(queue, at, &mut entries[..room])? {
                Copied::Entries(count) => count,
                Copied::Hole { until } => {
                    at = until.min(bounds.max.0);
                    continue;
                }
                Copied::Nothing => break, // trimmed since the bounds were taken
            };
            for entry in &entries[..count] {
                let wanted = entry.size > 0 && filter(i64::from(entry.tag));
                let over = read.size_bytes + u64::from(entry.size) > limits.max_bytes;
                let full = read.messages >= limits.max_messages.max(1);
                if wanted && read.messages > 0 && (over || full) {
                    read.next = QueueOffset(at);
                    return Ok(read);
                }
                if wanted {
                    read.status = Status::Found;
                    read.push(entry);
                }
                at += 1;
            }
        }
        read.next = QueueOffset(at);
        Ok(read)
    }

    /// Copies entries from queue offset `at` on, wherever they are.
    pub(crate) fn entries_at(
        &self,
        queue: &Queue,
        at: u64,
        into: &mut [Entry],
    ) -> Result<Copied, ReadError> {
        // Bound first: as the scrutinee it would keep the queue locked while a file is read.
        let place = queue.entries().place(at, into);
        Ok(match place {
            Place::Active(count) => Copied::Entries(count),
            Place::Filed { run, skip, until } => {
                let room = usize::try_from(until - at).map_or(into.len(), |n| n.min(into.len()));
                match self.indexes.entries(run, skip, &mut into[..room])? {
                    0 => Copied::Hole { until },
                    count => Copied::Entries(count),
                }
            }
            Place::Hole { until } => Copied::Hole { until },
            Place::Nothing => Copied::Nothing,
        })
    }
}
