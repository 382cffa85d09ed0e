//! `Topic` and `ConsumerGroup`: what they declare is made in brokers and kept so.
//!
//! One worker for each `BrokerSet` speaks the admin protocol with its masters. Everything about an
//! object that can be decided without asking anybody is pure: `verdict`, `plan`, `report`,
//! `topic`, `consumer_group`, `lag` and `consent`.
//!
//! Nothing here starts pods, or knows how brokers keep what they are told.

mod changes;
mod consent;
mod consumer_group;
mod declared;
pub(crate) mod farewell;
mod hindrance;
mod joining;
mod lag;
mod masters;
mod numbers;
mod offset_reset;
mod own_names;
mod pass;
mod plan;
mod report;
mod sampling;
mod stores;
mod topic;
mod unreadable;
mod verdict;
mod wire;
mod worker;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt as _;
pub use numbers::Numbers;
use rocketkube_crds::BrokerSet;
pub(crate) use stores::Cache;
use stores::Stores;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::{Shared, work};

use crate::Key;
use crate::context::{Context, Mark, Marks};

/// Most requests to the API server that workers have under way.
const REQUESTS: usize = 32;

/// Keeps topics and consumer groups as declared until `shutdown`. Ends before only if a watch or a
/// worker did, which is a fault.
///
/// `marks` has what happened to `broker_sets`, and is read by nobody else.
pub(crate) async fn run(
    context: Arc<Context>,
    broker_sets: Cache<BrokerSet>,
    marks: Arc<Marks>,
    shutdown: CancellationToken,
) {
    let mut watches = JoinSet::new();
    let stores = Stores::start(&context, broker_sets, &marks, &mut watches, &shutdown);
    // Cancel-safe: both only wait.
    tokio::select! {
        () = shutdown.cancelled() => return,
        filled = stores.filled() => if !filled { return },
    }
    let shared = Arc::new(Shared { context, stores, permits: Semaphore::new(REQUESTS) });
    let mut workers = Workers { shared, tasks: JoinSet::new(), wakes: HashMap::new() };
    workers.wake_all();
    let swept = Arc::clone(&workers.shared);
    let mut sweep = Box::pin(unreadable::sweep(&swept));
    let heart = workers.shared.context.heart.clone();
    let mut beat = Box::pin(heart.beat());
    let mut marked = Box::pin(marks.marked());
    loop {
        // Cancel-safe: what is not taken stays marked, joined or running.
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(mark) = marked.next() => match mark {
                Mark::All => workers.wake_all(),
                Mark::One(key) => workers.wake(key),
            },
            Some(ended) = workers.tasks.join_next() => match ended {
                Ok(key) => workers.ended(key),
                Err(_) => return,
            },
            Some(_) = watches.join_next() => return,
            never = &mut sweep => match never {},
            never = &mut beat => match never {},
        }
    }
}

/// The workers that run.
struct Workers {
    shared: Arc<Shared>,
    tasks: JoinSet<Key>,
    wakes: HashMap<Key, Arc<Notify>>,
}

impl Workers {
    /// Has a `BrokerSet` looked at, by a new worker if it has none.
    fn wake(&mut self, key: Key) {
        if let Some(wake) = self.wakes.get(&key) {
            wake.notify_one();
            return;
        }
        let wake = Arc::new(Notify::new());
        self.wakes.insert(key.clone(), Arc::clone(&wake));
        self.tasks.spawn(work(Arc::clone(&self.shared), key, wake));
    }

    fn wake_all(&mut self) {
        let mut keys = self.shared.stores.keys();
        keys.extend(self.wakes.keys().cloned());
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            self.wake(key);
        }
    }

    /// A worker found nothing to do; meanwhile there may be something again.
    fn ended(&mut self, key: Key) {
        self.wakes.remove(&key);
        if self.shared.stores.knows(&key) {
            self.wake(key);
        }
    }
}
