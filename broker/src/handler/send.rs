//! `SEND_MESSAGE` (10), `SEND_MESSAGE_V2` (310), `SEND_BATCH_MESSAGE` (320).
//!
//! Sends of one read of the socket are staged, encoded, in the session's batch and appended
//! together: one frame of the log, one write. An OK leaves when the log is confirmed past them, or at
//! once where the producer asked for that (`WAIT=false`).

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use rocketkube_protocol::batch;
use rocketkube_protocol::code::{RequestCode, ResponseCode};
use rocketkube_protocol::header::SendMessage;
use rocketkube_protocol::id::OffsetMessageId;
use rocketkube_protocol::message::{Properties, append_property, property};
use rocketkube_protocol::names;
use rocketkube_protocol::record::{MAX_PROPERTIES, sys_flag};
use rocketkube_protocol::{ExtWriter, FieldValue, Request};
use rocketkube_remoting::{BatchEnd, Output};
use rocketkube_store::{AppendError, MessageParts, Placed, Queue, Receipt, StoreError, Topic};

use crate::answer::Answer;
use crate::broker::Broker;
use crate::refusal::SendError;
use crate::session::Session;
use crate::topics;

/// Bytes staged before the batch is appended although more requests of the same read follow, so
/// that a batch stays well under the log's limit for one frame.
const STAGED_MAX: usize = 1 << 20;

/// Most bytes of one read's records for which a frame and a write of their own are a waste.
const JOINED_MAX: usize = 8 << 10;

/// Most bytes of records that the log takes as one frame, which is what makes a batch whole or absent
/// after a crash.
const FRAME_MAX: usize = 4 << 20;

/// Properties that only a broker sets. A message that was consumed and is sent again still has
/// what the first broker added.
const BROKER_PROPERTIES: [&str; 4] =
    [property::POP_CK, property::CLUSTER, property::MSG_REGION, property::TRACE_ON];

/// The region every message names. Source: `MixAll.REGION_ID` default of Apache RocketMQ.
const REGION: &str = "DefaultRegion";

/// A send whose messages are in the session's batch.
#[derive(Debug)]
pub(crate) struct StagedSend {
    answer: Answer,
    queue: Arc<Queue>,
    /// Its messages, by their place in the batch.
    messages: Range<usize>,
    /// `UNIQ_KEY`, the answer's `transactionId`, in the session's `unique_ids`.
    unique_id: Range<usize>,
    /// False: the producer wants its answer at the page cache (`WAIT=false`).
    wait: bool,
}

/// Checks a send and puts its messages into the session's batch.
pub(crate) fn stage(
    broker: &Broker,
    session: &mut Session,
    request: &Request<'_>,
    out: &mut Output,
) -> Result<(), SendError> {
    if broker.is_stopping() {
        return Err(SendError::Stopping);
    }
    if !broker.permission.may_write() {
        return Err(SendError::BrokerNotWritable { broker: broker.config.name.clone() });
    }
    let header: SendMessage<'_> = request.header()?;
    check_named(broker, &header)?;
    let topic = writable_topic(broker, &header)?;
    let queue = choose_queue(broker, &topic, header.queue_id)?;
    let is_batch =
        request.code == RequestCode::SEND_BATCH_MESSAGE || header.batch.unwrap_or_default();
    // A batch of small messages grows several times when they become records: it goes alone, so that
    // its size is nobody else's.
    let staged = session.sends().batch.len();
    if is_batch || staged + request.body.len() > STAGED_MAX {
        append_staged(broker, session, out);
    }
    let sends = session.sends();
    if sends.batch.is_empty() {
        sends.batch.reserve(sends.last_batch);
    }
    let first = sends.batch.messages();
    let properties = header.properties.as_deref().unwrap_or_default();
    let mut known = check_properties(Properties(properties))?;
    if is_batch {
        stage_batch(broker, session, queue, &header, request.body)?;
    } else {
        stage_single(broker, session, queue, &header, &mut known, request.body)?;
    }
    let sends = session.sends();
    let unique_id = sends.unique_ids.len();
    sends.unique_ids.push_str(known.unique_id.as_deref().unwrap_or_default());
    sends.staged.push(StagedSend {
        answer: Answer::to(request),
        queue: Arc::clone(queue),
        messages: first..sends.batch.messages(),
        unique_id: unique_id..sends.unique_ids.len(),
        wait: known.wait,
    });
    Ok(())
}

