//! Offsets that an administrator reset, until the group's consumers have gone along.
//!
//! A consumer that is online has messages behind the old offset in its hands and will commit them.
//! From the reset on, such commits count for nothing; the next pull of the queue is answered with
//! the new offset, and the one that comes from there ends the reset. Apache's broker forgets at the
//! first answer instead, so that what a client commits before it has dropped its messages takes the
//! reset back.
//!
//! Lives in memory, as in Apache's broker: the new offset itself is in the log, but a consumer that
//! outlives the broker and was not told yet goes on, and commits, from where it was.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use rocketkube_store::QueueOffset;

/// One queue of one group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) group: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) queue: u32,
}

/// What an administrator asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) group: &'a str,
    pub(crate) topic: &'a str,
    /// New offsets by queue.
    pub(crate) offsets: &'a [(u32, QueueOffset)],
    /// Whether the group has members, which have to hear of it.
    pub(crate) online: bool,
    /// The name of the reset, if it has one.
    pub(crate) id: Option<&'a str>,
}

/// Where consumers of a queue have to go.
#[derive(Debug, Clone, Copy)]
struct Reset {
    to: QueueOffset,
    /// Whether a consumer was told, or none was there that could have messages from before.
    told: bool,
}

/// By group, then by topic.
type Table = HashMap<String, HashMap<String, BTreeMap<u32, Reset>>>;

/// Names of resets that are remembered, so that one which is asked for again is not done again.
const MAX_NAMED: usize = 1_024;

/// A reset that was named and done.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    group: String,
    topic: String,
    id: String,
}

#[derive(Debug, Default)]
struct State {
    table: Table,
    /// The newest last.
    named: VecDeque<Named>,
}

/// All resets that consumers have not gone along with.
#[derive(Debug, Default)]
pub(crate) struct Resets {
    /// Held for reading by whoever commits: a commit is either before a reset, which overrides it, or
    /// sees it. Order: before the locks of the store.
    state: RwLock<State>,
    /// How many there are, for those who look in passing.
    count: AtomicUsize,
}

impl Resets {
    /// Commits, unless the queue was reset: then the consumer does not know better yet.
    pub(crate) fn commit<R>(&self, place: Place<'_>, commit: impl FnOnce() -> R) -> Option<R> {
        let state = self.state.read();
        find(&state.table, place).is_none().then(commit)
    }

    /// Notes new offsets of queues and stores them with `commit`; if that fails nothing is noted.
    /// `None`: one of that name was done before, and nothing is done now.
    pub(crate) fn set<R, E>(
        &self,
        order: &Order<'_>,
        commit: impl FnOnce() -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        let mut state = self.state.write();
        let (group, topic) = (order.group.to_owned(), order.topic.to_owned());
        let name = |id: &str| Named { group: group.clone(), topic: topic.clone(), id: id.into() };
        let named = order.id.map(name);
        if named.as_ref().is_some_and(|named| state.named.contains(named)) {
            return Ok(None);
        }
        let done = commit()?;
        if state.named.len() + usize::from(named.is_some()) > MAX_NAMED {
            state.named.pop_front();
        }
        state.named.extend(named);
        let queues = state.table.entry(group).or_default().entry(topic).or_default();
        let reset = |to| Reset { to, told: !order.online };
        queues.extend(order.offsets.iter().map(|(queue, to)| (*queue, reset(*to))));
        self.count(&state.table);
        Ok(Some(done))
    }

    /// Whether consumers of the queue have to be told something.
    pub(crate) fn is_pending(&self, place: Place<'_>) -> bool {
        // Whoever sets one wakes those who pull, and they look again after that.
        self.count.load(Ordering::Acquire) > 0 && find(&self.state.read().table, place).is_some()
    }

    /// Where a pull from `from` has to go instead. A pull that comes from there, after it was told,
    /// ends the reset.
    pub(crate) fn redirect(&self, place: Place<'_>, from: i64) -> Option<QueueOffset> {
        if !self.is_pending(place) {
            return None;
        }
        let table = &mut self.state.write().table;
        let queues = table.get_mut(place.group)?.get_mut(place.topic)?;
        let reset = queues.get_mut(&place.queue)?;
        if reset.told && reset.to.wire() == from {
            queues.remove(&place.queue);
            tidy(table);
            self.count(table);
            return None;
        }
        reset.told = true;
        Some(reset.to)
    }

    /// A topic is gone, and with it what was committed there.
    pub(crate) fn forget_topic(&self, topic: &str) {
        let State { table, named } = &mut *self.state.write();
        for topics in table.values_mut() {
            topics.remove(topic);
        }
        tidy(table);
        named.retain(|named| named.topic != topic);
        self.count(table);
    }

    /// A group is gone.
    pub(crate) fn forget_group(&self, group: &str) {
        let State { table, named } = &mut *self.state.write();
        table.remove(group);
        named.retain(|named| named.group != group);
        self.count(table);
    }

