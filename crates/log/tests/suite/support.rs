//! A machine that remembers everything, and ways to look at and damage a log's files.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use rand::{SeedableRng, rngs::StdRng};
use rocketkube_log::{
    Appended, FRAME_HEADER, Flush, Item, Log, Machine, Options, ReadError, Recovery,
};

/// Items keep this many bytes for what the machine stamps: size, magic, own offset, number.
pub(crate) const STAMPED: usize = 24;
pub(crate) const SEGMENT: u64 = 64 << 10;

/// Encoded items.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    pub(crate) fn of(items: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut batch = Self { bytes: Vec::new(), ends: Vec::new() };
        for item in items {
            batch.bytes.extend(item);
            batch.ends.push(batch.bytes.len());
        }
        batch
    }
}

/// An item of `size` bytes, to be stamped, filled from `tag` in a way that shows any mix-up.
pub(crate) fn item(tag: u64, size: usize) -> Vec<u8> {
    assert!(size >= STAMPED + 8);
    let mut bytes: Vec<u8> = (0..size).map(|i| (tag as usize * 31 + i * 7) as u8).collect();
    bytes[..4].copy_from_slice(&i32::try_from(size).unwrap().to_be_bytes());
    bytes[4..8].copy_from_slice(&0x5445_5354_i32.to_be_bytes());
    bytes[8..STAMPED].fill(0);
    bytes[STAMPED..STAMPED + 8].copy_from_slice(&tag.to_be_bytes());
    bytes
}

pub(crate) fn tag_of(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[STAMPED..STAMPED + 8].try_into().unwrap())
}

pub(crate) fn number_of(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[16..24].try_into().unwrap())
}

fn stamped_offset(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[8..16].try_into().unwrap())
}

/// Whether an item is, byte for byte, what `item` made and `stamp` stamped at this offset.
pub(crate) fn is_genuine(found: Item<'_>) -> bool {
    let mut made = item(tag_of(found.bytes), found.bytes.len());
    made[8..STAMPED].copy_from_slice(&found.bytes[8..STAMPED]);
    made == found.bytes && stamped_offset(found.bytes) == found.offset
}

/// Remembers what it was fed with; stamps offset and a running number.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Offset and tag of each item in order.
    pub(crate) items: Vec<(u64, u64)>,
    pub(crate) sealed: Vec<Range<u64>>,
    pub(crate) next_number: u64,
}

impl Machine for Memory {
    type Batch = Batch;

    fn bytes<'b>(&self, batch: &'b Batch) -> &'b [u8] {
        &batch.bytes
    }

    fn stamp(&mut self, batch: &mut Batch, start: u64, _now_ms: i64) {
        let mut at = 0;
        for (number, &end) in (self.next_number..).zip(&batch.ends) {
            let item = &mut batch.bytes[at..end];
            item[8..16].copy_from_slice(&(start + at as u64).to_be_bytes());
            item[16..24].copy_from_slice(&number.to_be_bytes());
            at = end;
        }
        self.next_number += batch.ends.len() as u64;
    }

    fn apply(&mut self, item: Item<'_>) {
        assert!(is_genuine(item), "altered item at {}", item.offset);
        self.items.push((item.offset, tag_of(item.bytes)));
        self.next_number = number_of(item.bytes) + 1;
    }

    fn sealed(&mut self, segment: Range<u64>) {
        self.sealed.push(segment);
    }
}

pub(crate) fn options(dir: &Path) -> Options {
    Options { segment_size: SEGMENT, ..Options::new(dir) }
}

pub(crate) fn sync_options(dir: &Path) -> Options {
    Options { flush: Flush::Sync, ..options(dir) }
}

pub(crate) fn open(options: Options) -> (Arc<Log<Memory>>, Recovery) {
    Log::open(options, Memory::default(), 0).unwrap()
}

/// Appends one item as a batch of its own.
pub(crate) fn append(log: &Log<Memory>, tag: u64, size: usize) -> Appended<Batch> {
    log.append(Batch::of([item(tag, size)]), 0).unwrap()
}

pub(crate) fn items(log: &Log<Memory>) -> Vec<(u64, u64)> {
    log.with_machine(|memory| memory.items.clone())
}

pub(crate) fn tags(log: &Log<Memory>) -> Vec<u64> {
    items(log).into_iter().map(|(_, tag)| tag).collect()
}

/// Walks the whole log past all damage; gives offsets and tags, and the damaged ranges.
pub(crate) fn walk_all(log: &Log<Memory>) -> (Vec<(u64, u64)>, Vec<Range<u64>>) {
    let (mut found, mut lost, mut from) = (Vec::new(), Vec::new(), log.start());
    loop {
        let walked = log.walk(from..log.appended(), &mut |item| {
            assert!(is_genuine(item), "altered item at {}", item.offset);
            found.push((item.offset, tag_of(item.bytes)));
        });
        match walked {
            Ok(()) => return (found, lost),
            Err(ReadError::Damaged { range, .. }) => {
                from = range.end;
                lost.push(range);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A directory in memory where there is one: opening flushes often, and these tests open often.
pub(crate) fn fast_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Path of the segment that starts at an offset.
pub(crate) fn segment_path(dir: &Path, start: u64) -> PathBuf {
    dir.join("log").join(format!("{start:020}.seg"))
}

/// All files of a data directory, as a kill at this moment would leave them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Image(BTreeMap<PathBuf, Vec<u8>>);

impl Image {
    pub(crate) fn of(dir: &Path) -> Self {
        let mut image = Self::default();
        for folder in ["", "log"] {
            for entry in fs::read_dir(dir.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let name = path.strip_prefix(dir).unwrap().to_path_buf();
                    image.0.insert(name, fs::read(&path).unwrap());
                }
            }
        }
        image
    }

    /// Makes the directory hold exactly this.
    pub(crate) fn restore(&self, dir: &Path) {
        for present in Self::of(dir).0.keys().filter(|name| !self.0.contains_key(*name)) {
            fs::remove_file(dir.join(present)).unwrap();
        }
        for (name, bytes) in &self.0 {
            fs::write(dir.join(name), bytes).unwrap();
        }
    }

    /// Names of the files, to walk over and change.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        self.0.keys().cloned().collect()
    }

    pub(crate) fn get(&self, name: &Path) -> Option<&Vec<u8>> {
        self.0.get(name)
    }

    pub(crate) fn set(&mut self, name: &Path, bytes: Vec<u8>) {
        self.0.insert(name.to_path_buf(), bytes);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.remove(Path::new(name)).unwrap();
    }

    /// The bytes of the segment that starts at an offset.
    pub(crate) fn segment(&mut self, start: u64) -> &mut Vec<u8> {
        self.0.get_mut(&segment_path(Path::new(""), start)).unwrap()
    }
}

/// The frame that holds a single item: from its header to the next.
pub(crate) fn frame_of(appended: &Appended<Batch>) -> Range<u64> {
    appended.start - FRAME_HEADER..appended.end
}

/// Random numbers from a printed seed.
pub(crate) fn random() -> StdRng {
    let seed = std::env::var("LOG_TEST_SEED").ok().map(|text| text.parse().unwrap());
    let seed = seed.unwrap_or_else(rand::random);
    println!("LOG_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}
