//! What the broker counts, under the names that Apache RocketMQ 5 exports.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rocketkube_remoting::{CloseReason, Counters};
use rocketkube_service::metrics::{Counter, Kind, Registry, Sample};

use crate::broker::Broker;
use crate::config::Config;

/// The numbers that requests add to.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Requests of all codes.
    requests: Counter,
    /// Messages appended to the log.
    messages_in: Counter,
    /// Bytes of their records.
    bytes_in: Counter,
    /// Messages given to pulls.
    messages_out: Counter,
    /// Bytes of their records.
    bytes_out: Counter,
    /// Messages whose bytes could not be read.
    skipped: Counter,
    /// Pulls that wait.
    parked: Level,
}

/// A number of things there are, each of which holds a [`Counted`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Level(Arc<AtomicU64>);

impl Level {
    pub(crate) fn count(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.0))
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One of a [`Level`], as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, config: &Config) -> Self {
        let counter = |name, help| registry.counter(name, help, labels(config));
        Self {
            requests: counter("mq_requests_total", "Requests of clients."),
            messages_in: counter("rocketmq_messages_in_total", "Messages stored."),
            bytes_in: counter("rocketmq_throughput_in_total", "Bytes stored."),
            messages_out: counter("rocketmq_messages_out_total", "Messages delivered to pulls."),
            bytes_out: counter("rocketmq_throughput_out_total", "Bytes delivered to pulls."),
            skipped: counter(
                "mq_messages_unreadable_total",
                "Pulls that were sent past a message whose bytes are damaged.",
            ),
            parked: Level::default(),
        }
    }

    pub(crate) fn request(&self) {
        self.requests.add(1);
    }

    pub(crate) fn stored(&self, messages: u64, bytes: u64) {
        self.messages_in.add(messages);
        self.bytes_in.add(bytes);
    }

    pub(crate) fn delivered(&self, messages: u64, bytes: u64) {
        self.messages_out.add(messages);
        self.bytes_out.add(bytes);
    }

    pub(crate) fn skipped(&self) {
        self.skipped.add(1);
    }

    pub(crate) fn parked(&self) -> Counted {
        self.parked.count()
    }

    pub(crate) fn messages_in(&self) -> u64 {
        self.messages_in.get()
    }

    pub(crate) fn messages_out(&self) -> u64 {
        self.messages_out.get()
    }
}

/// Whose numbers these are. `node_id` is the broker's name, as upstream.
fn labels(config: &Config) -> Vec<(&'static str, String)> {
    vec![
        ("cluster", config.cluster.clone()),
        ("node_type", "broker".to_owned()),
        ("node_id", config.name.clone()),
    ]
}

/// Registers what is looked up when somebody asks: the broker's state.
pub(crate) fn register_broker(broker: &Arc<Broker>, damaged_ranges: usize, registry: &Registry) {
    let gauge = |name, help, read: fn(&Broker) -> f64| {
        let (broker, labels) = (Arc::clone(broker), labels(&broker.config));
        let collect = move || vec![Sample::new(read(&broker), labels.clone())];
        registry.register(name, help, Kind::Gauge, collect);
    };
    gauge("rocketmq_broker_permission", "6: read and write; 4: read; 0: neither.", |it| {
        f64::from(it.permission.bits())
    });
    gauge(
        "mq_state_file_unreadable",
        "1: the state file says nothing, its last word holds.",
        |it| f64::from(u8::from(it.permission.is_unknown())),
    );
    gauge("rocketmq_topic_number", "Topics.", |it| number(it.store.topics().len()));
    gauge("rocketmq_consumer_group_number", "Consumer groups.", |it| {
        number(it.store.groups().len())
    });
    gauge("rocketmq_storage_size_bytes", "Used bytes of the volume.", |it| {
        let disk = it.disk();
        number(disk.total.saturating_sub(disk.free))
    });
    gauge("rocketmq_storage_flush_behind_bytes", "Bytes not yet confirmed.", |it| {
        number(it.store.end().0.saturating_sub(it.store.confirmed()))
    });
    gauge("mq_store_failed", "1: the log failed, nothing is acknowledged.", |it| {
        f64::from(u8::from(it.store.has_failed()))
    });
    gauge(
        "mq_store_full",
        "1: messages are refused for lack of space, and stored ones read.",
        |it| f64::from(u8::from(it.full().is_some())),
    );
    gauge("mq_registered_name_servers", "Name servers that send clients here.", |it| {
        number(it.registrations.count())
    });
    gauge("mq_store_trouble", "1: index files and snapshots cannot be written.", |it| {
        f64::from(u8::from(it.store.trouble().is_some()))
    });
    gauge(
        "mq_clock_skew_seconds",
        "Wall clock minus the clock of retention: how far it was set since the start.",
        |it| seconds(it.age_clock.skew_ms(it.now_ms())),
    );
    gauge("mq_parked_pulls", "Pulls that wait for messages or for the disk.", |it| {
        number(it.metrics.parked.get())
    });
    gauge("mq_deferred_answers", "Runs of answers that wait for a flush.", |it| {
        number(it.confirmations.len())
    });
    let (counted, own) = (Arc::clone(broker), labels(&broker.config));
    let collect = move || vec![Sample::new(number(counted.store.damaged_indexes()), own.clone())];
    let help = "Index files that were found unusable and are made again.";
    registry.register("mq_store_damaged_indexes_total", help, Kind::Counter, collect);
    let labels = labels(&broker.config);
    let found = number(damaged_ranges);
    let collect = move || vec![Sample::new(found, labels.clone())];
    let help = "Damaged ranges of the log that the last opening found.";
    registry.register("mq_store_damaged_ranges", help, Kind::Gauge, collect);
}

/// Registers what the server saw of the network.
pub(crate) fn register_network(counters: &Arc<Counters>, config: &Config, registry: &Registry) {
    let register = |name, help, kind, read: fn(&Counters) -> u64| {
        let (counters, labels) = (Arc::clone(counters), labels(config));
        let collect = move || vec![Sample::new(number(read(&counters)), labels.clone())];
        registry.register(name, help, kind, collect);
    };
    register("mq_connections", "Connections open now.", Kind::Gauge, Counters::open);
    let counter = |name, help, read| register(name, help, Kind::Counter, read);
    counter("mq_connections_accepted_total", "Connections accepted.", Counters::accepted);
    counter("mq_network_received_bytes_total", "Bytes read from clients.", Counters::bytes_in);
    counter("mq_network_sent_bytes_total", "Bytes written to clients.", Counters::bytes_out);
    let help = "Responses that nobody had asked for.";
    counter("mq_stray_responses_total", help, Counters::stray_responses);

    let (counters, labels) = (Arc::clone(counters), labels(config));
    let collect = move || {
        let sample = |reason: CloseReason| {
            let labels = labels.iter().cloned().chain([("reason", reason.name().to_owned())]);
            Sample::new(number(counters.closed(reason)), labels.collect())
        };
        CloseReason::ALL.into_iter().map(sample).collect()
    };
    let help = "Connections closed, by reason; bad_frame: bytes that are no command.";
    registry.register("mq_connections_closed_total", help, Kind::Counter, collect);
}

/// Whole ones.
#[expect(clippy::cast_precision_loss, reason = "Prometheus numbers are doubles")]
fn seconds(milliseconds: i64) -> f64 {
    (milliseconds / 1_000) as f64
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus numbers are doubles")]
fn number(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}