    fn count(&self, table: &Table) {
        let queues = table.values().flat_map(HashMap::values);
        self.count.store(queues.map(BTreeMap::len).sum(), Ordering::Release);
    }
}

fn find(table: &Table, place: Place<'_>) -> Option<Reset> {
    table.get(place.group)?.get(place.topic)?.get(&place.queue).copied()
}

/// Keeps nothing for groups and topics without a reset.
fn tidy(table: &mut Table) {
    table.retain(|_, topics| {
        topics.retain(|_, queues| !queues.is_empty());
        !topics.is_empty()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { group: "g", topic: "t", queue: 0 };

    /// Whether it was done.
    fn order(resets: &Resets, to: u64, online: bool, id: Option<&str>) -> bool {
        let offsets = &[(0, QueueOffset(to))];
        let order = Order { group: "g", topic: "t", offsets, online, id };
        resets.set::<_, ()>(&order, || Ok(())).unwrap().is_some()
    }

    fn reset(to: u64, online: bool) -> Resets {
        let resets = Resets::default();
        assert!(order(&resets, to, online, None));
        resets
    }

    #[test]
    fn a_reset_with_a_name_is_done_once() {
        let resets = Resets::default();
        assert!(order(&resets, 5, false, Some("a")));
        assert_eq!(resets.redirect(PLACE, 5), None);
        assert!(!order(&resets, 5, true, Some("a")));
        assert!(!resets.is_pending(PLACE));
        assert!(order(&resets, 6, true, Some("b")));
        assert!(!order(&resets, 7, true, Some("a")));
        assert_eq!(resets.redirect(PLACE, 9), Some(QueueOffset(6)));
        // Those without a name are all different.
        assert!(order(&resets, 5, true, None) && order(&resets, 5, true, None));
        resets.forget_group("g");
        assert!(order(&resets, 5, true, Some("a")));
    }

    #[test]
    fn only_the_newest_names_are_remembered() {
        let resets = Resets::default();
        for n in 0..=MAX_NAMED {
            assert!(order(&resets, 5, false, Some(&n.to_string())));
        }
        assert_eq!(resets.state.read().named.len(), MAX_NAMED);
        assert!(!order(&resets, 5, false, Some("1")));
        assert!(order(&resets, 5, false, Some("0")));
    }

    #[test]
    fn commits_count_for_nothing_until_a_consumer_goes_on_from_the_new_offset() {
        let resets = reset(5, true);
        let commits = || resets.commit(PLACE, || ()).is_some();
        assert!(!commits());
        assert_eq!(resets.redirect(PLACE, 9), Some(QueueOffset(5)));
        // Told, but what it has is from before.
        assert!(!commits());
        assert_eq!(resets.redirect(PLACE, 9), Some(QueueOffset(5)));
        assert_eq!(resets.redirect(PLACE, 5), None);
        assert!(commits());
        assert_eq!(resets.redirect(PLACE, 9), None);
    }

    #[test]
    fn a_consumer_that_stands_at_the_new_offset_is_told_too() {
        // It may have messages from before it that it has not committed.
        let resets = reset(5, true);
        assert_eq!(resets.redirect(PLACE, 5), Some(QueueOffset(5)));
        assert_eq!(resets.redirect(PLACE, 5), None);
        assert!(!resets.is_pending(PLACE));
    }

    #[test]
    fn who_joins_an_offline_group_begins_at_the_new_offset_and_is_told_nothing() {
        let resets = reset(5, false);
        assert_eq!(resets.redirect(PLACE, 5), None);
        assert!(!resets.is_pending(PLACE));
        let resets = reset(5, false);
        assert_eq!(resets.redirect(PLACE, 0), Some(QueueOffset(5)));
    }

    #[test]
    fn other_queues_topics_and_groups_are_left_alone() {
        let resets = reset(5, true);
        let others = [
            Place { queue: 1, ..PLACE },
            Place { topic: "u", ..PLACE },
            Place { group: "h", ..PLACE },
        ];
        for other in others {
            assert!(resets.commit(other, || ()).is_some(), "{other:?}");
            assert_eq!(resets.redirect(other, 0), None, "{other:?}");
        }
    }

    #[test]
    fn what_was_not_stored_is_no_reset() {
        let resets = Resets::default();
        let offsets = &[(0, QueueOffset(5))];
        let failing = Order { group: "g", topic: "t", offsets, online: true, id: Some("a") };
        let failed: Result<Option<()>, _> = resets.set(&failing, || Err("full"));
        assert_eq!(failed, Err("full"));
        assert!(!resets.is_pending(PLACE));
        assert!(order(&resets, 5, true, Some("a")));
    }

    #[test]
    fn a_reset_goes_with_its_topic_or_its_group() {
        let resets = reset(5, true);
        resets.forget_topic("u");
        resets.forget_group("h");
        assert!(resets.is_pending(PLACE));
        resets.forget_topic("t");
        assert!(!resets.is_pending(PLACE));
        let resets = reset(5, true);
        resets.forget_group("g");
        assert!(!resets.is_pending(PLACE));
    }
}
