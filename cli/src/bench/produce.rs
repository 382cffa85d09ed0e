//! The sending workload: single messages (310) or batches (320), bodies that can be verified,
//! offsets of every answer checked.

use anyhow::Result;
use rocketkube_protocol::{Request, RequestCode, ResponseCode};
use serde::Serialize;

use super::body::{Filler, Stamp};
use super::engine::{Answer, Asked, Clock, Origin, Workload};
use super::offsets::QueueOffsets;
use super::template::{Template, request, write_decimal, write_hex};

/// What to send.
#[derive(Debug, Clone)]
pub(crate) struct Messages {
    pub(crate) topic: String,
    pub(crate) body_len: usize,
    /// Messages per request.
    pub(crate) batch: usize,
    /// Messages in all; without it, as many as the time allows.
    pub(crate) limit: Option<u64>,
    pub(crate) run: u64,
}

/// What the answers said about offsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct OffsetFindings {
    pub(crate) missing: u64,
    pub(crate) reused: u64,
    /// Answers that say OK but not where the message is.
    pub(crate) unreadable: u64,
}

pub(crate) struct Produce {
    clock: Clock,
    messages: Messages,
    filler: Filler,
    layout: Layout,
    producers: Vec<Producer>,
    queues: Vec<QueueOffsets>,
    sent: u64,
    unreadable: u64,
}

struct Producer {
    sequence: u64,
    queue: usize,
}

impl Produce {
    /// `first_free` has the next offset of every queue, before anything is sent.
    pub(crate) fn new(
        clock: Clock,
        messages: Messages,
        connections: usize,
        first_free: Vec<u64>,
    ) -> Result<Self> {
        let filler = Filler::new(messages.body_len, messages.run);
        let layout = Layout::new(&messages, &filler, first_free.len())?;
        let queue_count = first_free.len();
        let producer = |number| Producer { sequence: 0, queue: number % queue_count };
        Ok(Self {
            clock,
            filler,
            layout,
            producers: (0..connections).map(producer).collect(),
            queues: first_free.into_iter().map(QueueOffsets::new).collect(),
            sent: 0,
            unreadable: 0,
            messages,
        })
    }

    pub(crate) fn findings(&self) -> OffsetFindings {
        OffsetFindings {
            missing: self.queues.iter().map(QueueOffsets::missing).sum(),
            reused: self.queues.iter().map(QueueOffsets::reused).sum(),
            unreadable: self.unreadable,
        }
    }

    /// What an answer that says OK is worth.
    pub(crate) fn accepted(&self) -> Answer {
        let messages = self.messages.batch as u64;
        Answer::Done { messages, bytes: messages * self.messages.body_len as u64 }
    }

    /// Where the opaque is in a frame without its length field.
    pub(crate) fn opaque_at(&self) -> usize {
        self.layout.template.opaque() - 4
    }

    fn note_offset(&mut self, response: &Request<'_>) -> Option<()> {
        let number = |key| response.ext.get(key)?.parse::<u64>().ok();
        let queue = usize::try_from(number("queueId")?).ok()?;
        let offset = number("queueOffset")?;
        self.queues.get_mut(queue)?.accept(offset, self.messages.batch as u64);
        Some(())
    }
}

impl Workload for Produce {
    fn request(&mut self, origin: Origin, opaque: i32, at_ns: u64, out: &mut Vec<u8>) -> Asked {
        if self.messages.limit.is_some_and(|limit| self.sent >= limit) {
            return Asked::Exhausted;
        }
        let producer = &mut self.producers[origin.connection];
        let sent_ns = self.clock.unix_ns(at_ns);
        let frame = self.layout.template.append(opaque, out);
        self.layout.address(frame, producer.queue, sent_ns / 1_000_000);
        producer.queue = (producer.queue + 1) % self.queues.len();
        for element in &self.layout.elements {
            let stamp = Stamp {
                producer: u32::try_from(origin.connection).unwrap_or(u32::MAX),
                run: self.messages.run,
                sequence: producer.sequence,
                sent_ns,
            };
            self.filler.stamp(&mut frame[element.body..], stamp);
            let key = &mut frame[element.unique_key..][..UNIQUE_KEY_LEN];
            write_hex(&mut key[..16], stamp.run ^ origin.connection as u64);
            write_hex(&mut key[16..], stamp.sequence);
            producer.sequence += 1;
        }
        self.sent += self.messages.batch as u64;
        Asked::Sent
    }

