//! What the name server answers.
//!
//! A handler parses, checks, acts and returns an [`Outcome`]; this module writes it. Which code a
//! refusal has is said in one place, [`Refusal::code`].

use std::cell::Cell;
use std::sync::Arc;

use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use rocketkube_protocol::names::{self, NameError};
use rocketkube_protocol::{BodyError, HeaderError, Request, RequestCode, Response, ResponseCode};
use rocketkube_remoting::{BatchEnd, Output, Peer, Service};
use tracing::{debug, info};

use crate::keeper::{Busy, Keeper};
use crate::kept::KvError;
use crate::metrics::Metrics;
use crate::routes::{ConnectionId, Refused, Routes};
use crate::settings::{Settings, SettingsError};
use crate::warmup::Warmup;

mod brokers;
mod configuration;
mod topics;

/// Everything a request can reach.
pub(crate) struct Handler {
    pub(crate) routes: RwLock<Routes>,
    pub(crate) keeper: Keeper,
    /// As they were at start; changes made since are kept by `keeper`.
    pub(crate) start_settings: Settings,
    pub(crate) listen_port: u16,
    /// Who has to announce itself before this name server is ready.
    pub(crate) warmup: Warmup,
    /// Held while a long registration is read: each takes several times its bytes meanwhile.
    pub(crate) reading: Mutex<()>,
    pub(crate) metrics: Metrics,
}

/// A connection.
pub(crate) struct Session {
    peer: Arc<Peer>,
    connection: ConnectionId,
    /// A member registered here, so its end is to be told to the routes.
    has_members: Cell<bool>,
}

/// How a request ended.
enum Outcome {
    Answer(Answer),
    /// It will be answered through the peer.
    Later,
    /// The peer is not worth an answer.
    Close,
}

/// A good answer.
#[derive(Default)]
struct Answer {
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn body(body: Vec<u8>) -> Self {
        Self { fields: Vec::new(), body }
    }

    fn field(key: &'static str, value: &impl ToString) -> Self {
        Self { fields: vec![(key, value.to_string())], body: Vec::new() }
    }
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

type Handled = Result<Outcome, Refusal>;

/// Why a request got no good answer. The texts go to clients as remarks.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Registration(#[from] Refused),
    #[error(transparent)]
    Value(#[from] KvError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error("the header field {field} is not {expected}")]
    Field { field: &'static str, expected: &'static str },
    #[error("crc32 not match")]
    BodyCrc,
    #[error("No topic route info in name server for the topic: {topic}")]
    NoRoute { topic: String },
    #[error("No config item, Namespace: {namespace} Key: {key}")]
    NoValue { namespace: String, key: String },
    #[error("disable")]
    ListsOff,
    #[error(" request type {} not supported", code.0)]
    UnknownCode { code: RequestCode },
}

impl Refusal {
    /// The code a client sees.
    fn code(&self) -> ResponseCode {
        match self {
            Self::Header(_) | Self::Body(_) | Self::BodyCrc | Self::ListsOff => {
                ResponseCode::SYSTEM_ERROR
            }
            Self::Registration(refused) => match refused {
                Refused::TooManyTopics { .. } => ResponseCode::INVALID_PARAMETER,
                Refused::OtherConnection { .. } => ResponseCode::NO_PERMISSION,
                Refused::OneTopicOfUnknownBroker
                | Refused::OtherCluster { .. }
                | Refused::OlderState { .. }
                | Refused::TooManyMembers { .. }
                | Refused::TooManyTopicsInAll { .. }
                | Refused::NoSuchBroker { .. } => ResponseCode::SYSTEM_ERROR,
            },
            Self::Name(_) | Self::Value(_) | Self::Field { .. } => ResponseCode::INVALID_PARAMETER,
            Self::Settings(_) => ResponseCode::NO_PERMISSION,
            Self::Busy(_) => ResponseCode::SYSTEM_BUSY,
            Self::NoRoute { .. } => ResponseCode::TOPIC_NOT_EXIST,
            Self::NoValue { .. } => ResponseCode::QUERY_NOT_FOUND,
            Self::UnknownCode { .. } => ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
        }
    }
}

impl Handler {
    fn settings(&self) -> Settings {
        self.keeper.kept().settings(self.start_settings)
    }

