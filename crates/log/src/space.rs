//! The next segment, allocated by a thread of its own before it is needed.
//!
//! A full disk is met here and only here: it refuses new appends and is tried again, while
//! everything already allocated can still be written.

use std::{io, sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};

use crate::{
    core::Core,
    error::LogError,
    segment::{Segment, SegmentHeader},
};

/// Pause between attempts while the disk is full.
const RETRY: Duration = Duration::from_millis(250);

/// Where the allocating thread and the tail meet.
#[derive(Debug)]
pub(crate) struct Space {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Physical offset at which the next segment starts.
    start: u64,
    ready: Option<Arc<Segment>>,
    /// The last attempt found the disk full.
    full: bool,
    stop: bool,
}

impl Space {
    /// The next segment starts at `start`.
    pub(crate) fn new(start: u64) -> Self {
        let state = State { start, ready: None, full: false, stop: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Whether the next segment is there; waits while it is being made.
    pub(crate) fn is_ready(&self) -> bool {
        let mut state = self.state.lock();
        while state.ready.is_none() && !state.full && !state.stop {
            self.changed.wait(&mut state);
        }
        state.ready.is_some()
    }

    /// Bytes of the next segment, if it is there.
    pub(crate) fn ready_bytes(&self) -> u64 {
        self.state.lock().ready.as_ref().map_or(0, |segment| segment.size)
    }

    /// Hands the next segment over and has the one behind it made.
    pub(crate) fn take(&self) -> Option<Arc<Segment>> {
        let mut state = self.state.lock();
        let segment = state.ready.take()?;
        state.start = segment.end();
        self.changed.notify_all();
        Some(segment)
    }

    /// Ends the thread and everybody's waiting.
    pub(crate) fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_all();
    }

    /// The allocating thread.
    pub(crate) fn run(&self, core: &Core) {
        while let Some(start) = self.wanted() {
            let made = make(core, start);
            let mut state = self.state.lock();
            match made {
                Ok(segment) => {
                    state.full = false;
                    state.ready = Some(Arc::new(segment));
                }
                Err(error) if is_full(&error) => state.full = true,
                Err(error) => {
                    drop(state);
                    // Stops this thread too, and those who wait for it find the log failed.
                    core.fail(&error);
                }
            }
            self.changed.notify_all();
        }
    }

    /// Start of the segment to make now; `None` to end.
    fn wanted(&self) -> Option<u64> {
        let mut state = self.state.lock();
        while state.ready.is_some() && !state.stop {
            self.changed.wait(&mut state);
        }
        if state.full && !state.stop {
            self.changed.wait_for(&mut state, RETRY);
        }
        (!state.stop).then_some(state.start)
    }
}

fn make(core: &Core, start: u64) -> Result<Segment, LogError> {
    let header = SegmentHeader { id: core.id, start, size: core.segment_size, epoch: core.epoch };
    Segment::create(&core.directory, header, &core.faults)
}

fn is_full(error: &LogError) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error, LogError::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
}
