//! Snapshots: all tables at one position of the log, so that opening need not read what is below.
//!
//! Captured while the tables go on changing. That is fine because applying is set-by-key: replay
//! from the snapshot's position passes through every later change again and ends in the same
//! state. Queue ends are the exception and are taken as of that position. A snapshot is published
//! only after the log is durable past everything it may have seen.

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use prost::Message;

use crate::{
    error::FileError,
    files::{self, Origin},
    queue_index::Entries,
    state::{GroupRecord, TopicCommits, TopicRecord},
    tables::Tables,
};

const MAGIC: &[u8; 8] = b"RKSNAP02";
const ENDING: &str = "snap";
/// Snapshots kept: one unreadable must not mean reading the whole log.
const KEPT: usize = 2;

/// A topic and where its queues stand.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TopicState {
    #[prost(message, required, tag = "1")]
    pub(crate) record: TopicRecord,
    #[prost(uint64, tag = "2")]
    pub(crate) position: u64,
    /// Per queue: the first queue offset that is in no index file.
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) first_active: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GroupState {
    #[prost(message, required, tag = "1")]
    pub(crate) record: GroupRecord,
    #[prost(uint64, tag = "2")]
    pub(crate) position: u64,
}

/// A range of the log.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Part {
    #[prost(uint64, tag = "1")]
    pub(crate) start: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) end: u64,
}

/// Everything a store holds in memory.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Snapshot {
    /// Replay starts here.
    #[prost(uint64, tag = "1")]
    pub(crate) position: u64,
    /// First retained physical offset.
    #[prost(uint64, tag = "2")]
    pub(crate) start: u64,
    #[prost(int64, tag = "3")]
    pub(crate) store_ms: i64,
    /// The index files that hold what is below `position`.
    #[prost(message, repeated, tag = "4")]
    pub(crate) indexes: Vec<Part>,
    /// Behind them, after a clean stop: the index of the segment being written.
    #[prost(message, optional, tag = "5")]
    pub(crate) tail: Option<Part>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) topics: Vec<TopicState>,
    #[prost(message, repeated, tag = "7")]
    pub(crate) groups: Vec<GroupState>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) commits: Vec<TopicCommits>,
    /// Lost parts of the log behind `position` that queues without messages in between know of.
    #[prost(message, repeated, tag = "9")]
    pub(crate) skipped: Vec<Part>,
    /// See [`Tables::unknown`].
    #[prost(uint64, tag = "10")]
    pub(crate) unknown: u64,
}

impl Snapshot {
    /// Captures the tables for replay from `position`, below which index files hold everything.
    /// The caller keeps index files from changing meanwhile.
    pub(crate) fn capture(tables: &Tables, position: u64, store_ms: i64) -> Self {
        let start = tables.shore.floor.trimmed();
        let covered = tables.indexes.covered().1.into_iter();
        let parts = covered.map(|c| Part { start: c.range.start, end: c.range.end });
        let topics = tables.topics.all().into_iter().filter(|topic| !topic.is_provisional());
        let topics = topics.map(|topic| TopicState {
            record: topic.record(),
            position: topic.position(),
            first_active: topic.queues().iter().map(|q| q.entries().first_active()).collect(),
        });
        let skipped = tables.skipped.lock().clone().into_iter();
        let skipped = skipped.map(|lost| Part { start: lost.start, end: lost.end });
        let groups = tables.groups.all().into_iter();
        let groups = groups.map(|g| GroupState { record: g.record(), position: g.position() });
        Self {
            position,
            start,
            store_ms,
            indexes: parts.filter(|part| part.end > start).collect(),
            tail: None,
            topics: topics.collect(),
            groups: groups.collect(),
            commits: tables.offsets.capture(),
            skipped: skipped.filter(|lost| lost.end > position).collect(),
            unknown: tables.unknown.load(Ordering::Relaxed),
        }
    }

