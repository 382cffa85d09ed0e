//! `PULL_MESSAGE` (11) and `LITE_PULL_MESSAGE` (361): messages of one queue, or a long poll.

use std::sync::Arc;

use rocketkube_log::ReadError as LogReadError;
use rocketkube_protocol::body::SubscriptionGroupConfig;
use rocketkube_protocol::code::ResponseCode;
use rocketkube_protocol::header::{PullMessage, pull_flag};
use rocketkube_protocol::{ExtWriter, Request};
use rocketkube_remoting::{Deferral, Output, Peer};
use rocketkube_service::logs::chain;
use rocketkube_store::{
    Extent, FileRange, Limits, Queue, QueueOffset, Read, ReadError, Status, Topic,
};
use tracing::warn;

use crate::answer::Answer;
use crate::broker::Broker;
use crate::cold::ColdRead;
use crate::consumers::Group;
use crate::filter::{self, TagFilter};
use crate::metrics::Counted;
use crate::refusal::PullError;
use crate::resets::Place;
use crate::session::Session;
use crate::topics::PERM_READ;
use crate::wake::queue_key;

/// Longest wait for messages, whatever the client asks: its own timeout is 30 s.
const MAX_SUSPEND_MS: i64 = 30_000;
/// Most messages of one answer.
const MAX_MESSAGES: usize = 1_024;
/// Bytes of one answer if the client does not say. Source: `maxTransferBytesOnMessageInMemory`.
const DEFAULT_BYTES: u64 = 256 << 10;
/// Most bytes of one answer, but for a single longer message.
const MAX_BYTES: u64 = 4 << 20;
/// Most pulls that one connection may have parked.
pub(crate) const MAX_PARKED: usize = 16_384;
/// Most bytes that their filters may take together.
const MAX_PARKED_BYTES: u32 = 4 << 20;
/// Bytes of answers a client may leave untaken before nothing more is done for it: neither are its
/// requests read, nor its parked pulls resumed.
pub(crate) const UNSENT_MAX: u32 = 4 << 20;
/// From this length on, a run of the log is sent from the file instead of being copied: below it
/// the second system call costs more than the copy.
const SENDFILE_MIN: u32 = 16 << 10;

/// What a pull reads, once it is checked.
#[derive(Debug)]
struct Pull {
    answer: Answer,
    group: Arc<SubscriptionGroupConfig>,
    queue: Arc<Queue>,
    from: i64,
    limits: Limits,
    filter: TagFilter,
}

/// A pull that waits: for messages, or for its bytes to come from the disk.
#[derive(Debug)]
pub(crate) struct ParkedPull {
    pull: Pull,
    /// When it is answered with what there is.
    deadline_ms: i64,
    /// Set while its bytes are being read; see [`crate::cold`].
    cold: Option<Arc<ColdRead>>,
    /// While it is parked.
    counted: Option<Counted>,
    /// While its bytes are read the answer is owed, should the client end its side meanwhile.
    promise: Option<Deferral>,
}

/// Reads messages, or parks the request until there are some.
pub(crate) fn pull(
    broker: &Broker,
    session: &mut Session,
    request: &Request<'_>,
    out: &mut Output,
) -> Result<(), PullError> {
    let header: PullMessage<'_> = request.header()?;
    let pull = check(broker, &header, Answer::to(request))?;
    // Progress of a group that nobody made, or behind the end, is nobody's progress.
    if header.sys_flag & pull_flag::COMMIT_OFFSET != 0
        && let Ok(offset) = u64::try_from(header.commit_offset)
        && offset <= pull.queue.max().0
        && broker.has_group(&header.consumer_group)
    {
        broker.commit(pull.place(), QueueOffset(offset));
    }
    let may_wait = header.sys_flag & pull_flag::SUSPEND != 0;
    let wait_ms = if may_wait { header.suspend_timeout_ms.clamp(0, MAX_SUSPEND_MS) } else { 0 };
    let deadline_ms = broker.now_ms() + wait_ms;
    serve_or_park(
        broker,
        session,
        ParkedPull { pull, deadline_ms, cold: None, counted: None, promise: None },
        wait_ms > 0,
        out,
    )
}