    fn handle(&self, session: &Session, request: &Request<'_>) -> Handled {
        match request.code {
            RequestCode::GET_ROUTEINFO_BY_TOPIC => self.route(request),
            RequestCode::REGISTER_BROKER => self.register_broker(session, request),
            RequestCode::QUERY_DATA_VERSION => self.query_data_version(session, request),
            RequestCode::BROKER_HEARTBEAT => self.broker_heartbeat(session, request),
            RequestCode::UNREGISTER_BROKER => self.unregister_broker(session, request),
            RequestCode::GET_BROKER_CLUSTER_INFO => self.whole(|| Ok(self.cluster_info())),
            RequestCode::GET_BROKER_MEMBER_GROUP => self.member_group(request),
            RequestCode::WIPE_WRITE_PERM_OF_BROKER => self.wipe_write(request),
            RequestCode::ADD_WRITE_PERM_OF_BROKER => self.add_write(request),
            RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER
            | RequestCode::GET_TOPICS_BY_CLUSTER
            | RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS
            | RequestCode::GET_UNIT_TOPIC_LIST
            | RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST
            | RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => {
                self.whole(|| self.topic_list(request))
            }
            RequestCode::DELETE_TOPIC_IN_NAMESRV => self.delete_topic(request),
            RequestCode::REGISTER_TOPIC_IN_NAMESRV => self.register_topic(request),
            RequestCode::PUT_KV_CONFIG => self.put_value(session, request),
            RequestCode::GET_KV_CONFIG => self.value(request),
            RequestCode::DELETE_KV_CONFIG => self.delete_value(session, request),
            RequestCode::GET_KVLIST_BY_NAMESPACE => self.values(request),
            RequestCode::UPDATE_NAMESRV_CONFIG => self.change_settings(session, request),
            RequestCode::GET_NAMESRV_CONFIG => Ok(self.show_settings()),
            code => Err(Refusal::UnknownCode { code }),
        }
    }

    /// Answers with a whole table, which may be long.
    fn whole(&self, answer: impl FnOnce() -> Handled) -> Handled {
        let counts = self.routes.read().counts();
        brokers::in_place((counts.topics + counts.members) * names::MAX_TOPIC, answer)
    }

    /// Drops members that were silent for too long.
    pub(crate) fn expire(&self, now: Instant) {
        let dropped = self.routes.write().expire(now);
        if dropped > 0 {
            self.metrics.expired.add(dropped as u64);
            info!(dropped, "members were silent for too long");
        }
    }
}

impl Service for Handler {
    type Session = Session;

    fn connected(&self, peer: &Arc<Peer>) -> Session {
        Session {
            peer: Arc::clone(peer),
            connection: ConnectionId(peer.id()),
            has_members: Cell::new(false),
        }
    }

    fn request(&self, session: &mut Session, request: Request<'_>, out: &mut Output) {
        let handled = self.handle(session, &request);
        if let Err(refusal) = &handled {
            self.metrics.refused.add(1);
            debug!(remote = %session.peer.remote(), code = request.code.0, error = %refusal, "refused");
        }
        if request.is_oneway() {
            return;
        }
        match handled {
            Ok(Outcome::Answer(answer)) => {
                let response = request.answer(ResponseCode::SUCCESS);
                write(&response, &answer, out.buffer());
            }
            Ok(Outcome::Later) => {}
            Ok(Outcome::Close) => session.peer.close(),
            Err(refusal) => {
                let remark = refusal.to_string();
                let response = request.answer(refusal.code());
                response.remark(&remark).write(out.buffer(), |_| (), &[]);
            }
        }
    }

    fn end_of_batch(&self, _: &mut Session, _: &mut Output) -> BatchEnd {
        BatchEnd::Done
    }

    fn disconnected(&self, session: Session) {
        if session.has_members.get() {
            let dropped = self.routes.write().connection_closed(session.connection);
            if dropped > 0 {
                info!(remote = %session.peer.remote(), dropped, "members left with their connection");
            }
        }
    }
}

fn write(response: &Response<'_>, answer: &Answer, out: &mut Vec<u8>) {
    let fields = |writer: &mut rocketkube_protocol::ExtWriter<'_>| {
        for (key, value) in &answer.fields {
            writer.field(key, value);
        }
    };
    response.write(out, fields, &answer.body);
}
