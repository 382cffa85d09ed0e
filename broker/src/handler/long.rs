//! Requests that look at many queues, groups or topics, or that make them: answered by threads that do
//! nothing else, a few at a time, so that nobody who sends or pulls waits for them.
//!
//! A connection has one of them under way, and is not read meanwhile.

use std::sync::Arc;

use rocketkube_protocol::code::RequestCode;
use rocketkube_protocol::frame::LENGTH_FIELD;
use rocketkube_protocol::{Command, Request};
use rocketkube_remoting::Output;

use super::pull::UNSENT_MAX;
use super::query::PendingQuery;
use crate::answer::Reply;
use crate::broker::Broker;
use crate::refusal::AdminError;
use crate::session::Session;

/// Long requests at a time, of all connections: processors are left for those that are short.
pub(crate) const MAX_LONG: usize = 2;
/// A body that is longer names more than can be looked at in passing.
const LONG_BODY: usize = 16 << 10;

/// How a request is answered by whoever is no connection.
pub(crate) type Ask = fn(&Broker, u64, &Request<'_>) -> Option<Result<Reply, AdminError>>;

/// Whether a request takes longer than others should wait.
pub(crate) fn is_long(request: &Request<'_>) -> bool {
    match request.code {
        RequestCode::GET_CONSUME_STATS
        | RequestCode::QUERY_CONSUME_TIME_SPAN
        | RequestCode::INVOKE_BROKER_TO_RESET_OFFSET
        | RequestCode::UPDATE_AND_CREATE_TOPIC
        | RequestCode::UPDATE_AND_CREATE_TOPIC_LIST
        | RequestCode::DELETE_TOPIC_IN_BROKER
        | RequestCode::GET_ALL_TOPIC_CONFIG
        | RequestCode::GET_TOPIC_STATS_INFO
        | RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER
        | RequestCode::QUERY_TOPIC_CONSUME_BY_WHO
        | RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST
        | RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG
        | RequestCode::DELETE_SUBSCRIPTIONGROUP
        | RequestCode::GET_ALL_PRODUCER_INFO
        | RequestCode::GET_BROKER_RUNTIME_INFO => true,
        RequestCode::LOCK_BATCH_MQ | RequestCode::UNLOCK_BATCH_MQ => request.body.len() > LONG_BODY,
        _ => false,
    }
}

/// Has a request answered; the answer comes with [`super::query::finish`].
pub(crate) fn start(
    broker: &Arc<Broker>,
    session: &mut Session,
    request: &Request<'_>,
    ask: Ask,
    out: &mut Output,
) -> Result<(), AdminError> {
    let mut frame = Vec::new();
    Command::from(request).encode_into(&mut frame).map_err(|error| AdminError::Parameter {
        field: "request",
        value: error.to_string(),
        expected: "a shorter one",
    })?;
    let (places, broker) = (Arc::clone(&broker.long_requests), Arc::clone(broker));
    let connection = session.peer.id();
    let find = move || {
        let request = Request::decode(frame.get(LENGTH_FIELD..)?).ok()?;
        ask(&broker, connection, &request)
    };
    let pending = PendingQuery::start(session, request, places, find);
    // Nothing more is read from this connection until the answer is there.
    session.queries().push(pending.owing(UNSENT_MAX as usize, out));
    Ok(())
}