    fn answer(&mut self, _: Origin, response: &Request<'_>, _: u64) -> Answer {
        let stored = matches!(
            response.response_code(),
            ResponseCode::SUCCESS
                | ResponseCode::FLUSH_DISK_TIMEOUT
                | ResponseCode::SLAVE_NOT_AVAILABLE
                | ResponseCode::FLUSH_SLAVE_TIMEOUT
        );
        if stored && self.note_offset(response).is_none() {
            self.unreadable += 1;
        }
        if response.response_code() != ResponseCode::SUCCESS {
            return Answer::Refused;
        }
        self.accepted()
    }
}

/// Clients make unique keys of 32 hexadecimal digits.
const UNIQUE_KEY_LEN: usize = 32;
const UNIQUE_KEY: &str = "ABCDEFABCDEFABCDEFABCDEFABCDEFAB";
const BORN_AT: &str = "1234567890123";

/// The frame of a send and the places that differ between sends.
struct Layout {
    template: Template,
    queue_id: usize,
    queue_id_len: usize,
    born_at: usize,
    elements: Vec<Element>,
}

/// One message in the frame.
struct Element {
    body: usize,
    unique_key: usize,
}

impl Layout {
    fn new(messages: &Messages, filler: &Filler, queues: usize) -> Result<Self> {
        // Queue ids are padded with zeros to the length of the longest.
        let queue_id = "0".repeat((queues - 1).to_string().len());
        let properties = format!("UNIQ_KEY\u{1}{UNIQUE_KEY}\u{2}WAIT\u{1}true\u{2}");
        let single = messages.batch == 1;
        let body = if single {
            filler.body()
        } else {
            encode_element(&filler.body(), &properties).repeat(messages.batch)
        };
        let body_len = body.len();
        let code =
            if single { RequestCode::SEND_MESSAGE_V2 } else { RequestCode::SEND_BATCH_MESSAGE };
        let header_properties = if single { properties.as_str() } else { "WAIT\u{1}true\u{2}" };
        let batch = if single { "false" } else { "true" };
        let fields = [
            ("a", "rkctl-bench"),
            ("b", messages.topic.as_str()),
            ("c", "TBW102"),
            ("d", "8"),
            ("e", queue_id.as_str()),
            ("f", "0"),
            ("g", BORN_AT),
            ("h", "0"),
            ("i", header_properties),
            ("j", "0"),
            ("k", "false"),
            ("m", batch),
        ];
        let template = Template::new(request(code, &fields, body))?;
        let elements = if single {
            vec![Element { body: template.body(), unique_key: template.header(UNIQUE_KEY) }]
        } else {
            element_positions(messages, template.body(), body_len)
        };
        Ok(Self {
            queue_id: template.field("e"),
            queue_id_len: queue_id.len(),
            born_at: template.field("g"),
            template,
            elements,
        })
    }

    fn address(&self, frame: &mut [u8], queue: usize, born_ms: u64) {
        write_decimal(&mut frame[self.queue_id..][..self.queue_id_len], queue as u64);
        write_decimal(&mut frame[self.born_at..][..BORN_AT.len()], born_ms);
    }
}

/// Bytes of a batch element in front of its body: size, magic, CRC, flag, length of the body.
const ELEMENT_HEAD: usize = 20;

fn encode_element(body: &[u8], properties: &str) -> Vec<u8> {
    let size = ELEMENT_HEAD + body.len() + 2 + properties.len();
    let length = |len: usize| u32::try_from(len).expect("bodies are below 4 GiB").to_be_bytes();
    let properties_len = u16::try_from(properties.len()).expect("our properties are short");
    [
        &length(size)[..],
        &[0; 12],
        &length(body.len()),
        body,
        &properties_len.to_be_bytes(),
        properties.as_bytes(),
    ]
    .concat()
}

fn element_positions(messages: &Messages, body_at: usize, body_len: usize) -> Vec<Element> {
    let size = body_len / messages.batch;
    let element = |index| {
        let body = body_at + index * size + ELEMENT_HEAD;
        Element { body, unique_key: body + messages.body_len + 2 + "UNIQ_KEY\u{1}".len() }
    };
    (0..messages.batch).map(element).collect()
}
