//! All connections of a server, their deadlines, and the one task that looks at them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{self, MissedTickBehavior};

use crate::budget::Budget;
use crate::{CloseReason, Peer};

/// How often deadlines are looked at, and the unit they are kept in: what a deadline may be late.
/// Reading a coarse clock costs a connection nothing, and a sweep of 10,000 deadlines under 1 ms.
const TICK: Duration = Duration::from_millis(500);

/// When a connection is to be closed unless something happens, and why.
#[derive(Debug)]
pub(crate) struct Deadline(AtomicU64);

impl Default for Deadline {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Deadline {
    /// Tick and reason in one word, so that the sweep cannot see one without the other.
    pub(crate) fn set(&self, tick: u32, reason: CloseReason) {
        self.0.store(u64::from(tick) << 8 | u64::from(reason as u8), Ordering::Relaxed);
    }

    /// Its tick, if it is for this reason.
    pub(crate) fn tick_of(&self, reason: CloseReason) -> Option<u32> {
        let word = self.0.load(Ordering::Relaxed);
        let is_it = word.to_le_bytes()[0] == reason as u8;
        u32::try_from(word >> 8).ok().filter(|_| is_it)
    }

    fn passed(&self, now: u32) -> Option<CloseReason> {
        let word = self.0.load(Ordering::Relaxed);
        let reason = CloseReason::ALL.get(usize::from(word.to_le_bytes()[0])).copied();
        reason.filter(|_| word >> 8 <= u64::from(now))
    }
}

/// All connections of a server.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    peers: Mutex<HashMap<u64, Arc<Peer>>>,
    next_id: AtomicU64,
    now: AtomicU32,
}

impl Registry {
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn add(&self, peer: &Arc<Peer>) {
        self.peers.lock().insert(peer.id(), Arc::clone(peer));
    }

    pub(crate) fn remove(&self, peer: &Peer) {
        self.peers.lock().remove(&peer.id());
    }

    /// The coarse clock, in ticks since the server was bound.
    pub(crate) fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// The coarse clock, in seconds.
    pub(crate) fn second(&self) -> u32 {
        (TICK * self.now()).as_secs().try_into().unwrap_or(u32::MAX)
    }

    /// The tick when `after` has surely passed.
    pub(crate) fn tick_after(&self, after: Duration) -> u32 {
        let ticks = u32::try_from(after.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX);
        // One more, because part of the current tick has gone already.
        ticks.saturating_add(self.now()).saturating_add(1)
    }

    pub(crate) fn finish_all(&self) {
        self.peers.lock().values().for_each(|peer| peer.finish());
    }

    /// Whether somebody is still promised an answer.
    pub(crate) fn has_promises(&self) -> bool {
        self.peers.lock().values().any(|peer| peer.is_promised())
    }

    pub(crate) fn close_all(&self, reason: CloseReason) {
        self.peers.lock().values().for_each(|peer| peer.close_for(reason));
    }

    /// Moves the clock, closes what is overdue, and has room used that was offered to somebody who did
    /// not take it; for ever.
    pub(crate) async fn sweep(&self, budget: &Budget) {
        let start = time::Instant::now();
        let mut interval = time::interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            interval.tick().await;
            let now = start.elapsed().as_millis() / TICK.as_millis();
            let now = u32::try_from(now).unwrap_or(u32::MAX);
            self.now.store(now, Ordering::Relaxed);
            for peer in self.peers.lock().values() {
                if let Some(reason) = peer.deadline.passed(now) {
                    peer.close_for(reason);
                }
            }
            budget.offer();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_at_its_tick_with_its_reason() {
        let deadline = Deadline::default();
        assert_eq!(deadline.passed(u32::MAX), None);
        deadline.set(7, CloseReason::Idle);
        assert_eq!(deadline.passed(6), None);
        assert_eq!(deadline.passed(7), Some(CloseReason::Idle));
    }

    #[test]
    fn reasons_keep_their_numbers() {
        for (number, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }
}
