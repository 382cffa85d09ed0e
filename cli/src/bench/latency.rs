//! Latencies of one run: recorded in nanoseconds, reported in microseconds.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

const HIGHEST: Duration = Duration::from_mins(2);
/// Three digits keep every percentile within 0.1 %.
const DIGITS: u8 = 3;

/// A histogram of times between 1 ns and two minutes; longer ones count as two minutes.
pub(crate) struct Latencies(Histogram<u64>);

/// Percentiles of a run, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) p9999: f64,
    pub(crate) max: f64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let highest = u64::try_from(HIGHEST.as_nanos()).expect("two minutes fit 64 bits");
        Self(Histogram::new_with_bounds(1, highest, DIGITS).expect("the bounds are valid"))
    }

    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds.max(1));
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    /// `None` if nothing was recorded.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        if self.0.is_empty() {
            return None;
        }
        let at = |quantile| microseconds(self.0.value_at_quantile(quantile));
        Some(Percentiles {
            mean: (self.0.mean() / 10.0).round() / 100.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: microseconds(self.0.max()),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a run is shorter than 2^52 ns, 52 days")]
fn microseconds(nanoseconds: u64) -> f64 {
    (nanoseconds / 10) as f64 / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_thousandth() {
        let mut latencies = Latencies::new();
        for millisecond in 1..=10_000 {
            latencies.record(millisecond * 1_000);
        }
        let percentiles = latencies.percentiles().unwrap();
        for (found, expected) in [
            (percentiles.p50, 5_000.0),
            (percentiles.p90, 9_000.0),
            (percentiles.p99, 9_900.0),
            (percentiles.p999, 9_990.0),
            (percentiles.mean, 5_000.5),
            (percentiles.max, 10_000.0),
        ] {
            assert!((found / expected - 1.0f64).abs() < 0.002, "{found} for {expected}");
        }
    }

    #[test]
    fn an_absurd_latency_counts_as_the_longest() {
        let mut latencies = Latencies::new();
        latencies.record(u64::MAX);
        assert!(latencies.percentiles().unwrap().max >= 120e6);
    }

    #[test]
    fn an_empty_run_has_no_percentiles() {
        assert_eq!(Latencies::new().percentiles(), None);
    }
}
