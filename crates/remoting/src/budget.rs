//! The memory that peers make a server hold: frames of which a part has come, and what is left
//! because a peer does not take its answers. One account for all connections.
//!
//! A request that comes in one read is not booked, nor is what is small: it never waits for the large
//! ones of others. A large frame is booked whole before the rest of it is read, so that frames which
//! were let in can always be finished. The larger it is the more room it has to leave: the longest
//! frames fill half of the account, and whoever sends them keeps nobody from sending shorter ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::Peer;

/// Bytes that every connection may hold without asking.
pub(crate) const FREE: usize = 16 * 1024;

/// The account.
#[derive(Debug)]
pub(crate) struct Budget {
    max: usize,
    /// Size of the longest frame.
    longest: usize,
    held: AtomicUsize,
    queue: Mutex<Queue>,
}

/// Connections that are not read until there is room: short frames in front, and of a size those that
/// came first.
#[derive(Debug, Default)]
struct Queue {
    next: u64,
    waiting: BTreeMap<Place, Arc<Peer>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    size: usize,
    number: u64,
}

impl Budget {
    /// Room for `max` bytes, and for two of the longest frames at least.
    pub(crate) fn new(max: usize, longest: usize) -> Self {
        let max = max.max(longest.saturating_mul(2));
        Self { max, longest, held: AtomicUsize::new(0), queue: Mutex::default() }
    }

    /// What may be held with a frame of `size` bytes.
    fn max_with(&self, size: usize) -> usize {
        let (half, longest) = (self.max / 2, self.longest.max(1));
        // In this order it cannot overflow: a share of the longest frame in 1024ths.
        self.max - half / 1024 * (size.min(longest) * 1024 / longest)
    }

    /// Whether nothing large should be begun.
    pub(crate) fn is_full(&self) -> bool {
        self.held.load(Ordering::Relaxed) >= self.max
    }

    /// Books bytes more for a frame of `size` if there is room for them.
    fn take(&self, bytes: usize, size: usize) -> bool {
        let max = self.max_with(size);
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= max);
        self.held.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::AcqRel);
        self.offer();
    }

    /// Wakes those at the head of the queue for whom there is room now.
    pub(crate) fn offer(&self) {
        let mut queue = self.queue.lock();
        let mut held = self.held.load(Ordering::Acquire);
        while let Some(first) = queue.waiting.first_entry() {
            let size = first.key().size;
            held = held.saturating_add(size);
            if held > self.max_with(size) {
                break;
            }
            first.remove().wake();
        }
    }
}

/// What one connection has booked; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    /// None as long as nothing was ever booked.
    budget: Option<Arc<Budget>>,
    bytes: usize,
    /// Size of the frame that was let in.
    frame: usize,
    /// Its place in the queue, or one that it had.
    place: Option<Place>,
}

impl Charge {
    /// Lets a frame of `size` in, if it was not, and has `peer` woken when it may be tried again if
    /// there is no room for it.
    pub(crate) fn let_in(&mut self, budget: &Arc<Budget>, size: usize, peer: &Arc<Peer>) -> bool {
        if self.frame == 0 {
            self.budget.get_or_insert_with(|| Arc::clone(budget));
            // Under the lock, so that whoever gives back finds either the booking or the place.
            let mut queue = budget.queue.lock();
            if !budget.take(size.saturating_sub(self.bytes), size) {
                let queued = self.place.is_some_and(|place| queue.waiting.contains_key(&place));
                if !queued {
                    let place = Place { size, number: queue.next };
                    queue.next += 1;
                    queue.waiting.insert(place, Arc::clone(peer));
                    self.place = Some(place);
                }
                return false;
            }
            if let Some(place) = self.place.take() {
                queue.waiting.remove(&place);
            }
            self.bytes = self.bytes.max(size);
            self.frame = size;
        }
        true
    }

    /// Whether the connection is not read for want of room.
    pub(crate) fn waits(&self) -> bool {
        self.place.is_some()
    }

    /// Whether a frame was let in that has not been handled.
    pub(crate) fn has_frame(&self) -> bool {
        self.frame > 0
    }

    /// The frame that was let in was handled.
    pub(crate) fn handled(&mut self, budget: &Arc<Budget>) {
        self.frame = 0;
        self.hold(budget, 0);
    }

