//! The reading workload: plain pulls (11) over all queues of a topic, every offset checked, a
//! sample of bodies verified. Commits nothing and joins no group.

use std::collections::VecDeque;

use anyhow::Result;
use rocketkube_protocol::header::pull_flag;
use rocketkube_protocol::record::{RecordView, records};
use rocketkube_protocol::{Command, Request, RequestCode, ResponseCode};
use serde::Serialize;

use super::body::{self, BodyError};
use super::engine::{Answer, Asked, Clock, Origin, Workload};
use super::latency::Latencies;
use super::template::{Template, request, write_decimal};

/// What to read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) topic: String,
    /// Messages asked for in one request.
    pub(crate) pull_batch: u32,
    /// Every how many messages a body is verified.
    pub(crate) verify_every: u64,
    /// Messages in all; without it, until the queues or the time end.
    pub(crate) limit: Option<u64>,
    pub(crate) mode: Mode,
}

/// What happens at the end of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Every message once.
    Once,
    /// Again from the beginning.
    Repeat,
    /// Wait for what comes next.
    Tail,
}

/// First and next offset of a queue when the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueRange {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// What the records said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordFindings {
    pub(crate) verified: u64,
    pub(crate) altered: u64,
    /// Messages that no load run sent.
    pub(crate) foreign: u64,
    /// Records whose offset is not the one after that of the record before.
    pub(crate) out_of_order: u64,
    pub(crate) unreadable: u64,
}

pub(crate) struct Consume {
    clock: Clock,
    reading: Reading,
    template: Template,
    queue_id: usize,
    queue_id_len: usize,
    queue_offset: usize,
    /// Cursors that no request is open for.
    idle: VecDeque<Cursor>,
    /// By connection and slot.
    at_work: Vec<Vec<Option<Cursor>>>,
    received: u64,
    findings: RecordFindings,
    /// From the send to the arrival here, while tailing.
    pub(crate) delays: Latencies,
}

/// A place in a queue that is read on from.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    queue_id: i32,
    range: QueueRange,
    next: u64,
}

impl Consume {
    pub(crate) fn new(
        clock: Clock,
        reading: Reading,
        (connections, in_flight): (usize, usize),
        queues: &[QueueRange],
    ) -> Result<Self> {
        let queue_id = "0".repeat((queues.len() - 1).to_string().len());
        let template = Template::new(pull_command(&reading, &queue_id))?;
        Ok(Self {
            clock,
            queue_id: template.field("queueId"),
            queue_id_len: queue_id.len(),
            queue_offset: template.field("queueOffset"),
            template,
            idle: cursors(&reading, connections * in_flight, queues),
            at_work: vec![vec![None; in_flight]; connections],
            received: 0,
            findings: RecordFindings::default(),
            delays: Latencies::new(),
            reading,
        })
    }

    pub(crate) fn findings(&self) -> RecordFindings {
        self.findings
    }

    /// Puts a cursor back where its answer says it goes on.
    fn resume(&mut self, mut cursor: Cursor, next: u64) {
        cursor.next = next;
        let ended = cursor.next >= cursor.range.max;
        match self.reading.mode {
            Mode::Once if ended => return,
            Mode::Repeat if ended => cursor.next = cursor.range.min,
            Mode::Once | Mode::Repeat | Mode::Tail => {}
        }
        self.idle.push_back(cursor);
    }

    /// Checks the records of one answer; returns how many there are.
    fn check(&mut self, cursor: &Cursor, body: &[u8], at_ns: u64) -> u64 {
        let (mut count, mut expected) = (0, cursor.next);
        for record in records(body) {
            let Ok(record) = record else {
                self.findings.unreadable += 1;
                break;
            };
            if record.queue_offset() != expected || record.queue_id() != cursor.queue_id {
                self.findings.out_of_order += 1;
            }
            expected = record.queue_offset().wrapping_add(1);
            count += 1;
            if (self.received + count).is_multiple_of(self.reading.verify_every) {
                self.verify(&record);
            }
            if self.reading.mode == Mode::Tail {
                self.note_delay(record.body(), at_ns);
            }
        }
        count
    }