/// The checks of a pull, in the order of Apache's broker, so that clients meet the same codes.
fn check(broker: &Broker, header: &PullMessage<'_>, answer: Answer) -> Result<Pull, PullError> {
    if !broker.permission.may_read() {
        return Err(PullError::BrokerNotReadable { broker: broker.config.name.clone() });
    }
    let group = &header.consumer_group;
    let settings = broker.group(group);
    let settings = settings.ok_or_else(|| PullError::NoSuchGroup { group: group.to_string() })?;
    if !settings.consume_enable {
        return Err(PullError::GroupDisabled { group: group.to_string() });
    }
    let topic = broker.store.topic(&header.topic);
    let topic = topic.ok_or_else(|| PullError::NoSuchTopic { topic: header.topic.to_string() })?;
    let queue = check_queue(broker, &topic, header.queue_id)?;
    // The stock Go pull consumer asks for 0 and expects one, which Apache's broker gives it.
    let max_messages = usize::try_from(header.max_messages)
        .map_err(|_| PullError::IllegalCount(header.max_messages))?
        .clamp(1, MAX_MESSAGES);
    let asked = header.max_bytes.and_then(|bytes| u64::try_from(bytes).ok());
    let max_bytes = asked.filter(|bytes| *bytes > 0).unwrap_or(DEFAULT_BYTES).min(MAX_BYTES);
    Ok(Pull {
        answer,
        queue: Arc::clone(queue),
        from: header.queue_offset,
        limits: Limits { max_messages, max_bytes },
        filter: subscription(broker, header, settings.consume_broadcast_enable)?,
        group: settings,
    })
}

/// What of the queue the consumer wants: said by the request, or by its group's heartbeats.
fn subscription(
    broker: &Broker,
    header: &PullMessage<'_>,
    may_broadcast: bool,
) -> Result<TagFilter, PullError> {
    if header.sys_flag & pull_flag::SUBSCRIPTION != 0 {
        let language = header.expression_type.as_deref();
        let text = header.subscription.as_deref().unwrap_or_default();
        return match language.filter(|name| !filter::is_tag_language(name)) {
            None => TagFilter::parse(text).map_err(|reason| PullError::Subscription { reason }),
            Some(name) => Err(PullError::FilterType(name.to_owned())),
        };
    }
    let look = |group: &Group<Arc<Peer>>| {
        if group.mode.is_broadcasting() && !may_broadcast {
            let group = header.consumer_group.to_string();
            return Err(PullError::BroadcastForbidden { group });
        }
        let subscription = group.subscriptions.get(header.topic.as_ref());
        let subscription = subscription.ok_or(PullError::NotSubscribed)?;
        if subscription.sub_version < header.subscription_version {
            return Err(PullError::SubscriptionNotLatest);
        }
        if !filter::is_tag_language(&subscription.expression_type) {
            return Err(PullError::FilterType(subscription.expression_type.clone()));
        }
        TagFilter::of_subscription(subscription)
            .map_err(|reason| PullError::Subscription { reason })
    };
    broker.consumers.with_group(&header.consumer_group, look).ok_or(PullError::NobodyInGroup)?
}

/// Looks again at the parked pulls of a woken connection that have something to look at.
pub(crate) fn resume(broker: &Broker, session: &mut Session, out: &mut Output) {
    let now_ms = broker.now_ms();
    let ending = session.ended || broker.is_stopping();
    session.parked_bytes = 0;
    for parked in std::mem::take(&mut session.parked) {
        // One message can be what thousands of pulls waited for: the rest follows when the client
        // has taken these answers.
        let is_full = out.unsent() >= u64::from(UNSENT_MAX);
        if is_full
            || !(parked.is_ripe(broker, now_ms, ending) || parked.watch_again(broker, session))
        {
            session.keep(parked);
            continue;
        }
        let answer = parked.pull.answer;
        let may_wait = parked.deadline_ms > now_ms;
        let served = recheck(broker, &parked.pull)
            .and_then(|()| serve_or_park(broker, session, parked, may_wait, out));
        if let Err(refusal) = served {
            answer.refuse(out.buffer(), &refusal);
        }
    }
    if out.unsent() >= u64::from(UNSENT_MAX) {
        // Heard when there is room again.
        session.peer.wake();
    }
    let waiting = session.parked.iter().filter(|parked| parked.cold.is_none());
    if let Some(next) = waiting.map(|parked| parked.deadline_ms).min() {
        broker.parked.wake_at(session.peer.id(), next, Arc::clone(&session.peer));
    }
}

