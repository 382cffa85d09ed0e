//! The log as others see it.

use std::{fmt, ops::Range, sync::Arc};

use parking_lot::Mutex;

use crate::{
    append::{Appended, Queue, Tail, Ticket},
    core::Core,
    damage::Damage,
    error::{AppendError, LogError, ReadError},
    machine::{Item, Machine},
    open::{Opened, open},
    options::{Flush, Options},
    read::FileRange,
    recovery::Recovery,
    threads::Threads,
};

/// An append-only log of items, and the machine that follows it.
///
/// Dropping it without `close` stops the threads and flushes nothing: to the next opening that
/// looks like a kill.
pub struct Log<M: Machine> {
    core: Arc<Core>,
    /// Locked for a push only. Order: never while holding it lock anything else.
    queue: Mutex<Queue<M::Batch>>,
    tail: Mutex<Tail<M>>,
    threads: Mutex<Option<Threads>>,
}

impl<M: Machine> Log<M> {
    /// Opens or makes the log and feeds the machine with every item from `resume` on; the machine
    /// already holds everything below. `resume` is 0, the end of a frame, or the end of a segment.
    pub fn open(
        options: Options,
        machine: M,
        resume: u64,
    ) -> Result<(Arc<Self>, Recovery), LogError> {
        let Opened { core, machine, position, progress, recovery } =
            open(options, machine, resume)?;
        let core = Arc::new(core);
        let threads = Threads::start(&core, progress)?;
        let log = Self {
            core,
            queue: Mutex::new(Queue::new()),
            tail: Mutex::new(Tail::new(machine, position)),
            threads: Mutex::new(Some(threads)),
        };
        Ok((Arc::new(log), recovery))
    }

    /// Stamps, writes and applies a batch, possibly together with those of other callers.
    ///
    /// On return it is appended, not yet confirmed: wait for `confirmed` to reach its `end`.
    pub fn append(&self, batch: M::Batch, now_ms: i64) -> Result<Appended<M::Batch>, AppendError> {
        self.append_from(batch, now_ms, false)
    }

    /// Like `append`, and may use the space kept for state records while the disk is full.
    pub fn append_reserved(
        &self,
        batch: M::Batch,
        now_ms: i64,
    ) -> Result<Appended<M::Batch>, AppendError> {
        self.append_from(batch, now_ms, true)
    }

    fn append_from(
        &self,
        batch: M::Batch,
        now_ms: i64,
        reserved: bool,
    ) -> Result<Appended<M::Batch>, AppendError> {
        let ticket = self.queue.lock().push(batch, now_ms, reserved);
        self.complete(ticket)
    }

    /// Queues a batch without waiting for the tail. It is appended by whoever appends next, at the
    /// latest by [`Log::complete`]: those who submit in turn and complete afterwards share a frame.
    pub fn submit(&self, batch: M::Batch, now_ms: i64) -> Ticket {
        self.queue.lock().push(batch, now_ms, false)
    }

    /// Appends what is queued, unless somebody has, and gives the outcome of a batch.
    pub fn complete(&self, ticket: Ticket) -> Result<Appended<M::Batch>, AppendError> {
        let ticket = ticket.redeem();
        let (outcome, combined) = {
            let mut tail = self.tail.lock();
            if let Some(outcome) = tail.fetch(ticket) {
                (outcome, None)
            } else {
                let combined = tail.combine(&self.core, &self.queue);
                let outcome = tail.fetch(ticket);
                (outcome.unwrap_or(Err(AppendError::Failed)), Some(combined))
            }
        };
        match combined {
            None => {}
            Some(Ok(())) => self.announce(),
            Some(Err(error)) => self.core.fail(&error),
        }
        outcome
    }

    /// Tells the flush thread, or everybody, how far the log goes now.
    fn announce(&self) {
        self.core.flusher.appended();
        if self.core.flush_mode == Flush::Async {
            self.core.confirm(self.core.positions.appended());
        }
    }

    /// First retained physical offset.
    pub fn start(&self) -> u64 {
        self.core.positions.start()
    }

    /// End of what was handed to the kernel.
    pub fn appended(&self) -> u64 {
        self.core.positions.appended()
    }

