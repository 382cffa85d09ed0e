//! What every part of the operator is given.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{Stream, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, ListParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Resource, ResourceExt};
use parking_lot::Mutex;
use rocketkube_crds::broker_set::Counts;
use rocketkube_crds::{BrokerSet, ConsumerGroup, Topic};
use rocketkube_service::metrics::Registry;
use tokio::sync::Notify;
use tracing::warn;

use crate::heart::Heart;
use crate::sync::Numbers;
use crate::term::Term;
use crate::text::shortened;
use crate::watches::Watches;
use crate::{Config, Metrics};

/// Names a `BrokerSet`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object, which is a namespaced one.
    pub fn of(object: &impl Resource) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }

    /// The object that has it, in a store.
    pub(crate) fn reference<K: Resource<DynamicType = ()>>(&self) -> ObjectRef<K> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The time of day, and the time since boot; tests set both.
#[derive(Clone)]
pub struct Clock {
    wall: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    since_boot: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Clock {
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { wall: Arc::new(now), since_boot: Arc::new(since_boot) }
    }

    /// The same with another time since boot.
    #[must_use]
    pub fn with_since_boot(
        self,
        since_boot: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self { since_boot: Arc::new(since_boot), ..self }
    }

    pub fn now(&self) -> Timestamp {
        (self.wall)()
    }

    /// Goes on while the process is stopped or the machine sleeps, and nobody sets it.
    pub fn since_boot(&self) -> Duration {
        (self.since_boot)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(Timestamp::now)
    }
}

/// Unlike `Instant` it goes on while the machine sleeps.
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

/// What something happened to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// Any `BrokerSet`, so each is to be looked at.
    All,
    /// This `BrokerSet`.
    One(Key),
}

/// What is to be looked at soon. Bounded by the number of `BrokerSets`.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    dirty: Mutex<BTreeSet<Mark>>,
    changed: Notify,
}

impl Marks {
    pub(crate) fn set(&self, mark: Mark) {
        self.dirty.lock().insert(mark);
        self.changed.notify_one();
    }

    /// What was marked, without end.
    pub(crate) fn marked(self: Arc<Self>) -> impl Stream<Item = Mark> + Send {
        stream::unfold(self, |marks| async move {
            loop {
                if let Some(mark) = marks.dirty.lock().pop_first() {
                    return Some((mark, Arc::clone(&marks)));
                }
                marks.changed.notified().await;
            }
        })
    }
}

/// The namespaces of one set of watches: one of them, or all.
#[derive(Debug, Default)]
pub struct Scope {
    /// `None`: all.
    pub namespace: Option<String>,
    /// For the controller of its `BrokerSets`.
    pub(crate) marks: Arc<Marks>,
}

impl Scope {
    pub(crate) fn new(namespace: Option<&str>) -> Self {
        Self { namespace: namespace.map(str::to_owned), ..Self::default() }
    }

    pub(crate) fn covers(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|mine| mine == namespace)
    }
}

/// What the sync worker of a `BrokerSet` has done. Made in `sync`, read by the controller of
/// `BrokerSets`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Uid of the `BrokerSet`: what is true of one is not of the next of its name.
    pub uid: Option<String>,
    /// Broker groups that have every topic and consumer group which the others have, declared by an
    /// object or not. A group that joins takes no message before it is in here.
    pub filled: BTreeSet<i32>,
    /// What the other groups lack, one thing each.
    pub lacking: BTreeMap<i32, String>,
    /// Broker groups that clients do not come to, or not with messages, although they are there.
    pub hindered: BTreeMap<i32, Hindrance>,
    /// For the status.
    pub topics: Option<Counts>,
    /// For the status.
    pub consumer_groups: Option<Counts>,
}

/// What keeps clients from a broker that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hindrance {
    /// Why it refuses messages, in its own words.
    pub full: Option<String>,
    /// Whether no name server sends clients to it.
    pub is_unknown: bool,
}