/// What can have changed while a pull was parked. A topic that is gone has closed its queues.
fn recheck(broker: &Broker, pull: &Pull) -> Result<(), PullError> {
    let name = pull.queue.topic();
    match broker.store.topic(name) {
        Some(topic) => check_queue(broker, &topic, pull.queue.id().cast_signed()).map(|_| ()),
        None => Ok(()),
    }
}

/// The queue, if it may be read.
fn check_queue<'t>(
    broker: &Broker,
    topic: &'t Topic,
    queue_id: i32,
) -> Result<&'t Arc<Queue>, PullError> {
    if !broker.permission.may_read() {
        return Err(PullError::BrokerNotReadable { broker: broker.config.name.clone() });
    }
    let name = || topic.name().to_owned();
    if topic.config().perm & PERM_READ == 0 {
        return Err(PullError::NotReadable { topic: name() });
    }
    let read = topic.config().read_queues;
    let id = u32::try_from(queue_id).ok().filter(|id| *id < read);
    let queue = id.and_then(|id| topic.queue(id));
    queue.ok_or_else(|| PullError::IllegalQueue { queue_id, topic: name(), read })
}

impl Pull {
    fn place(&self) -> Place<'_> {
        Place { group: &self.group.group_name, topic: self.queue.topic(), queue: self.queue.id() }
    }

    /// Has the connection woken by the next message. Look at the queue after this call.
    fn watch(&self, broker: &Broker, session: &Session) {
        let (queue, peer) = (&self.queue, &session.peer);
        // First, so that whoever tells the store's watch finds the connection.
        broker.parked.watch(queue_key(queue), peer.id(), Arc::clone(peer));
        broker.store.watch(queue);
    }

    fn has_news(&self, broker: &Broker) -> bool {
        self.queue.is_closed()
            || self.queue.max().wire() > self.from
            || broker.resets.is_pending(self.place())
    }
}

impl Session {
    fn park(&mut self, broker: &Broker, mut parked: ParkedPull) {
        parked.counted.get_or_insert_with(|| broker.metrics.parked());
        // Not while it waits for messages: such a pull is answered as soon as the client ends its side,
        // which looks the same as a close, of which its group has to hear at once.
        parked.promise = parked.cold.is_some().then(|| self.peer.defer());
        self.keep(parked);
    }

    /// Parks a pull until its bytes were read.
    fn park_cold(
        &mut self,
        broker: &Broker,
        mut parked: ParkedPull,
        extents: Vec<Extent>,
    ) -> Result<(), PullError> {
        if !self.has_room() {
            return Err(PullError::TooManyParked { parked: self.parked.len() });
        }
        parked.cold = Some(ColdRead::start(broker, extents, Arc::clone(&self.peer)));
        self.park(broker, parked);
        Ok(())
    }

    /// Whether one more pull may wait.
    fn has_room(&self) -> bool {
        self.parked.len() < MAX_PARKED && self.parked_bytes < MAX_PARKED_BYTES
    }

    fn keep(&mut self, parked: ParkedPull) {
        let bytes = u32::try_from(parked.pull.filter.held_bytes()).unwrap_or(u32::MAX);
        self.parked_bytes = self.parked_bytes.saturating_add(bytes);
        self.parked.push(parked);
    }
}

impl ParkedPull {
    /// Whether a look at the queue can end the wait. `ending`: nobody waits for messages any longer.
    fn is_ripe(&self, broker: &Broker, now_ms: i64, ending: bool) -> bool {
        if let Some(cold) = &self.cold {
            return cold.is_done();
        }
        ending || self.deadline_ms <= now_ms || self.pull.has_news(broker)
    }

