//! The objects that people declare, kept up to date by watches in every scope: one of each kind, for
//! the controller of `BrokerSets` and for sync workers alike.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Resource, ResourceExt};
use parking_lot::RwLock;
use rocketkube_crds::{BrokerSet, ConsumerGroup, Topic};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::declared::Declared;
use crate::Key;
use crate::context::{Context, Mark, Marks, News, Scope};
use crate::operator::FILLING;
use crate::watches::Followed;

/// What `kubectl apply` keeps for itself: as long as the object, and of no use here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How long an event may take that a watch waits for.
const TELLING: Duration = Duration::from_secs(10);

/// An object, or what is known of one that cannot be read.
pub(crate) type Guard<K> = DeserializeGuard<K>;

/// Objects of one kind in one scope.
#[derive(Clone)]
struct Shelf<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<Guard<K>>,
    index: Arc<RwLock<Index>>,
    /// Whether the store has been filled. It could be asked itself, but wakes only one of those that
    /// wait for it, and the controller of `BrokerSets` does.
    filled: watch::Receiver<bool>,
}

/// Objects by the `BrokerSet` that they belong to: a worker does not look through those of all others.
///
/// It may name an object that is gone or belongs elsewhere by now, but lacks none.
#[derive(Default)]
struct Index(HashMap<Key, BTreeSet<Key>>);

impl Index {
    fn insert(&mut self, set: Key, object: Key) {
        self.0.entry(set).or_default().insert(object);
    }

    fn remove(&mut self, set: &Key, object: &Key) {
        if let Some(objects) = self.0.get_mut(set) {
            objects.remove(object);
            if objects.is_empty() {
                self.0.remove(set);
            }
        }
    }
}

/// All objects of one kind.
#[derive(Clone)]
pub(crate) struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    /// One for each scope.
    shelves: Vec<Shelf<K>>,
    /// Which `BrokerSet` an object belongs to.
    owner: fn(&K) -> Key,
}

impl<K> Cache<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    /// Starts the watches, in `tasks`. `changed` is told whose object changed, after the store has it.
    pub(crate) fn start(
        context: &Arc<Context>,
        tasks: &mut JoinSet<()>,
        shutdown: &CancellationToken,
        owner: fn(&K) -> Key,
        changed: impl Fn(Mark) + Clone + Send + Sync + 'static,
    ) -> Self {
        let start = |scope: &Arc<Scope>| {
            let writer = Writer::<Guard<K>>::default();
            let (filling, filled) = watch::channel(false);
            let shelf = Shelf { store: writer.as_reader(), index: Arc::default(), filled };
            let (api, of) = (context.api_in::<Guard<K>>(scope), scope.namespace.as_deref());
            let followed = context.watches.follow(&K::kind(&()), of, api.resource_url());
            let events = watcher(api, watcher::Config::default())
                .default_backoff()
                .modify(forget_what_is_of_no_use)
                .reflect(writer)
                .take_until(shutdown.clone().cancelled_owned());
            let (context, changed) = (Arc::clone(context), changed.clone());
            let index = Arc::clone(&shelf.index);
            let listed = Index::default();
            let keeper = Keeper { context, index, filling, listed, owner, changed };
            tasks.spawn(keeper.keep(events, followed));
            shelf
        };
        let shelves: Vec<_> = context.scopes.iter().map(start).collect();
        let cache = Self { shelves, owner };
        let counted = cache.clone();
        context.metrics.count_undecodable(K::kind(&()), move || counted.unreadable().len());
        cache
    }

    /// What there is in each scope, in their order.
    pub(crate) fn stores(&self) -> impl Iterator<Item = Store<Guard<K>>> {
        self.shelves.iter().map(|shelf| shelf.store.clone())
    }

    /// The objects of a `BrokerSet`, ordered by name.
    pub(crate) fn of(&self, set: &Key) -> Vec<Arc<Guard<K>>> {
        let is_its = |guard: &Arc<Guard<K>>| {
            guard.0.as_ref().is_ok_and(|object| (self.owner)(object) == *set)
        };
        let of = |shelf: &Shelf<K>| {
            let index = shelf.index.read();
            let names = index.0.get(set).into_iter().flatten();
            names.filter_map(|key| shelf.get(key)).filter(is_its).collect::<Vec<_>>()
        };
        self.shelves.iter().flat_map(of).collect()
    }

    /// All `BrokerSets` that objects belong to.
    fn owners(&self) -> Vec<Key> {
        self.shelves
            .iter()
            .flat_map(|shelf| shelf.index.read().0.keys().cloned().collect::<Vec<_>>())
            .collect()
    }

    fn get(&self, key: &Key) -> Option<Arc<Guard<K>>> {
        self.shelves.iter().find_map(|shelf| shelf.get(key))
    }

    /// Waits until they are filled. Once some are, others are waited for a while only: a namespace that
    /// is gone keeps nobody from the others.
    async fn filled(&self) -> bool {
        let all = self.shelves.iter().map(Shelf::filled);
        let mut filling: FuturesUnordered<_> = all.collect();
        if filling.next().await == Some(false) {
            return false;
        }
        let rest = filling.all(|filled| async move { filled });
        timeout(FILLING, rest).await.unwrap_or(true)
    }

    /// Objects that this operator cannot read.
    pub(crate) fn unreadable(&self) -> Vec<Arc<Guard<K>>> {
        let is_bad = |guard: &Guard<K>| guard.0.is_err();
        self.shelves.iter().flat_map(|shelf| shelf.store.state_filter(is_bad)).collect()
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Shelf<K> {
    /// Waits until it is filled; false if it never will be.
    async fn filled(&self) -> bool {
        self.filled.clone().wait_for(|filled| *filled).await.is_ok()
    }

    fn get(&self, key: &Key) -> Option<Arc<Guard<K>>> {
        self.store.get(&ObjectRef::new(&key.name).within(&key.namespace))
    }
}

/// Keeps the index of a shelf as its store is, and tells what changed.
struct Keeper<K, F> {
    context: Arc<Context>,
    index: Arc<RwLock<Index>>,
    filling: watch::Sender<bool>,
    /// Of the list that is being read.
    listed: Index,
    owner: fn(&K) -> Key,
    changed: F,
}

impl<K: Resource<DynamicType = ()>, F: Fn(Mark)> Keeper<K, F> {
    async fn keep(
        mut self,
        events: impl Stream<Item = Result<Event<Guard<K>>, watcher::Error>>,
        followed: Followed,
    ) {
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event).await,
                Err(error) => followed.failed(&error),
            }
        }
    }

    async fn take(&mut self, event: Event<Guard<K>>) {
        match event {
            Event::Apply(guard) => {
                self.tell_unreadable(&guard).await;
                // It may have been readable before, and of any BrokerSet.
                let Some((set, object)) = self.place(&guard) else {
                    (self.changed)(Mark::All);
                    return;
                };
                self.index.write().insert(set.clone(), object);
                (self.changed)(Mark::One(set));
            }
            Event::Delete(guard) => {
                let place = self.place(&guard);
                if let Some((set, object)) = &place {
                    self.index.write().remove(set, object);
                }
                (self.changed)(place.map_or(Mark::All, |(set, _)| Mark::One(set)));
            }
            Event::Init => self.listed = Index::default(),
            Event::InitApply(guard) => {
                self.tell_unreadable(&guard).await;
                if let Some((set, object)) = self.place(&guard) {
                    self.listed.insert(set, object);
                }
            }
            // Only now the store has them; and what is no longer there was not told.
            Event::InitDone => {
                *self.index.write() = std::mem::take(&mut self.listed);
                self.filling.send_replace(true);
                (self.changed)(Mark::All);
            }
        }
    }

    /// The `BrokerSet` that an object belongs to, and its own key.
    fn place(&self, guard: &Guard<K>) -> Option<(Key, Key)> {
        guard.0.as_ref().ok().map(|object| ((self.owner)(object), Key::of(object)))
    }

    /// Tells whoever made an object that this operator cannot read it.
    async fn tell_unreadable(&self, guard: &Guard<K>) {
        if let Err(invalid) = &guard.0 {
            let Key { namespace, name } = Key::of(guard);
            let error = &invalid.error;
            warn!(kind = %K::kind(&()), namespace, name, error, "cannot be read, and is left alone");
            let note = format!("this object cannot be read, and is left alone: {error}");
            // Whatever becomes of it, the watch goes on.
            let told = self.context.event(guard, News::warning("Undecodable", note));
            drop(timeout(TELLING, told).await);
        }
    }
}

