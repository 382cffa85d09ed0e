//! Numbers that a process tells: counters that the hot path adds to, and values looked up when
//! somebody asks. Rendered as Prometheus text; no look-up by label ever happens while counting.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// A number that only grows. Cloning it gives another handle of the same number.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

/// One line of a metric: its labels and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

impl Sample {
    pub fn new(value: f64, labels: Vec<(&'static str, String)>) -> Self {
        Self { labels, value }
    }
}

type Collect = Box<dyn Fn() -> Vec<Sample> + Send + Sync>;

struct Metric {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    collect: Collect,
}

/// All metrics of a process.
#[derive(Default)]
pub struct Registry {
    metrics: Mutex<Vec<Metric>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let metrics = self.metrics.lock();
        f.debug_list().entries(metrics.iter().map(|metric| metric.name)).finish()
    }
}

impl Registry {
    /// A counter without labels of its own; `labels` say whose it is.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: Vec<(&'static str, String)>,
    ) -> Counter {
        let counter = Counter::default();
        let read = counter.clone();
        #[expect(clippy::cast_precision_loss, reason = "Prometheus numbers are doubles")]
        let collect = move || vec![Sample::new(read.get() as f64, labels.clone())];
        self.register(name, help, Kind::Counter, collect);
        counter
    }

    /// A metric whose values are asked for at each scrape.
    pub fn register(
        &self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        collect: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) {
        let collect = Box::new(collect);
        self.metrics.lock().push(Metric { name, help, kind, collect });
    }

    /// All metrics as Prometheus text, version 0.0.4. Metrics registered under one name come as one.
    pub fn render(&self) -> String {
        let metrics = self.metrics.lock();
        let mut order: Vec<&Metric> = metrics.iter().collect();
        order.sort_by_key(|metric| metric.name);
        let mut text = String::new();
        let mut last = "";
        for metric in order {
            if metric.name != last {
                let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
                let Metric { name, help, .. } = metric;
                write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect(IN_MEMORY);
                last = metric.name;
            }
            for sample in (metric.collect)() {
                render_sample(&mut text, metric.name, &sample);
            }
        }
        text
    }
}

const IN_MEMORY: &str = "writing to a string cannot fail";

fn render_sample(text: &mut String, name: &str, sample: &Sample) {
    text.push_str(name);
    for (at, (label, value)) in sample.labels.iter().enumerate() {
        text.push(if at == 0 { '{' } else { ',' });
        write!(text, "{label}=\"{}\"", escaped(value)).expect(IN_MEMORY);
    }
    if !sample.labels.is_empty() {
        text.push('}');
    }
    writeln!(text, " {}", sample.value).expect(IN_MEMORY);
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// What the operating system says of this process, under Prometheus' usual names.
pub fn register_process(registry: &Registry) {
    let gauge = |name, help, read: fn() -> Option<f64>| {
        let collect =
            move || read().map(|value| Sample::new(value, Vec::new())).into_iter().collect();
        registry.register(name, help, Kind::Gauge, collect);
    };
    gauge("process_resident_memory_bytes", "Resident memory in bytes.", || status_kib("VmRSS:"));
    gauge("mq_process_anonymous_memory_bytes", "Memory that is no file's, in bytes.", || {
        status_kib("RssAnon:")
    });
    gauge("process_open_fds", "Open file descriptors.", || {
        #[expect(clippy::cast_precision_loss, reason = "a number of files is small")]
        std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64)
    });
}

fn status_kib(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    let kib: f64 = line[field.len()..].trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_rendered_by_name_with_escaped_labels() {
        let registry = Registry::default();
        let labels = vec![("topic", "a\"b\\c\nd".to_owned()), ("kind", "x".to_owned())];
        let counter = registry.counter("mq_b_total", "Things.", labels);
        counter.add(2);
        registry.register("mq_a", "Level.", Kind::Gauge, || vec![Sample::new(1.5, Vec::new())]);
        let expected = "# HELP mq_a Level.\n# TYPE mq_a gauge\nmq_a 1.5\n\
            # HELP mq_b_total Things.\n# TYPE mq_b_total counter\n\
            mq_b_total{topic=\"a\\\"b\\\\c\\nd\",kind=\"x\"} 2\n";
        assert_eq!(registry.render(), expected);
    }

    #[test]
    fn metrics_of_one_name_share_their_heading() {
        let registry = Registry::default();
        for broker in ["a", "b"] {
            registry.counter("mq_total", "Things.", vec![("broker", broker.to_owned())]);
        }
        assert_eq!(registry.render().matches("# TYPE").count(), 1);
        assert_eq!(registry.render().lines().count(), 4);
    }

    #[test]
    fn a_process_knows_its_memory_and_descriptors() {
        let registry = Registry::default();
        register_process(&registry);
        let text = registry.render();
        for name in ["process_resident_memory_bytes ", "process_open_fds "] {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            assert!(line[name.len()..].parse::<f64>().unwrap() > 0.0);
        }
    }
}
