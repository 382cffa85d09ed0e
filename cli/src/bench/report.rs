//! What a load run found, as JSON and as a table for people.
#![expect(clippy::cast_precision_loss, reason = "counts and sizes of a run are below 2^52")]

use std::io::{self, Write};

use rocketkube_protocol::ResponseCode;
use serde::Serialize;

use super::consume::RecordFindings;
use super::engine::{Outcome, Plan};
use super::latency::Percentiles;
use super::produce::OffsetFindings;
use crate::output;

/// One run; the names of its members are those of the JSON output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) workload: &'static str,
    /// Whether Ctrl-C ended the run early.
    pub(crate) interrupted: bool,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requests_per_second: Option<f64>,
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) messages: u64,
    /// Messages asked for, if the run was to end with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) messages_wanted: Option<u64>,
    pub(crate) messages_per_second: f64,
    pub(crate) megabytes_per_second: f64,
    /// From request to answer; from the intended time of the request in an open loop.
    pub(crate) latency_us: Option<Percentiles>,
    /// From the send of a message to its arrival at the tailing reader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delivery_us: Option<Percentiles>,
    pub(crate) errors: Vec<ErrorCount>,
    pub(crate) unanswered: u64,
    pub(crate) lost_connections: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offsets: Option<OffsetFindings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) records: Option<RecordFindings>,
    pub(crate) generator_cpu_us_per_message: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<ServerReport>,
}

/// Answers of one response code that is not success.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorCount {
    pub(crate) code: i32,
    pub(crate) name: String,
    pub(crate) count: u64,
    /// Of the first such answer.
    pub(crate) remark: String,
}

/// What the watched server process used.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServerReport {
    pub(crate) cpu_us_per_message: f64,
    pub(crate) cpu_cores: f64,
    pub(crate) rss_anon_bytes_before: u64,
    pub(crate) rss_anon_bytes_peak: u64,
}

impl Report {
    pub(crate) fn new(workload: &'static str, plan: &Plan, outcome: Outcome) -> Self {
        // A run without an answer has no length.
        let (tally, seconds) = (&outcome.tally, outcome.seconds.max(1e-6));
        let error = |(&code, (count, remark)): (&i32, &(u64, String))| ErrorCount {
            code,
            name: ResponseCode(code).name().unwrap_or("unnamed").to_owned(),
            count: *count,
            remark: remark.clone(),
        };
        let server = outcome.server.map(|used| ServerReport {
            cpu_us_per_message: ratio(used.cpu_us, tally.messages),
            cpu_cores: rounded(used.cpu_us as f64 / 1e6 / seconds),
            rss_anon_bytes_before: used.rss_anon_before,
            rss_anon_bytes_peak: used.rss_anon_peak,
        });
        Self {
            workload,
            interrupted: outcome.interrupted,
            connections: plan.connections,
            in_flight: plan.in_flight,
            requests_per_second: plan.requests_per_second,
            seconds: rounded(seconds),
            requests: tally.requests,
            messages: tally.messages,
            messages_wanted: None,
            messages_per_second: rounded(tally.messages as f64 / seconds),
            megabytes_per_second: rounded(tally.bytes as f64 / 1e6 / seconds),
            latency_us: tally.latencies.percentiles(),
            delivery_us: None,
            errors: tally.errors.iter().map(error).collect(),
            unanswered: outcome.unanswered,
            offsets: None,
            records: None,
            generator_cpu_us_per_message: ratio(outcome.generator_cpu_us, tally.messages),
            lost_connections: outcome.lost_connections,
            server,
        }
    }

    /// What is wrong with the run, in words; empty if nothing is.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut note = |count: u64, text: &str| {
            if count > 0 {
                faults.push(format!("{count} {text}"));
            }
        };
        if !self.interrupted {
            note(u64::from(self.messages == 0), "run without a single message");
            let missing = self.messages_wanted.unwrap_or(0).saturating_sub(self.messages);
            note(missing, "messages fewer than asked for");
        }
        note(self.unanswered, "requests without an answer");
        if let Some(offsets) = self.offsets {
            note(offsets.missing, "offsets that no message got");
            note(offsets.reused, "messages with an offset that was taken");
            note(offsets.unreadable, "answers that do not say where the message is");
        }
        if let Some(records) = self.records {
            note(records.altered, "altered messages");
            note(records.out_of_order, "records out of order");
            note(records.unreadable, "answers with an unreadable record");
        }
        for error in &self.errors {
            let ErrorCount { code, name, count, remark } = error;
            faults.push(format!("{count} answers {name} ({code}): {remark}"));
        }
        faults.extend(self.lost_connections.iter().map(|why| format!("connection lost: {why}")));
        faults
    }

    pub(crate) fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        let mut table = output::table();
        let mut row = |name: &str, value: String| {
            table.add_row([name.to_owned(), value]);
        };
        row("workload", format!("{} {} x {}", self.workload, self.connections, self.in_flight));
        row("messages", format!("{} in {:.2} s", self.messages, self.seconds));
        row(
            "rate",
            format!("{:.0}/s, {:.1} MB/s", self.messages_per_second, self.megabytes_per_second),
        );
        if let Some(latency) = &self.latency_us {
            row("latency", in_words(latency));
        }
        if let Some(delivery) = &self.delivery_us {
            row("delivery", in_words(delivery));
        }
        if let Some(records) = &self.records {
            let RecordFindings { verified, foreign, .. } = records;
            row("bodies", format!("{verified} verified, {foreign} of somebody else"));
        }
        row("generator", format!("{:.2} us CPU per message", self.generator_cpu_us_per_message));
        if let Some(server) = &self.server {
            row(
                "server",
                format!(
                    "{:.2} us CPU per message, {:.2} cores, anonymous memory {:.1} -> {:.1} MiB",
                    server.cpu_us_per_message,
                    server.cpu_cores,
                    mebibytes(server.rss_anon_bytes_before),
                    mebibytes(server.rss_anon_bytes_peak),
                ),
            );
        }
        writeln!(out, "{table}")
    }
}

fn in_words(percentiles: &Percentiles) -> String {
    let Percentiles { mean, p50, p90, p99, p999, p9999, max } = percentiles;
    format!("mean {mean} p50 {p50} p90 {p90} p99 {p99} p99.9 {p999} p99.99 {p9999} max {max} us")
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { rounded(part as f64 / whole as f64) }
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
