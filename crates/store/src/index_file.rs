//! The index of one part of the log: queue entries and keys, written once, then only read.
//!
//! Little-endian. A header, which names the log, then four sections; every part has its own CRC-32C, looked at when
//! the part is first used.
//!
//! | section | content |
//! |---|---|
//! | names | topic names, one behind the other |
//! | rows | per queue: name position `u32`, name length `u32`, queue id `u32`, count `u32`, first queue offset `u64`, number of its first entry `u64` |
//! | entries | per message: physical offset `u64`, size `u32`, tag hash `i32`, store time `i64` |
//! | keys | per key: hash `u64`, position in the range `u32`; sorted |
//!
//! Does not know which incarnation of a topic a row belongs to: whoever loads it does.

use std::{
    fmt,
    ops::{Deref, Range},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rocketkube_log::mapping::{MapError, MappedFile};

use crate::{error::FileError, files::Origin, key_index::KeyEntry, queue_index::Entry};

const MAGIC: &[u8; 8] = b"RKINDEX2";
const HEADER: usize = 160;
/// Where the header says which log it belongs to.
const ORIGIN: usize = 136;
/// Bytes of the header that its checksum covers.
const HEADER_BODY: usize = 152;
const ROW: usize = 32;
const ENTRY: usize = 24;
const KEY: usize = 12;

/// The sections, in file order.
#[derive(Debug, Clone, Copy)]
enum Section {
    Names,
    Rows,
    Entries,
    Keys,
}

impl Section {
    const ALL: [Self; 4] = [Self::Names, Self::Rows, Self::Entries, Self::Keys];

    fn name(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::Rows => "rows",
            Self::Entries => "entries",
            Self::Keys => "keys",
        }
    }
}

/// Collects what goes into an index file.
#[derive(Debug)]
pub(crate) struct IndexBuilder {
    range: Range<u64>,
    first_ms: i64,
    last_ms: i64,
    names: Vec<u8>,
    rows: Vec<u8>,
    entries: Vec<u8>,
    last_name: Range<usize>,
}

impl IndexBuilder {
    pub(crate) fn new(range: Range<u64>) -> Self {
        Self {
            range,
            first_ms: i64::MAX,
            last_ms: i64::MIN,
            names: Vec::new(),
            rows: Vec::new(),
            entries: Vec::new(),
            last_name: 0..0,
        }
    }

    /// Adds the entries of one queue; gives the number of its row. Queues of one topic come one
    /// after the other, so that its name is stored once.
    pub(crate) fn queue(&mut self, topic: &str, id: u32, first: u64, entries: &[Entry]) -> u32 {
        if self.names[self.last_name.clone()] != *topic.as_bytes() {
            self.last_name = self.names.len()..self.names.len() + topic.len();
            self.names.extend_from_slice(topic.as_bytes());
        }
        let number =
            u32::try_from(self.rows.len() / ROW).expect("fewer rows than bytes of a segment");
        for word in [self.last_name.start, self.last_name.len(), id as usize, entries.len()] {
            let word = u32::try_from(word).expect("fewer than bytes of a segment");
            self.rows.extend_from_slice(&word.to_le_bytes());
        }
        let first_entry = (self.entries.len() / ENTRY) as u64;
        self.rows.extend_from_slice(&first.to_le_bytes());
        self.rows.extend_from_slice(&first_entry.to_le_bytes());
        for entry in entries {
            self.first_ms = self.first_ms.min(entry.store_ms);
            self.last_ms = self.last_ms.max(entry.store_ms);
            self.entries.extend_from_slice(&encode_entry(entry));
        }
        number
    }

    pub(crate) fn times(&self) -> (i64, i64) {
        (self.first_ms, self.last_ms)
    }