    /// End of what is known to be on disk.
    pub fn durable(&self) -> u64 {
        self.core.positions.durable()
    }

    /// End of what may be shown and acknowledged. Never goes back.
    pub fn confirmed(&self) -> u64 {
        self.core.positions.confirmed()
    }

    /// The random number that the log was born with.
    pub fn store_id(&self) -> [u8; 16] {
        self.core.id.0
    }

    /// Whether a write or flush has failed. Reads go on; nothing else does.
    pub fn failed(&self) -> bool {
        self.core.positions.failed()
    }

    /// Fills the buffer from a physical offset on. The bytes lie in one segment and were appended.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.core.read_at(offset, buffer)
    }

    /// As [`Log::read_at`] where that takes no time: false, with the buffer undefined, if the disk
    /// would have to be waited for or the bytes have not been verified since the start.
    pub fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool, ReadError> {
        self.core.read_cached(offset, buffer)
    }

    /// Whether [`Log::file_range`] and sending its bytes will take no time, as far as can be told.
    pub fn is_cached(&self, offset: u64, length: u32) -> bool {
        self.core.is_cached(offset, length)
    }

    /// The same bytes as a part of a file, for `sendfile`.
    pub fn file_range(&self, offset: u64, length: u32) -> Result<FileRange, ReadError> {
        self.core.file_range(offset, length)
    }

    /// Looks at, or changes, the machine between two appends. Must be quick: appending waits.
    pub fn with_machine<R>(&self, f: impl FnOnce(&mut M) -> R) -> R {
        f(&mut self.tail.lock().machine)
    }

    /// Visits the verified items that start in the range, in order. Stops at damage with an error
    /// that names its range; a caller who wants the rest goes on at that range's end.
    pub fn walk(&self, range: Range<u64>, f: &mut dyn FnMut(Item<'_>)) -> Result<(), ReadError> {
        self.core.walk(range, f)
    }

    /// Waits until `durable` reaches `offset`, which may be the end of a segment that was sealed.
    pub fn flush_to(&self, offset: u64) -> Result<(), LogError> {
        self.core.flusher.flush_to(&self.core, offset)
    }

    /// Deletes the segments that lie wholly below `new_start`; the last one always stays.
    /// Readers that hold a `FileRange` keep their file.
    pub fn trim(&self, new_start: u64) -> Result<(), LogError> {
        self.core.trim(new_start)
    }

    /// Notes as lost what is missing in front of a log that the caller knows to have been retained
    /// from `start` on; gives it, if anything is.
    pub fn note_missing_front(&self, start: u64) -> Option<Damage> {
        self.core.note_missing_front(start)
    }

    /// Ranges of the retained segments in order; the last one is being written.
    pub fn segments(&self) -> Vec<Range<u64>> {
        self.core.segments.ranges()
    }

    /// Bytes of the volume that are set aside for what will be appended: used, to the volume, and
    /// empty.
    pub fn set_aside(&self) -> u64 {
        let rest = self.core.segments.end().saturating_sub(self.appended());
        rest + self.core.space.ready_bytes()
    }

    /// Ranges known to be lost.
    pub fn damage(&self) -> Vec<Damage> {
        self.core.damage.all()
    }

    /// Flushes everything, marks the stop as clean and lets the next process in. Appending is
    /// refused from then on; reading still works. Closing again does nothing.
    pub fn close(&self) -> Result<(), LogError> {
        self.tail.lock().closed = true;
        let Some(threads) = self.threads.lock().take() else { return Ok(()) };
        let flushed = self.flush_to(self.appended());
        let progress = threads.stop(&self.core);
        let marked = flushed.and_then(|()| match progress {
            Some(mut progress) if !self.failed() => progress.mark(self.durable(), true),
            _ => Err(LogError::Failed),
        });
        self.core.directory.unlock();
        marked
    }
}

impl<M: Machine> Drop for Log<M> {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.lock().take() {
            threads.stop(&self.core);
        }
    }
}

impl<M: Machine> fmt::Debug for Log<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("core", &self.core).finish_non_exhaustive()
    }
}
