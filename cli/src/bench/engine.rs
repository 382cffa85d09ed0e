//! The loop of the load tool: one thread, many connections, many requests in flight on each.
//!
//! Everything a ready connection has is read, answered and replaced by new requests in one write.
//! What the requests are, and what a good answer is, is up to a [`Workload`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use rocketkube_protocol::Request;

use super::latency::Latencies;
use super::link::{Link, Poller};
use super::process::{Process, Usage, thread_cpu_us};
use super::slots::{Open, Slots};
use crate::interrupt::{self, Interrupted};
use crate::progress::Progress;

/// How long answers are awaited after the last request.
const DRAIN: Duration = Duration::from_secs(10);
/// How often progress, memory and the end of the run are looked at.
const TICK: Duration = Duration::from_millis(100);

/// What is asked, and what counts as answered.
pub(crate) trait Workload {
    /// Appends one request frame, or says why not. `at_ns` counts from the start of the run.
    fn request(&mut self, origin: Origin, opaque: i32, at_ns: u64, out: &mut Vec<u8>) -> Asked;

    /// Takes the answer to what was asked from the same origin.
    fn answer(&mut self, origin: Origin, response: &Request<'_>, at_ns: u64) -> Answer;
}

/// Where a request came from; one request at a time is open per origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) connection: usize,
    pub(crate) slot: usize,
}

/// Whether a workload had something to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Sent,
    /// Not now: every part of the work is in hand, but may come back.
    NotNow,
    /// Never again.
    Exhausted,
}

/// What an answer was worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Done {
        messages: u64,
        bytes: u64,
    },
    /// An error code; counted by code.
    Refused,
}

/// How hard and how long.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    /// Requests open at a time on each connection.
    pub(crate) in_flight: usize,
    /// Requests per second over all connections; without it the next request leaves as soon as
    /// there is room for it.
    pub(crate) requests_per_second: Option<f64>,
    pub(crate) warmup: Duration,
    /// Length of the measured window; without it the run ends when the workload has no more.
    pub(crate) duration: Option<Duration>,
}

/// Who is loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    /// A local process to be watched.
    pub(crate) pid: Option<u32>,
}

/// What happened in the measured window.
pub(crate) struct Outcome {
    pub(crate) seconds: f64,
    pub(crate) tally: Tally,
    /// Requests that had no answer when the run ended.
    pub(crate) unanswered: u64,
    /// Why connections were lost, one text each.
    pub(crate) lost_connections: Vec<String>,
    /// Ctrl-C ended the run early.
    pub(crate) interrupted: bool,
    pub(crate) generator_cpu_us: u64,
    pub(crate) server: Option<ServerUsage>,
}

/// What the watched server used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerUsage {
    pub(crate) cpu_us: u64,
    pub(crate) rss_anon_before: u64,
    pub(crate) rss_anon_peak: u64,
}

/// Counters of the measured window.
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// By response code, each with the first remark seen.
    pub(crate) errors: BTreeMap<i32, (u64, String)>,
    pub(crate) latencies: Latencies,
}

impl Tally {
    fn new() -> Self {
        let latencies = Latencies::new();
        Self { requests: 0, messages: 0, bytes: 0, errors: BTreeMap::new(), latencies }
    }

    /// Forgets what the warm-up counted, but not its errors: those are always worth knowing.
    fn restart(&mut self) {
        (self.requests, self.messages, self.bytes) = (0, 0, 0);
        self.latencies.clear();
    }

    /// `in_time` is whether the answer came within the window. The latency of a late one counts
    /// all the same: leaving it out would hide exactly the worst.
    fn note(&mut self, answer: Answer, response: &Request<'_>, latency_ns: u64, in_time: bool) {
        match answer {
            Answer::Done { messages, bytes } => {
                self.latencies.record(latency_ns);
                if in_time {
                    self.requests += 1;
                    self.messages += messages;
                    self.bytes += bytes;
                }
            }
            Answer::Refused => {
                let first = || (0, response.remark.as_deref().unwrap_or_default().to_owned());
                self.errors.entry(response.code.0).or_insert_with(first).0 += 1;
            }
        }
    }
}

/// Time of a run in nanoseconds, and what the wall clock said when it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    unix_ns: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), unix_ns: nanoseconds(unix) }
    }

    pub(crate) fn unix_ns(&self, at_ns: u64) -> u64 {
        self.unix_ns + at_ns
    }

    fn now(&self) -> u64 {
        nanoseconds(self.start.elapsed())
    }
}