    fn verify(&mut self, record: &RecordView<'_>) {
        match body::verify(record.body()) {
            Ok(_) if !record.has_sound_body() => self.findings.altered += 1,
            Ok(_) => self.findings.verified += 1,
            Err(BodyError::Altered) => self.findings.altered += 1,
            Err(BodyError::Foreign) => self.findings.foreign += 1,
        }
    }

    fn note_delay(&mut self, body: &[u8], at_ns: u64) {
        if let Some(stamp) = body::peek(body) {
            self.delays.record(self.clock.unix_ns(at_ns).saturating_sub(stamp.sent_ns));
        }
    }
}

impl Workload for Consume {
    fn request(&mut self, origin: Origin, opaque: i32, _: u64, out: &mut Vec<u8>) -> Asked {
        if self.reading.limit.is_some_and(|limit| self.received >= limit) {
            return Asked::Exhausted;
        }
        let Some(cursor) = self.idle.pop_front() else {
            let working = self.at_work.iter().flatten().any(Option::is_some);
            return if working { Asked::NotNow } else { Asked::Exhausted };
        };
        let frame = self.template.append(opaque, out);
        write_decimal(
            &mut frame[self.queue_id..][..self.queue_id_len],
            cursor.queue_id.unsigned_abs().into(),
        );
        write_decimal(&mut frame[self.queue_offset..][..OFFSET_DIGITS.len()], cursor.next);
        self.at_work[origin.connection][origin.slot] = Some(cursor);
        Asked::Sent
    }

    fn answer(&mut self, origin: Origin, response: &Request<'_>, at_ns: u64) -> Answer {
        let Some(cursor) = self.at_work[origin.connection][origin.slot].take() else {
            return Answer::Refused;
        };
        let next = response.ext.get("nextBeginOffset").and_then(|next| next.parse::<u64>().ok());
        match response.response_code() {
            ResponseCode::SUCCESS => {
                let messages = self.check(&cursor, response.body, at_ns);
                self.received += messages;
                self.resume(cursor, next.unwrap_or(cursor.next + messages));
                Answer::Done { messages, bytes: response.body.len() as u64 }
            }
            // Nothing new, or nothing at this place any more: not an error of the server.
            ResponseCode::PULL_NOT_FOUND
            | ResponseCode::PULL_RETRY_IMMEDIATELY
            | ResponseCode::PULL_OFFSET_MOVED => {
                self.resume(cursor, next.unwrap_or(cursor.next));
                Answer::Done { messages: 0, bytes: 0 }
            }
            _ => {
                self.resume(cursor, cursor.next);
                Answer::Refused
            }
        }
    }
}

/// Nineteen digits hold every offset.
const OFFSET_DIGITS: &str = "0000000000000000000";
const GROUP: &str = "rkctl-bench";

fn pull_command(reading: &Reading, queue_id: &str) -> Command {
    let wait = if reading.mode == Mode::Tail { pull_flag::SUSPEND } else { 0 };
    let flags = (pull_flag::SUBSCRIPTION | wait).to_string();
    let maximum = reading.pull_batch.to_string();
    let fields = [
        ("consumerGroup", GROUP),
        ("topic", &reading.topic),
        ("queueId", queue_id),
        ("queueOffset", OFFSET_DIGITS),
        ("maxMsgNums", &maximum),
        ("sysFlag", &flags),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "1000"),
        ("subscription", "*"),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
    ];
    request(RequestCode::PULL_MESSAGE, &fields, Vec::new())
}

/// One cursor per queue; with [`Mode::Repeat`] at least one per slot, spread over their queues.
fn cursors(reading: &Reading, slots: usize, queues: &[QueueRange]) -> VecDeque<Cursor> {
    let copies = match reading.mode {
        Mode::Repeat => slots.div_ceil(queues.len()),
        Mode::Once | Mode::Tail => 1,
    } as u64;
    let mut cursors = VecDeque::new();
    for copy in 0..copies {
        for (queue_id, &range) in (0..).zip(queues) {
            let next = match reading.mode {
                Mode::Tail => range.max,
                Mode::Once | Mode::Repeat => range.min + (range.max - range.min) * copy / copies,
            };
            if reading.mode == Mode::Tail || range.min < range.max {
                cursors.push_back(Cursor { queue_id, range, next });
            }
        }
    }
    cursors
}