/// The last report of each sync worker.
#[derive(Debug, Default)]
pub struct SyncTable {
    reports: Mutex<BTreeMap<Key, SyncReport>>,
    /// Whether there are sync workers at all. Without them nothing would ever be filled.
    present: AtomicBool,
}

impl SyncTable {
    /// Says that sync workers run: from now on a group is filled when one of them says so.
    pub fn set_present(&self) {
        self.present.store(true, Ordering::Release);
    }

    pub(crate) fn is_present(&self) -> bool {
        self.present.load(Ordering::Acquire)
    }

    /// What the worker of a `BrokerSet` said last.
    pub fn report(&self, key: &Key) -> Option<SyncReport> {
        self.reports.lock().get(key).cloned()
    }

    /// The same, if it is about this one and not about another of its name that is gone.
    pub(crate) fn report_on(&self, set: &BrokerSet) -> Option<SyncReport> {
        self.report(&Key::of(set)).filter(|report| report.uid == set.metadata.uid)
    }

    /// Whether the group may take messages.
    pub(crate) fn is_filled(&self, set: &BrokerSet, group: i32) -> bool {
        !self.is_present()
            || self.report_on(set).is_some_and(|report| report.filled.contains(&group))
    }
}

/// What every part of the operator is given.
pub struct Context {
    /// Reads, and writes as long as this process may act.
    pub client: Client,
    /// For what is not by right of the Lease: getting it, and leaving.
    pub(crate) unbound: Client,
    pub(crate) term: Term,
    pub config: Config,
    pub metrics: Metrics,
    pub clock: Clock,
    /// One for each watched namespace, or a single one for all.
    pub scopes: Vec<Arc<Scope>>,
    /// Filled by `sync`; see [`Context::publish_sync`].
    pub sync: SyncTable,
    pub(crate) numbers: Numbers,
    pub(crate) watches: Watches,
    pub(crate) heart: Heart,
    recorder: Recorder,
}

impl Context {
    pub fn new(client: Client, config: Config, registry: &Registry, clock: Clock) -> Arc<Self> {
        let mut scopes: Vec<_> =
            config.watched().into_iter().map(|name| Arc::new(Scope::new(Some(name)))).collect();
        if scopes.is_empty() {
            scopes.push(Arc::new(Scope::new(None)));
        }
        let reporter = Reporter {
            controller: crate::FIELD_MANAGER.to_owned(),
            instance: Some(config.identity.clone()).filter(|name| !name.is_empty()),
        };
        let watches = Watches::new(registry);
        let (unbound, term) = (client.clone(), Term::new(clock.clone()));
        let client = watches.client(term.client(client));
        Arc::new(Self {
            unbound,
            term,
            recorder: Recorder::new(client.clone(), reporter),
            metrics: Metrics::new(registry),
            numbers: Numbers::new(registry),
            sync: SyncTable::default(),
            heart: Heart::default(),
            client,
            config,
            clock,
            scopes,
            watches,
        })
    }

    /// The objects of a kind in a scope.
    pub fn api_in<K>(&self, scope: &Scope) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match &scope.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// The objects of a kind in a namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Has a `BrokerSet` looked at soon.
    pub fn mark(&self, key: &Key) {
        for scope in self.scopes.iter().filter(|scope| scope.covers(&key.namespace)) {
            scope.marks.set(Mark::One(key.clone()));
        }
    }

    /// Has all `BrokerSets` looked at soon.
    pub(crate) fn mark_all(&self) {
        for scope in &self.scopes {
            scope.marks.set(Mark::All);
        }
    }

    /// Takes the report of a sync worker; `None` when its `BrokerSet` is gone.
    pub fn publish_sync(&self, key: &Key, report: Option<SyncReport>) {
        let mut reports = self.sync.reports.lock();
        let changed = match report {
            None => reports.remove(key).is_some(),
            Some(report) if reports.get(key) == Some(&report) => false,
            Some(report) => {
                reports.insert(key.clone(), report);
                true
            }
        };
        drop(reports);
        if changed {
            self.mark(key);
        }
    }

