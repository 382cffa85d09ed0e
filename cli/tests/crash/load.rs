//! Connections that send as fast as answers come, until the broker is gone.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};
use rocketkube_protocol::{Command, HeaderForm, RequestCode, ResponseCode, header::SendMessage};
use rocketkube_testkit::{
    Body, Group, Lane, Message, Op, Position, ProgressOp, Recorder, Seed, Wire, WireError, request,
};

use crate::{
    PATIENCE,
    names::{committer, group_name, key, positions, topic_name},
};

pub(crate) const CONNECTIONS: u16 = 3;
/// Requests in flight per connection.
const WINDOW: usize = 64;

/// What has to be known to load one server process.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) broker: SocketAddr,
    pub(crate) run: u64,
    /// Number of the first of [`CONNECTIONS`] producers.
    pub(crate) first_producer: u32,
    pub(crate) topics: u16,
    /// Whether some bodies are large.
    pub(crate) large_bodies: bool,
    pub(crate) seed: Seed,
    /// Where the committing groups are.
    pub(crate) progress: HashMap<(Group, Position), i64>,
}

/// A batch with an unknown outcome: all of it is stored or nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnknownBatch {
    pub(crate) producer: u32,
    pub(crate) first: u64,
    pub(crate) len: u64,
}

/// Acknowledged messages of all connections.
#[derive(Default)]
struct Progress {
    acknowledged: Mutex<usize>,
    more: Condvar,
}

impl Progress {
    fn add(&self, messages: usize) {
        *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner) += messages;
        self.more.notify_all();
    }

    /// Waits until there are so many, but not past the deadline; gives how many there are.
    fn wait(&self, wanted: usize, deadline: Instant) -> usize {
        let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = deadline.saturating_duration_since(Instant::now());
        let (acknowledged, _) = self
            .more
            .wait_timeout_while(acknowledged, patience, |count| *count < wanted)
            .unwrap_or_else(PoisonError::into_inner);
        *acknowledged
    }
}

/// Load that runs until the broker is gone.
pub(crate) struct Load {
    progress: Arc<Progress>,
    producers: Vec<JoinHandle<Result<Vec<UnknownBatch>>>>,
}

impl Load {
    pub(crate) fn start(plan: &Plan, recorder: &Recorder) -> Result<Self> {
        let progress = Arc::new(Progress::default());
        let mut producers = Vec::new();
        for connection in 0..CONNECTIONS {
            let count = Arc::clone(&progress);
            let producer = Producer::connect(plan, connection, recorder, count)?;
            producers.push(thread::spawn(move || producer.run()));
        }
        Ok(Self { progress, producers })
    }

