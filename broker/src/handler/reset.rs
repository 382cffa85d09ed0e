//! `INVOKE_BROKER_TO_RESET_OFFSET` (222): where a group goes on in a topic is set, by time or offset.
//!
//! Done by the broker alone, as Apache's does by default since version 5: members that are online are
//! told by the answer to their next pull, see [`crate::resets`], and nobody has to be online.
//! Topics for retries are left as they are, as in Apache.

use std::sync::Arc;

use rocketkube_protocol::Request;
use rocketkube_protocol::body::{Body, QueueMap, ResetOffsetBody};
use rocketkube_protocol::header::ResetOffset;
use rocketkube_store::{Boundary, Queue, QueueOffset, Topic};

use super::offset::queue_of;
use crate::answer::Reply;
use crate::broker::Broker;
use crate::refusal::AdminError;
use crate::resets::Order;

/// The time that means the end of a queue.
const END: i64 = -1;
/// Longest name of a reset, in bytes.
const MAX_ID: usize = 255;

/// Where to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Time(i64),
    Offset(u64),
    End,
}

/// Answers with the new offsets once they are durable. `isForce` says nothing here, as in Apache's
/// broker: offsets go forward as well as back. A reset with a name that was done before is answered
/// without any.
pub(crate) fn reset(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: ResetOffset<'_> = request.header()?;
    let (group, name) = (header.group.as_ref(), header.topic.as_ref());
    let topic = broker.store.topic(name);
    let topic = topic.ok_or_else(|| AdminError::NoSuchTopic { topic: name.to_owned() })?;
    if !broker.has_group(group) {
        return Err(AdminError::NoSuchGroup { group: group.to_owned() });
    }
    let (queues, target) = (queues(&topic, header.queue_id)?, target(&header)?);
    let mut offsets = Vec::with_capacity(queues.len());
    let mut told = Vec::with_capacity(queues.len());
    for queue in queues {
        let to = target.of(broker, queue)?;
        offsets.push((queue.id(), to));
        told.push((broker.message_queue(queue), to.wire()));
    }
    let online = broker.consumers.with_group(group, |_| ()).is_some();
    let id = name_of(&header)?;
    let order = Order { group, topic: name, offsets: &offsets, online, id };
    let done = broker.reset_offsets(&topic, &order)?;
    if done.is_none() {
        told.clear();
    }
    let body = ResetOffsetBody { offset_table: QueueMap(told) };
    // One that was done before may still wait for the disk.
    let after = done.unwrap_or_else(|| broker.store.end().0);
    Ok(Reply { after, ..Reply::body(body.encode()) })
}

/// The name of the reset, by which it is done once.
fn name_of<'h>(header: &'h ResetOffset<'_>) -> Result<Option<&'h str>, AdminError> {
    let id = header.request_id.as_deref();
    match id.filter(|id| id.is_empty() || id.len() > MAX_ID) {
        None => Ok(id),
        Some(id) => {
            let (field, value) = ("requestId", format!("{} bytes long", id.len()));
            Err(AdminError::Parameter { field, value, expected: "1 to 255 bytes" })
        }
    }
}

/// The one that is named, or all that can be read.
fn queues(topic: &Topic, queue_id: Option<i32>) -> Result<&[Arc<Queue>], AdminError> {
    if let Some(id) = queue_id.filter(|id| *id >= 0) {
        return queue_of(topic, id).map(std::slice::from_ref);
    }
    let all = topic.queues();
    Ok(&all[..all.len().min(topic.config().read_queues as usize)])
}

fn target(header: &ResetOffset<'_>) -> Result<Target, AdminError> {
    let offset = header.offset.and_then(|offset| u64::try_from(offset).ok());
    let refused = |field, value: i64, expected| {
        Err(AdminError::Parameter { field, value: value.to_string(), expected })
    };
    match (offset, header.queue_id.is_some_and(|id| id >= 0)) {
        (Some(offset), true) => Ok(Target::Offset(offset)),
        (Some(_), false) => {
            let asked = header.offset.unwrap_or_default();
            refused("offset", asked, "it with the queueId it is for, or -1 to go by time")
        }
        (None, _) if header.timestamp >= 0 => Ok(Target::Time(header.timestamp)),
        (None, _) if header.timestamp == END => Ok(Target::End),
        (None, _) => {
            refused("timestamp", header.timestamp, "milliseconds since 1970, or -1 for the end")
        }
    }
}

impl Target {
    fn of(self, broker: &Broker, queue: &Queue) -> Result<QueueOffset, AdminError> {
        match self {
            Self::Time(at) => Ok(broker.store.offset_by_time(queue, at, Boundary::Lower)?),
            Self::End => Ok(queue.max()),
            Self::Offset(offset) => {
                let bounds = queue.bounds();
                if (bounds.min.0..=bounds.max.0).contains(&offset) {
                    return Ok(QueueOffset(offset));
                }
                let (asked, topic) = (offset, queue.topic().to_owned());
                let (min, max) = (bounds.min.0, bounds.max.0);
                Err(AdminError::OffsetOutside { asked, topic, queue: queue.id(), min, max })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(timestamp: i64, queue_id: Option<i32>, offset: Option<i64>) -> ResetOffset<'static> {
        let (group, topic) = ("g".into(), "t".into());
        let request_id = None;
        ResetOffset { group, topic, timestamp, is_force: true, queue_id, offset, request_id }
    }

    #[test]
    fn an_offset_is_for_one_queue_and_anything_else_goes_by_time() {
        let of = |header: ResetOffset<'_>| target(&header).unwrap();
        assert_eq!(of(header(0, Some(2), Some(7))), Target::Offset(7));
        assert_eq!(of(header(50, Some(2), Some(-1))), Target::Time(50));
        assert_eq!(of(header(50, None, None)), Target::Time(50));
        assert_eq!(of(header(-1, Some(-1), Some(-1))), Target::End);
    }

    #[test]
    fn impossible_targets_are_refused_by_name() {
        let told = |header: ResetOffset<'_>| target(&header).unwrap_err().to_string();
        assert!(told(header(-2, None, None)).starts_with("timestamp is -2; write milliseconds"));
        assert!(told(header(0, None, Some(7))).starts_with("offset is 7; write it with"));
        let named = |id: &str| {
            let header =
                ResetOffset { request_id: Some(id.to_owned().into()), ..header(0, None, None) };
            name_of(&header).map(|id| id.map(str::to_owned)).map_err(|error| error.to_string())
        };
        assert_eq!(named("a"), Ok(Some("a".to_owned())));
        assert!(named("").unwrap_err().starts_with("requestId is 0 bytes long"));
        assert!(named(&"a".repeat(256)).is_err());
    }
}
