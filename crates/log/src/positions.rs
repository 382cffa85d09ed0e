//! The positions everybody reads: lock-free, each only growing.

use std::sync::atomic::{AtomicU64, Ordering};

/// In `confirmed`: nothing may be confirmed any more. Offsets stay far below it.
const FAILED: u64 = 1 << 63;

/// Physical offsets, each the end of what it names.
#[derive(Debug)]
pub(crate) struct Positions {
    start: AtomicU64,
    appended: AtomicU64,
    durable: AtomicU64,
    /// Carries [`FAILED`] too, so that no confirmation can slip past a failure.
    confirmed: AtomicU64,
}

impl Positions {
    /// All that recovery found is durable by then.
    pub(crate) fn new(start: u64, end: u64) -> Self {
        Self {
            start: start.into(),
            appended: end.into(),
            durable: end.into(),
            confirmed: end.into(),
        }
    }

    pub(crate) fn start(&self) -> u64 {
        self.start.load(Ordering::Acquire)
    }

    pub(crate) fn appended(&self) -> u64 {
        self.appended.load(Ordering::SeqCst)
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Acquire) & !FAILED
    }

    pub(crate) fn failed(&self) -> bool {
        self.confirmed.load(Ordering::Acquire) & FAILED != 0
    }

    pub(crate) fn set_start(&self, start: u64) {
        self.start.fetch_max(start, Ordering::AcqRel);
    }

    /// Sequentially consistent: the appender then asks whether the flush thread is parked, which
    /// parks and then asks for this; one of them has to see the other.
    pub(crate) fn set_appended(&self, end: u64) {
        self.appended.store(end, Ordering::SeqCst);
    }

    pub(crate) fn set_durable(&self, end: u64) {
        self.durable.fetch_max(end, Ordering::AcqRel);
    }

    /// False if `end` was confirmed before, or nothing may be confirmed any more.
    pub(crate) fn confirm(&self, end: u64) -> bool {
        let grow = |now: u64| (now & FAILED == 0 && now < end).then_some(end);
        self.confirmed.fetch_update(Ordering::AcqRel, Ordering::Acquire, grow).is_ok()
    }

    /// True for the first failure only.
    pub(crate) fn fail(&self) -> bool {
        self.confirmed.fetch_or(FAILED, Ordering::AcqRel) & FAILED == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirmed_never_goes_back_and_stops_at_a_failure() {
        let positions = Positions::new(0, 100);
        assert!(positions.confirm(200));
        assert!(!positions.confirm(150));
        assert_eq!(positions.confirmed(), 200);
        assert!(positions.fail());
        assert!(!positions.fail());
        assert!(!positions.confirm(300));
        assert_eq!((positions.confirmed(), positions.failed()), (200, true));
    }
}