    /// The arrival that woke the connection may be one that this pull was parked behind: it was
    /// told late, and the watch ended with it. Whether there is something to look at after all.
    fn watch_again(&self, broker: &Broker, session: &Session) -> bool {
        if self.cold.is_some() {
            return false;
        }
        self.pull.watch(broker, session);
        self.pull.has_news(broker)
    }
}

/// Answers if there are messages and their bytes are at hand, or if there is no time to wait.
/// Otherwise the connection is woken by the next message, or when the bytes were read.
fn serve_or_park(
    broker: &Broker,
    session: &mut Session,
    mut parked: ParkedPull,
    may_wait: bool,
    out: &mut Output,
) -> Result<(), PullError> {
    // A client that parks more than it can have queues is answered with what there is.
    let ending = session.ended || broker.is_stopping();
    let mut may_wait = may_wait && !ending && session.has_room();
    let warmed = parked.cold.take().is_some();
    loop {
        let pull = &mut parked.pull;
        if pull.queue.is_closed() {
            return Err(PullError::NoSuchTopic { topic: pull.queue.topic().to_owned() });
        }
        if let Some(to) = broker.resets.redirect(pull.place(), pull.from) {
            answer_moved(pull, to, out);
            return Ok(());
        }
        let read = read(broker, pull)?;
        match read.status {
            Status::EndOfQueue | Status::EmptyQueue if may_wait => {}
            // Nothing for this consumer up to the end: wait behind what was looked at. Before the
            // end the answer says where to go on, so that nobody's scan holds up the connection.
            Status::NoMatch if may_wait && read.next == read.max => pull.from = read.next.wire(),
            Status::Found => {
                if answer_found(broker, pull, &read, warmed, out)? == Served::Cold {
                    return session.park_cold(broker, parked, read.extents);
                }
                return Ok(());
            }
            _ => {
                answer_without_messages(pull, &read, out);
                return Ok(());
            }
        }
        parked.pull.watch(broker, session);
        // A broker that began to stop before the watch was noted wakes nobody,
        may_wait = !broker.is_stopping();
        // and neither does a message that became visible before.
        if may_wait && !parked.pull.has_news(broker) {
            let peer = Arc::clone(&session.peer);
            broker.parked.wake_at(peer.id(), parked.deadline_ms, peer);
            session.park(broker, parked);
            return Ok(());
        }
    }
}

fn read(broker: &Broker, pull: &Pull) -> Result<Read, PullError> {
    let matches = |hash| pull.filter.matches(hash);
    // A negative offset is below the first message like any other that is too small.
    let from = QueueOffset(u64::try_from(pull.from).unwrap_or(0));
    let mut read = broker.store.read(&pull.queue, from, pull.limits, &matches)?;
    if pull.from < 0 {
        let is_empty = read.status == Status::EmptyQueue;
        read.status = if is_empty { Status::OffsetBeyondEnd } else { Status::OffsetTooSmall };
        read.next = read.min;
    }
    Ok(read)
}

