//! Opening a store: the newest usable snapshot with its index files, then the log from there on.
//!
//! A snapshot whose files are missing or damaged is not used; without any, everything is read
//! again from the log and all derived files are written anew.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering, mpsc},
};

use rocketkube_log::{Damage, Directory, Log, Recovery, SEGMENT_HEADER};

use crate::{
    error::{FileError, OpenError},
    files::{self, Origin},
    index_file::IndexFile,
    indexes::Covered,
    keeper::{Job, Keeper, KeeperThread},
    key_index::KeyEntry,
    machine::Dispatcher,
    options::Options,
    queue::Shore,
    queue_index::{Entry, MIN_RECORD, Run},
    snapshot::{Part, Snapshot},
    store::Store,
    tables::Tables,
    volume::Volume,
};

/// What opening found.
#[derive(Debug)]
pub struct Opening {
    /// Where replay started: the position of the snapshot that was used, or 0.
    pub resumed_at: u64,
    /// Of new segments: what was asked for, or an eighth of a volume too small for that.
    pub segment_size: u64,
    pub log: Recovery,
    /// Topics whose own records damage took: made again from their messages, without settings.
    pub brought_back: Vec<String>,
    /// Why derived files were not used; what they held was read from the log.
    pub unused: Vec<FileError>,
}

/// A snapshot and its index files, checked.
struct Found {
    snapshot: Snapshot,
    indexes: Vec<IndexFile>,
    tail: Option<IndexFile>,
}

pub(crate) fn open(options: Options) -> Result<(Store, Opening), OpenError> {
    let shore = Shore::new(options.store_host);
    let tables = Arc::new(Tables::new(&shore, &options.dir, options.on_arrival));
    let snapshots = options.dir.join("snapshot");
    // Before anything is deleted that another process may be using.
    let directory = Directory::lock(&options.dir, options.faults.clone())?;
    files::prepare(tables.indexes.dir())?;
    files::prepare(&snapshots)?;
    let keeper = Arc::new(Keeper::new(&tables, snapshots.clone()));
    let (mut unused, segments) = (Vec::new(), directory.segment_starts()?);
    let origin = directory.store_id()?.map(Origin);
    let found = match origin {
        None => None,
        Some(origin) => {
            tables.indexes.set_origin(origin);
            find(&tables, &keeper, &snapshots, &segments, &mut unused)?
        }
    };
    let (resume, store_ms) =
        found.as_ref().map_or((0, 0), |f| (f.snapshot.position, f.snapshot.store_ms));
    match &found {
        Some(found) => found.restore(&tables)?,
        None if origin.is_some() => remove_derived(&tables, &snapshots)?,
        None => {}
    }
    drop(found);

    let (jobs, receiver) = mpsc::channel();
    let machine = Dispatcher::new(&tables, store_ms, jobs.clone());
    let thread =
        keeper.start(receiver).map_err(FileError::io("start a thread for", &options.dir))?;
    let thread = KeeperThread { jobs, thread: Some(thread) };
    let told = Arc::clone(&tables);
    let on_confirmed = options.on_confirmed;
    let segment_size = Volume::of(&options.dir).segment_size(options.segment_size);
    let log_options = rocketkube_log::Options {
        segment_size,
        flush: options.flush,
        on_confirmed: Box::new(move |position| {
            told.confirm(position);
            on_confirmed(position);
        }),
        on_failure: options.on_failure,
        faults: options.faults,
        directory: Some(directory),
        ..rocketkube_log::Options::new(options.dir)
    };
    let (log, mut recovery) = Log::open(log_options, machine, resume)?;
    if let Some((position, source)) = log.with_machine(Dispatcher::take_refused) {
        return Err(OpenError::State { position, source });
    }
    if origin.is_none() {
        // A new log: what was there belongs to another one.
        tables.indexes.set_origin(Origin(log.store_id()));
        remove_derived(&tables, &snapshots)?;
    }
    let brought_back = {
        // What a queue has behind damage is told by the numbers of index files: none may be added.
        let _nothing_is_filed = keeper.work();
        recovery.damage.extend(missing_front(&tables, &log));
        make_good(&tables, &recovery, resume)
    };
    tables.confirm(log.confirmed());
    let opening = Opening { resumed_at: resume, segment_size, log: recovery, brought_back, unused };
    let limits = (options.retention, options.max_queues);
    let on_index_damage = options.on_index_damage;
    Ok((Store::new(tables, log, keeper, thread, limits, on_index_damage), opening))
}

