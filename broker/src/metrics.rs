//! What the broker counts, under the names that Apache RocketMQ 5 exports.

use std::sync::Arc;

use rocketkube_service::metrics::{Counter, Kind, Registry, Sample};

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

/// Registers a level that is looked up when somebody asks.
pub(crate) fn gauge(
    registry: &Registry,
    config: &Config,
    name: &'static str,
    help: &'static str,
    read: impl Fn() -> f64 + Send + Sync + 'static,
) {
    let labels = Arc::new(labels(config));
    let collect = move || vec![Sample::new(read(), labels.to_vec())];
    registry.register(name, help, Kind::Gauge, collect);
}