/// Runs `workload` as planned. Fails only if it cannot begin; later trouble is in the outcome.
pub(crate) fn run(
    server: Server,
    plan: &Plan,
    clock: Clock,
    workload: &mut dyn Workload,
) -> Result<Outcome> {
    let interrupt = interrupt::on_ctrl_c_in_background()?;
    let progress = Progress::new();
    let mut engine = Engine::connect(server, plan, clock, workload)?;
    engine.begin_window_at(clock.now() + nanoseconds(plan.warmup));
    let mut ready = Vec::new();
    let mut next_tick = 0;
    loop {
        let now = clock.now();
        if now >= next_tick {
            next_tick = now + nanoseconds(TICK);
            if interrupt.is_cancelled() {
                engine.interrupt(now)?;
            }
            if !engine.tick(now, &progress)? {
                break;
            }
        }
        engine.poller.wait(engine.patience(now, next_tick), &mut ready)?;
        for &connection in &ready {
            engine.serve(connection);
        }
        if engine.paced() || ready.is_empty() {
            engine.fill_all();
        }
        if engine.is_finished() {
            break;
        }
    }
    progress.finish();
    engine.outcome()
}

struct Engine<'a> {
    server: Server,
    plan: &'a Plan,
    clock: Clock,
    workload: &'a mut dyn Workload,
    poller: Poller,
    connections: Vec<Connection>,
    /// First and last nanosecond in which requests are sent and counted.
    window: (u64, u64),
    measuring: bool,
    interrupted: bool,
    /// Nothing is sent any more; answers are awaited until then.
    drained_at: Option<u64>,
    last_answer: u64,
    tally: Tally,
    lost: Vec<String>,
    /// Requests that were open on lost connections.
    unanswered: u64,
    watched: Option<Watched>,
    cpu_at_start: u64,
}

/// The server process and what it had used when the window began.
struct Watched {
    process: Process,
    before: Usage,
    peak: u64,
}

struct Connection {
    link: Option<Link>,
    slots: Slots,
    /// Requests begun, which decides when the next one is due in an open loop.
    begun: u64,
}

impl<'a> Engine<'a> {
    fn connect(
        server: Server,
        plan: &'a Plan,
        clock: Clock,
        workload: &'a mut dyn Workload,
    ) -> Result<Self> {
        let poller = Poller::new()?;
        let mut connections = Vec::with_capacity(plan.connections);
        for token in 0..plan.connections {
            let link = Link::connect(server.addr)?;
            poller.add(&link, token)?;
            let slots = Slots::new(plan.in_flight);
            connections.push(Connection { link: Some(link), slots, begun: 0 });
        }
        let watched = server.pid.map(watch).transpose()?;
        Ok(Self {
            server,
            plan,
            clock,
            workload,
            poller,
            connections,
            window: (0, u64::MAX),
            measuring: false,
            interrupted: false,
            drained_at: None,
            last_answer: 0,
            tally: Tally::new(),
            lost: Vec::new(),
            unanswered: 0,
            watched,
            cpu_at_start: 0,
        })
    }

    fn begin_window_at(&mut self, start: u64) {
        let end = self.plan.duration.map_or(u64::MAX, |length| start + nanoseconds(length));
        self.window = (start, end);
        self.fill_all();
    }

    fn paced(&self) -> bool {
        self.plan.requests_per_second.is_some()
    }

    /// Looks at the clock; `false` when the run is over.
    fn tick(&mut self, now: u64, progress: &Progress) -> Result<bool> {
        if !self.measuring && now >= self.window.0 {
            self.measuring = true;
            self.window.0 = now;
            self.window.1 = self.plan.duration.map_or(u64::MAX, |d| now + nanoseconds(d));
            self.tally.restart();
            self.cpu_at_start = thread_cpu_us();
            self.watched = self.server.pid.map(watch).transpose()?;
        }
        if let Some(watched) = &mut self.watched
            && let Ok(usage) = watched.process.usage()
        {
            watched.peak = watched.peak.max(usage.rss_anon_bytes);
        }
        progress.show(self.tally.messages, Duration::from_nanos(now.saturating_sub(self.window.0)));
        Ok(self.drained_at.is_none_or(|end| now < end))
    }

    /// How long nothing needs to be done unless a connection is ready.
    fn patience(&self, now: u64, next_tick: u64) -> Duration {
        let mut until = next_tick;
        if self.drained_at.is_none() {
            until = until.min(self.window.1);
            for (index, connection) in self.connections.iter().enumerate() {
                if self.paced() && connection.slots.has_room() {
                    until = until.min(self.due(index, connection.begun));
                }
            }
        }
        Duration::from_nanos(until.saturating_sub(now))
    }

