//! The objects that sync workers look at, kept up to date by watches in every scope.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::join_all;
use k8s_openapi::NamespaceResourceScope;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Resource, ResourceExt};
use rocketkube_crds::{BrokerSet, ConsumerGroup, Topic};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::declared::Declared;
use crate::Key;
use crate::context::{Context, News, Scope};

/// What `kubectl apply` keeps for itself: as long as the object, and of no use here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object, or what is known of one that cannot be read.
pub(crate) type Guard<K> = DeserializeGuard<K>;

/// All objects of one kind.
#[derive(Clone)]
pub(crate) struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    /// One for each scope.
    stores: Vec<Store<Guard<K>>>,
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
    /// Starts the watches, in `tasks`. `changed` is told each object that changed, and with `None`
    /// that anything may have.
    fn start(
        context: &Arc<Context>,
        tasks: &mut JoinSet<()>,
        shutdown: &CancellationToken,
        changed: impl Fn(Option<&K>) + Clone + Send + Sync + 'static,
    ) -> Self {
        let watch = |scope: &Arc<Scope>| {
            let writer = Writer::<Guard<K>>::default();
            let store = writer.as_reader();
            let events = watcher(context.api_in::<Guard<K>>(scope), watcher::Config::default())
                .default_backoff()
                .modify(forget_what_is_of_no_use)
                .reflect(writer)
                .take_until(shutdown.clone().cancelled_owned());
            let (context, changed) = (Arc::clone(context), changed.clone());
            tasks.spawn(async move {
                let mut events = std::pin::pin!(events);
                while let Some(event) = events.next().await {
                    match event {
                        Ok(Event::Apply(guard)) => {
                            tell_unreadable(&context, &guard).await;
                            // It may have been readable before, and of any BrokerSet.
                            changed(guard.0.as_ref().ok());
                        }
                        Ok(Event::Delete(guard)) => changed(guard.0.as_ref().ok()),
                        Ok(Event::InitApply(guard)) => tell_unreadable(&context, &guard).await,
                        Ok(Event::Init) => {}
                        // Only now the store has them; and what is no longer there was not told.
                        Ok(Event::InitDone) => changed(None),
                        Err(error) => {
                            warn!(kind = %K::kind(&()), %error, "watch failed, starting it again");
                        }
                    }
                }
            });
            store
        };
        Self { stores: context.scopes.iter().map(watch).collect() }
    }

    pub(crate) fn filter(&self, wanted: impl Fn(&K) -> bool) -> Vec<Arc<Guard<K>>> {
        let wanted = |guard: &Guard<K>| guard.0.as_ref().is_ok_and(&wanted);
        self.stores.iter().flat_map(|store| store.state_filter(wanted)).collect()
    }

    fn any(&self, wanted: impl Fn(&K) -> bool) -> bool {
        let wanted = |guard: &Guard<K>| guard.0.as_ref().is_ok_and(&wanted);
        self.stores.iter().any(|store| store.find(wanted).is_some())
    }

    fn get(&self, key: &Key) -> Option<Arc<Guard<K>>> {
        let reference = kube::runtime::reflector::ObjectRef::new(&key.name).within(&key.namespace);
        self.stores.iter().find_map(|store| store.get(&reference))
    }

    async fn filled(&self) -> bool {
        join_all(self.stores.iter().map(Store::wait_until_ready)).await.iter().all(Result::is_ok)
    }

    /// Objects that this operator cannot read.
    pub(crate) fn unreadable(&self) -> usize {
        let bad = |store: &Store<Guard<K>>| store.state_filter(|guard| guard.0.is_err()).len();
        self.stores.iter().map(bad).sum()
    }
}

/// Tells whoever made an object that this operator cannot read it.
async fn tell_unreadable<K: Resource<DynamicType = ()>>(context: &Context, guard: &Guard<K>) {
    if let Err(invalid) = &guard.0 {
        let note = format!("this object cannot be read, and is left alone: {}", invalid.error);
        context.event(guard, News::warning("Undecodable", note)).await;
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
    /// Why this operator cannot read it.
    Unreadable(String),
    Present(Box<BrokerSet>),
}

impl Stores {
    /// Starts all watches. `marks` gets the keys of `BrokerSets` that something happened to.
    pub(crate) fn start(
        context: &Arc<Context>,
        marks: &Arc<Scope>,
        tasks: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) -> Self {
        // Where anything may have changed, whoever holds the stores has to look through them.
        let mark = |marks: &Arc<Scope>| {
            let marks = Arc::clone(marks);
            move |key: Option<Key>| marks.mark(key.unwrap_or_else(everything))
        };
        let (sets, topics, groups) = (mark(marks), mark(marks), mark(marks));
        let (sets, topics, groups) = (Arc::new(sets), Arc::new(topics), Arc::new(groups));
        Self {
            broker_sets: Cache::start(context, tasks, shutdown, move |set: Option<&BrokerSet>| {
                sets(set.map(Key::of));
            }),
            topics: Cache::start(context, tasks, shutdown, move |topic: Option<&Topic>| {
                topics(topic.map(Declared::broker_set));
            }),
            groups: Cache::start(context, tasks, shutdown, move |group: Option<&ConsumerGroup>| {
                groups(group.map(Declared::broker_set));
            }),
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
            || self.topics.any(|topic| topic.refers_to(key))
            || self.groups.any(|group| group.refers_to(key))
    }

    /// All `BrokerSets` there are, or that something refers to.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let sets = self.broker_sets.filter(|_| true);
        let topics = self.topics.filter(|_| true);
        let groups = self.groups.filter(|_| true);
        let mut keys: Vec<Key> = sets.iter().map(|set| Key::of(&**set)).collect();
        keys.extend(topics.iter().filter_map(|it| it.0.as_ref().ok()).map(Declared::broker_set));
        keys.extend(groups.iter().filter_map(|it| it.0.as_ref().ok()).map(Declared::broker_set));
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// The mark that stands for every `BrokerSet`; no object has this name.
pub(crate) fn everything() -> Key {
    Key::new("", "")
}