/// Clients of version 5 say which broker they mean. An address may have become another's since they
/// learnt of it: that of a pod that is gone, for one.
fn check_named(broker: &Broker, header: &SendMessage<'_>) -> Result<(), SendError> {
    let own = &broker.config.name;
    match header.broker_name.as_deref() {
        Some(named) if !named.is_empty() && named != own => {
            Err(SendError::OtherBroker { named: named.to_owned(), broker: own.clone() })
        }
        _ => Ok(()),
    }
}

/// The topic a send names, created if that is allowed. Looked up for each message: settings that an
/// administrator changed hold from the next message on.
fn writable_topic(broker: &Broker, header: &SendMessage<'_>) -> Result<Arc<Topic>, SendError> {
    if names::is_forbidden_to_send(&header.topic) {
        return Err(SendError::ReservedTopic { topic: header.topic.to_string() });
    }
    let topic = if let Some(topic) = broker.store.topic(&header.topic) {
        topic
    } else {
        names::check_topic(&header.topic)?;
        topics::auto_create(broker, header)?
    };
    if topic.config().perm & topics::PERM_WRITE == 0 {
        return Err(SendError::NotWritable { topic: header.topic.to_string() });
    }
    Ok(topic)
}

/// The queue a send names, or the next writable one if it names none.
fn choose_queue<'t>(
    broker: &Broker,
    topic: &'t Arc<Topic>,
    queue_id: i32,
) -> Result<&'t Arc<Queue>, SendError> {
    let config = topic.config();
    let illegal = || SendError::IllegalQueue {
        queue_id,
        topic: topic.name().to_owned(),
        read: config.read_queues,
        write: config.write_queues,
    };
    let id = match u32::try_from(queue_id) {
        Ok(id) if id < config.read_queues.max(config.write_queues) => id,
        Ok(_) => return Err(illegal()),
        Err(_) => broker.next_turn() % config.write_queues.max(1),
    };
    topic.queue(id).ok_or_else(illegal)
}

/// Puts one message into the batch, with a unique id if it has none.
fn stage_single(
    broker: &Broker,
    session: &mut Session,
    queue: &Arc<Queue>,
    header: &SendMessage<'_>,
    known: &mut KnownProperties<'_>,
    body: &[u8],
) -> Result<(), SendError> {
    if header.sys_flag & sys_flag::ROLLBACK != 0 || known.transaction {
        return Err(SendError::Unsupported { feature: "transactional", property: "TRAN_MSG" });
    }
    if known.unique_id.is_none() {
        let made = broker.new_unique_id();
        let mut kept = Vec::with_capacity(known.kept.len() + 48);
        Properties(&known.kept).append_to(&mut kept);
        append_property(&mut kept, property::UNIQ_KEY, &made);
        known.kept = Cow::Owned(String::from_utf8(kept).expect("texts, one after the other"));
        known.unique_id = Some(Cow::Owned(made));
    }
    push(broker, session, queue, header, known, header.flag, body)
}

/// Puts all messages of a batch into the session's batch, or none.
fn stage_batch(
    broker: &Broker,
    session: &mut Session,
    queue: &Arc<Queue>,
    header: &SendMessage<'_>,
    body: &[u8],
) -> Result<(), SendError> {
    let illegal = |reason: &'static str| SendError::Batch { reason };
    if header.topic.starts_with(names::RETRY_PREFIX) || header.topic.len() > names::MAX_TOPIC {
        return Err(illegal("a retry topic takes no batches"));
    }
    if header.sys_flag & sys_flag::ROLLBACK != 0 {
        return Err(illegal("a transactional message cannot be in a batch"));
    }
    let max_body = broker.config.max_body_size;
    if body.len() > max_body {
        return Err(SendError::Size { max_body });
    }
    let messages = batch::Batch::parse(body)?;
    let before = session.sends().batch.checkpoint();
    let result = messages.iter().try_for_each(|message| {
        let known = check_properties(message.properties)?;
        if known.transaction {
            return Err(illegal("a transactional message cannot be in a batch"));
        }
        push(broker, session, queue, header, &known, message.flag, message.body)?;
        // Looked at after each: small messages grow several times when they become records.
        if session.sends().batch.len() > FRAME_MAX {
            return Err(illegal(
                "its records are longer than 4 MiB together; send fewer at a time",
            ));
        }
        Ok(())
    });
    if result.is_err() {
        session.sends().batch.roll_back(before);
    }
    result
}

