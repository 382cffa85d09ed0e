//! `LOCK_BATCH_MQ` (41), `UNLOCK_BATCH_MQ` (42): queues of orderly consumers.

use rocketkube_protocol::Request;
use rocketkube_protocol::body::{Body, LockBatch, LockedQueues, MessageQueue};

use super::decode;
use crate::answer::Reply;
use crate::broker::Broker;
use crate::locks::LockedQueue;
use crate::refusal::AdminError;

/// Most queues of one request; no topic has as many on one broker.
const MAX_QUEUES: usize = 65_536;

pub(crate) fn lock(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let body = parse(request)?;
    let queues: Vec<_> = body.mq_set.iter().map(locked_queue).collect();
    let granted =
        broker.locks.lock(&body.consumer_group, &body.client_id, &queues, broker.now_ms());
    let queues = body.mq_set.into_iter().zip(granted);
    let locked = queues.filter_map(|(queue, granted)| granted.then_some(queue)).collect();
    Ok(Reply::body(LockedQueues { locked }.encode()))
}

pub(crate) fn unlock(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let body = parse(request)?;
    let queues: Vec<_> = body.mq_set.iter().map(locked_queue).collect();
    broker.locks.unlock(&body.consumer_group, &body.client_id, &queues);
    Ok(Reply::done())
}

fn parse(request: &Request<'_>) -> Result<LockBatch, AdminError> {
    let body: LockBatch = decode(request.body, "list of queues to lock")?;
    if body.mq_set.len() > MAX_QUEUES {
        let value = format!("{} queues", body.mq_set.len());
        let expected = "at most 65536 queues";
        return Err(AdminError::Parameter { field: "mqSet", value, expected });
    }
    Ok(body)
}

fn locked_queue(queue: &MessageQueue) -> LockedQueue {
    LockedQueue { topic: queue.topic.clone(), queue_id: queue.queue_id }
}
