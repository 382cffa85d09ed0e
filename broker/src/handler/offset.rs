//! Committed offsets of groups, and offsets of queues.

use std::sync::Arc;

use rocketkube_protocol::Request;
use rocketkube_protocol::body::{
    Body, ConsumeStats, ConsumeTimeSpan, MessageQueue, OffsetWrapper, QueueMap, QueueTimeSpan,
};
use rocketkube_protocol::header::{
    GetConsumeStats, GroupAndTopic, QueryConsumerOffset, QueueOfTopic, SearchOffset,
    UpdateConsumerOffset,
};
use rocketkube_store::{Boundary, Queue, QueueOffset, Topic};

use crate::answer::Reply;
use crate::broker::Broker;
use crate::refusal::AdminError;
use crate::resets::Place;

/// `QUERY_CONSUMER_OFFSET` (14). A group without an offset starts at 0 while the first message of
/// the queue is still there: consumers that start with "the last offset" rely on it to see what was
/// sent just before them.
pub(crate) fn query(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: QueryConsumerOffset<'_> = request.header()?;
    let queue_id = u32::try_from(header.queue_id).ok();
    let committed =
        queue_id.and_then(|id| broker.store.committed(&header.consumer_group, &header.topic, id));
    if let Some(offset) = committed {
        return Ok(Reply::done().field("offset", offset.wire()));
    }
    let queue = find(broker, &header.topic, header.queue_id).ok_or(AdminError::NoOffset)?;
    let bounds = queue.bounds();
    let is_young = bounds.min.0 == 0 && bounds.max.0 > 0;
    if is_young && header.set_zero_if_not_found.unwrap_or(true) {
        return Ok(Reply::done().field("offset", 0));
    }
    Err(AdminError::NoOffset)
}

/// `UPDATE_CONSUMER_OFFSET` (15). One-way commits are gathered for up to 100 ms; whoever waits for
/// the answer gets it when the commit is confirmed.
pub(crate) fn update(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: UpdateConsumerOffset<'_> = request.header()?;
    let group = header.consumer_group.as_ref();
    if !broker.has_group(group) {
        return Err(AdminError::NoSuchGroup { group: group.to_owned() });
    }
    let queue = existing(broker, &header.topic, header.queue_id)?;
    let bounds = queue.bounds();
    let offset = u64::try_from(header.commit_offset).ok().filter(|offset| *offset <= bounds.max.0);
    let offset = QueueOffset(offset.ok_or_else(|| AdminError::Parameter {
        field: "commitOffset",
        value: header.commit_offset.to_string(),
        expected: "an offset from 0 to the end of the queue",
    })?);
    let (topic, id) = (header.topic.as_ref(), queue.id());
    let place = Place { group, topic, queue: id };
    if request.is_oneway() {
        broker.commit(place, offset);
        return Ok(Reply::done());
    }
    let now_ms = broker.now_ms();
    let commit = || broker.store.commit_now(group, topic, id, offset, now_ms);
    // One from before a reset is answered as if it had counted, as Apache's broker does.
    let end = broker.resets.commit(place, commit).transpose()?;
    Ok(Reply::after(end.unwrap_or_default()))
}

/// `SEARCH_OFFSET_BY_TIMESTAMP` (29).
pub(crate) fn search(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: SearchOffset<'_> = request.header()?;
    let Some(queue) = find(broker, &header.topic, header.queue_id) else {
        return Ok(Reply::done().field("offset", 0));
    };
    let upper = header.boundary.is_some_and(|text| text.eq_ignore_ascii_case("UPPER"));
    let boundary = if upper { Boundary::Upper } else { Boundary::Lower };
    let offset = broker.store.offset_by_time(&queue, header.timestamp, boundary)?;
    Ok(Reply::done().field("offset", offset.wire()))
}

/// `GET_MAX_OFFSET` (30): the offset the next message will have; 0 for a queue that is not there.
pub(crate) fn max(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: QueueOfTopic<'_> = request.header()?;
    let queue = find(broker, &header.topic, header.queue_id);
    Ok(Reply::done().field("offset", queue.map_or(0, |queue| queue.max().wire())))
}

/// `GET_MIN_OFFSET` (31).
pub(crate) fn min(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: QueueOfTopic<'_> = request.header()?;
    let queue = find(broker, &header.topic, header.queue_id);
    Ok(Reply::done().field("offset", queue.map_or(0, |queue| queue.min().wire())))
}

/// `GET_EARLIEST_MSG_STORETIME` (32): milliseconds, or -1 if there is no message.
pub(crate) fn earliest(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: QueueOfTopic<'_> = request.header()?;
    let time = match find(broker, &header.topic, header.queue_id) {
        Some(queue) => broker.store.store_time(&queue, queue.min())?,
        None => None,
    };
    Ok(Reply::done().field("timestamp", time.unwrap_or(-1)))
}

