//! The next segment, allocated by a thread of its own before it is needed.
//!
//! A full disk is met here and only here, and so is a process that has too many files open: it refuses
//! new appends and is tried again, while everything already allocated can still be written.

use std::{io, sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;

use crate::{
    core::Core,
    error::LogError,
    segment::{Segment, SegmentHeader},
};

/// Pause between attempts while there is no room.
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
    /// The last attempt found no room for a file.
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

/// Whether there may be room later: on the disk, or among the files that may be open.
fn is_full(error: &LogError) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    let LogError::Io { source, .. } = error else { return false };
    let too_many_open = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    matches!(source.kind(), StorageFull | QuotaExceeded)
        || too_many_open.contains(&source.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn met(source: io::Error) -> bool {
        is_full(&LogError::io("allocate", Path::new("x"))(source))
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_is_a_failure() {
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::MFILE, Errno::NFILE] {
            assert!(met(errno.into()), "{errno}");
        }
        for errno in [Errno::IO, Errno::ROFS, Errno::ACCESS] {
            assert!(!met(errno.into()), "{errno}");
        }
    }
}
