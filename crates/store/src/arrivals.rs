//! Telling those who wait at a queue that messages became visible. Keeps no waiter itself.

use std::{collections::VecDeque, fmt, sync::Arc};

use parking_lot::Mutex;

use crate::queue::{Queue, Shore};

/// Called with a watched queue when new messages of it are visible. Must be quick.
pub type OnArrival = Box<dyn Fn(&Arc<Queue>) + Send + Sync>;

/// Watched queues with messages that are not confirmed yet.
pub(crate) struct Arrivals {
    shore: Arc<Shore>,
    on_arrival: OnArrival,
    /// Ends, in the log, of the first such message of each queue; ascending.
    waiting: Mutex<VecDeque<(u64, Arc<Queue>)>>,
}

impl Arrivals {
    pub(crate) fn new(shore: &Arc<Shore>, on_arrival: OnArrival) -> Self {
        Self { shore: Arc::clone(shore), on_arrival, waiting: Mutex::default() }
    }

    /// A watched queue has a message that ends at `end`.
    pub(crate) fn announce(&self, queue: &Arc<Queue>, end: u64) {
        // Whoever finds this changed a moment later watches anew, and then looks for itself.
        if queue.is_announced() {
            return;
        }
        let mut waiting = self.waiting.lock();
        if !queue.claim_announcement() {
            return;
        }
        let after = waiting.iter().rposition(|(other, _)| *other <= end);
        waiting.insert(after.map_or(0, |index| index + 1), (end, Arc::clone(queue)));
    }

    /// The confirmed position moved.
    pub(crate) fn confirmed(&self) {
        loop {
            // Looked at again each time: what is announced here may be confirmed by now, and the
            // call that confirmed it may have come too early to see it.
            let confirmed = self.shore.confirmed();
            let Some(queue) = self.take_below(confirmed) else { return };
            (self.on_arrival)(&queue);
        }
    }

    fn take_below(&self, confirmed: u64) -> Option<Arc<Queue>> {
        let mut waiting = self.waiting.lock();
        let (_, queue) = waiting.pop_front_if(|(end, _)| *end <= confirmed)?;
        // Under the lock, so that a queue is never announced without being watched.
        queue.end_watch();
        Some(queue)
    }

    /// The next arrival in the queue is told, once. Messages already there are not, unless they are
    /// not visible yet: look at the queue after this call.
    pub(crate) fn watch(&self, queue: &Arc<Queue>) {
        if queue.is_watched() {
            return;
        }
        {
            let _waiting = self.waiting.lock();
            queue.set_watched();
        }
        // Pushed before they could see the watch; those pushed from now on announce themselves.
        let next = queue.entries().next_unconfirmed(self.shore.confirmed());
        if let Some(end) = next {
            self.announce(queue, end);
            self.confirmed();
        }
    }
}

impl fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrivals")
            .field("waiting", &self.waiting.lock().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::queue_index::Entry;

    struct Fixture {
        shore: Arc<Shore>,
        queue: Arc<Queue>,
        told: Arc<AtomicUsize>,
        arrivals: Arrivals,
    }

    fn fixture() -> Fixture {
        let shore = Shore::new(SocketAddr::from(([127, 0, 0, 1], 1)));
        let queue = Queue::new(&Arc::from("t"), 0, &shore);
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let hook = move |_: &Arc<Queue>| {
            count.fetch_add(1, Ordering::Relaxed);
        };
        let arrivals = Arrivals::new(&shore, Box::new(hook));
        Fixture { shore, queue, told, arrivals }
    }

    impl Fixture {
        fn message(&self, at: u64) {
            let entry = Entry { physical: 100 * at, size: 100, tag: 0, store_ms: 0 };
            self.queue.entries().push(at, entry).unwrap();
            if self.queue.is_watched() {
                self.arrivals.announce(&self.queue, entry.end());
            }
        }

        fn confirm(&self, position: u64) -> usize {
            self.shore.confirm(position);
            self.arrivals.confirmed();
            self.told.swap(0, Ordering::Relaxed)
        }
    }

    #[test]
    fn nobody_is_told_before_a_message_is_confirmed() {
        let f = fixture();
        f.arrivals.watch(&f.queue);
        f.message(0);
        assert_eq!(f.confirm(99), 0);
        assert_eq!(f.confirm(100), 1);
        assert_eq!(f.confirm(500), 0);
    }

    #[test]
    fn messages_confirmed_together_are_told_once() {
        let f = fixture();
        f.arrivals.watch(&f.queue);
        (0..5).for_each(|at| f.message(at));
        assert_eq!(f.confirm(500), 1);
    }

    #[test]
    fn messages_confirmed_later_are_told_to_those_who_watch_again() {
        let f = fixture();
        f.arrivals.watch(&f.queue);
        (0..5).for_each(|at| f.message(at));
        assert_eq!(f.confirm(250), 1);
        f.arrivals.watch(&f.queue);
        assert_eq!(f.confirm(300), 1);
        f.arrivals.watch(&f.queue);
        assert_eq!(f.confirm(500), 1);
    }

    #[test]
    fn a_queue_that_was_told_costs_nothing_until_it_is_watched_again() {
        let f = fixture();
        f.arrivals.watch(&f.queue);
        (0..2).for_each(|at| f.message(at));
        assert_eq!(f.confirm(100), 1);
        f.message(2);
        assert_eq!(f.confirm(300), 0);
        assert_eq!(f.arrivals.waiting.lock().len(), 0);
        f.arrivals.watch(&f.queue);
        f.message(3);
        assert_eq!(f.confirm(400), 1);
    }

    #[test]
    fn a_message_that_waited_for_confirmation_when_watching_began_is_told() {
        let f = fixture();
        f.message(0);
        f.arrivals.watch(&f.queue);
        assert_eq!(f.confirm(100), 1);
    }

    #[test]
    fn queues_that_nobody_watches_cost_nothing() {
        let f = fixture();
        f.message(0);
        assert_eq!(f.confirm(100), 0);
        assert_eq!(f.arrivals.waiting.lock().len(), 0);
    }
}
