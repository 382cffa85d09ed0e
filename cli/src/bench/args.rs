//! Flags of the load tool.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::body::PREFIX_LEN;
use super::engine::Plan;
use super::slots::MAX_IN_FLIGHT;
use crate::cluster::ClusterArgs;
use crate::duration::{parse_duration, parse_positive_duration};
use crate::topic::queues;

/// Requests open per connection if `--in-flight` is not given: a latency test in a closed loop,
/// room for any backlog in an open one.
const CLOSED_WINDOW: usize = 1;
const OPEN_WINDOW: usize = 1024;
/// How long a run takes if neither `--duration` nor `--messages` says so.
const DURATION: Duration = Duration::from_secs(10);
const WARMUP: Duration = Duration::from_secs(2);

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Send messages as fast as the broker answers, or at a fixed rate
    Produce(ProduceArgs),
    /// Read a topic as fast as the broker answers, or wait at its end
    Consume(ConsumeArgs),
    /// Send to a thread that only answers: the most any broker could do on this machine
    Echo(EchoArgs),
}

/// Whom to load, and with what.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Load this broker, HOST:PORT, without asking a name server
    #[arg(long, value_name = "ADDR")]
    pub(crate) broker: Option<String>,
    /// Topic; created if it does not exist
    #[arg(long, default_value = "rkctl-bench")]
    pub(crate) topic: String,
    /// Queues of the topic if it has to be created
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = queues())]
    pub(crate) queues: u32,
    /// Also report CPU time and anonymous memory of this local process
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
}

/// How hard and how long.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// TCP connections
    #[arg(long, short = 'c', value_name = "N", default_value_t = 1, value_parser = count(10_000))]
    pub(crate) connections: usize,
    /// Requests open at a time on each connection [default: 1, or 1024 if there is a --rate]
    #[arg(long, short = 'w', value_name = "N", value_parser = count(MAX_IN_FLIGHT))]
    pub(crate) in_flight: Option<usize>,
    /// Length of the measured window, such as 10s or 500ms [default: 10s, or as long as it takes to
    /// read everything once]
    #[arg(long, short = 'd', value_name = "TIME", value_parser = parse_positive_duration, conflicts_with = "messages")]
    pub(crate) duration: Option<Duration>,
    /// Stop after this many messages; an error if there are fewer
    #[arg(long, short = 'm', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: Option<u64>,
    /// Load without measuring before the window [default: 2s, or none if the window has no length]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "messages")]
    pub(crate) warmup: Option<Duration>,
}

/// What to send.
#[derive(Debug, Args)]
pub(crate) struct MessageArgs {
    /// Requests per second over all connections; latencies then count from the intended time
    #[arg(long, short = 'r', value_name = "N", value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,
    /// Bytes of each body
    #[arg(long, short = 's', value_name = "BYTES", default_value_t = 1024, value_parser = parse_size)]
    pub(crate) size: usize,
    /// Messages in each request; more than one are sent as a batch
    #[arg(long, short = 'b', value_name = "N", default_value_t = 1, value_parser = count(10_000))]
    pub(crate) batch: usize,
}

#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) messages: MessageArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EchoArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) messages: MessageArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConsumeArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// Read what is there, or wait at the end for what comes
    #[arg(long, value_name = "PLACE", value_enum, default_value_t = StartAt::Beginning)]
    pub(crate) from: StartAt,
    /// Begin again at the end of a queue, until the time is over
    #[arg(long, conflicts_with = "messages")]
    pub(crate) repeat: bool,
    /// Messages asked for in one request; Apache's broker gives at most 32
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) pull_batch: u32,
    /// Verify the body of every n-th message
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) verify_every: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StartAt {
    Beginning,
    #[value(alias = "tail")]
    End,
}

impl MessageArgs {
    /// An open loop has a rate and room for any backlog.
    pub(crate) fn plan(&self, load: &LoadArgs) -> Plan {
        let window = if self.rate.is_some() { OPEN_WINDOW } else { CLOSED_WINDOW };
        Plan { requests_per_second: self.rate, ..load.plan(window) }
    }
}

impl ConsumeArgs {
    /// A request that waits at the end of a queue keeps its place, so tailing needs one per queue.
    pub(crate) fn plan(&self, queues: usize) -> Plan {
        let mut plan = self.load.plan(CLOSED_WINDOW);
        match self.from {
            StartAt::End => plan.in_flight = plan.in_flight.max(queues.div_ceil(plan.connections)),
            StartAt::Beginning if self.repeat => {}
            StartAt::Beginning => {
                (plan.warmup, plan.duration) = (Duration::ZERO, self.load.duration);
            }
        }
        plan
    }
}

impl LoadArgs {
    fn plan(&self, window: usize) -> Plan {
        let timed = self.messages.is_none();
        Plan {
            connections: self.connections,
            in_flight: self.in_flight.unwrap_or(window),
            requests_per_second: None,
            warmup: if timed { self.warmup.unwrap_or(WARMUP) } else { Duration::ZERO },
            duration: timed.then(|| self.duration.unwrap_or(DURATION)),
        }
    }
}

fn count(max: usize) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse() {
        Ok(count) if (1..=max).contains(&count) => Ok(count),
        _ => Err(format!("write a number from 1 to {max}")),
    }
}

fn parse_size(text: &str) -> Result<usize, String> {
    const MAX: usize = 16 * 1024 * 1024;
    match text.parse() {
        Ok(size) if (PREFIX_LEN..=MAX).contains(&size) => Ok(size),
        _ => Err(format!("write a number of bytes from {PREFIX_LEN} (for the check) to {MAX}")),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate >= 0.1 => Ok(rate),
        _ => Err("write requests per second, as 20000".to_owned()),
    }
}
