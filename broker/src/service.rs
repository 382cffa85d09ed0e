//! The broker as seen by its connections: each request code goes to its handler.

use std::sync::Arc;

use rocketkube_protocol::Request;
use rocketkube_protocol::code::{RequestCode, ResponseCode};
use rocketkube_remoting::{BatchEnd, Output};

use crate::answer::{Answer, Reply};
use crate::broker::Broker;
use crate::handler::{client, group, lock, long, offset, pull, query, reset, runtime, send, topic};
use crate::refusal::{AdminError, Refusal};
use crate::session::Session;

/// What [`crate::gate`] passes on.
impl Broker {
    pub(crate) fn request(
        self: &Arc<Self>,
        session: &mut Session,
        request: &Request<'_>,
        out: &mut Output,
    ) {
        self.metrics.request();
        let answer = Answer::to(request);
        match request.code {
            RequestCode::SEND_MESSAGE
            | RequestCode::SEND_MESSAGE_V2
            | RequestCode::SEND_BATCH_MESSAGE => {
                settle(send::stage(self, session, request, out), answer, out);
            }
            RequestCode::PULL_MESSAGE | RequestCode::LITE_PULL_MESSAGE => {
                settle(pull::pull(self, session, request, out), answer, out);
            }
            RequestCode::QUERY_MESSAGE | RequestCode::VIEW_MESSAGE_BY_ID => {
                settle(query::start(self, session, request), answer, out);
            }
            _ if long::is_long(request) => {
                settle(long::start(self, session, request, ask, out), answer, out);
            }
            _ => match administer(self, session, request) {
                Some(Ok(reply)) => session.reply(self, answer, &reply, out),
                Some(Err(refusal)) => answer.refuse(out.buffer(), &refusal),
                None => {
                    let remark = format!(" request type {} not supported", request.code.0);
                    let code = ResponseCode::REQUEST_CODE_NOT_SUPPORTED;
                    answer.write(out.buffer(), code, Some(&remark), |_| (), &[]);
                }
            },
        }
    }

    pub(crate) fn end_of_batch(&self, session: &mut Session, out: &mut Output) -> BatchEnd {
        send::end_of_read(self, session, out)
    }

    pub(crate) fn woken(&self, session: &mut Session, out: &mut Output) {
        send::complete_submitted(self, session, out);
        session.release(self.store.confirmed(), out);
        query::finish(self, session, out);
        pull::resume(self, session, out);
    }

    pub(crate) fn half_closed(&self, session: &mut Session, out: &mut Output) {
        session.ended = true;
        pull::resume(self, session, out);
    }

    pub(crate) fn disconnected(&self, mut session: Session) {
        // Messages that were taken are stored, though nobody hears of it any more.
        send::complete_submitted(self, &mut session, &mut Output::default());
        let connection = session.peer.id();
        let joined = session.memberships();
        self.producers.disconnected(connection, joined.producers());
        for change in self.consumers.disconnected(connection, joined.consumers()) {
            client::notify_members(&change);
        }
        self.parked.disconnected(connection);
    }
}

/// Answers a refusal; success was answered, or will be, by the handler.
fn settle<E: Refusal>(result: Result<(), E>, answer: Answer, out: &mut Output) {
    if let Err(refusal) = result {
        answer.refuse(out.buffer(), &refusal);
    }
}

/// Everything but sends, pulls and queries; `None` for codes that this broker does not know.
fn administer(
    broker: &Broker,
    session: &mut Session,
    request: &Request<'_>,
) -> Option<Result<Reply, AdminError>> {
    match request.code {
        RequestCode::HEART_BEAT => Some(client::heartbeat(broker, session, request)),
        RequestCode::UNREGISTER_CLIENT => Some(client::unregister(broker, session, request)),
        _ => ask(broker, session.peer.id(), request),
    }
}

/// What needs no session; the number of the connection says who asks.
fn ask(
    broker: &Broker,
    connection: u64,
    request: &Request<'_>,
) -> Option<Result<Reply, AdminError>> {
    Some(match request.code {
        RequestCode::CHECK_CLIENT_CONFIG => client::check_config(request),
        RequestCode::GET_CONSUMER_LIST_BY_GROUP => client::members(broker, request),
        RequestCode::GET_CONSUMER_CONNECTION_LIST => client::consumer_connections(broker, request),
        RequestCode::GET_PRODUCER_CONNECTION_LIST => client::producer_connections(broker, request),
        RequestCode::GET_ALL_PRODUCER_INFO => Ok(client::all_producers(broker)),
        RequestCode::LOCK_BATCH_MQ => lock::lock(broker, connection, request),
        RequestCode::UNLOCK_BATCH_MQ => lock::unlock(broker, connection, request),
        RequestCode::QUERY_CONSUMER_OFFSET => offset::query(broker, request),
        RequestCode::UPDATE_CONSUMER_OFFSET => offset::update(broker, request),
        RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => offset::search(broker, request),
        RequestCode::GET_MAX_OFFSET => offset::max(broker, request),
        RequestCode::GET_MIN_OFFSET => offset::min(broker, request),
        RequestCode::GET_EARLIEST_MSG_STORETIME => offset::earliest(broker, request),
        RequestCode::GET_CONSUME_STATS => offset::consume_stats(broker, request),
        RequestCode::QUERY_CONSUME_TIME_SPAN => offset::time_span(broker, request),
        RequestCode::INVOKE_BROKER_TO_RESET_OFFSET => reset::reset(broker, request),
        RequestCode::UPDATE_AND_CREATE_TOPIC => topic::update(broker, request),
        RequestCode::UPDATE_AND_CREATE_TOPIC_LIST => topic::update_list(broker, request),
        RequestCode::DELETE_TOPIC_IN_BROKER => topic::delete(broker, request),
        RequestCode::GET_ALL_TOPIC_CONFIG => topic::all(broker, request),
        RequestCode::GET_TOPIC_CONFIG => topic::one(broker, request),
        RequestCode::GET_TOPIC_STATS_INFO => topic::stats(broker, request),
        RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER => Ok(topic::system(broker)),
        RequestCode::QUERY_TOPIC_CONSUME_BY_WHO => topic::consumed_by(broker, request),
        RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => group::update(broker, request),
        RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => {
            group::update_list(broker, request)
        }
        RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => group::all(broker, request),
        RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG => group::one(broker, request),
        RequestCode::DELETE_SUBSCRIPTIONGROUP => group::delete(broker, request),
        RequestCode::GET_BROKER_RUNTIME_INFO => Ok(runtime::info(broker)),
        RequestCode::GET_BROKER_CONFIG => Ok(runtime::config(broker)),
        RequestCode::UPDATE_BROKER_CONFIG => runtime::update_config(request),
        _ => return None,
    })
}