    /// Writes the snapshot and removes those it makes superfluous.
    pub(crate) fn publish(&self, dir: &Path, origin: Origin) -> Result<(), FileError> {
        let body = self.encode_to_vec();
        let mut bytes = Vec::with_capacity(body.len() + 40);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&origin.0);
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&origin.0), &body);
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&u64::from(checksum).to_le_bytes());
        bytes.extend_from_slice(&body);
        files::write_whole(&self.path(dir), &bytes)?;
        let all = files::list(dir, ENDING)?;
        all.iter().rev().skip(KEPT).try_for_each(|path| files::remove(path))
    }

    pub(crate) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{:020}.{ENDING}", self.position))
    }

    /// The snapshots, newest first, or why one cannot be used. Those of another store are deleted,
    /// which would count among the newest when superfluous ones are.
    pub(crate) fn all(
        dir: &Path,
        origin: Origin,
    ) -> Result<Vec<Result<Self, FileError>>, FileError> {
        let paths = files::list(dir, ENDING)?;
        let read = |path: &PathBuf| {
            let bytes = std::fs::read(path).map_err(FileError::io("read", path))?;
            let snapshot = Self::decode_file(path, &bytes, origin);
            if matches!(snapshot, Err(FileError::Foreign { .. })) {
                files::remove(path)?;
            }
            snapshot
        };
        Ok(paths.iter().rev().map(read).collect())
    }

    fn decode_file(path: &Path, bytes: &[u8], origin: Origin) -> Result<Self, FileError> {
        let (found, body) = content(bytes).ok_or_else(|| damaged(path))?;
        if found != origin {
            return Err(FileError::Foreign { path: path.to_path_buf() });
        }
        Self::decode(body).map_err(|_| damaged(path))
    }

    /// Fills empty tables, all but what index files hold.
    pub(crate) fn restore(&self, tables: &Tables) {
        tables.unknown.fetch_max(self.unknown, Ordering::Relaxed);
        tables.skipped.lock().extend(self.skipped.iter().map(|part| part.start..part.end));
        for state in &self.topics {
            tables.topics.apply(&state.record, state.position);
            let Some(topic) = tables.topics.get(&state.record.name) else { continue };
            for (queue, first) in topic.queues().iter().zip(&state.first_active) {
                *queue.entries() = Entries::starting_at(*first);
                queue.raise_next(*first);
            }
        }
        for state in &self.groups {
            tables.groups.apply(state.record.clone(), state.position);
        }
        let commits = self.commits.clone();
        tables.offsets.apply(&crate::state::OffsetsRecord { commits, carried_below: 0 }, 0);
    }
}

fn damaged(path: &Path) -> FileError {
    FileError::Damaged { path: path.to_path_buf(), part: "content" }
}

/// Which log a snapshot belongs to, and what it says, if it is whole.
fn content(bytes: &[u8]) -> Option<(Origin, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (origin, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (crc, body) = rest.split_first_chunk()?;
    let checksum = crc32c::crc32c_append(crc32c::crc32c(origin), body);
    let whole = u64::from_le_bytes(*length) == body.len() as u64
        && u64::from_le_bytes(*crc) == u64::from(checksum);
    whole.then_some((Origin(*origin), body))
}

/// Without a snapshot the next opening reads the whole log.
pub(crate) fn remove_all(dir: &Path) -> Result<(), FileError> {
    files::list(dir, ENDING)?.iter().try_for_each(|path| files::remove(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = Origin([1; 16]);

    fn usable(dir: &Path) -> Vec<Snapshot> {
        Snapshot::all(dir, ORIGIN).unwrap().into_iter().filter_map(Result::ok).collect()
    }

    #[test]
    fn one_of_another_store_is_refused_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        snapshot(5).publish(dir.path(), ORIGIN).unwrap();
        snapshot(20).publish(dir.path(), Origin([2; 16])).unwrap();
        let all = Snapshot::all(dir.path(), ORIGIN).unwrap();
        assert!(matches!(all[..], [Err(FileError::Foreign { .. }), Ok(_)]), "{all:?}");
        assert_eq!(Snapshot::all(dir.path(), ORIGIN).unwrap().len(), 1);
    }

    fn snapshot(position: u64) -> Snapshot {
        Snapshot { position, store_ms: 7, ..Snapshot::default() }
    }

    #[test]
    fn the_two_newest_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        for position in [5, 20, 100] {
            snapshot(position).publish(dir.path(), ORIGIN).unwrap();
        }
        assert_eq!(usable(dir.path()), [snapshot(100), snapshot(20)]);
    }

    #[test]
    fn a_damaged_one_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        snapshot(5).publish(dir.path(), ORIGIN).unwrap();
        snapshot(20).publish(dir.path(), ORIGIN).unwrap();
        let path = files::list(dir.path(), ENDING).unwrap().pop().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).unwrap();
            assert_eq!(usable(dir.path()), [snapshot(5)], "byte {at}");
            std::fs::write(&path, &bytes[..at]).unwrap();
            assert_eq!(usable(dir.path()), [snapshot(5)], "cut at {at}");
        }
    }
}