    /// The bytes of a file that belongs to the log `origin`.
    pub(crate) fn finish(self, mut keys: Vec<KeyEntry>, origin: Origin) -> Vec<u8> {
        keys.sort_unstable();
        let mut key_bytes = Vec::with_capacity(keys.len() * KEY);
        for key in &keys {
            let Some(position) = key.physical.checked_sub(self.range.start) else { continue };
            let Ok(position) = u32::try_from(position) else { continue };
            key_bytes.extend_from_slice(&key.hash.to_le_bytes());
            key_bytes.extend_from_slice(&position.to_le_bytes());
        }
        let sections = [self.names, self.rows, self.entries, key_bytes];
        let length = HEADER + sections.iter().map(Vec::len).sum::<usize>();
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.range.start.to_le_bytes());
        out.extend_from_slice(&self.range.end.to_le_bytes());
        out.extend_from_slice(&self.first_ms.to_le_bytes());
        out.extend_from_slice(&self.last_ms.to_le_bytes());
        let mut at = HEADER as u64;
        for section in &sections {
            out.extend_from_slice(&at.to_le_bytes());
            out.extend_from_slice(&(section.len() as u64).to_le_bytes());
            out.extend_from_slice(&u64::from(crc32c::crc32c(section)).to_le_bytes());
            at += section.len() as u64;
        }
        out.extend_from_slice(&origin.0);
        let checksum = u64::from(crc32c::crc32c(&out[..HEADER_BODY]));
        out.extend_from_slice(&checksum.to_le_bytes());
        for section in &sections {
            out.extend_from_slice(section);
        }
        out
    }
}

fn encode_entry(entry: &Entry) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    bytes[..8].copy_from_slice(&entry.physical.to_le_bytes());
    bytes[8..12].copy_from_slice(&entry.size.to_le_bytes());
    bytes[12..16].copy_from_slice(&entry.tag.to_le_bytes());
    bytes[16..].copy_from_slice(&entry.store_ms.to_le_bytes());
    bytes
}

fn decode_entry(bytes: &[u8; ENTRY]) -> Entry {
    let (words, _) = bytes.as_chunks::<8>();
    let [physical, size_and_tag, store_ms] = [0, 1, 2].map(|n| u64::from_le_bytes(words[n]));
    #[expect(clippy::cast_possible_truncation, reason = "both halves of the word are used")]
    let (size, tag) = (size_and_tag as u32, (size_and_tag >> 32) as u32);
    Entry { physical, size, tag: tag.cast_signed(), store_ms: store_ms.cast_signed() }
}

/// One queue of an index file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    pub(crate) topic: &'a str,
    pub(crate) queue: u32,
    /// Queue offset of the first entry.
    pub(crate) first: u64,
    pub(crate) count: u64,
    first_entry: u64,
}

enum Content {
    Mapped(MappedFile),
    Owned(Vec<u8>),
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// An index file, open for reading.
pub(crate) struct IndexFile {
    path: PathBuf,
    content: Content,
    range: Range<u64>,
    times: (i64, i64),
    sections: [(Range<usize>, u32); 4],
    verified: [AtomicBool; 4],
}

impl IndexFile {
    /// Maps a file of the log `origin` and checks its header.
    pub(crate) fn open(path: &Path, origin: Origin) -> Result<Self, FileError> {
        let map = MappedFile::open(path).map_err(|error| match error {
            MapError::Io { path, source } => FileError::io("map", path)(source),
            MapError::Empty { path } => FileError::Damaged { path, part: "header" },
        })?;
        Self::parse(path, Content::Mapped(map), origin)
    }

    /// Reads a file into memory and checks its header.
    pub(crate) fn load(path: &Path, origin: Origin) -> Result<Self, FileError> {
        let bytes = std::fs::read(path).map_err(FileError::io("read", path))?;
        Self::parse(path, Content::Owned(bytes), origin)
    }

    fn parse(path: &Path, content: Content, origin: Origin) -> Result<Self, FileError> {
        let damaged = || FileError::Damaged { path: path.to_path_buf(), part: "header" };
        let header = content.first_chunk::<HEADER>().ok_or_else(damaged)?;
        let word = |n: usize| {
            header[8 * n..].first_chunk().map_or(0, |bytes: &[u8; 8]| u64::from_le_bytes(*bytes))
        };
        let checksum = u64::from(crc32c::crc32c(&header[..HEADER_BODY]));
        if &header[..8] != MAGIC || word(19) != checksum {
            return Err(damaged());
        }
        if header[ORIGIN..HEADER_BODY] != origin.0 {
            return Err(FileError::Foreign { path: path.to_path_buf() });
        }
        let mut sections = [const { (0..0, 0) }; 4];
        for (index, section) in sections.iter_mut().enumerate() {
            let [start, length, crc] = [0, 1, 2].map(|field| word(5 + 3 * index + field));
            let start = usize::try_from(start).map_err(|_| damaged())?;
            let length = usize::try_from(length).map_err(|_| damaged())?;
            let end = start.checked_add(length).filter(|end| *end <= content.len());
            let crc = u32::try_from(crc).map_err(|_| damaged())?;
            *section = (start..end.ok_or_else(damaged)?, crc);
        }
        let (range, times) = (word(1)..word(2), (word(3).cast_signed(), word(4).cast_signed()));
        let (path, verified) = (path.to_path_buf(), [const { AtomicBool::new(false) }; 4]);
        Ok(Self { path, content, range, times, sections, verified })
    }

