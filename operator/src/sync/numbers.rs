//! What sync workers tell in numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rocketkube_crds::broker_set::Counts;
use rocketkube_crds::{ConsumerGroup, Topic};
use rocketkube_service::metrics::{Counter, Kind, Registry, Sample as Number};

use super::declared::Declared;
use super::lag::Sample;
use crate::Key;

/// Numbers of all sync workers. Clones are the same numbers.
#[derive(Clone)]
pub struct Numbers {
    drift: [Counter; 2],
    sets: Arc<Mutex<BTreeMap<Key, Set>>>,
}

/// What is told of one `BrokerSet`.
#[derive(Debug, Default)]
struct Set {
    topics: Counts,
    groups: Counts,
    /// Lag in messages and seconds, by group and topic. Groups that objects declare only, so that
    /// their number is that of objects.
    lags: BTreeMap<(String, String), (i64, f64)>,
}

impl Numbers {
    pub(crate) fn new(registry: &Registry) -> Self {
        let drift = [Topic::NOUN, ConsumerGroup::NOUN].map(|noun| {
            let help = "Settings that somebody changed in brokers, and that were set back.";
            registry.counter("mq_drift_corrections_total", help, vec![("kind", kind(noun).into())])
        });
        let numbers = Self { drift, sets: Arc::default() };
        numbers.register(
            registry,
            "mq_topics",
            "Topics in the brokers of a BrokerSet.",
            |key, set| counts(key, set.topics),
        );
        numbers.register(
            registry,
            "mq_consumer_groups",
            "Consumer groups in the brokers of a BrokerSet.",
            |key, set| counts(key, set.groups),
        );
        numbers.register(
            registry,
            "mq_consumer_lag_messages",
            "Messages of a topic that a consumer group has not consumed.",
            #[expect(clippy::cast_precision_loss, reason = "Prometheus numbers are doubles")]
            |key, set| lags(key, set, |(messages, _)| messages as f64),
        );
        numbers.register(
            registry,
            "mq_consumer_lag_seconds",
            "Age of the oldest message of a topic that a consumer group has not consumed.",
            |key, set| lags(key, set, |(_, seconds)| seconds),
        );
        numbers
    }

    fn register(
        &self,
        registry: &Registry,
        name: &'static str,
        help: &'static str,
        of: impl Fn(&Key, &Set) -> Vec<Number> + Send + Sync + 'static,
    ) {
        let sets = Arc::clone(&self.sets);
        let collect = move || sets.lock().iter().flat_map(|(key, set)| of(key, set)).collect();
        registry.register(name, help, Kind::Gauge, collect);
    }

    pub(crate) fn drift(&self, noun: &str) {
        self.drift[usize::from(noun == ConsumerGroup::NOUN)].add(1);
    }

    pub(crate) fn counts(&self, key: &Key, topics: Counts, groups: Counts) {
        let mut sets = self.sets.lock();
        let set = sets.entry(key.clone()).or_default();
        (set.topics, set.groups) = (topics, groups);
    }

    pub(crate) fn lags<'a>(
        &self,
        key: &Key,
        samples: impl Iterator<Item = (&'a String, &'a Sample)>,
    ) {
        let mut lags = BTreeMap::new();
        for (group, sample) in samples {
            for (topic, told) in &sample.topics {
                let value = (told.lag, told.oldest.as_secs_f64());
                lags.insert((group.clone(), topic.clone()), value);
            }
        }
        self.sets.lock().entry(key.clone()).or_default().lags = lags;
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.sets.lock().remove(key);
    }
}

fn kind(noun: &str) -> &'static str {
    if noun == Topic::NOUN { "Topic" } else { "ConsumerGroup" }
}

type Labels = Vec<(&'static str, String)>;

fn labels(key: &Key, more: impl IntoIterator<Item = (&'static str, String)>) -> Labels {
    let mut labels = vec![("namespace", key.namespace.clone()), ("brokerset", key.name.clone())];
    labels.extend(more);
    labels
}

fn counts(key: &Key, counts: Counts) -> Vec<Number> {
    let states =
        [("managed", counts.managed), ("failed", counts.failed), ("unmanaged", counts.unmanaged)];
    let number = |(state, count): (&str, i32)| {
        Number::new(f64::from(count), labels(key, [("state", state.to_owned())]))
    };
    states.into_iter().map(number).collect()
}

fn lags(key: &Key, set: &Set, value: impl Fn((i64, f64)) -> f64) -> Vec<Number> {
    let number = |((group, topic), lag): (&(String, String), &(i64, f64))| {
        let more = [("topic", topic.clone()), ("group", group.clone())];
        Number::new(value(*lag), labels(key, more))
    };
    set.lags.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sync::lag::TopicSample;

    #[test]
    fn numbers_are_told_by_broker_set_until_it_is_forgotten() {
        let registry = Registry::default();
        let numbers = Numbers::new(&registry);
        let key = Key::new("shop", "orders");
        let topics = Counts { managed: 3, failed: 1, unmanaged: 2 };
        numbers.counts(&key, topics, Counts::default());
        let lag = TopicSample { lag: 7, oldest: Duration::from_millis(1_500) };
        let sample = Sample { topics: [("t".to_owned(), lag)].into(), ..Sample::default() };
        numbers.lags(&key, [(&"billing".to_owned(), &sample)].into_iter());
        numbers.drift(Topic::NOUN);
        let text = registry.render();
        let set = "namespace=\"shop\",brokerset=\"orders\"";
        for line in [
            format!("mq_topics{{{set},state=\"managed\"}} 3"),
            format!("mq_consumer_lag_messages{{{set},topic=\"t\",group=\"billing\"}} 7"),
            format!("mq_consumer_lag_seconds{{{set},topic=\"t\",group=\"billing\"}} 1.5"),
            "mq_drift_corrections_total{kind=\"Topic\"} 1".to_owned(),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        numbers.forget(&key);
        assert!(!registry.render().contains("orders"));
    }
}