    /// Acknowledged messages so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.wait_for(0, Duration::ZERO)
    }

    /// Waits until so many messages are acknowledged, but no longer than that; gives how many are.
    pub(crate) fn wait_for(&self, wanted: usize, patience: Duration) -> usize {
        self.progress.wait(wanted, Instant::now() + patience)
    }

    /// Waits for the connections to end, which they do when the broker is gone.
    pub(crate) fn finish(self) -> Result<Vec<UnknownBatch>> {
        let mut batches = Vec::new();
        for producer in self.producers {
            match producer.join() {
                Ok(unknown) => batches.extend(unknown?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(batches)
    }
}

/// A request without an answer yet.
enum Pending {
    Send { ops: Vec<Op>, to: Position, first: u64 },
    Commit { op: ProgressOp, at: Position, offset: i64 },
}

struct Producer {
    wire: Wire,
    lane: Lane,
    rng: StdRng,
    form: HeaderForm,
    body: Body,
    group: Group,
    places: Vec<Position>,
    large_bodies: bool,
    /// Next offset to commit per queue, and what was committed.
    reached: HashMap<Position, i64>,
    progress: HashMap<Position, i64>,
    pending: HashMap<i32, Pending>,
    out: Vec<u8>,
    acknowledged: Arc<Progress>,
    unknown: Vec<UnknownBatch>,
}

impl Producer {
    fn connect(
        plan: &Plan,
        connection: u16,
        recorder: &Recorder,
        acknowledged: Arc<Progress>,
    ) -> Result<Self> {
        let group = committer(connection);
        let mine = plan.progress.iter().filter(|((of, _), _)| *of == group);
        let number = plan.first_producer + u32::from(connection);
        Ok(Self {
            wire: Wire::connect(plan.broker, PATIENCE)?,
            lane: recorder.lane(connection),
            rng: plan.seed.part(number.into()),
            form: if connection == 0 { HeaderForm::Binary } else { HeaderForm::Json },
            body: Body { run: plan.run, producer: number, sequence: 0 },
            group,
            places: positions(plan.topics).collect(),
            large_bodies: plan.large_bodies,
            reached: HashMap::new(),
            progress: mine.map(|((_, at), offset)| (*at, *offset)).collect(),
            pending: HashMap::new(),
            out: Vec::new(),
            acknowledged,
            unknown: Vec::new(),
        })
    }

    fn run(mut self) -> Result<Vec<UnknownBatch>> {
        loop {
            while self.pending.len() < WINDOW {
                self.ask()?;
            }
            match self.exchange() {
                Ok(()) => {}
                // What every load ends with: the broker is gone.
                Err(error) if is_end(&error) => break,
                Err(error) => return Err(error),
            }
        }
        for pending in std::mem::take(&mut self.pending).into_values() {
            self.abandon(pending);
        }
        Ok(self.unknown)
    }

    fn ask(&mut self) -> Result<()> {
        match self.rng.random_range(0..100) {
            0..80 => self.send(1),
            80..95 => {
                let len = self.rng.random_range(2..=16);
                self.send(len)
            }
            _ => self.commit(),
        }
    }

    /// Sends one message, or a batch, to one queue.
    fn send(&mut self, len: u64) -> Result<()> {
        let to = *self.places.choose(&mut self.rng).expect("a topic has queues");
        let first = self.body.sequence;
        let mut ops = Vec::new();
        let mut body = Vec::new();
        let mut properties = String::new();
        for _ in 0..len {
            properties = self.properties();
            let (bytes, hash) = self.next_body(len > 1);
            let message =
                Message { producer: self.body.producer, sequence: self.body.sequence, hash };
            ops.push(self.lane.invoke(to, message));
            self.body.sequence += 1;
            if len > 1 {
                push_batch_element(&mut body, &bytes, &properties)?;
            } else {
                body = bytes;
            }
        }
        let (code, properties) = if len > 1 {
            (RequestCode::SEND_BATCH_MESSAGE, String::new())
        } else {
            (RequestCode::SEND_MESSAGE_V2, properties)
        };
        let topic = topic_name(to.topic);
        let header = SendMessage {
            producer_group: "crash-producers".into(),
            topic: topic.into(),
            default_topic: "TBW102".into(),
            default_topic_queues: 4,
            queue_id: i32::try_from(to.queue)?,
            born_timestamp: 1_700_000_000_000,
            properties: Some(properties.into()),
            batch: Some(len > 1),
            ..SendMessage::default()
        };
        let command = Command::request(code, &header).body(body);
        self.push(command, Pending::Send { ops, to, first })
    }

    /// A unique id as clients make it, and a key that 64 messages share.
    fn properties(&self) -> String {
        let Body { producer, sequence, .. } = self.body;
        let key = key(producer, sequence);
        format!("UNIQ_KEY\u{1}{producer:016X}{sequence:016X}\u{2}KEYS\u{1}{key}\u{2}")
    }

    fn next_body(&mut self, in_batch: bool) -> (Vec<u8>, u64) {
        let size = match self.rng.random_range(0..100) {
            0 if self.large_bodies && !in_batch => self.rng.random_range(10_000..300_000),
            1..20 if self.large_bodies => self.rng.random_range(1_000..5_000),
            _ => self.rng.random_range(32..300),
        };
        let mut bytes = Vec::with_capacity(size);
        let hash = self.body.write(size, &mut bytes);
        (bytes, hash)
    }

    /// Commits as far as this connection's own acknowledged messages in one queue go.
    fn commit(&mut self) -> Result<()> {
        let at = *self.places.choose(&mut self.rng).expect("a topic has queues");
        let committed = self.progress.get(&at).copied().unwrap_or(0);
        let offset = self.reached.get(&at).copied().unwrap_or(0);
        // One commit at a time and only upwards: then what may be found later is known.
        let in_flight =
            |p: &Pending| matches!(p, Pending::Commit { at: other, .. } if *other == at);
        if offset <= committed || self.pending.values().any(in_flight) {
            return self.send(1);
        }
        let op = self.lane.commit(self.group, at, offset);
        let (group, topic) = (group_name(self.group), topic_name(at.topic));
        let fields = [
            ("consumerGroup", group.as_str()),
            ("topic", &topic),
            ("queueId", &at.queue.to_string()),
            ("commitOffset", &offset.to_string()),
        ];
        let command = request(RequestCode::UPDATE_CONSUMER_OFFSET.0, &fields, b"");
        self.push(command, Pending::Commit { op, at, offset })
    }

    fn push(&mut self, command: Command, pending: Pending) -> Result<()> {
        let opaque = self.wire.next_opaque();
        let command = Command { opaque, form: self.form, ..command };
        command.encode_into(&mut self.out)?;
        self.pending.insert(opaque, pending);
        Ok(())
    }

    /// Sends what was asked and takes every answer that is there, at least one.
    fn exchange(&mut self) -> Result<()> {
        self.wire.send(&self.out)?;
        self.out.clear();
        loop {
            let answer = self.wire.receive()?;
            if answer.is_response() {
                self.answered(&answer)?;
            }
            if !self.wire.has_command()? {
                return Ok(());
            }
        }
    }

    fn answered(&mut self, answer: &Command) -> Result<()> {
        let Some(pending) = self.pending.remove(&answer.opaque) else {
            bail!("answer {answer:?} to nothing that was asked")
        };
        match (answer.response_code(), pending) {
            (ResponseCode::SUCCESS, Pending::Send { ops, to, .. }) => {
                self.acknowledge(answer, &ops, to)
            }
            (ResponseCode::SUCCESS, Pending::Commit { op, at, offset }) => {
                self.lane.committed(op);
                self.progress.insert(at, offset);
                Ok(())
            }
            (code, Pending::Send { ops, .. }) if !is_ambiguous(code) => {
                for op in ops {
                    self.lane.refused(op);
                }
                Ok(())
            }
            (_, pending) => {
                self.abandon(pending);
                Ok(())
            }
        }
    }

    fn acknowledge(&mut self, answer: &Command, ops: &[Op], to: Position) -> Result<()> {
        let field = |name| answer.fields().get(name).map(std::borrow::Cow::into_owned);
        let (Some(queue), Some(offset)) = (field("queueId"), field("queueOffset")) else {
            bail!("acknowledgement without place: {answer:?}")
        };
        let (queue, first): (u32, i64) = (queue.parse()?, offset.parse()?);
        for (op, offset) in ops.iter().zip(first..) {
            self.lane.ok(*op, queue, offset);
            let reached = self.reached.entry(Position { queue, ..to }).or_default();
            *reached = (*reached).max(offset + 1);
        }
        self.acknowledged.add(ops.len());
        Ok(())
    }

    fn abandon(&mut self, pending: Pending) {
        let Pending::Send { ops, first, .. } = pending else { return };
        if ops.len() > 1 {
            let (producer, len) = (self.body.producer, ops.len() as u64);
            self.unknown.push(UnknownBatch { producer, first, len });
        }
        for op in ops {
            self.lane.unknown(op);
        }
    }
}

fn is_end(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(WireError::Closed | WireError::Lost { .. }))
}

/// Codes that say nothing about whether the message is stored.
fn is_ambiguous(code: ResponseCode) -> bool {
    matches!(
        code,
        ResponseCode::FLUSH_DISK_TIMEOUT
            | ResponseCode::FLUSH_SLAVE_TIMEOUT
            | ResponseCode::SLAVE_NOT_AVAILABLE
    )
}

/// One message inside the body of a batch.
fn push_batch_element(out: &mut Vec<u8>, body: &[u8], properties: &str) -> Result<()> {
    let size = 4 + 4 + 4 + 4 + 4 + body.len() + 2 + properties.len();
    out.extend_from_slice(&u32::try_from(size)?.to_be_bytes());
    // Magic, checksum and flag, which brokers ignore here.
    out.extend_from_slice(&[0; 12]);
    out.extend_from_slice(&u32::try_from(body.len())?.to_be_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&u16::try_from(properties.len())?.to_be_bytes());
    out.extend_from_slice(properties.as_bytes());
    Ok(())
}