    /// The part of the log that this index covers.
    pub(crate) fn range(&self) -> &Range<u64> {
        &self.range
    }

    /// First and last store time; the first is larger if there are no entries.
    pub(crate) fn times(&self) -> (i64, i64) {
        self.times
    }

    /// It cannot be made again.
    pub(crate) fn without_log(&self) -> FileError {
        FileError::Damaged { path: self.path.clone(), part: "part of the log" }
    }

    fn damaged(&self, section: Section) -> FileError {
        FileError::Damaged { path: self.path.clone(), part: section.name() }
    }

    fn section(&self, section: Section) -> Result<&[u8], FileError> {
        let (range, crc) = &self.sections[section as usize];
        let bytes = &self.content[range.clone()];
        let verified = &self.verified[section as usize];
        if !verified.load(Ordering::Relaxed) {
            if crc32c::crc32c(bytes) != *crc {
                return Err(self.damaged(section));
            }
            verified.store(true, Ordering::Relaxed);
        }
        Ok(bytes)
    }

    /// Checks everything now.
    pub(crate) fn verify(&self) -> Result<(), FileError> {
        Section::ALL.iter().try_for_each(|section| self.section(*section).map(|_| ()))
    }

    /// All rows in order.
    pub(crate) fn rows(&self) -> Result<impl Iterator<Item = Row<'_>>, FileError> {
        let (rows, names) = (self.section(Section::Rows)?, self.section(Section::Names)?);
        Ok(rows.as_chunks::<ROW>().0.iter().filter_map(|row| decode_row(row, names)))
    }

    fn row(&self, number: u32) -> Result<Row<'_>, FileError> {
        let (rows, names) = (self.section(Section::Rows)?, self.section(Section::Names)?);
        let row = rows.as_chunks::<ROW>().0.get(number as usize);
        row.and_then(|row| decode_row(row, names)).ok_or_else(|| self.damaged(Section::Rows))
    }

    /// Copies entries of a row from its entry `skip` on; gives their number.
    pub(crate) fn entries(
        &self,
        row: u32,
        skip: u64,
        into: &mut [Entry],
    ) -> Result<usize, FileError> {
        let row = self.row(row)?;
        self.copy_entries(row, skip, into)
    }

    pub(crate) fn copy_entries(
        &self,
        row: Row<'_>,
        skip: u64,
        into: &mut [Entry],
    ) -> Result<usize, FileError> {
        let entries = self.section(Section::Entries)?.as_chunks::<ENTRY>().0;
        let count = row.count.saturating_sub(skip).min(into.len() as u64);
        let from = row.first_entry.saturating_add(skip);
        let wanted = usize::try_from(from)
            .ok()
            .and_then(|from| entries.get(from..from.checked_add(usize::try_from(count).ok()?)?));
        let wanted = wanted.ok_or_else(|| self.damaged(Section::Entries))?;
        for (to, bytes) in into.iter_mut().zip(wanted) {
            *to = decode_entry(bytes);
        }
        Ok(wanted.len())
    }

    /// Physical offsets of messages that may carry the key, ascending.
    pub(crate) fn find(&self, hash: u64) -> Result<Vec<u64>, FileError> {
        let keys = self.section(Section::Keys)?.as_chunks::<KEY>().0;
        let first = keys.partition_point(|key| self.key(key).hash < hash);
        let hits = keys[first..].iter().map(|key| self.key(key));
        Ok(hits.take_while(|key| key.hash == hash).map(|key| key.physical).collect())
    }

    /// All keys, sorted by hash.
    pub(crate) fn keys(&self) -> Result<Vec<KeyEntry>, FileError> {
        let keys = self.section(Section::Keys)?.as_chunks::<KEY>().0;
        Ok(keys.iter().map(|key| self.key(key)).collect())
    }

    fn key(&self, bytes: &[u8; KEY]) -> KeyEntry {
        let [hash @ .., a, b, c, d] = *bytes;
        let position = u64::from(u32::from_le_bytes([a, b, c, d]));
        KeyEntry { hash: u64::from_le_bytes(hash), physical: self.range.start + position }
    }
}

