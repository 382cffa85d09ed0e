//! What the broker remembers of one connection.

use std::collections::VecDeque;
use std::sync::Arc;

use rocketkube_remoting::{Deferral, Output, Peer};
use rocketkube_store::{Batch, Topic};

use crate::answer::{Answer, Reply};
use crate::broker::Broker;
use crate::handler::pull::ParkedPull;
use crate::handler::send::StagedSend;
use crate::wake::Wake;

/// One connection: who it is, what it staged in this read, and what it waits for.
pub(crate) struct Session {
    pub(crate) peer: Arc<Peer>,
    /// Sends of one read of the socket: encoded, not yet appended.
    pub(crate) batch: Batch,
    pub(crate) staged: Vec<StagedSend>,
    /// The topic last sent to: most connections send to one.
    pub(crate) last_topic: Option<Arc<Topic>>,
    pub(crate) parked: Vec<ParkedPull>,
    /// Answers that wait until the log is confirmed up to a position; ascending.
    deferred: VecDeque<(u64, Vec<u8>)>,
    /// Keeps the connection open while an answer is deferred, should the client end its side.
    promise: Option<Deferral>,
}

impl Session {
    pub(crate) fn new(peer: Arc<Peer>) -> Self {
        Self {
            peer,
            batch: Batch::default(),
            staged: Vec::new(),
            last_topic: None,
            parked: Vec::new(),
            deferred: VecDeque::new(),
            promise: None,
        }
    }

    /// Sends the reply when the log is confirmed as far as it asks.
    pub(crate) fn reply(
        &mut self,
        broker: &Broker,
        answer: Answer,
        reply: &Reply,
        out: &mut Output,
    ) {
        if answer.is_oneway() {
            return;
        }
        if reply.after <= broker.store.confirmed() {
            reply.write(answer, out.buffer());
            return;
        }
        let mut bytes = Vec::new();
        reply.write(answer, &mut bytes);
        self.defer(broker, reply.after, bytes, out);
    }

    /// Keeps answers until the log is confirmed up to `position`.
    pub(crate) fn defer(
        &mut self,
        broker: &Broker,
        position: u64,
        bytes: Vec<u8>,
        out: &mut Output,
    ) {
        self.deferred.push_back((position, bytes));
        self.promise.get_or_insert_with(|| self.peer.defer());
        broker.confirmations.wait(position, Arc::clone(&self.peer));
        // It may have been confirmed before the wait was noted; then nobody would wake us.
        self.release(broker.store.confirmed(), out);
    }

    /// Sends the answers whose position is confirmed.
    pub(crate) fn release(&mut self, confirmed: u64, out: &mut Output) {
        while let Some((position, _)) = self.deferred.front()
            && *position <= confirmed
        {
            if let Some((_, bytes)) = self.deferred.pop_front() {
                out.buffer().extend_from_slice(&bytes);
            }
        }
        if self.deferred.is_empty() {
            self.promise = None;
        }
    }
}

impl Wake for Arc<Peer> {
    fn wake(&self) {
        Peer::wake(self);
    }
}