/// The outcomes that carry no messages: four offsets, and where to go on.
fn answer_without_messages(pull: &Pull, read: &Read, out: &mut Output) {
    let (code, remark) = match read.status {
        Status::NoMatch => (ResponseCode::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE"),
        // Only where the message cannot be read: the consumer goes on behind it.
        Status::Found => (ResponseCode::PULL_RETRY_IMMEDIATELY, "MESSAGE_WAS_REMOVING"),
        Status::EndOfQueue => (ResponseCode::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE"),
        Status::EmptyQueue => (ResponseCode::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE"),
        Status::OffsetTooSmall => (ResponseCode::PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL"),
        Status::OffsetBeyondEnd => (ResponseCode::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY"),
    };
    pull.answer.write(out.buffer(), code, Some(remark), |fields| offsets(fields, read), &[]);
}

/// Says where to go on after a reset: consumers drop what they have of the queue.
fn answer_moved(pull: &Pull, to: QueueOffset, out: &mut Output) {
    let (code, bounds) = (ResponseCode::PULL_OFFSET_MOVED, pull.queue.bounds());
    let fields = |fields: &mut ExtWriter<'_>| write_offsets(fields, to, bounds.min, bounds.max);
    pull.answer.write(out.buffer(), code, Some("OFFSET_RESET"), fields, &[]);
}

#[derive(Debug, PartialEq, Eq)]
enum Served {
    Answered,
    /// Nothing was written: the bytes have to come from the disk first.
    Cold,
}

/// Answers with the records as they lie in the log. `warmed`: the disk was waited for already.
fn answer_found(
    broker: &Broker,
    pull: &Pull,
    read: &Read,
    warmed: bool,
    out: &mut Output,
) -> Result<Served, PullError> {
    match read_records(broker, read, warmed) {
        Ok(Some(parts)) => write_found(broker, pull, read, parts, out),
        Ok(None) => return Ok(Served::Cold),
        Err(error @ ReadError::Log(LogReadError::Io { .. })) => return Err(error.into()),
        Err(error) if read.messages == 1 => {
            // Damaged bytes are never served, and must not stop the queue for ever.
            let (topic, queue_id) = (pull.queue.topic(), pull.queue.id());
            broker.metrics.skipped();
            if broker.may_warn() {
                let (queue_offset, error) = (pull.from, chain(&error));
                warn!(topic, queue_id, queue_offset, error, "unreadable message skipped");
            }
            answer_without_messages(pull, read, out);
        }
        // One by one, so that those before and behind the damage are still delivered.
        Err(_) => {
            let limits = Limits { max_messages: 1, ..pull.limits };
            let matches = |hash| pull.filter.matches(hash);
            let from = QueueOffset(u64::try_from(pull.from).unwrap_or(0));
            let one = broker.store.read(&pull.queue, from, limits, &matches)?;
            if one.status == Status::Found {
                return answer_found(broker, pull, &one, warmed, out);
            }
            answer_without_messages(pull, &one, out);
        }
    }
    Ok(Served::Answered)
}

fn write_found(broker: &Broker, pull: &Pull, read: &Read, parts: Vec<Part>, out: &mut Output) {
    let size = usize::try_from(read.size_bytes).unwrap_or(usize::MAX);
    if !pull.answer.write_head(out.buffer(), |fields| offsets(fields, read), size) {
        return;
    }
    for part in parts {
        match part {
            Part::Bytes(bytes) => out.buffer().extend_from_slice(&bytes),
            Part::File(range) => out.file(range.file, range.position, u64::from(range.length)),
        }
    }
    broker.metrics.delivered(read.messages as u64, read.size_bytes);
}

/// A piece of an answer's body.
enum Part {
    Bytes(Vec<u8>),
    File(FileRange),
}

/// Gets hold of all records before the head of the answer promises them; `None` if some are cold
/// and nobody has waited for the disk yet.
fn read_records(
    broker: &Broker,
    read: &Read,
    warmed: bool,
) -> Result<Option<Vec<Part>>, ReadError> {
    let mut parts = Vec::new();
    let mut bytes = Vec::new();
    for extent in &read.extents {
        if extent.size >= SENDFILE_MIN {
            if !warmed && !broker.store.is_cached(*extent) {
                return Ok(None);
            }
            if !bytes.is_empty() {
                parts.push(Part::Bytes(std::mem::take(&mut bytes)));
            }
            parts.push(Part::File(broker.store.file_range(*extent)?));
        } else if warmed {
            broker.store.read_bytes(*extent, &mut bytes)?;
        } else if !broker.store.read_cached(*extent, &mut bytes)? {
            return Ok(None);
        }
    }
    if !bytes.is_empty() {
        parts.push(Part::Bytes(bytes));
    }
    Ok(Some(parts))
}

fn offsets(fields: &mut ExtWriter<'_>, read: &Read) {
    write_offsets(fields, read.next, read.min, read.max);
}

fn write_offsets(
    fields: &mut ExtWriter<'_>,
    next: QueueOffset,
    min: QueueOffset,
    max: QueueOffset,
) {
    fields.field("nextBeginOffset", next.wire());
    fields.field("minOffset", min.wire());
    fields.field("maxOffset", max.wire());
    fields.field("suggestWhichBrokerId", 0);
}