impl fmt::Debug for IndexFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexFile")
            .field("path", &self.path)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

fn decode_row<'a>(row: &[u8; ROW], names: &'a [u8]) -> Option<Row<'a>> {
    let u32_at = |at: usize| Some(u32::from_le_bytes(*row.get(at..)?.first_chunk()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(*row.get(at..)?.first_chunk()?));
    let start = usize::try_from(u32_at(0)?).ok()?;
    let end = start.checked_add(usize::try_from(u32_at(4)?).ok()?)?;
    let topic = std::str::from_utf8(names.get(start..end)?).ok()?;
    let (queue, count) = (u32_at(8)?, u64::from(u32_at(12)?));
    Some(Row { topic, queue, first: u64_at(16)?, count, first_entry: u64_at(24)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN_1: Origin = Origin([1; 16]);

    fn entry(n: u64) -> Entry {
        Entry { physical: 4096 + 100 * n, size: 100, tag: -7, store_ms: 50 + n.cast_signed() }
    }

    fn example() -> Vec<u8> {
        let mut builder = IndexBuilder::new(4096..8192);
        let entries: Vec<_> = (0..5).map(entry).collect();
        assert_eq!(builder.queue("a", 0, 10, &entries[..2]), 0);
        assert_eq!(builder.queue("a", 3, 0, &entries[2..3]), 1);
        assert_eq!(builder.queue("b", 0, 7, &entries[3..]), 2);
        builder.finish(
            vec![
                KeyEntry { hash: 9, physical: 4196 },
                KeyEntry { hash: 3, physical: 4096 },
                KeyEntry { hash: 9, physical: 4096 },
            ],
            ORIGIN_1,
        )
    }

    fn opened(bytes: &[u8]) -> (tempfile::TempDir, Result<IndexFile, FileError>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.idx");
        std::fs::write(&path, bytes).unwrap();
        let file = IndexFile::open(&path, ORIGIN_1);
        (dir, file)
    }

    #[test]
    fn what_was_put_in_is_found_again() {
        let (_dir, file) = opened(&example());
        let file = file.unwrap();
        assert_eq!((file.range(), file.times()), (&(4096..8192), (50, 54)));
        let rows: Vec<_> =
            file.rows().unwrap().map(|r| (r.topic, r.queue, r.first, r.count)).collect();
        assert_eq!(rows, [("a", 0, 10, 2), ("a", 3, 0, 1), ("b", 0, 7, 2)]);
        let mut into = [Entry::default(); 8];
        assert_eq!(file.entries(2, 1, &mut into).unwrap(), 1);
        assert_eq!(into[0], entry(4));
        assert_eq!(file.entries(0, 0, &mut into[..1]).unwrap(), 1);
        assert_eq!(file.entries(0, 5, &mut into).unwrap(), 0);
        assert_eq!(file.find(9).unwrap(), [4096, 4196]);
        assert!(file.find(4).unwrap().is_empty() && file.find(u64::MAX).unwrap().is_empty());
    }

    #[test]
    fn an_empty_part_of_the_log_has_an_index_too() {
        let (_dir, file) = opened(&IndexBuilder::new(0..10).finish(Vec::new(), ORIGIN_1));
        let file = file.unwrap();
        assert!(file.verify().is_ok() && file.find(1).unwrap().is_empty());
    }

    #[test]
    fn a_file_of_another_log_is_refused_as_such() {
        let (dir, file) = opened(&example());
        assert!(file.is_ok());
        let foreign = IndexFile::open(&dir.path().join("1.idx"), Origin([2; 16]));
        assert!(matches!(foreign, Err(FileError::Foreign { .. })));
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let bytes = example();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            let (_dir, file) = opened(&flipped);
            let verified = file.and_then(|file| file.verify());
            assert!(matches!(verified, Err(FileError::Damaged { .. })), "byte {at}");
        }
    }

    #[test]
    fn a_file_cut_short_is_refused() {
        let bytes = example();
        for length in 0..bytes.len() {
            let (_dir, file) = opened(&bytes[..length]);
            assert!(file.is_err(), "{length} bytes");
        }
    }

    #[test]
    fn rows_out_of_range_are_refused() {
        let (_dir, file) = opened(&example());
        let mut into = [Entry::default(); 1];
        assert!(file.unwrap().entries(3, 0, &mut into).is_err());
    }
}
