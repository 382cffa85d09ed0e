//! Faults to inject, for the tests of this crate and of those above it.
//!
//! Production code passes [`Faults::none`], which costs one branch per write and flush.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

/// One thing that goes wrong. Operations of each kind are counted from 0, since the plan was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The n-th frame write fails and leaves nothing.
    Write(u64),
    /// The n-th frame write stores `bytes` bytes, then fails.
    TornWrite { write: u64, bytes: usize },
    /// The n-th frame write stores `bytes` bytes first and the rest when asked again.
    ShortWrite { write: u64, bytes: usize },
    /// The n-th flush of a segment fails.
    Flush(u64),
    /// Preallocations `first..first + count` find the disk full.
    Preallocation { first: u64, count: u64 },
    /// The n-th sync of a directory fails.
    DirectorySync(u64),
}

/// A plan of faults; clones share their counters.
#[derive(Debug, Clone, Default)]
pub struct Faults(Option<Arc<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    faults: Mutex<Vec<Fault>>,
    writes: AtomicU64,
    flushes: AtomicU64,
    preallocations: AtomicU64,
    directory_syncs: AtomicU64,
}

/// How a frame write has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteFate {
    Whole,
    /// Store this many bytes, then fail.
    Torn(usize),
    /// Store this many bytes with the first system call.
    Short(usize),
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self(None)
    }

    pub fn plan(faults: impl IntoIterator<Item = Fault>) -> Self {
        let faults = Mutex::new(faults.into_iter().collect());
        Self(Some(Arc::new(Plan { faults, ..Plan::default() })))
    }

    /// Forgets all faults still to come, as when an administrator frees disk space.
    pub fn clear(&self) {
        if let Some(plan) = &self.0 {
            plan.faults.lock().clear();
        }
    }

    /// Frame writes and flushes so far; 0 for [`Faults::none`].
    pub fn writes_and_flushes(&self) -> (u64, u64) {
        let count = |c: &AtomicU64| c.load(Ordering::Relaxed);
        self.0.as_ref().map_or((0, 0), |plan| (count(&plan.writes), count(&plan.flushes)))
    }

    pub(crate) fn write(&self) -> WriteFate {
        let Some(plan) = &self.0 else { return WriteFate::Whole };
        let now = plan.writes.fetch_add(1, Ordering::Relaxed);
        let fate = plan.faults.lock().iter().find_map(|fault| match *fault {
            Fault::Write(n) if n == now => Some(WriteFate::Torn(0)),
            Fault::TornWrite { write, bytes } if write == now => Some(WriteFate::Torn(bytes)),
            Fault::ShortWrite { write, bytes } if write == now => Some(WriteFate::Short(bytes)),
            _ => None,
        });
        fate.unwrap_or(WriteFate::Whole)
    }

    pub(crate) fn flush(&self) -> io::Result<()> {
        let hits = |fault: &Fault, now| matches!(*fault, Fault::Flush(n) if n == now);
        self.check(|plan| &plan.flushes, hits, injected)
    }

    pub(crate) fn preallocation(&self) -> io::Result<()> {
        let hits = |fault: &Fault, now| matches!(*fault, Fault::Preallocation { first, count } if (first..first.saturating_add(count)).contains(&now));
        self.check(|plan| &plan.preallocations, hits, || io::ErrorKind::StorageFull.into())
    }

    pub(crate) fn directory_sync(&self) -> io::Result<()> {
        let hits = |fault: &Fault, now| matches!(*fault, Fault::DirectorySync(n) if n == now);
        self.check(|plan| &plan.directory_syncs, hits, injected)
    }

    fn check(
        &self,
        counter: impl Fn(&Plan) -> &AtomicU64,
        hits: impl Fn(&Fault, u64) -> bool,
        error: impl Fn() -> io::Error,
    ) -> io::Result<()> {
        let Some(plan) = &self.0 else { return Ok(()) };
        let now = counter(plan).fetch_add(1, Ordering::Relaxed);
        let hit = plan.faults.lock().iter().any(|fault| hits(fault, now));
        if hit { Err(error()) } else { Ok(()) }
    }
}

/// What a disk says when it is about to die.
pub(crate) fn injected() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}
