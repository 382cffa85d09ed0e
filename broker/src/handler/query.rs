//! Finding messages by key, unique id or position: away from the threads that serve, because the
//! pages of an index or of an old part of the log may have to come from the disk.

use std::sync::{Arc, OnceLock};

use rocketkube_protocol::Request;
use rocketkube_protocol::code::RequestCode;
use rocketkube_protocol::header::{QueryMessage, ViewMessage};
use rocketkube_remoting::{Deferral, Output};
use rocketkube_store::{KeyQuery, PhysicalOffset, Store};
use tokio::sync::Semaphore;

use super::pull::UNSENT_MAX;
use crate::answer::{Answer, Reply};
use crate::broker::Broker;
use crate::cold::ColdRead;
use crate::refusal::AdminError;
use crate::session::Session;

/// Most messages of one answer. Source: `defaultQueryMaxNum` and the cap of 64 per broker.
const MAX_MESSAGES: usize = 64;
/// The same for a unique id, where only retries can make more than one.
const MAX_UNIQUE: usize = 32;
/// Most queries of one connection under way: each may hold an answer of many messages.
const MAX_QUERIES: usize = 16;

/// A query under way.
pub(crate) struct PendingQuery {
    answer: Answer,
    read: Arc<ColdRead>,
    result: Arc<OnceLock<Result<Reply, AdminError>>>,
    /// Bytes that were counted against the client.
    owed: usize,
    /// The answer is owed, should the client end its side meanwhile.
    _promise: Deferral,
}

/// What to look for.
enum Query {
    Key { topic: String, key: String, unique_only: bool, from_ms: i64, to_ms: i64, max: usize },
    Position(i64),
}

/// `QUERY_MESSAGE` (12), newest first; `VIEW_MESSAGE_BY_ID` (33), the message that begins at a
/// physical offset. The answer comes with [`finish`].
pub(crate) fn start(
    broker: &Broker,
    session: &mut Session,
    request: &Request<'_>,
) -> Result<(), AdminError> {
    let query = parse(request)?;
    if session.queries().len() >= MAX_QUERIES {
        return Err(AdminError::TooManyQueries { max: MAX_QUERIES });
    }
    let (store, now_ms) = (Arc::clone(&broker.store), broker.now_ms());
    let find = move || Some(query.run(&store, now_ms));
    let pending = PendingQuery::start(session, request, Arc::clone(&broker.cold_reads), find);
    session.queries().push(pending);
    Ok(())
}

/// Answers the queries that are through, as long as the client takes the answers; then
/// [`super::pull::resume`] sees to it that the rest follows.
pub(crate) fn finish(broker: &Broker, session: &mut Session, out: &mut Output) {
    while out.unsent() < u64::from(UNSENT_MAX)
        && let Some(query) = session.next_found()
    {
        out.settle(query.owed);
        match query.result.get() {
            Some(Ok(reply)) => session.reply(broker, query.answer, reply, out),
            Some(Err(refusal)) => query.answer.refuse(out.buffer(), refusal),
            None => {} // It panicked; see `ColdRead::run`.
        }
    }
}

impl PendingQuery {
    /// Has the answer found once there is a place for it.
    pub(crate) fn start(
        session: &Session,
        request: &Request<'_>,
        places: Arc<Semaphore>,
        find: impl FnOnce() -> Option<Result<Reply, AdminError>> + Send + 'static,
    ) -> Self {
        let result = Arc::new(OnceLock::new());
        let (peer, found) = (Arc::clone(&session.peer), Arc::clone(&result));
        let promise = peer.defer();
        let read = ColdRead::run(places, peer, move || {
            if let Some(answer) = find() {
                let _ = found.set(answer);
            }
        });
        Self { answer: Answer::to(request), read, result, owed: 0, _promise: promise }
    }

    /// Counts bytes against the client until the answer is there.
    pub(crate) fn owing(self, bytes: usize, out: &mut Output) -> Self {
        out.owe(bytes);
        Self { owed: bytes, ..self }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.read.is_done()
    }
}

fn parse(request: &Request<'_>) -> Result<Query, AdminError> {
    if request.code == RequestCode::VIEW_MESSAGE_BY_ID {
        let header: ViewMessage<'_> = request.header()?;
        return Ok(Query::Position(header.physical_offset));
    }
    let header: QueryMessage<'_> = request.header()?;
    let unique_only = header.is_unique_key.unwrap_or_default();
    let asked = usize::try_from(header.max_messages).unwrap_or(0).clamp(1, MAX_MESSAGES);
    Ok(Query::Key {
        topic: header.topic.into_owned(),
        key: header.key.into_owned(),
        unique_only,
        from_ms: header.begin_timestamp,
        to_ms: header.end_timestamp,
        max: if unique_only { MAX_UNIQUE } else { asked },
    })
}

impl Query {
    fn run(&self, store: &Store, now_ms: i64) -> Result<Reply, AdminError> {
        match self {
            Self::Position(offset) => by_position(store, *offset),
            Self::Key { topic, key, unique_only, from_ms, to_ms, max } => {
                let query = KeyQuery {
                    topic,
                    key,
                    unique_only: *unique_only,
                    stored: *from_ms..=*to_ms,
                    max_messages: *max,
                };
                by_key(store, &query, now_ms)
            }
        }
    }
}

fn by_key(store: &Store, query: &KeyQuery<'_>, now_ms: i64) -> Result<Reply, AdminError> {
    let found = store.find_by_key(query)?;
    if found.messages == 0 {
        return Err(AdminError::NoMessageFound);
    }
    let reply = Reply::body(found.records).field("indexLastUpdateTimestamp", now_ms);
    Ok(reply.field("indexLastUpdatePhyoffset", store.confirmed()))
}

fn by_position(store: &Store, offset: i64) -> Result<Reply, AdminError> {
    let none = AdminError::NoMessageAt { offset };
    let Ok(position) = u64::try_from(offset) else { return Err(none) };
    let mut record = Vec::new();
    let found = store.record_at(PhysicalOffset(position), &mut record)?;
    if found { Ok(Reply::body(record)) } else { Err(none) }
}
