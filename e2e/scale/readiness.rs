//! When objects became Ready.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};
use parking_lot::Mutex;
use rocketkube_crds::{BrokerSet, Topic, condition};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::load::NAMESPACE;

/// A kind with conditions.
pub(crate) trait Conditions:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + fmt::Debug
    + DeserializeOwned
    + Send
    + 'static
{
    fn conditions(&self) -> &[Condition];

    fn ready(&self) -> Option<&Condition> {
        self.conditions().iter().find(|it| it.type_ == condition::READY)
    }
}

impl Conditions for Topic {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| &*status.conditions).unwrap_or_default()
    }
}

impl Conditions for BrokerSet {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| &*status.conditions).unwrap_or_default()
    }
}

/// Watches all objects of a kind, and notes when each became Ready first.
pub(crate) struct Readiness<K> {
    seen: Arc<Mutex<Seen>>,
    watching: JoinHandle<()>,
    kind: std::marker::PhantomData<K>,
}

#[derive(Default)]
struct Seen {
    /// By name: when a watch told, and how long it took by the times in the object.
    ready: BTreeMap<String, (Instant, Duration)>,
    /// What one that is not says.
    waits: Option<String>,
}

impl<K: Conditions> Readiness<K> {
    pub(crate) fn watch(client: Client) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let notes = Arc::clone(&seen);
        let watching = tokio::spawn(async move {
            let api: Api<K> = Api::namespaced(client, NAMESPACE);
            let mut objects = watcher(api, watcher::Config::default())
                .default_backoff()
                .applied_objects()
                .boxed();
            while let Some(object) = objects.next().await {
                match object {
                    Ok(object) => notes.lock().note(&object),
                    Err(error) => println!("a watch failed and starts again: {error}"),
                }
            }
        });
        Self { seen, watching, kind: std::marker::PhantomData }
    }

    /// Waits until so many are Ready.
    pub(crate) async fn reach(&self, count: usize, patience: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let ready = self.seen.lock().ready.len();
            if ready >= count {
                return Ok(());
            }
            if start.elapsed() > patience {
                let (kind, waits) = (K::kind(&()), self.seen.lock().waits.clone());
                bail!(
                    "{ready} of {count} {kind}s are Ready after {patience:?}; one says: {waits:?}"
                );
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// From the moments at which they were asked for.
    pub(crate) fn latencies(&self, asked: &BTreeMap<String, Instant>) -> Latencies {
        let seen = self.seen.lock();
        let of = |(name, asked): (&String, &Instant)| {
            seen.ready.get(name).map(|(at, _)| at.saturating_duration_since(*asked))
        };
        Latencies::of(asked.iter().filter_map(of).collect())
    }

    /// From creation to Ready as objects have it.
    pub(crate) fn told(&self) -> Latencies {
        Latencies::of(self.seen.lock().ready.values().map(|(_, told)| *told).collect())
    }
}

impl<K> Drop for Readiness<K> {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Seen {
    fn note<K: Conditions>(&mut self, object: &K) {
        let Some(ready) = object.ready() else { return };
        if ready.status != "True" {
            self.waits = Some(format!("{}: {}", object.name_any(), ready.message));
            return;
        }
        let name = object.name_any();
        if self.ready.contains_key(&name) {
            return;
        }
        let told = object.creation_timestamp().map(|created| {
            Duration::try_from(ready.last_transition_time.0.duration_since(created.0))
        });
        self.ready.insert(name, (Instant::now(), told.and_then(Result::ok).unwrap_or_default()));
    }
}

/// How long something took, many times.
pub(crate) struct Latencies {
    p50: Duration,
    pub(crate) p99: Duration,
    longest: Duration,
}

impl Latencies {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |percent: usize| {
            let index = (all.len() * percent).div_ceil(100).saturating_sub(1);
            all.get(index).copied().unwrap_or_default()
        };
        Self { p50: at(50), p99: at(99), longest: at(100) }
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, longest] = [self.p50, self.p99, self.longest].map(|it| it.as_secs_f64());
        write!(f, "p50 {p50:.2} s, p99 {p99:.2} s, longest {longest:.2} s")
    }
}