/// What the broker looks at in a message's properties.
struct KnownProperties<'a> {
    unique_id: Option<Cow<'a, str>>,
    transaction: bool,
    /// False: the producer wants its answer at the page cache.
    wait: bool,
    /// The properties without those that only a broker may set.
    kept: Cow<'a, str>,
}

/// One pass over the properties: what matters to us, and what we must not take from a client.
fn check_properties(properties: Properties<'_>) -> Result<KnownProperties<'_>, SendError> {
    let mut known = KnownProperties {
        unique_id: None,
        transaction: false,
        wait: true,
        kept: Cow::Borrowed(properties.0),
    };
    let mut strip = false;
    for (name, value) in properties.iter() {
        match name {
            property::UNIQ_KEY => known.unique_id = Some(Cow::Borrowed(value)),
            property::WAIT => known.wait = value != "false",
            property::TRAN_MSG => known.transaction = value.eq_ignore_ascii_case("true"),
            property::DELAY if value != "0" => {
                return Err(SendError::Unsupported { feature: "delayed", property: "DELAY" });
            }
            property::TIMER_DELAY_SEC | property::TIMER_DELAY_MS | property::TIMER_DELIVER_MS => {
                return Err(SendError::Unsupported { feature: "timer", property: "TIMER_..." });
            }
            _ => strip |= BROKER_PROPERTIES.contains(&name),
        }
    }
    if strip {
        let mut kept = Vec::with_capacity(properties.0.len());
        properties.append_without(&BROKER_PROPERTIES, &mut kept);
        let kept = String::from_utf8(kept).expect("parts of a text, cut at characters");
        known.kept = Cow::Owned(kept);
    }
    Ok(known)
}

/// Encodes one record into the batch.
fn push(
    broker: &Broker,
    session: &mut Session,
    queue: &Arc<Queue>,
    header: &SendMessage<'_>,
    known: &KnownProperties<'_>,
    flag: i32,
    body: &[u8],
) -> Result<(), SendError> {
    let max_body = broker.config.max_body_size;
    if body.is_empty() || body.len() > max_body {
        return Err(SendError::Size { max_body });
    }
    let parts = MessageParts {
        flag,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        born_host: session.peer.remote(),
        reconsume_times: header.reconsume_times.unwrap_or(0),
        prepared_transaction_offset: 0,
        properties: &known.kept,
        appended_properties: &[
            (property::MSG_REGION, REGION),
            (property::TRACE_ON, "true"),
            (property::CLUSTER, &broker.config.cluster),
        ],
        body,
    };
    if parts.properties_len() > MAX_PROPERTIES {
        return Err(SendError::Size { max_body });
    }
    Ok(session.sends().batch.push_message(queue, &parts)?)
}

/// Appends what is staged so far, and answers each send now or when the log is confirmed.
fn append_staged(broker: &Broker, session: &mut Session, out: &mut Output) {
    if submit_staged(broker, session, out) {
        complete_submitted(broker, session, out);
    }
}

/// What the end of a read does with the sends it staged: few of them among those of other connections
/// wait for their turn to share a frame and a write; many, or those of the only producer there is,
/// gain nothing by it.
pub(crate) fn end_of_read(broker: &Broker, session: &mut Session, out: &mut Output) -> BatchEnd {
    if !submit_staged(broker, session, out) {
        return BatchEnd::Done;
    }
    let is_alone = broker.submits_after_itself(session.peer.id());
    if is_alone || session.sends().last_batch > JOINED_MAX {
        complete_submitted(broker, session, out);
        return BatchEnd::Done;
    }
    BatchEnd::AfterOthers
}

/// Queues what the read staged for the log; `false` if that was nothing, or is refused already.
fn submit_staged(broker: &Broker, session: &mut Session, out: &mut Output) -> bool {
    let Some(sends) = session.staged() else { return false };
    let batch = std::mem::take(&mut sends.batch);
    sends.last_batch = batch.len();
    match broker.store.submit(batch, broker.now_ms()) {
        Ok(ticket) => {
            sends.submitted = Some(ticket);
            true
        }
        Err(error) => {
            refuse_staged(broker, session, error, out);
            false
        }
    }
}

/// Appends what was queued, unless another connection has, and answers each send now or when the log
/// is confirmed.
pub(crate) fn complete_submitted(broker: &Broker, session: &mut Session, out: &mut Output) {
    let Some(ticket) = session.submitted() else { return };
    match broker.store.complete(ticket) {
        Ok(receipt) => {
            let sends = session.sends();
            let staged = std::mem::take(&mut sends.staged);
            let unique_ids = std::mem::take(&mut sends.unique_ids);
            broker.takes_messages();
            broker.metrics.stored(receipt.placed.len() as u64, sends.last_batch as u64);
            answer_stored(broker, session, (&staged, &unique_ids), &receipt, out);
            session.sends().reuse(receipt.into_batch(), staged, unique_ids);
        }
        Err(error) => refuse_staged(broker, session, error, out),
    }
}

fn refuse_staged(broker: &Broker, session: &mut Session, error: StoreError, out: &mut Output) {
    let sends = session.sends();
    let staged = std::mem::take(&mut sends.staged);
    sends.unique_ids.clear();
    // The outcome is unknown, and the client has to know that it is.
    if matches!(error, StoreError::Append(AppendError::Failed)) {
        return session.peer.close();
    }
    broker.refuses_messages(&error);
    let refusal = SendError::from(error);
    for send in &staged {
        send.answer.refuse(out.buffer(), &refusal);
    }
}

fn answer_stored(
    broker: &Broker,
    session: &mut Session,
    (staged, unique_ids): (&[StagedSend], &str),
    receipt: &Receipt,
    out: &mut Output,
) {
    let confirmed = broker.store.confirmed() >= receipt.end;
    let mut later = Vec::new();
    for send in staged {
        let buffer = if confirmed || !send.wait { out.buffer() } else { &mut later };
        let unique_id = &unique_ids[send.unique_id.clone()];
        send.write(broker, &receipt.placed[send.messages.clone()], unique_id, buffer);
    }
    if !later.is_empty() {
        session.defer(broker, receipt.end, later, out);
    }
}

impl StagedSend {
    fn write(
        &self,
        broker: &Broker,
        placed: &[Option<Placed>],
        unique_id: &str,
        buffer: &mut Vec<u8>,
    ) {
        let Some(Some(first)) = placed.first() else {
            // The topic was deleted between the check and the append.
            let topic = self.queue.topic().to_owned();
            self.answer.refuse(buffer, &SendError::NoSuchTopic { topic });
            return;
        };
        let ids = OffsetIds { broker, placed };
        let fields = |fields: &mut ExtWriter<'_>| {
            fields.field("msgId", &ids);
            fields.field("queueId", self.queue.id());
            fields.field("queueOffset", first.queue_offset.wire());
            fields.field("transactionId", unique_id);
            fields.field("MSG_REGION", REGION);
            fields.field("TRACE_ON", "true");
        };
        self.answer.write(buffer, ResponseCode::SUCCESS, None, fields, &[]);
    }
}

/// Offset message ids of one send, joined by commas.
struct OffsetIds<'a> {
    broker: &'a Broker,
    placed: &'a [Option<Placed>],
}

impl FieldValue for OffsetIds<'_> {
    fn with_text<R>(&self, use_text: impl FnOnce(Option<&str>) -> R) -> R {
        let id = |placed: &Placed| OffsetMessageId {
            broker: self.broker.advertised,
            physical_offset: placed.physical_offset.0,
        };
        match self.placed {
            [Some(placed)] => id(placed).with_text(use_text),
            many => {
                let ids: Vec<_> = many.iter().flatten().map(|it| id(it).to_string()).collect();
                use_text(Some(&ids.join(",")))
            }
        }
    }
}