fn forget_what_is_of_no_use<K: Resource>(guard: &mut Guard<K>) {
    guard.managed_fields_mut().clear();
    guard.annotations_mut().remove(LAST_APPLIED);
}

/// All objects that sync workers look at.
#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) broker_sets: Cache<BrokerSet>,
    pub(crate) topics: Cache<Topic>,
    pub(crate) groups: Cache<ConsumerGroup>,
}

/// A `BrokerSet`, as far as it is known.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    Missing,
    /// This operator has no right to read it.
    Forbidden,
    /// Why this operator cannot read it.
    Unreadable(String),
    Present(Box<BrokerSet>),
}

impl Stores {
    /// Starts the other watches. `marks` gets the `BrokerSets` that something happened to.
    pub(crate) fn start(
        context: &Arc<Context>,
        broker_sets: Cache<BrokerSet>,
        marks: &Arc<Marks>,
        tasks: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) -> Self {
        let mark = |marks: &Arc<Marks>| {
            let marks = Arc::clone(marks);
            move |mark| marks.set(mark)
        };
        Self {
            broker_sets,
            topics: Cache::start(context, tasks, shutdown, Declared::broker_set, mark(marks)),
            groups: Cache::start(context, tasks, shutdown, Declared::broker_set, mark(marks)),
        }
    }

    pub(crate) async fn filled(&self) -> bool {
        self.broker_sets.filled().await && self.topics.filled().await && self.groups.filled().await
    }

    pub(crate) fn broker_set(&self, key: &Key) -> Known {
        match self.broker_sets.get(key).as_deref() {
            None => Known::Missing,
            Some(DeserializeGuard(Ok(set))) => Known::Present(Box::new(set.clone())),
            Some(DeserializeGuard(Err(invalid))) => Known::Unreadable(invalid.error.clone()),
        }
    }

    /// Whether there is anything to look after for a `BrokerSet`.
    pub(crate) fn knows(&self, key: &Key) -> bool {
        self.broker_sets.get(key).is_some()
            || !self.topics.of(key).is_empty()
            || !self.groups.of(key).is_empty()
    }

    /// All `BrokerSets` there are, or that something refers to.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let mut keys = self.broker_sets.owners();
        keys.extend(self.topics.owners());
        keys.extend(self.groups.owners());
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_keeps_no_broker_set_of_which_nothing_is_left() {
        let [set, a, b] = ["orders", "a", "b"].map(|name| Key::new("shop", name));
        let mut index = Index::default();
        index.insert(set.clone(), a.clone());
        index.insert(set.clone(), a.clone());
        index.insert(set.clone(), b.clone());
        index.remove(&set, &a);
        assert_eq!(index.0[&set], BTreeSet::from([b.clone()]));
        index.remove(&set, &b);
        index.remove(&set, &b);
        assert!(index.0.is_empty());
    }
}
