//! The index files of sealed segments, oldest first: which there are, and a bounded set of maps.

use std::{
    collections::VecDeque,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;

use crate::{
    error::FileError,
    files::{self, Origin},
    index_file::IndexFile,
    queue_index::{Entry, Run},
};

/// Files mapped at a time; a map costs no descriptor, and the kernel allows 65,530.
const MAPPED_MAX: usize = 128;

/// What is known of an index file without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Covered {
    pub(crate) range: Range<u64>,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
}

#[derive(Debug)]
struct Known {
    covered: Covered,
    map: Option<Arc<IndexFile>>,
    used: u64,
}

#[derive(Debug, Default)]
struct Files {
    /// Number of the first file; runs of queues name files by number.
    first: u32,
    oldest_first: VecDeque<Known>,
    uses: u64,
    mapped: usize,
}

/// All index files.
#[derive(Debug)]
pub(crate) struct Indexes {
    dir: PathBuf,
    origin: OnceLock<Origin>,
    files: Mutex<Files>,
}

impl Indexes {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.join("index"), origin: OnceLock::new(), files: Mutex::default() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Says which log the files belong to. The first time counts.
    pub(crate) fn set_origin(&self, origin: Origin) {
        let _ = self.origin.set(origin);
    }

    /// The log that all derived files belong to. Known before the first of them is read or written.
    pub(crate) fn origin(&self) -> Origin {
        self.origin.get().copied().unwrap_or_default()
    }

    /// The file of the segment that starts at `start`.
    pub(crate) fn path(&self, start: u64) -> PathBuf {
        self.dir.join(format!("{start:020}.idx"))
    }

    /// Takes a file behind all others; gives its number.
    pub(crate) fn add(&self, covered: Covered) -> u32 {
        let mut files = self.files.lock();
        files.oldest_first.push_back(Known { covered, map: None, used: 0 });
        files.first + u32::try_from(files.oldest_first.len() - 1).expect("one file per segment")
    }

    /// All files, oldest first, with the number of the first.
    pub(crate) fn covered(&self) -> (u32, Vec<Covered>) {
        let files = self.files.lock();
        (files.first, files.oldest_first.iter().map(|known| known.covered.clone()).collect())
    }

    pub(crate) fn oldest(&self) -> Option<Covered> {
        self.files.lock().oldest_first.front().map(|known| known.covered.clone())
    }

    /// End of the newest file: what is above is in memory.
    pub(crate) fn end(&self) -> Option<u64> {
        self.files.lock().oldest_first.back().map(|known| known.covered.range.end)
    }

    /// Number of the first file with anything at or above `start`.
    pub(crate) fn first_above(&self, start: u64) -> u32 {
        let files = self.files.lock();
        let below = files.oldest_first.partition_point(|known| known.covered.range.end <= start);
        files.first + u32::try_from(below).expect("one file per segment")
    }

    /// End of the file before that number, if it is there still.
    pub(crate) fn end_before(&self, number: u32) -> Option<u64> {
        let before = number.checked_sub(1)?;
        self.files.lock().known(before).map(|known| known.covered.range.end)
    }

    /// Number of the first file with nothing below `start`.
    pub(crate) fn first_from(&self, start: u64) -> u32 {
        let files = self.files.lock();
        let below = files.oldest_first.partition_point(|known| known.covered.range.start < start);
        files.first + u32::try_from(below).expect("one file per segment")
    }

    /// Copies entries of a run from its entry `skip` on; 0 if the file was trimmed meanwhile.
    pub(crate) fn entries(
        &self,
        run: Run,
        skip: u64,
        into: &mut [Entry],
    ) -> Result<usize, FileError> {
        self.open(run.file)?.map_or(Ok(0), |file| file.entries(run.row, skip, into))
    }