/// Segments that retention did not delete are gone. They are treated as trimmed, so that consumers
/// go on with what is left, but not recorded as trimmed: each opening says it until they would have
/// been deleted anyway, and putting the files back brings the messages back.
fn missing_front(tables: &Tables, log: &Log<Dispatcher>) -> Option<Damage> {
    let damage = log.note_missing_front(tables.shore.floor.trimmed())?;
    let start = damage.range.end;
    tables.shore.floor.raise(start, tables.indexes.first_above(start));
    Some(damage)
}

/// Makes what is left consistent with what consumers have seen of what is lost. Gives the topics
/// that are known from their messages only.
fn make_good(tables: &Tables, recovery: &Recovery, resume: u64) -> Vec<String> {
    // In a log without damage such topics have a record further on.
    let is_damaged = !recovery.damage.is_empty();
    let brought_back = if is_damaged { tables.topics.bring_back() } else { Vec::new() };
    for lost in unknown(&recovery.damage, resume) {
        skip_lost(tables, &lost);
    }
    if is_damaged || tables.unknown.load(Ordering::Relaxed) > 0 {
        // The record of a topic's end may be lost: a new one of its name has nothing of it.
        tables.offsets.retain(|topic| tables.topics.get(topic).map(|topic| topic.id()));
    }
    brought_back
}

/// Damage took messages that consumers may have seen, and nothing says in which queues: each queue
/// without a message behind it goes on as if all of them had been its own, from now on, so that the
/// end that is shown is the offset that the next message gets. An offset that was given out is never
/// given to another message.
fn skip_lost(tables: &Tables, lost: &Range<u64>) {
    let file = tables.indexes.first_from(lost.end);
    let contains = |known: &Range<u64>| known.start <= lost.start && lost.end <= known.end;
    let is_known = tables.skipped.lock().iter().any(contains);
    for topic in tables.topics.all() {
        if topic.id() >= lost.end && !topic.is_provisional() {
            continue; // Made when this was lost already.
        }
        let most = most_messages(lost, topic.name());
        for queue in topic.queues() {
            let mut entries = queue.entries();
            // The snapshot says it of queues without a message between its position and the damage.
            if entries.is_empty_above(lost.start, file) && !(is_known && entries.is_filed()) {
                let end = entries.end() + most;
                entries.go_on_at(end);
                drop(entries);
                queue.raise_next(end);
            }
        }
    }
    if !is_known {
        tables.skipped.lock().push(lost.clone());
        tables.unknown.fetch_add(most_messages(lost, "t"), Ordering::Relaxed);
    }
}

/// So many messages of a topic a part of the log can have held.
fn most_messages(lost: &Range<u64>, topic: &str) -> u64 {
    (lost.end - lost.start) / (MIN_RECORD - 1 + topic.len() as u64) + 1
}

/// What of the damage can have held something that is known from nowhere else: not what a snapshot
/// holds, nor the header of a segment.
fn unknown(damage: &[Damage], resume: u64) -> impl Iterator<Item = Range<u64>> {
    let frames = damage.iter().filter(|damage| damage.positions.end > SEGMENT_HEADER);
    let above = frames.map(move |damage| damage.range.start.max(resume)..damage.range.end);
    above.filter(|lost| !lost.is_empty())
}

/// The newest snapshot that can be used with the segments that start there. Notes why others cannot.
fn find(
    tables: &Tables,
    keeper: &Keeper,
    dir: &Path,
    segments: &[u64],
    unused: &mut Vec<FileError>,
) -> Result<Option<Found>, FileError> {
    let mut usable = None;
    for snapshot in Snapshot::all(dir, tables.indexes.origin())? {
        match snapshot.and_then(|snapshot| {
            // Whether an older one could be used as well is nobody's question.
            usable.is_none().then(|| check(tables, keeper, dir, snapshot, segments)).transpose()
        }) {
            Ok(found) => usable = usable.or(found),
            Err(error) => unused.push(error),
        }
    }
    Ok(usable)
}