    /// Books what is held now, besides the rest of a frame that was let in: it is there, room or not.
    pub(crate) fn hold(&mut self, budget: &Arc<Budget>, held: usize) {
        let held = if held > FREE { held } else { 0 };
        let (before, now) = (self.bytes, held.max(self.frame));
        self.bytes = now;
        if now > before {
            self.budget.get_or_insert_with(|| Arc::clone(budget));
            budget.held.fetch_add(now - before, Ordering::AcqRel);
        } else if now < before {
            budget.give_back(before - now);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let Some(budget) = &self.budget else { return };
        if let Some(place) = self.place {
            budget.queue.lock().waiting.remove(&place);
        }
        if self.bytes > 0 {
            budget.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: u64) -> Arc<Peer> {
        Peer::new(id, ([127, 0, 0, 1], 1).into(), usize::MAX)
    }

    fn is_woken(peer: &Peer) -> bool {
        peer.collect(&mut crate::Output::default(), false).1
    }

    #[test]
    fn frames_are_let_in_whole_as_long_as_there_is_room() {
        let (budget, peers) = (Arc::new(Budget::new(200_000, 60_000)), [1, 2, 3].map(peer));
        let mut charges: [Charge; 3] = Default::default();
        let let_in =
            |charges: &mut [Charge; 3], n: usize| charges[n].let_in(&budget, 60_000, &peers[n]);
        assert!(let_in(&mut charges, 0) && let_in(&mut charges, 0), "once is enough");
        assert!(!let_in(&mut charges, 1) && charges[1].waits());
        assert!(!let_in(&mut charges, 2) && !let_in(&mut charges, 1));
        charges[0].handled(&budget);
        assert_eq!(peers.each_ref().map(|peer| is_woken(peer)), [false, true, false]);
        assert!(let_in(&mut charges, 1) && !charges[1].waits());
        charges[1] = Charge::default();
        assert!(is_woken(&peers[2]));
        assert!(let_in(&mut charges, 2));
        drop(charges);
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_held_all_the_same_is_booked_and_keeps_frames_out() {
        let budget = Arc::new(Budget::new(100_000, 50_000));
        let (mut held, mut frame) = (Charge::default(), Charge::default());
        held.hold(&budget, FREE);
        assert!(held.budget.is_none(), "small amounts are not booked");
        held.hold(&budget, 150_000);
        assert!(budget.is_full() && !frame.let_in(&budget, 20_000, &peer(1)));
        held.hold(&budget, 50_000);
        assert!(frame.let_in(&budget, 20_000, &peer(1)));
        frame.hold(&budget, 30_000);
        assert_eq!(budget.held.load(Ordering::Relaxed), 80_000);
        frame.handled(&budget);
        drop(held);
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_longest_frames_leave_half_to_shorter_ones_which_also_go_first() {
        let budget = Arc::new(Budget::new(1 << 20, 1 << 18));
        let [first, second, long, short] = [1, 2, 3, 4].map(peer);
        let mut charges: [Charge; 4] = Default::default();
        assert!(charges[0].let_in(&budget, 1 << 18, &first));
        assert!(charges[1].let_in(&budget, 1 << 18, &second));
        assert!(!charges[2].let_in(&budget, 1 << 18, &long));
        assert!(charges[3].let_in(&budget, 1 << 17, &short), "three quarters are for such");
        let mut more: [Charge; 2] = Default::default();
        assert!(more[0].let_in(&budget, 1 << 17, &short));
        assert!(!more[1].let_in(&budget, 1 << 17, &short));
        more[0] = Charge::default();
        assert!(is_woken(&short) && !is_woken(&long));
    }

    #[test]
    fn who_is_gone_holds_no_place() {
        let budget = Arc::new(Budget::new(200_000, 90_000));
        let (mut first, mut gone, mut last) =
            (Charge::default(), Charge::default(), Charge::default());
        let waiting = peer(3);
        assert!(first.let_in(&budget, 90_000, &peer(1)));
        assert!(!gone.let_in(&budget, 90_000, &peer(2)));
        assert!(!last.let_in(&budget, 90_000, &waiting));
        drop(gone);
        drop(first);
        assert!(is_woken(&waiting));
    }
}
