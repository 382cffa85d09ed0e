//! Who has to be woken when the log's confirmed position, or a queue, gets further.
//!
//! Answers and parked pulls live in the session of their connection. Here is only who waits for
//! what, so that the thread that confirms does nothing but wake connections, each once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use rocketkube_store::Queue;

/// A connection that can be woken: its session then looks at what it was waiting for.
pub(crate) trait Wake {
    fn wake(&self);
}

/// Connections whose answers wait for a position of the log.
#[derive(Debug)]
pub(crate) struct Confirmations<P> {
    waiting: Mutex<BinaryHeap<Waiting<P>>>,
}

#[derive(Debug)]
struct Waiting<P> {
    position: Reverse<u64>,
    peer: P,
}

impl<P> PartialEq for Waiting<P> {
    fn eq(&self, other: &Self) -> bool {
        self.position == other.position
    }
}

impl<P> Eq for Waiting<P> {}

impl<P> PartialOrd for Waiting<P> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> Ord for Waiting<P> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.position.cmp(&other.position)
    }
}

impl<P: Wake> Confirmations<P> {
    pub(crate) fn new() -> Self {
        Self { waiting: Mutex::new(BinaryHeap::new()) }
    }

    /// `peer` is woken once `position` is confirmed. The caller looks at the confirmed position
    /// again after this call, because it may have passed in between.
    pub(crate) fn wait(&self, position: u64, peer: P) {
        self.waiting.lock().push(Waiting { position: Reverse(position), peer });
    }

    /// How many answers, or runs of answers, wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().len()
    }

    /// Wakes everybody who waits for `confirmed` or less.
    pub(crate) fn confirmed(&self, confirmed: u64) {
        let mut waiting = self.waiting.lock();
        while let Some(first) = waiting.peek()
            && first.position.0 <= confirmed
        {
            if let Some(reached) = waiting.pop() {
                reached.peer.wake();
            }
        }
    }
}

/// Names a queue in the table of parked pulls: its address, which stays its own while a pull is
/// parked there, because the pull holds it.
pub(crate) type QueueKey = usize;

pub(crate) fn queue_key(queue: &Arc<Queue>) -> QueueKey {
    Arc::as_ptr(queue).addr()
}

/// Connections with parked pulls, by queue and by deadline.
#[derive(Debug)]
pub(crate) struct Parked<P> {
    /// By queue, then by connection, so that one that parks again and again is there once.
    by_queue: Mutex<HashMap<QueueKey, BTreeMap<u64, P>>>,
    /// By connection: the earliest deadline among its parked pulls, or one that has passed since.
    deadlines: Mutex<HashMap<u64, (i64, P)>>,
}

impl<P: Wake + Clone> Parked<P> {
    pub(crate) fn new() -> Self {
        Self { by_queue: Mutex::new(HashMap::new()), deadlines: Mutex::new(HashMap::new()) }
    }

    /// `peer` is woken by the next message in `queue`. The caller looks at the queue again after
    /// this call, because a message may have come in between.
    pub(crate) fn watch(&self, queue: QueueKey, connection: u64, peer: P) {
        self.by_queue.lock().entry(queue).or_default().insert(connection, peer);
    }

    /// The connection is woken at `deadline_ms`, once; then it says its next deadline, if it has one.
    pub(crate) fn wake_at(&self, connection: u64, deadline_ms: i64, peer: P) {
        let mut deadlines = self.deadlines.lock();
        let (earliest, _) = deadlines.entry(connection).or_insert((deadline_ms, peer));
        *earliest = deadline_ms.min(*earliest);
    }

    /// Forgets a closed connection.
    pub(crate) fn disconnected(&self, connection: u64) {
        self.deadlines.lock().remove(&connection);
    }

    /// New messages can be read from `queue`: wakes whoever parked there, and forgets them.
    pub(crate) fn arrived(&self, queue: QueueKey) {
        let waiting = self.by_queue.lock().remove(&queue);
        for peer in waiting.unwrap_or_default().values() {
            peer.wake();
        }
    }

    /// Wakes whoever has a deadline at `now_ms` or before.
    pub(crate) fn expire(&self, now_ms: i64) {
        self.deadlines.lock().retain(|_, (deadline, peer)| {
            let due = *deadline <= now_ms;
            if due {
                peer.wake();
            }
            !due
        });
    }

    /// Forgets entries that `gone` says nobody waits behind, so that queues without traffic do not
    /// collect the pulls of clients that left.
    pub(crate) fn forget(&self, gone: impl Fn(&P) -> bool) {
        self.by_queue.lock().retain(|_, peers| {
            peers.retain(|_, peer| !gone(peer));
            !peers.is_empty()
        });
    }

    /// Wakes everybody: the broker is stopping and each parked pull gets its answer now.
    pub(crate) fn wake_all(&self) {
        for (_, peers) in self.by_queue.lock().drain() {
            peers.values().for_each(Wake::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Sleeper(Arc<AtomicUsize>);

    impl Sleeper {
        fn woken(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Wake for Sleeper {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_connection_wakes_when_its_position_is_confirmed_and_not_before() {
        let confirmations = Confirmations::new();
        let (early, late) = (Sleeper::default(), Sleeper::default());
        confirmations.wait(200, late.clone());
        confirmations.wait(100, early.clone());
        confirmations.confirmed(99);
        assert_eq!((early.woken(), late.woken()), (0, 0));
        confirmations.confirmed(100);
        assert_eq!((early.woken(), late.woken()), (1, 0));
        confirmations.confirmed(1000);
        assert_eq!((early.woken(), late.woken()), (1, 1));
    }

    #[test]
    fn a_parked_pull_wakes_by_its_queue_only() {
        let parked = Parked::new();
        let sleeper = Sleeper::default();
        parked.watch(1, 7, sleeper.clone());
        parked.arrived(2);
        assert_eq!(sleeper.woken(), 0);
        parked.arrived(1);
        parked.arrived(1);
        assert_eq!(sleeper.woken(), 1);
    }

    #[test]
    fn a_connection_that_parks_again_and_again_is_remembered_once() {
        let parked = Parked::new();
        let sleeper = Sleeper::default();
        (0..100).for_each(|_| parked.watch(1, 7, sleeper.clone()));
        parked.arrived(1);
        assert_eq!(sleeper.woken(), 1);
    }

    #[test]
    fn a_parked_pull_wakes_at_its_deadline() {
        let parked = Parked::new();
        let sleeper = Sleeper::default();
        parked.wake_at(7, 2_000, sleeper.clone());
        parked.wake_at(7, 1_000, sleeper.clone());
        parked.expire(999);
        assert_eq!(sleeper.woken(), 0);
        parked.expire(1_000);
        parked.expire(3_000);
        assert_eq!(sleeper.woken(), 1);
    }

    #[test]
    fn entries_of_connections_that_left_are_forgotten() {
        let parked = Parked::new();
        let sleeper = Sleeper::default();
        parked.watch(1, 7, sleeper.clone());
        parked.forget(|_| true);
        parked.arrived(1);
        assert_eq!(sleeper.woken(), 0);
    }
}
