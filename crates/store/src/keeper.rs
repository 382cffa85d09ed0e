//! Writing derived files: the index of each sealed segment and snapshots, on a thread of its own.
//!
//! Nothing here is needed for answers to be right: while a file is missing, its entries stay in
//! memory, and the next opening reads the log instead.

use std::{
    error::Error as _,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, Sender},
    },
    thread::{self, JoinHandle},
};

use parking_lot::{Mutex, MutexGuard};
use rocketkube_log::Log;

use crate::{
    error::{FileError, StoreError},
    files,
    index_file::IndexBuilder,
    indexes::Covered,
    key_index::KeyEntry,
    machine::Dispatcher,
    queue::Queue,
    queue_index::{Entry, Place, Run},
    repair::Damaged,
    snapshot::{self, Part, Snapshot},
    tables::Tables,
};

/// Entries copied per lock of a queue.
const STEP: usize = 512;
/// Priority of the thread: sorting the keys of a segment is CPU work for which no send should
/// wait. Appends share nothing with it but locks held for one short copy at a time.
const NICE: i32 = 5;
/// Ending of the index of a segment that is not sealed.
pub(crate) const TAIL: &str = "tail";

/// What the keeper's thread is told.
pub(crate) enum Job {
    /// The segment got its last item.
    Sealed(Range<u64>),
    /// Recovery is over; from now on there are snapshots.
    Opened(Arc<Log<Dispatcher>>),
    /// An index file was found damaged.
    Repair,
    Stop,
}

/// Writes index files and snapshots; one at a time.
pub(crate) struct Keeper {
    tables: Arc<Tables>,
    snapshots: PathBuf,
    work: Mutex<Work>,
    damaged: Damaged,
    /// Why the last attempt failed.
    trouble: Mutex<Option<String>>,
}

/// What is still to be written.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Sealed segments whose index could not be written yet, oldest first.
    waiting: Vec<Range<u64>>,
    /// Index files were written since the newest snapshot.
    unsaved: bool,
}

impl Work {
    /// End of the oldest segment that waits for its index and is not trimmed.
    pub(crate) fn oldest_from(&self, start: u64) -> Option<u64> {
        self.waiting.iter().map(|range| range.end).find(|end| *end > start)
    }
}

/// One queue whose entries are being filed.
struct Filed {
    queue: Arc<Queue>,
    /// First queue offset and row, one for each part between holes.
    rows: Vec<(u64, u32)>,
}

impl Keeper {
    pub(crate) fn new(tables: &Arc<Tables>, snapshots: PathBuf) -> Self {
        let tables = Arc::clone(tables);
        let (work, damaged, trouble) = (Mutex::default(), Damaged::default(), Mutex::default());
        Self { tables, snapshots, work, damaged, trouble }
    }