    /// Tells people about an object. They are a courtesy: one that cannot be written is logged.
    pub async fn event(&self, about: &impl EventTarget, news: News) {
        let News { warning, reason, note, related } = news;
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.clone(),
            note: Some(shortened(note)),
            action: reason,
            secondary: related,
        };
        if let Err(error) = self.recorder.publish(&event, &about.reference()).await {
            warn!(reason = event.reason, %error, "event was not written");
        }
    }

    /// Whether the definitions of our kinds are there, by asking for one object of each. A scope that
    /// cannot be asked, such as a namespace that is gone, keeps nobody from the others.
    pub(crate) async fn definitions_exist(&self) -> Result<(), kube::Error> {
        let mut failed = Vec::new();
        for scope in &self.scopes {
            match self.kinds_exist(scope).await {
                Err(error) if !is_missing(&error) => failed.push((scope, error)),
                other => other?,
            }
        }
        if failed.len() == self.scopes.len() {
            return failed.pop().map_or(Ok(()), |(_, error)| Err(error));
        }
        for (scope, error) in failed {
            let namespace = scope.namespace.as_deref().unwrap_or_default();
            warn!(namespace, %error, "cannot be looked after until it can be listed");
        }
        Ok(())
    }

    async fn kinds_exist(&self, scope: &Scope) -> Result<(), kube::Error> {
        let one = ListParams::default().limit(1);
        self.api_in::<BrokerSet>(scope).list_metadata(&one).await?;
        self.api_in::<Topic>(scope).list_metadata(&one).await?;
        self.api_in::<ConsumerGroup>(scope).list_metadata(&one).await?;
        Ok(())
    }
}

/// Whether the API server does not know a kind at all.
pub(crate) fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Something that people should hear of.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// Whether somebody may have to act.
    pub warning: bool,
    /// One word, in camel case.
    pub reason: String,
    pub note: String,
    /// The pod, say, that it is about besides the object.
    pub related: Option<ObjectReference>,
}

impl News {
    pub fn normal(reason: &str, note: String) -> Self {
        Self { warning: false, reason: reason.to_owned(), note, related: None }
    }

    pub fn warning(reason: &str, note: String) -> Self {
        Self { warning: true, ..Self::normal(reason, note) }
    }
}

/// Something that an event can be about.
pub trait EventTarget {
    fn reference(&self) -> ObjectReference;
}

impl<K: Resource<DynamicType = ()>> EventTarget for K {
    fn reference(&self) -> ObjectReference {
        self.object_ref(&())
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_mark_that_was_set_twice_is_seen_once() {
        let marks = Arc::new(Marks::default());
        let [a, b] = ["a", "b"].map(|name| Mark::One(Key::new("ns", name)));
        marks.set(a.clone());
        marks.set(b.clone());
        marks.set(a.clone());
        let mut marked = Box::pin(Arc::clone(&marks).marked());
        assert_eq!(marked.next().await, Some(a));
        assert_eq!(marked.next().await, Some(b.clone()));
        assert!(futures::poll!(marked.next()).is_pending());
        marks.set(b.clone());
        assert_eq!(marked.next().await, Some(b));
    }

    #[test]
    fn without_sync_workers_every_group_is_filled() {
        let table = SyncTable::default();
        let set = |uid: &str| {
            let mut set = BrokerSet::new("a", rocketkube_crds::BrokerSetSpec::default());
            set.metadata.namespace = Some("ns".to_owned());
            set.metadata.uid = Some(uid.to_owned());
            set
        };
        assert!(table.is_filled(&set("1"), 1));
        table.set_present();
        assert!(!table.is_filled(&set("1"), 1));
        let uid = Some("1".to_owned());
        let report = SyncReport { uid, filled: [1].into(), ..SyncReport::default() };
        table.reports.lock().insert(Key::new("ns", "a"), report);
        assert!(table.is_filled(&set("1"), 1) && !table.is_filled(&set("1"), 2));
        assert!(!table.is_filled(&set("2"), 1), "another one of that name");
    }
}