    /// The file of that number, mapped; `None` once it was trimmed.
    pub(crate) fn open(&self, number: u32) -> Result<Option<Arc<IndexFile>>, FileError> {
        let path = {
            let mut files = self.files.lock();
            files.uses += 1;
            let uses = files.uses;
            let Some(known) = files.known(number) else { return Ok(None) };
            known.used = uses;
            if let Some(map) = &known.map {
                return Ok(Some(Arc::clone(map)));
            }
            self.path(known.covered.range.start)
        };
        // Unlocked: mapping may wait for the disk.
        let file = Arc::new(IndexFile::open(&path, self.origin())?);
        let mut files = self.files.lock();
        let Some(known) = files.known(number) else { return Ok(None) };
        if known.map.replace(Arc::clone(&file)).is_none() {
            files.mapped += 1;
        }
        files.unmap_least_used();
        Ok(Some(file))
    }

    /// The number of the file at `path`, unless it was trimmed.
    pub(crate) fn number(&self, path: &Path) -> Option<u32> {
        let (first, covered) = self.covered();
        let mut numbered = (first..).zip(covered);
        numbered.find(|(_, covered)| self.path(covered.range.start) == path).map(|(n, _)| n)
    }

    /// The file was replaced: the next reader maps it anew.
    pub(crate) fn unmap(&self, number: u32) {
        let mut files = self.files.lock();
        if files.known(number).is_some_and(|known| known.map.take().is_some()) {
            files.mapped -= 1;
        }
    }

    /// Forgets and deletes files wholly below `start`. Readers that hold one keep it.
    pub(crate) fn remove_below(&self, start: u64) -> Result<(), FileError> {
        let mut gone = Vec::new();
        {
            let mut files = self.files.lock();
            while files.oldest_first.front().is_some_and(|known| known.covered.range.end <= start) {
                let Some(known) = files.oldest_first.pop_front() else { break };
                files.first += 1;
                files.mapped -= usize::from(known.map.is_some());
                gone.push(known.covered.range.start);
            }
        }
        gone.into_iter().try_for_each(|start| files::remove(&self.path(start)))
    }
}

impl Files {
    fn known(&mut self, number: u32) -> Option<&mut Known> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.oldest_first.get_mut(index)
    }

    fn unmap_least_used(&mut self) {
        if self.mapped <= MAPPED_MAX {
            return;
        }
        let mapped = self.oldest_first.iter_mut().filter(|known| known.map.is_some());
        if let Some(known) = mapped.min_by_key(|known| known.used) {
            known.map = None;
            self.mapped -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_file::IndexBuilder;

    fn indexes(count: u64) -> (tempfile::TempDir, Indexes) {
        let dir = tempfile::tempdir().unwrap();
        let indexes = Indexes::new(dir.path());
        files::prepare(indexes.dir()).unwrap();
        for n in 0..count {
            let range = 100 * n..100 * (n + 1);
            let mut builder = IndexBuilder::new(range.clone());
            let entry = Entry { physical: 100 * n, size: 1, tag: 0, store_ms: 0 };
            builder.queue("t", 0, n, &[entry]);
            std::fs::write(indexes.path(range.start), builder.finish(Vec::new(), indexes.origin()))
                .unwrap();
            indexes.add(Covered { range, first_ms: 0, last_ms: 0 });
        }
        (dir, indexes)
    }

    #[test]
    fn no_more_than_the_limit_is_mapped_at_a_time() {
        let (_dir, indexes) = indexes(MAPPED_MAX as u64 + 20);
        for number in 0..u32::try_from(MAPPED_MAX).unwrap() + 20 {
            let mut into = [Entry::default()];
            let run = Run { first: u64::from(number), file: number, row: 0 };
            assert_eq!(indexes.entries(run, 0, &mut into).unwrap(), 1);
            assert_eq!(into[0].physical, 100 * u64::from(number));
        }
        assert_eq!(indexes.files.lock().mapped, MAPPED_MAX);
        assert!(indexes.open(0).unwrap().is_some());
    }

    #[test]
    fn trimmed_files_are_gone_and_numbers_stay() {
        let (_dir, indexes) = indexes(5);
        indexes.open(0).unwrap();
        assert_eq!(indexes.first_above(250), 2);
        indexes.remove_below(250).unwrap();
        assert!(indexes.open(1).unwrap().is_none());
        assert_eq!(indexes.open(2).unwrap().unwrap().range().start, 200);
        assert_eq!(files::list(indexes.dir(), "idx").unwrap().len(), 3);
        assert_eq!(indexes.covered().0, 2);
    }
}