    /// When the `number`th request of a connection is meant to be sent.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "2^53 ns are 104 days, and rates are positive"
    )]
    fn due(&self, connection: usize, number: u64) -> u64 {
        let Some(rate) = self.plan.requests_per_second else { return 0 };
        let position = connection as u64 + number * self.connections.len() as u64;
        (position as f64 / rate * 1e9) as u64
    }

    fn serve(&mut self, index: usize) {
        if let Err(error) = self.receive(index).and_then(|()| self.fill(index)) {
            self.lose(index, &error);
        }
    }

    fn fill_all(&mut self) {
        for index in 0..self.connections.len() {
            if let Err(error) = self.fill(index) {
                self.lose(index, &error);
            }
        }
    }

    fn lose(&mut self, index: usize, error: &anyhow::Error) {
        let connection = &mut self.connections[index];
        // Closing the socket removes it from the poller as well.
        if connection.link.take().is_some() {
            self.lost.push(format!("{error:#}"));
            self.unanswered += connection.slots.open_count() as u64;
            connection.slots = Slots::new(self.plan.in_flight);
        }
    }

    fn receive(&mut self, index: usize) -> Result<()> {
        let Connection { link: Some(link), slots, .. } = &mut self.connections[index] else {
            return Ok(());
        };
        let mut broken = None;
        let mut now = None;
        link.receive(|frame| {
            let at = *now.get_or_insert_with(|| self.clock.now());
            let response = match Request::decode(frame) {
                Ok(response) => response,
                Err(error) => {
                    broken.get_or_insert_with(|| format!("unreadable answer: {error}"));
                    return;
                }
            };
            let Some((slot, open)) = slots.vacate(response.opaque) else {
                broken.get_or_insert_with(|| format!("answer to no request: {response:?}"));
                return;
            };
            let origin = Origin { connection: index, slot };
            let answer = self.workload.answer(origin, &response, at);
            let latency = at.saturating_sub(open.since_ns);
            self.tally.note(answer, &response, latency, at <= self.window.1);
            self.last_answer = at;
        })?;
        match broken {
            Some(reason) => bail!(reason),
            None => Ok(()),
        }
    }

    /// Sends what a connection has room for and what is due.
    fn fill(&mut self, index: usize) -> Result<()> {
        let now = self.clock.now();
        if now >= self.window.1 {
            self.stop_sending(now);
        }
        while self.drained_at.is_none() {
            let begun = self.connections[index].begun;
            let since_ns = if self.paced() { self.due(index, begun) } else { now };
            let Connection { link: Some(link), slots, begun } = &mut self.connections[index] else {
                return Ok(());
            };
            let Some((slot, opaque)) = slots.next().filter(|_| since_ns <= now) else { break };
            let origin = Origin { connection: index, slot };
            match self.workload.request(origin, opaque, now, &mut link.output) {
                Asked::Sent => {
                    slots.occupy(Open { opaque, since_ns });
                    *begun += 1;
                }
                Asked::NotNow => break,
                Asked::Exhausted => self.stop_sending(now),
            }
        }
        match &mut self.connections[index].link {
            Some(link) => link.flush(&self.poller, index),
            None => Ok(()),
        }
    }

    /// Ends the window now. Fails if it has not begun: there is nothing to report.
    fn interrupt(&mut self, now: u64) -> Result<()> {
        if !self.measuring {
            bail!(Interrupted("nothing was measured yet".into()));
        }
        if !self.interrupted {
            self.interrupted = true;
            self.window.1 = self.window.1.min(now);
            self.stop_sending(now);
        }
        Ok(())
    }

    fn stop_sending(&mut self, now: u64) {
        self.drained_at.get_or_insert(now + nanoseconds(DRAIN));
    }

    fn open_count(&self) -> usize {
        self.connections.iter().map(|connection| connection.slots.open_count()).sum()
    }

    /// Whether nothing is open and nothing will be sent.
    fn is_finished(&self) -> bool {
        let alive = self.connections.iter().any(|connection| connection.link.is_some());
        !alive || (self.drained_at.is_some() && self.open_count() == 0)
    }

    fn outcome(self) -> Result<Outcome> {
        let end = self.window.1.min(self.last_answer.max(self.window.0));
        let server = self.watched.as_ref().map(Watched::used).transpose()?;
        Ok(Outcome {
            seconds: Duration::from_nanos(end - self.window.0).as_secs_f64(),
            unanswered: self.unanswered + self.open_count() as u64,
            generator_cpu_us: thread_cpu_us() - self.cpu_at_start,
            tally: self.tally,
            lost_connections: self.lost,
            interrupted: self.interrupted,
            server,
        })
    }
}

impl Watched {
    fn used(&self) -> Result<ServerUsage> {
        let after = self.process.usage()?;
        Ok(ServerUsage {
            cpu_us: after.cpu_us - self.before.cpu_us,
            rss_anon_before: self.before.rss_anon_bytes,
            rss_anon_peak: self.peak.max(after.rss_anon_bytes),
        })
    }
}

fn watch(pid: u32) -> Result<Watched> {
    let process = Process::new(pid);
    let before = process.usage()?;
    Ok(Watched { process, before, peak: before.rss_anon_bytes })
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
