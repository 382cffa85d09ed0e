//! What the operator tells of itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;
use parking_lot::Mutex;
use rocketkube_crds::BrokerSet;
use rocketkube_service::metrics::{Counter, Kind, Registry, Sample};

use crate::context::Key;

type BrokerSets = Store<DeserializeGuard<BrokerSet>>;
/// Counts something when it is asked.
type Count = Box<dyn Fn() -> usize + Send>;

/// Numbers of the operator.
#[derive(Clone)]
pub struct Metrics {
    reconciled: Counter,
    failed: Counter,
    took: Times,
    applied: Counter,
    restarted: Counter,
    last_success: Arc<AtomicI64>,
    leading: Arc<AtomicBool>,
    broker_sets: Arc<Mutex<Vec<BrokerSets>>>,
    undecodable: Arc<Mutex<BTreeMap<String, Count>>>,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let passes = |result: &str| {
            let labels = vec![("kind", "BrokerSet".to_owned()), ("result", result.to_owned())];
            registry.counter("mq_reconcile_total", "Passes over an object.", labels)
        };
        let counter = |name, help| registry.counter(name, help, Vec::new());
        let metrics = Self {
            reconciled: passes("ok"),
            failed: passes("error"),
            took: Times::new(
                registry,
                ["mq_reconcile_duration_seconds_sum", "mq_reconcile_duration_seconds_count"],
                "Time that passes over an object took.",
            ),
            applied: counter("mq_operator_applied_objects_total", "Objects made or changed."),
            restarted: counter("mq_operator_pod_restarts_total", "Broker pods replaced."),
            last_success: Arc::default(),
            leading: Arc::default(),
            broker_sets: Arc::default(),
            undecodable: Arc::default(),
        };
        metrics.register(registry);
        metrics
    }

    fn register(&self, registry: &Registry) {
        let leading = Arc::clone(&self.leading);
        registry.register("mq_operator_leader", "Whether this operator acts.", Kind::Gauge, {
            move || vec![Sample::new(f64::from(leading.load(Ordering::Acquire)), Vec::new())]
        });
        let last = Arc::clone(&self.last_success);
        registry.register(
            "mq_reconcile_last_success_timestamp",
            "When a pass last succeeded, in seconds since 1970.",
            Kind::Gauge,
            move || {
                let labels = vec![("kind", "BrokerSet".to_owned())];
                #[expect(clippy::cast_precision_loss, reason = "a time fits for a long while")]
                let value = last.load(Ordering::Acquire) as f64;
                vec![Sample::new(value, labels)]
            },
        );
        let counts = Arc::clone(&self.undecodable);
        let undecodable = move || {
            let sample = |(kind, count): (&String, &Count)| {
                #[expect(clippy::cast_precision_loss, reason = "a number of objects is small")]
                let count = count() as f64;
                Sample::new(count, vec![("kind", kind.clone())])
            };
            counts.lock().iter().map(sample).collect()
        };
        registry.register(
            "mq_undecodable_objects",
            "Objects that this operator cannot read, and leaves alone.",
            Kind::Gauge,
            undecodable,
        );
        let stores = Arc::clone(&self.broker_sets);
        registry.register(
            "mq_resource_condition",
            "1 for the status that a condition has.",
            Kind::Gauge,
            move || stores.lock().iter().flat_map(conditions).collect(),
        );
    }

    /// Tells the conditions of these from now on.
    pub(crate) fn watch(&self, store: BrokerSets) {
        self.broker_sets.lock().push(store);
    }

    /// Tells how many objects of a kind cannot be read, from now on.
    pub(crate) fn count_undecodable(
        &self,
        kind: impl Into<String>,
        count: impl Fn() -> usize + Send + 'static,
    ) {
        self.undecodable.lock().insert(kind.into(), Box::new(count));
    }

    pub(crate) fn set_leading(&self, leading: bool) {
        self.leading.store(leading, Ordering::Release);
    }

    pub(crate) fn passed(&self, now: Timestamp) {
        self.reconciled.add(1);
        self.last_success.store(now.as_second(), Ordering::Release);
    }

    pub(crate) fn took(&self, time: Duration) {
        self.took.add(vec![("kind", "BrokerSet".to_owned())], time);
    }

    pub(crate) fn failed(&self) {
        self.failed.add(1);
    }

    pub(crate) fn applied(&self) {
        self.applied.add(1);
    }

    pub(crate) fn restarted(&self) {
        self.restarted.add(1);
    }
}

type Labels = Vec<(&'static str, String)>;

/// A sum of times, and of how many.
type Sum = (Duration, u64);

/// How long things took, by labels of closed sets: a sum and a number, of which averages are made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Arc<Mutex<BTreeMap<Labels, Sum>>>);

impl Times {
    /// Told as two metrics, the sum in seconds and the number.
    pub(crate) fn new(
        registry: &Registry,
        [sum, count]: [&'static str; 2],
        help: &'static str,
    ) -> Self {
        let times = Self::default();
        times.tell(registry, sum, help, |(sum, _)| sum.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "Prometheus numbers are doubles")]
        times.tell(registry, count, help, |(_, count)| count as f64);
        times
    }

    fn tell(
        &self,
        registry: &Registry,
        name: &'static str,
        help: &'static str,
        value: fn(Sum) -> f64,
    ) {
        let times = self.clone();
        registry.register(name, help, Kind::Counter, move || {
            let times = times.0.lock();
            times.iter().map(|(labels, sum)| Sample::new(value(*sum), labels.clone())).collect()
        });
    }

    pub(crate) fn add(&self, labels: Labels, time: Duration) {
        let mut times = self.0.lock();
        let (sum, count) = times.entry(labels).or_default();
        *sum += time;
        *count += 1;
    }
}

fn conditions(store: &BrokerSets) -> Vec<Sample> {
    let mut samples = Vec::new();
    for guard in store.state() {
        let Ok(set) = &guard.0 else { continue };
        let key = Key::of(set);
        for condition in set.status.iter().flat_map(|status| &status.conditions) {
            let labels = vec![
                ("kind", "BrokerSet".to_owned()),
                ("namespace", key.namespace.clone()),
                ("name", key.name.clone()),
                ("type", condition.type_.clone()),
                ("status", condition.status.clone()),
                // One of few words, and one at a time: there are no more series for it.
                ("reason", condition.reason.clone()),
            ];
            samples.push(Sample::new(1.0, labels));
        }
    }
    samples
}
