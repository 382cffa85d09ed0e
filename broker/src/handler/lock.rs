//! `LOCK_BATCH_MQ` (41), `UNLOCK_BATCH_MQ` (42): queues of orderly consumers.

use rocketkube_protocol::Request;
use rocketkube_protocol::body::{Body, LockBatch, LockedQueues, MessageQueue};

use super::client::{check_client_id, is_foreign_consumer};
use super::decode;
use super::offset::find;
use crate::answer::Reply;
use crate::broker::Broker;
use crate::locks::LockedQueue;
use crate::refusal::AdminError;

/// Most queues of one request; no topic has as many on one broker.
const MAX_QUEUES: usize = 65_536;

/// Locks what is there and free. A queue that is not here is left out of the answer, like one that
/// somebody else has: nobody keeps us remembering queues that do not exist.
pub(crate) fn lock(
    broker: &Broker,
    connection: u64,
    request: &Request<'_>,
) -> Result<Reply, AdminError> {
    let LockBatch { client_id, consumer_group, mut mq_set, .. } =
        parse(broker, connection, request)?;
    if !broker.has_group(&consumer_group) {
        return Err(AdminError::NoSuchGroup { group: consumer_group });
    }
    mq_set.retain(|queue| find(broker, &queue.topic, queue.queue_id).is_some());
    let queues: Vec<_> = mq_set.iter().map(locked_queue).collect();
    let granted = broker.locks.lock(&consumer_group, &client_id, &queues, broker.now_ms());
    let queues = mq_set.into_iter().zip(granted);
    let locked = queues.filter_map(|(queue, granted)| granted.then_some(queue)).collect();
    Ok(Reply::body(LockedQueues { locked }.encode()))
}

pub(crate) fn unlock(
    broker: &Broker,
    connection: u64,
    request: &Request<'_>,
) -> Result<Reply, AdminError> {
    let body = parse(broker, connection, request)?;
    let queues: Vec<_> = body.mq_set.iter().map(locked_queue).collect();
    broker.locks.unlock(&body.consumer_group, &body.client_id, &queues);
    Ok(Reply::done())
}

/// Who is a member of the group through another connection only is not who asks here.
fn parse(broker: &Broker, connection: u64, request: &Request<'_>) -> Result<LockBatch, AdminError> {
    let body: LockBatch = decode(request.body, "list of queues to lock")?;
    check_client_id(&body.client_id)?;
    if body.mq_set.len() > MAX_QUEUES {
        let value = format!("{} queues", body.mq_set.len());
        let expected = "at most 65536 queues";
        return Err(AdminError::Parameter { field: "mqSet", value, expected });
    }
    if is_foreign_consumer(broker, connection, &body.consumer_group, &body.client_id) {
        return Err(AdminError::foreign_client(&body.client_id));
    }
    Ok(body)
}

fn locked_queue(queue: &MessageQueue) -> LockedQueue {
    LockedQueue { topic: queue.topic.clone(), queue_id: queue.queue_id }
}
