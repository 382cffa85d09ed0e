//! The broker's port while its log is read: connections are taken, requests are told to go
//! elsewhere. Once the broker is there they all go to it, those of the same connections too.

use std::sync::{Arc, OnceLock};

use rocketkube_protocol::Request;
use rocketkube_protocol::code::ResponseCode;
use rocketkube_remoting::{BatchEnd, Output, Peer, Service};

use crate::answer::Answer;
use crate::broker::Broker;
use crate::refusal::Refusal;
use crate::session::Session;

/// What stands between the connections and the broker.
#[derive(Default)]
pub(crate) struct Gate {
    broker: OnceLock<Arc<Broker>>,
}

/// Why a request was refused before anybody looked at it.
#[derive(Debug, thiserror::Error)]
#[error("the broker is starting, its log is being read; ask another one, or again later")]
struct Starting;

impl Refusal for Starting {
    fn code(&self) -> ResponseCode {
        ResponseCode::SERVICE_NOT_AVAILABLE
    }
}

impl Gate {
    /// From now on the broker answers.
    pub(crate) fn open(&self, broker: Arc<Broker>) {
        // A second broker would find the first one's sessions.
        assert!(self.broker.set(broker).is_ok(), "a gate is opened once");
    }
}

impl Service for Gate {
    type Session = Session;

    fn connected(&self, peer: &Arc<Peer>) -> Session {
        Session::new(Arc::clone(peer))
    }

    fn request(&self, session: &mut Session, request: Request<'_>, out: &mut Output) {
        match self.broker.get() {
            Some(broker) => broker.request(session, &request, out),
            None => Answer::to(&request).refuse(out.buffer(), &Starting),
        }
    }

    fn end_of_batch(&self, session: &mut Session, out: &mut Output) -> BatchEnd {
        let broker = self.broker.get();
        broker.map_or(BatchEnd::Done, |broker| broker.end_of_batch(session, out))
    }

    fn woken(&self, session: &mut Session, out: &mut Output) {
        if let Some(broker) = self.broker.get() {
            broker.woken(session, out);
        }
    }

    fn half_closed(&self, session: &mut Session, out: &mut Output) {
        if let Some(broker) = self.broker.get() {
            broker.half_closed(session, out);
        }
    }

    fn disconnected(&self, session: Session) {
        if let Some(broker) = self.broker.get() {
            broker.disconnected(session);
        }
    }

    async fn draining(&self) {
        if let Some(broker) = self.broker.get() {
            broker.stop_serving();
        }
    }
}