/// `GET_CONSUME_STATS` (208): how far a group is in each queue.
pub(crate) fn consume_stats(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: GetConsumeStats<'_> = request.header()?;
    let group = header.consumer_group.as_ref();
    let listed = header.topics.as_deref().filter(|topics| !topics.is_empty());
    let one = header.topic.as_deref().filter(|topic| !topic.is_empty());
    let topics: Vec<String> = match (listed, one) {
        (Some(listed), _) => listed.split(';').map(str::to_owned).collect(),
        (None, Some(topic)) => vec![topic.to_owned()],
        (None, None) => committed_topics(broker, group),
    };
    let mut table = Vec::new();
    for topic in topics {
        let subscribed = broker.consumers.with_group(group, |group| {
            group.subscriptions.is_empty() || group.subscriptions.contains_key(&topic)
        });
        if listed.is_some() || subscribed.unwrap_or(true) {
            progress(broker, group, &topic, &mut table)?;
        }
    }
    let stats = ConsumeStats { consume_tps: 0.0, offset_table: QueueMap(table) };
    Ok(Reply::body(stats.encode()))
}

fn committed_topics(broker: &Broker, group: &str) -> Vec<String> {
    let committed = broker.store.committed_by(group).into_iter();
    let mut topics: Vec<String> = committed.map(|committed| committed.topic).collect();
    topics.dedup();
    topics
}

fn progress(
    broker: &Broker,
    group: &str,
    topic: &str,
    table: &mut Vec<(MessageQueue, OffsetWrapper)>,
) -> Result<(), AdminError> {
    let Some(known) = broker.store.topic(topic) else { return Ok(()) };
    for queue in known.queues().iter().take(known.config().read_queues as usize) {
        let committed = broker.store.committed(group, topic, queue.id()).unwrap_or(QueueOffset(0));
        let last = committed.0.checked_sub(1).map(QueueOffset);
        let last = match last {
            Some(last) => broker.store.store_time(queue, last)?,
            None => None,
        };
        let offsets = OffsetWrapper {
            broker_offset: queue.max().wire(),
            consumer_offset: committed.wire(),
            last_timestamp: last.unwrap_or(0),
            pull_offset: committed.wire(),
        };
        table.push((broker.message_queue(queue), offsets));
    }
    Ok(())
}

/// `QUERY_CONSUME_TIME_SPAN` (303): between which times a group stands in each queue of a topic, and
/// for how long its next message has been waiting. A queue without messages has -1, as in Apache.
pub(crate) fn time_span(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: GroupAndTopic<'_> = request.header()?;
    let topic = broker.store.topic(&header.topic);
    let topic = topic.ok_or_else(|| AdminError::NoSuchTopic { topic: header.topic.to_string() })?;
    let (config, now_ms) = (topic.config(), broker.now_ms());
    let count = config.read_queues.max(config.write_queues) as usize;
    let mut spans = Vec::with_capacity(count);
    for queue in topic.queues().iter().take(count) {
        let bounds = queue.bounds();
        let committed = broker.store.committed(&header.group, topic.name(), queue.id());
        let next = committed.unwrap_or(bounds.min).max(bounds.min);
        let stored = |offset: Option<u64>| match offset {
            Some(offset) => broker.store.store_time(queue, QueueOffset(offset)),
            None => Ok(None),
        };
        let first = stored(Some(bounds.min.0))?.unwrap_or(-1);
        let consumed = committed.and_then(|committed| committed.0.checked_sub(1));
        spans.push(QueueTimeSpan {
            min_time_stamp: first,
            max_time_stamp: stored(bounds.max.0.checked_sub(1))?.unwrap_or(-1),
            consume_time_stamp: stored(consumed)?.unwrap_or(first),
            delay_time: stored(Some(next.0))?.map_or(0, |stored| (now_ms - stored).max(0)),
            message_queue: broker.message_queue(queue),
        });
    }
    Ok(Reply::body(ConsumeTimeSpan { consume_time_span_set: spans }.encode()))
}

/// The queue that a client names, if it is here.
pub(crate) fn find(broker: &Broker, topic: &str, queue_id: i32) -> Option<Arc<Queue>> {
    let topic = broker.store.topic(topic)?;
    topic.queue(u32::try_from(queue_id).ok()?).map(Arc::clone)
}

fn existing(broker: &Broker, topic: &str, queue_id: i32) -> Result<Arc<Queue>, AdminError> {
    let known = broker.store.topic(topic);
    let known = known.ok_or_else(|| AdminError::NoSuchTopic { topic: topic.to_owned() })?;
    queue_of(&known, queue_id).map(Arc::clone)
}

/// The queue that a client names, or what to tell it.
pub(crate) fn queue_of(topic: &Topic, queue_id: i32) -> Result<&Arc<Queue>, AdminError> {
    let queue = u32::try_from(queue_id).ok().and_then(|id| topic.queue(id));
    queue.ok_or_else(|| AdminError::IllegalQueue {
        queue_id,
        topic: topic.name().to_owned(),
        queues: u32::try_from(topic.queues().len()).unwrap_or(u32::MAX),
    })
}
