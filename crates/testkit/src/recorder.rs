//! Writing a history down while it happens.
//!
//! Each thread has a [`Lane`] of its own that passes events on in blocks, so that recording does
//! not become the bottleneck of the load that it watches.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{
    event::{Event, Group, Kind, Topic},
    history::{History, HistoryError},
};

/// Events that a lane holds back before it passes them on.
const BLOCK: usize = 1024;

/// The recorder of one run; clones are the same recorder.
#[derive(Debug, Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    started: Instant,
    next_op: AtomicU64,
    sink: Mutex<Sink>,
}

#[derive(Debug)]
enum Sink {
    Memory(Vec<Event>),
    File { path: PathBuf, file: BufWriter<File>, error: Option<io::Error> },
}

/// Where a message is or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub topic: Topic,
    pub queue: u32,
}

impl Position {
    /// Where a send goes whose client chooses the queue; its end says which it was.
    pub const ANY_QUEUE: u32 = u32::MAX;
}

/// One message, as its producer knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    pub producer: u32,
    pub sequence: u64,
    pub hash: u64,
}

/// A send that has been invoked and has to end in exactly one of the three ways.
#[derive(Debug, Clone, Copy)]
#[must_use = "a send that never ends is neither acknowledged nor refused"]
pub struct Op {
    event: Event,
}

/// A commit of consumer progress that has been invoked.
#[derive(Debug, Clone, Copy)]
pub struct ProgressOp {
    event: Event,
}

impl Recorder {
    /// Keeps the events in memory: 64 bytes each.
    pub fn in_memory() -> Self {
        Self::with(Sink::Memory(Vec::new()))
    }

    /// Writes the events to a new file.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let file = BufWriter::with_capacity(BLOCK * Event::SIZE, File::create(path)?);
        Ok(Self::with(Sink::File { path: path.to_owned(), file, error: None }))
    }

    fn with(sink: Sink) -> Self {
        let shared =
            Shared { started: Instant::now(), next_op: AtomicU64::new(1), sink: Mutex::new(sink) };
        Self { shared: Arc::new(shared) }
    }

    /// A lane for one thread; `process` names it in the history.
    pub fn lane(&self, process: u16) -> Lane {
        Lane { shared: Arc::clone(&self.shared), process, block: Vec::with_capacity(BLOCK) }
    }

    /// Everything recorded since the last call, by lanes that have been dropped or flushed.
    pub fn take(&self) -> Result<History, HistoryError> {
        let mut sink = self.shared.sink.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *sink {
            Sink::Memory(events) => Ok(History::new(std::mem::take(events))),
            Sink::File { path, file, error } => {
                let written = error.take().map_or(Ok(()), Err).and_then(|()| file.flush());
                written.map_err(|source| HistoryError::Io { path: path.clone(), source })?;
                History::read(path)
            }
        }
    }
}

impl Shared {
    /// Nanoseconds since the recorder started; 64 bits of them last 584 years.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn accept(&self, block: &mut Vec<Event>) {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *sink {
            Sink::Memory(events) => events.append(block),
            Sink::File { file, error, .. } => {
                let mut write = || block.iter().try_for_each(|e| file.write_all(&e.encode()));
                if error.is_none() {
                    *error = write().err();
                }
                block.clear();
            }
        }
    }
}

/// The recorder's end in one thread. Dropping it passes on what it holds.
#[derive(Debug)]
pub struct Lane {
    shared: Arc<Shared>,
    process: u16,
    block: Vec<Event>,
}

impl Lane {
    /// The recorder's clock, for the `since` of what is about to be asked.
    pub fn now(&self) -> u64 {
        self.shared.now()
    }

    /// A send is about to leave.
    pub fn invoke(&mut self, to: Position, message: Message) -> Op {
        let now = self.now();
        let event = Event {
            time: now,
            since: now,
            op: self.shared.next_op.fetch_add(1, Ordering::Relaxed),
            sequence: message.sequence,
            hash: message.hash,
            queue: to.queue,
            producer: message.producer,
            topic: to.topic,
            process: self.process,
            ..Event::of(Kind::Invoke)
        };
        self.push(event);
        Op { event }
    }

    /// The send was acknowledged at this offset of this queue.
    pub fn ok(&mut self, op: Op, queue: u32, offset: i64) {
        self.end(Event { kind: Kind::Ok, queue, offset, ..op.event });
    }

    /// The send was refused: certainly not stored.
    pub fn refused(&mut self, op: Op) {
        self.end(Event { kind: Kind::Refused, ..op.event });
    }

    /// Nobody knows what became of the send.
    pub fn unknown(&mut self, op: Op) {
        self.end(Event { kind: Kind::Unknown, ..op.event });
    }

