//! Making the index of a sealed segment again from the log, when its file turns out damaged.
//!
//! The directory of the damaged file must be sound, because queues know their entries by row; a
//! file without one is deleted, and the next opening reads the log instead.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use rocketkube_log::{Item, Log};
use rocketkube_protocol::record::RecordView;

use crate::{
    error::FileError,
    files::{self, Origin},
    index_file::{IndexBuilder, IndexFile},
    key_index::{KeyEntry, key_hash, topic_hash},
    machine::{Dispatcher, entry_of},
    message::{Indexed, NOWHERE},
    queue_index::Entry,
    tables::Tables,
};

/// Index files found damaged and not made again yet.
#[derive(Debug, Default)]
pub(crate) struct Damaged(Mutex<BTreeSet<PathBuf>>);

impl Damaged {
    /// Notes a file; false if it was noted before.
    pub(crate) fn note(&self, path: &Path) -> bool {
        self.0.lock().insert(path.to_path_buf())
    }

    /// Makes every noted file again. One caller at a time.
    pub(crate) fn repair(&self, tables: &Tables, log: &Log<Dispatcher>) -> Result<(), FileError> {
        let noted: Vec<_> = self.0.lock().iter().cloned().collect();
        let mut result = Ok(());
        for path in noted {
            match repair(tables, log, &path) {
                Ok(()) => {
                    self.0.lock().remove(&path);
                }
                Err(error) => result = Err(error),
            }
        }
        result
    }
}

fn repair(tables: &Tables, log: &Log<Dispatcher>, path: &Path) -> Result<(), FileError> {
    let Some(number) = tables.indexes.number(path) else { return Ok(()) };
    let from = tables.indexes.end_before(number).unwrap_or(log.start());
    let origin = tables.indexes.origin();
    let opened = IndexFile::open(path, origin);
    let bytes = opened.and_then(|file| rebuild(&file, from, log, origin)).inspect_err(|error| {
        if matches!(error, FileError::Damaged { .. } | FileError::Foreign { .. }) {
            // The next opening misses it and reads the log.
            let _ = files::remove(path);
        }
    })?;
    files::write_whole(path, &bytes)?;
    tables.indexes.unmap(number);
    if tables.indexes.number(path).is_none() {
        // Trimmed while it was written: nobody else would remove it.
        files::remove(path)?;
    }
    Ok(())
}

/// What the messages of one segment say about its index.
struct Rebuild<'a> {
    /// Numbers and first queue offsets of the rows, ascending, by topic and queue.
    rows: HashMap<(&'a str, u32), Vec<(usize, u64)>>,
    /// Per row, in its order; without bytes until the message is seen.
    entries: Vec<Vec<Entry>>,
    keys: Vec<KeyEntry>,
}

/// The bytes of a sound file with the rows of this one, which holds what lies behind the file
/// before it, also where a segment between the two has none.
fn rebuild(
    file: &IndexFile,
    mut from: u64,
    log: &Log<Dispatcher>,
    origin: Origin,
) -> Result<Vec<u8>, FileError> {
    let rows: Vec<_> = file.rows()?.collect();
    let mut rebuilt = Rebuild { rows: HashMap::new(), entries: Vec::new(), keys: Vec::new() };
    for (number, row) in rows.iter().enumerate() {
        rebuilt.rows.entry((row.topic, row.queue)).or_default().push((number, row.first));
        let count = usize::try_from(row.count).expect("rows count in 32 bits");
        rebuilt.entries.push(vec![Entry::default(); count]);
    }
    let range = file.range().clone();
    while from < range.end {
        match log.walk(from..range.end, &mut |item| rebuilt.take(item)) {
            Ok(()) => break,
            Err(rocketkube_log::ReadError::Damaged { range, .. }) => from = range.end.max(from + 1),
            // Trimmed meanwhile: nobody asks for the file any more.
            Err(rocketkube_log::ReadError::OutOfRange { .. }) => return Err(file.without_log()),
            Err(rocketkube_log::ReadError::Io { path, source }) => {
                return Err(FileError::io("read", path)(source));
            }
        }
    }
    let mut builder = IndexBuilder::new(range.clone());
    for (row, mut entries) in rows.iter().zip(rebuilt.entries) {
        fill_holes(&mut entries, range.end);
        builder.queue(row.topic, row.queue, row.first, &entries);
    }
    Ok(builder.finish(rebuilt.keys, origin))
}

impl Rebuild<'_> {
    /// Of two incarnations of a topic the later one's messages stay, because they come later.
    fn take(&mut self, item: Item<'_>) {
        let Ok(record) = RecordView::parse(item.bytes) else { return };
        let Ok(queue) = u32::try_from(record.queue_id()) else { return };
        let Some(rows) = self.rows.get(&(record.topic(), queue)) else { return };
        let at = record.queue_offset();
        let behind = rows.partition_point(|(_, first)| *first <= at);
        let Some(&(row, first)) = behind.checked_sub(1).map(|index| &rows[index]) else { return };
        let index = usize::try_from(at - first).ok().filter(|_| at != NOWHERE);
        let Some(slot) = index.and_then(|index| self.entries[row].get_mut(index)) else { return };
        let indexed = Indexed::of(record.properties());
        *slot = entry_of(item, &record, indexed.tag);
        let (topic, physical) = (topic_hash(record.topic()), item.offset);
        let hashes = indexed.keys().map(|key| key_hash(topic, key));
        self.keys.extend(hashes.map(|hash| KeyEntry { hash, physical }));
    }
}

/// Messages that the log has lost are entries without bytes at the place of the next message.
fn fill_holes(entries: &mut [Entry], end: u64) {
    let last_ms = entries.iter().map(|entry| entry.store_ms).max().unwrap_or_default();
    let mut next = Entry { physical: end, size: 0, tag: 0, store_ms: last_ms };
    for entry in entries.iter_mut().rev() {
        if entry.size == 0 {
            *entry = next;
        }
        next = Entry { size: 0, tag: 0, ..*entry };
    }
}
