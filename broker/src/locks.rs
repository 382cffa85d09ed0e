//! Queue locks of orderly consumers: who may consume a queue of a group, and until when.
//!
//! In memory, as in Apache's broker: a restart forgets them, and consumers take them again with
//! their next renewal. Time is an argument, in milliseconds.

use std::collections::HashMap;

use parking_lot::Mutex;

/// How long a lock holds without renewal; clients renew every 20 s and trust it for 30 s.
/// Source: `rocketmq.broker.rebalance.lockMaxLiveTime` (60 s).
pub(crate) const LOCK_LIFE_MS: i64 = 60_000;

/// A queue as clients name it in lock requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LockedQueue {
    pub(crate) topic: String,
    pub(crate) queue_id: i32,
}

#[derive(Debug)]
struct Lock {
    client_id: String,
    expires_ms: i64,
}

/// All locks, by consumer group.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    groups: Mutex<HashMap<String, HashMap<LockedQueue, Lock>>>,
}

impl Locks {
    /// Locks or renews for `client_id` what is free, expired or its own; says for each queue
    /// whether it is the client's now.
    pub(crate) fn lock(
        &self,
        group: &str,
        client_id: &str,
        queues: &[LockedQueue],
        now_ms: i64,
    ) -> Vec<bool> {
        let mut groups = self.groups.lock();
        let locks = groups.entry(group.to_owned()).or_default();
        let mut lock = |queue: &LockedQueue| {
            let held = locks.get(queue);
            let foreign =
                held.is_some_and(|held| held.client_id != client_id && held.expires_ms > now_ms);
            if !foreign {
                let lock =
                    Lock { client_id: client_id.to_owned(), expires_ms: now_ms + LOCK_LIFE_MS };
                locks.insert(queue.clone(), lock);
            }
            !foreign
        };
        queues.iter().map(&mut lock).collect()
    }

    /// Releases what the client holds among `queues`.
    pub(crate) fn unlock(&self, group: &str, client_id: &str, queues: &[LockedQueue]) {
        let mut groups = self.groups.lock();
        let Some(locks) = groups.get_mut(group) else { return };
        for queue in queues {
            if locks.get(queue).is_some_and(|lock| lock.client_id == client_id) {
                locks.remove(queue);
            }
        }
        if locks.is_empty() {
            groups.remove(group);
        }
    }

    /// Forgets expired locks, so that groups that are gone cost nothing.
    pub(crate) fn expire(&self, now_ms: i64) {
        self.groups.lock().retain(|_, locks| {
            locks.retain(|_, lock| lock.expires_ms > now_ms);
            !locks.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(queue_id: i32) -> LockedQueue {
        LockedQueue { topic: "t".into(), queue_id }
    }

    #[test]
    fn a_queue_is_one_clients_until_it_releases_it() {
        let locks = Locks::default();
        assert_eq!(locks.lock("g", "a", &[queue(0), queue(1)], 0), [true, true]);
        assert_eq!(locks.lock("g", "b", &[queue(1), queue(2)], 1), [false, true]);
        locks.unlock("g", "b", &[queue(1)]);
        assert_eq!(locks.lock("g", "b", &[queue(1)], 2), [false]);
        locks.unlock("g", "a", &[queue(1)]);
        assert_eq!(locks.lock("g", "b", &[queue(1)], 3), [true]);
    }

    #[test]
    fn groups_do_not_share_locks() {
        let locks = Locks::default();
        assert_eq!(locks.lock("g", "a", &[queue(0)], 0), [true]);
        assert_eq!(locks.lock("h", "b", &[queue(0)], 0), [true]);
    }

    #[test]
    fn a_lock_expires_a_minute_after_its_last_renewal() {
        let locks = Locks::default();
        locks.lock("g", "a", &[queue(0)], 0);
        locks.lock("g", "a", &[queue(0)], 30_000);
        assert_eq!(locks.lock("g", "b", &[queue(0)], LOCK_LIFE_MS + 29_999), [false]);
        assert_eq!(locks.lock("g", "b", &[queue(0)], LOCK_LIFE_MS + 30_000), [true]);
        locks.expire(i64::MAX);
        assert!(locks.groups.lock().is_empty());
    }
}