fn check(
    tables: &Tables,
    keeper: &Keeper,
    dir: &Path,
    snapshot: Snapshot,
    segments: &[u64],
) -> Result<Found, FileError> {
    let (mut indexes, origin) = (Vec::new(), tables.indexes.origin());
    for part in &snapshot.indexes {
        let path = tables.indexes.path(part.start);
        let file = IndexFile::open(&path, origin).and_then(|file| {
            file.rows().map(drop)?;
            of_part(file, part)
        });
        match file {
            Ok(file) => indexes.push(file),
            // Lost in front, like the segment it is the index of: the snapshot knows the rest.
            Err(_) if segments.first().is_some_and(|start| *start >= part.end) => {}
            Err(error) => return Err(error),
        }
    }
    let tail = snapshot.tail.as_ref().map(|part| {
        let file = IndexFile::load(&keeper.tail_path(part.end), origin)?;
        file.verify()?;
        of_part(file, part)
    });
    let path = snapshot.path(dir);
    let found = Found { tail: tail.transpose()?, snapshot, indexes };
    if found.is_outdated(segments) { Err(FileError::Outdated { path }) } else { Ok(found) }
}

/// The file, if it is the one of that part of the log.
fn of_part(file: IndexFile, part: &Part) -> Result<IndexFile, FileError> {
    if *file.range() == (part.start..part.end) { Ok(file) } else { Err(file.without_log()) }
}

/// Nothing below is trusted any more: what is left would only be in the way.
fn remove_derived(tables: &Tables, snapshots: &Path) -> Result<(), FileError> {
    let index = tables.indexes.dir();
    let all: [(&Path, &str); 3] =
        [(index, "idx"), (index, crate::keeper::TAIL), (snapshots, "snap")];
    for (dir, ending) in all {
        let paths: Vec<PathBuf> = files::list(dir, ending)?;
        paths.iter().try_for_each(|path| files::remove(path))?;
    }
    Ok(())
}

impl Found {
    /// Whether there is a segment that was missing when the snapshot was taken, and was put back.
    fn is_outdated(&self, segments: &[u64]) -> bool {
        let Self { snapshot, indexes, tail } = self;
        let covered = indexes.first().or(tail.as_ref()).map(|file| file.range().start);
        let covered = snapshot.start..covered.unwrap_or(snapshot.position);
        segments.iter().any(|start| covered.contains(start))
    }

    fn restore(&self, tables: &Tables) -> Result<(), FileError> {
        self.snapshot.restore(tables);
        for file in &self.indexes {
            restore_runs(tables, file)?;
        }
        if let Some(tail) = &self.tail {
            restore_tail(tables, tail)?;
        }
        let start = self.snapshot.start;
        tables.shore.floor.trim(start, tables.indexes.first_above(start));
        Ok(())
    }
}

/// Takes over the rows of an index file, but for those of topics that were deleted since.
fn restore_runs(tables: &Tables, file: &IndexFile) -> Result<(), FileError> {
    let (range, (first_ms, last_ms)) = (file.range().clone(), file.times());
    let end = range.end;
    let number = tables.indexes.add(Covered { range, first_ms, last_ms });
    for (row, number_of_row) in file.rows()?.zip(0..) {
        let topic = tables.topics.get(row.topic).filter(|topic| topic.id() < end);
        if let Some(queue) = topic.as_ref().and_then(|topic| topic.queue(row.queue)) {
            let run = Run { first: row.first, file: number, row: number_of_row };
            queue.entries().restore(run, row.count);
            queue.raise_next(row.first + row.count);
        }
    }
    Ok(())
}

/// Takes over what was in memory at a clean stop.
fn restore_tail(tables: &Tables, file: &IndexFile) -> Result<(), FileError> {
    let mut step = [Entry::default(); 256];
    for row in file.rows()? {
        let topic = tables.topics.get(row.topic).filter(|topic| topic.id() < file.range().end);
        let Some(queue) = topic.as_ref().and_then(|topic| topic.queue(row.queue)) else { continue };
        // Messages between two rows, or behind the last one, are lost.
        queue.entries().go_on_at(row.first);
        let mut done = 0;
        while done < row.count {
            let count = file.copy_entries(row, done, &mut step)?;
            for (entry, at) in step[..count].iter().zip(row.first + done..) {
                let _ = queue.entries().push(at, *entry);
            }
            done += count as u64;
        }
        queue.raise_next(row.first + row.count);
    }
    let mut keys = file.keys()?;
    keys.sort_unstable_by_key(|key| key.physical);
    keys.chunks(1024).for_each(|keys: &[KeyEntry]| tables.keys.extend(keys));
    Ok(())
}

/// Tells the keeper that recovery is over.
pub(crate) fn announce(thread: &KeeperThread, log: &Arc<Log<Dispatcher>>) {
    let _ = thread.jobs.send(Job::Opened(Arc::clone(log)));
}