    /// Why derived files are not being written, if they are not.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    pub(crate) fn start(self: &Arc<Self>, jobs: Receiver<Job>) -> std::io::Result<JoinHandle<()>> {
        let keeper = Arc::clone(self);
        thread::Builder::new().name("store-keeper".to_owned()).spawn(move || keeper.run(&jobs))
    }

    fn run(&self, jobs: &Receiver<Job>) {
        // Of this thread alone, on Linux. Where it is refused, files are written all the same.
        let _ = rustix::process::setpriority_process(None, NICE);
        let mut log = None;
        for job in jobs {
            match job {
                Job::Sealed(range) => self.work.lock().waiting.push(range),
                Job::Opened(opened) => log = Some(opened),
                Job::Repair => {}
                Job::Stop => return,
            }
            // Told by `trouble`; tried again with the next job, and by retention.
            let _ = self.keep(log.as_deref());
        }
    }

    /// An index file is damaged. True if nobody said so before: then the thread is to be told.
    pub(crate) fn note_damage(&self, path: &Path) -> bool {
        self.damaged.note(path)
    }

    /// Does now what could not be done before.
    pub(crate) fn catch_up(&self, log: &Log<Dispatcher>) -> Result<(), StoreError> {
        self.keep(Some(log))
    }

    fn keep(&self, log: Option<&Log<Dispatcher>>) -> Result<(), StoreError> {
        let mut work = self.work.lock();
        let filed = self.file_waiting(&mut work, log);
        let repaired = log.map_or(Ok(()), |log| self.damaged.repair(&self.tables, log));
        let kept = filed.and(repaired.map_err(StoreError::from));
        *self.trouble.lock() = kept.as_ref().err().map(described);
        kept
    }

    /// Files what waits and, if there is a log already, takes a snapshot.
    fn file_waiting(
        &self,
        work: &mut Work,
        log: Option<&Log<Dispatcher>>,
    ) -> Result<(), StoreError> {
        while let Some(range) = work.waiting.first().cloned() {
            if let Some(log) = log {
                // What is in a file counts as confirmed.
                log.flush_to(range.end)?;
            }
            self.file(range)?;
            work.waiting.remove(0);
            work.unsaved = true;
        }
        if let Some(log) = log.filter(|_| work.unsaved) {
            self.snapshot_locked(log)?;
            work.unsaved = false;
        }
        Ok(())
    }

    /// Nothing is filed while this is held.
    pub(crate) fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock()
    }

    /// Takes a snapshot as of the end of the newest index file. Where none can be written, the
    /// old ones go: on a full volume deleting must be possible, and the log alone is enough.
    pub(crate) fn snapshot_or_none(
        &self,
        work: &mut Work,
        log: &Log<Dispatcher>,
    ) -> Result<(), StoreError> {
        if self.tables.indexes.end().is_none() {
            // One of a clean stop may be there, of when there was more.
            return Ok(snapshot::remove_all(&self.snapshots)?);
        }
        match self.snapshot_locked(log) {
            Err(StoreError::File(_)) => {
                work.unsaved = true;
                Ok(snapshot::remove_all(&self.snapshots)?)
            }
            taken => taken,
        }
    }

    fn snapshot_locked(&self, log: &Log<Dispatcher>) -> Result<(), StoreError> {
        let Some(position) = self.tables.indexes.end() else { return Ok(()) };
        let store_ms = log.with_machine(|machine| machine.store_ms());
        let snapshot = Snapshot::capture(&self.tables, position, store_ms);
        log.flush_to(log.appended())?;
        Ok(snapshot.publish(&self.snapshots, self.tables.indexes.origin())?)
    }

    /// Takes a snapshot as of the end of the log, with an index of what is not sealed.
    pub(crate) fn final_snapshot(&self, log: &Log<Dispatcher>) -> Result<(), StoreError> {
        let work = self.work.lock();
        if !work.waiting.is_empty() {
            // Their files are still to be written: the next opening finds them by reading.
            return Ok(());
        }
        if let Some(full) = log.segments().pop().filter(|segment| segment.end == log.appended()) {
            // Nothing will be appended to it, so the next run would not learn that it was sealed.
            self.file(full)?;
        }
        let (start, end) = (self.tables.indexes.end().unwrap_or(log.start()), log.appended());
        let store_ms = log.with_machine(|machine| machine.store_ms());
        let mut snapshot = Snapshot::capture(&self.tables, end, store_ms);
        snapshot.tail = Some(Part { start, end });
        let (builder, _) = self.collect(start..end, true);
        let bytes = builder.finish(self.tables.keys.below(end), self.tables.indexes.origin());
        log.flush_to(log.appended())?;
        let path = self.tail_path(end);
        files::write_whole(&path, &bytes)?;
        snapshot.publish(&self.snapshots, self.tables.indexes.origin())?;
        let tails = files::list(self.tables.indexes.dir(), TAIL)?;
        let old = tails.iter().filter(|other| **other != path);
        Ok(old.into_iter().try_for_each(|path| files::remove(path))?)
    }

    /// The index of what was not sealed at a clean stop at `end`.
    pub(crate) fn tail_path(&self, end: u64) -> PathBuf {
        self.tables.indexes.dir().join(format!("{end:020}.{TAIL}"))
    }

    /// Writes the index of a sealed segment and moves its entries out of memory.
    fn file(&self, range: Range<u64>) -> Result<(), FileError> {
        let end = range.end;
        let is_filed = self.tables.indexes.end().is_some_and(|filed| filed >= end);
        if end > self.tables.shore.floor.start() && !is_filed {
            let path = self.tables.indexes.path(range.start);
            let (builder, moved) = self.collect(range.clone(), false);
            let (first_ms, last_ms) = builder.times();
            let keys: Vec<KeyEntry> = self.tables.keys.below(end);
            let bytes = builder.finish(keys, self.tables.indexes.origin());
            files::write_whole(&path, &bytes)?;
            let file = self.tables.indexes.add(Covered { range, first_ms, last_ms });
            for Filed { queue, rows } in moved {
                let runs: Vec<_> =
                    rows.into_iter().map(|(first, row)| Run { first, file, row }).collect();
                queue.entries().filed(&runs, end);
            }
        }
        self.tables.keys.drop_below(end);
        Ok(())
    }

    /// Copies the entries in memory that lie in the range. `with_ends`: also says, by a row without
    /// entries, where a queue goes on whose last messages are lost.
    fn collect(&self, range: Range<u64>, with_ends: bool) -> (IndexBuilder, Vec<Filed>) {
        let mut builder = IndexBuilder::new(range.clone());
        let (mut moved, mut entries) = (Vec::new(), Vec::new());
        for topic in self.tables.topics.all() {
            for queue in topic.queues() {
                let (name, id, mut rows) = (topic.name(), queue.id(), Vec::new());
                let mut first = queue.entries().first_active();
                loop {
                    let behind_hole = copy_active(queue, first, range.end, &mut entries);
                    if !entries.is_empty() {
                        rows.push((first, builder.queue(name, id, first, &entries)));
                    } else if with_ends && !rows.is_empty() {
                        builder.queue(name, id, first, &[]);
                    }
                    let Some(next) = behind_hole else { break };
                    first = next;
                }
                if !rows.is_empty() {
                    moved.push(Filed { queue: Arc::clone(queue), rows });
                }
            }
        }
        (builder, moved)
    }
}

/// An error with its causes.
fn described(error: &StoreError) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Copies the queue's entries in memory from queue offset `first` on that lie below the physical
/// offset `end`, up to a hole; gives where the queue goes on behind that.
fn copy_active(queue: &Queue, first: u64, end: u64, into: &mut Vec<Entry>) -> Option<u64> {
    into.clear();
    let mut step = [Entry::default(); STEP];
    loop {
        let place = queue.entries().place(first + into.len() as u64, &mut step);
        let count = match place {
            Place::Active(count) => count,
            Place::Hole { until } => return Some(until),
            Place::Filed { .. } | Place::Nothing => return None,
        };
        let below = step[..count].partition_point(|entry| entry.physical < end);
        into.extend_from_slice(&step[..below]);
        if below < count {
            return None;
        }
    }
}

/// The keeper's thread, stopped and joined by its owner.
pub(crate) struct KeeperThread {
    pub(crate) jobs: Sender<Job>,
    pub(crate) thread: Option<JoinHandle<()>>,
}

impl KeeperThread {
    /// Waits until the jobs given so far are done, and ends the thread.
    pub(crate) fn stop(&mut self) {
        let _ = self.jobs.send(Job::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the panic hook; files may be missing, answers not.
            let _ = thread.join();
        }
    }
}
