//! Group commit: one thread flushes, for everything appended while it was busy.

use std::{io, time::Instant};

use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{core::Core, error::LogError, options::Flush, progress::ProgressFile};

/// Where the flush thread and those who wait for it meet.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    gate: Mutex<Gate>,
    wake: Condvar,
    flushed: Condvar,
    /// The thread sleeps until something is appended; spares the appender a lock otherwise.
    parked: AtomicBool,
}

#[derive(Debug, Default)]
struct Gate {
    stop: bool,
    /// Somebody waits for everything below this to be durable.
    wanted: u64,
}

impl Flusher {
    /// To be called after every append, without a lock.
    pub(crate) fn appended(&self) {
        if self.parked.load(Ordering::SeqCst) {
            let _gate = self.gate.lock();
            self.wake.notify_one();
        }
    }

    /// Waits until `durable` reaches `offset`, even if nothing reaches that far yet.
    pub(crate) fn flush_to(&self, core: &Core, offset: u64) -> Result<(), LogError> {
        let mut gate = self.gate.lock();
        while core.positions.durable() < offset {
            if core.positions.failed() {
                return Err(LogError::Failed);
            }
            if gate.stop {
                return Err(LogError::Closed);
            }
            gate.wanted = gate.wanted.max(offset);
            self.wake.notify_one();
            self.flushed.wait(&mut gate);
        }
        Ok(())
    }

    /// Ends the thread and everybody's waiting. Does not flush.
    pub(crate) fn stop(&self) {
        self.gate.lock().stop = true;
        self.wake.notify_all();
        self.flushed.notify_all();
    }

    /// Wakes those in `flush_to` after a failure elsewhere.
    pub(crate) fn failed(&self) {
        let _gate = self.gate.lock();
        self.wake.notify_all();
        self.flushed.notify_all();
    }

    /// The flush thread. Gives the progress file back for the mark of a clean stop.
    pub(crate) fn run(&self, core: &Core, mut progress: ProgressFile) -> ProgressFile {
        while let Some(target) = self.due(core) {
            if let Err(error) = core.flush(target) {
                core.fail(&error);
                break;
            }
            if let Err(error) = note(&mut progress, target) {
                core.fail(&error);
                break;
            }
            let confirmed = self.publish(core, target);
            if confirmed {
                (core.on_confirmed)(target);
            }
        }
        progress
    }

    /// Moves `durable`, and with it `confirmed` where that follows; both before anybody in
    /// `flush_to` goes on. True if `confirmed` moved.
    fn publish(&self, core: &Core, target: u64) -> bool {
        let _gate = self.gate.lock();
        core.positions.set_durable(target);
        self.flushed.notify_all();
        core.flush_mode == Flush::Sync && core.positions.confirm(target)
    }

    /// Waits until a flush is due and says up to where; `None` to end.
    fn due(&self, core: &Core) -> Option<u64> {
        let mut gate = self.gate.lock();
        let mut deadline = None;
        loop {
            if gate.stop || core.positions.failed() {
                return None;
            }
            let (durable, appended) = (core.positions.durable(), core.positions.appended());
            if appended == durable {
                self.park(core, &mut gate, durable);
            } else if core.flush_mode == Flush::Sync || gate.wanted > durable {
                return Some(appended);
            } else {
                let deadline =
                    *deadline.get_or_insert_with(|| Instant::now() + core.flush_interval);
                if self.wake.wait_until(&mut gate, deadline).timed_out() {
                    return Some(core.positions.appended());
                }
            }
        }
    }

    /// Sleeps until something is appended behind `durable`, or somebody calls.
    fn park(&self, core: &Core, gate: &mut parking_lot::MutexGuard<'_, Gate>, durable: u64) {
        self.parked.store(true, Ordering::SeqCst);
        if core.positions.appended() == durable {
            self.wake.wait(gate);
        }
        self.parked.store(false, Ordering::SeqCst);
    }
}

fn note(progress: &mut ProgressFile, durable: u64) -> Result<(), LogError> {
    let noted: io::Result<()> = progress.note(durable, false);
    noted.map_err(LogError::io("write", progress.path()))
}