    /// A consumer was given this message.
    ///
    /// For a body that is none of ours, give the hash of its bytes and [`Message`] fields that no
    /// producer has: the checkers then report a phantom.
    pub fn deliver(&mut self, group: Group, at: Position, offset: i64, message: Message) {
        let now = self.now();
        self.push(Event {
            time: now,
            since: now,
            offset,
            sequence: message.sequence,
            hash: message.hash,
            queue: at.queue,
            producer: message.producer,
            topic: at.topic,
            group,
            process: self.process,
            ..Event::of(Kind::Deliver)
        });
    }

    /// A commit of progress is about to leave.
    pub fn commit(&mut self, group: Group, at: Position, offset: i64) -> ProgressOp {
        let now = self.now();
        let op = self.shared.next_op.fetch_add(1, Ordering::Relaxed);
        let event =
            Event { time: now, op, ..self.observed(Kind::Commit, group, at, Some(offset), now) };
        self.push(event);
        ProgressOp { event }
    }

    /// The commit was acknowledged.
    pub fn committed(&mut self, op: ProgressOp) {
        self.end(Event { kind: Kind::Committed, ..op.event });
    }

    /// A group's progress was asked for at `since` and is this; `None` if it has none.
    pub fn progress(&mut self, since: u64, group: Group, at: Position, offset: Option<i64>) {
        self.end(self.observed(Kind::Progress, group, at, offset, since));
    }

    /// A queue's smallest offset was asked for at `since` and is this.
    pub fn lowest(&mut self, since: u64, at: Position, offset: i64) {
        self.end(self.observed(Kind::Lowest, Group(0), at, Some(offset), since));
    }

    /// A queue's next offset was asked for at `since` and is this.
    pub fn highest(&mut self, since: u64, at: Position, offset: i64) {
        self.end(self.observed(Kind::Highest, Group(0), at, Some(offset), since));
    }

    /// The test broke something.
    pub fn fault(&mut self) {
        let now = self.now();
        self.push(Event { time: now, since: now, process: self.process, ..Event::of(Kind::Fault) });
    }

    /// Passes on what this lane holds.
    pub fn flush(&mut self) {
        self.shared.accept(&mut self.block);
    }

    fn observed(
        &self,
        kind: Kind,
        group: Group,
        at: Position,
        offset: Option<i64>,
        since: u64,
    ) -> Event {
        Event {
            since,
            offset: offset.unwrap_or(-1),
            queue: at.queue,
            topic: at.topic,
            group,
            process: self.process,
            ..Event::of(kind)
        }
    }

    fn end(&mut self, event: Event) {
        self.push(Event { time: self.now(), ..event });
    }

    fn push(&mut self, event: Event) {
        self.block.push(event);
        if self.block.len() >= BLOCK {
            self.flush();
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;

    const AT: Position = Position { topic: Topic(1), queue: 2 };

    fn record(recorder: &Recorder, lanes: u16, sends: u64) {
        thread::scope(|scope| {
            for process in 0..lanes {
                let mut lane = recorder.lane(process);
                scope.spawn(move || {
                    for sequence in 0..sends {
                        let message = Message { producer: process.into(), sequence, hash: 1 };
                        let op = lane.invoke(AT, message);
                        lane.ok(op, 3, 4);
                    }
                });
            }
        });
    }

    #[test]
    fn an_end_repeats_its_invocation_and_says_when_it_began() {
        let recorder = Recorder::in_memory();
        record(&recorder, 1, 1);
        let history = recorder.take().unwrap();
        let [invoke, ok] = history.events() else { panic!("{history:?}") };
        assert_eq!((invoke.kind, ok.kind), (Kind::Invoke, Kind::Ok));
        assert_eq!((ok.op, ok.since), (invoke.op, invoke.time));
        assert_eq!((ok.queue, ok.offset), (3, 4));
        assert!(recorder.take().unwrap().events().is_empty());
    }

    #[test]
    fn a_file_holds_what_memory_would() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::to_file(&dir.path().join("history")).unwrap();
        record(&recorder, 2, 3_000);
        let history = recorder.take().unwrap();
        assert_eq!(history.events().len(), 12_000);
        let ok = history.events().iter().filter(|event| event.kind == Kind::Ok);
        assert_eq!(ok.count(), 6_000);
    }

    #[test]
    fn a_hundred_thousand_events_take_less_than_a_second() {
        let dir = tempfile::tempdir().unwrap();
        for recorder in
            [Recorder::in_memory(), Recorder::to_file(&dir.path().join("history")).unwrap()]
        {
            let started = Instant::now();
            record(&recorder, 2, 25_000);
            let elapsed = started.elapsed();
            assert_eq!(recorder.take().unwrap().events().len(), 100_000);
            assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
        }
    }
}
