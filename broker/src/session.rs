//! What the broker remembers of one connection.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use rocketkube_protocol::body::HeartbeatData;
use rocketkube_remoting::{Deferral, Output, Peer};
use rocketkube_store::Batch;

use crate::answer::{Answer, Reply};
use crate::broker::Broker;
use crate::handler::pull::ParkedPull;
use crate::handler::query::PendingQuery;
use crate::handler::send::StagedSend;
use crate::wake::Wake;

/// One connection: who it is, what it staged in this read, and what it waits for. Small while it
/// is idle: what only producers or only waiting clients need is made when they do.
pub(crate) struct Session {
    pub(crate) peer: Arc<Peer>,
    /// Of connections that ever sent a message.
    sends: Option<Box<Sends>>,
    pub(crate) parked: Vec<ParkedPull>,
    /// The client sends no more: nothing waits for messages any longer.
    pub(crate) ended: bool,
    /// Of connections that ever waited for the disk.
    deferred: Option<Box<Deferred>>,
    /// Of connections that ever sent a heartbeat.
    memberships: Option<Box<Memberships>>,
}

/// Groups that a connection is in, or was and left without a word.
#[derive(Default)]
pub(crate) struct Memberships {
    pub(crate) consumers: HashSet<String>,
    pub(crate) producers: HashSet<String>,
}

impl Memberships {
    /// In how many groups the connection would be with those of a heartbeat.
    pub(crate) fn with(&self, heartbeat: &HeartbeatData) -> usize {
        let consumers = heartbeat.consumer_data_set.iter().map(|data| &data.group_name);
        let producers = heartbeat.producer_data_set.iter().map(|data| &data.group_name);
        let new = consumers.filter(|name| !self.consumers.contains(*name)).count()
            + producers.filter(|name| !self.producers.contains(*name)).count();
        self.consumers.len() + self.producers.len() + new
    }
}

/// What a producer's connection keeps.
#[derive(Default)]
pub(crate) struct Sends {
    /// Sends of one read of the socket: encoded, not yet appended.
    pub(crate) batch: Batch,
    pub(crate) staged: Vec<StagedSend>,
}

/// Answers that come later.
#[derive(Default)]
struct Deferred {
    /// Those that wait until the log is confirmed up to a position; ascending.
    answers: VecDeque<(u64, Vec<u8>)>,
    /// Keeps the connection open while an answer is owed, should the client end its side.
    promise: Option<Deferral>,
    queries: Vec<PendingQuery>,
}

impl Session {
    pub(crate) fn new(peer: Arc<Peer>) -> Self {
        Self {
            peer,
            sends: None,
            parked: Vec::new(),
            ended: false,
            deferred: None,
            memberships: None,
        }
    }

    pub(crate) fn memberships(&mut self) -> &mut Memberships {
        self.memberships.get_or_insert_default()
    }

    pub(crate) fn sends(&mut self) -> &mut Sends {
        self.sends.get_or_insert_default()
    }

    /// Queries under way.
    pub(crate) fn queries(&mut self) -> &mut Vec<PendingQuery> {
        &mut self.deferred.get_or_insert_default().queries
    }

    /// The first query that is through.
    pub(crate) fn next_found(&mut self) -> Option<PendingQuery> {
        let queries = &mut self.deferred.as_mut()?.queries;
        let place = queries.iter().position(PendingQuery::is_done)?;
        Some(queries.remove(place))
    }

    /// What this read staged; `None` if nothing.
    pub(crate) fn staged(&mut self) -> Option<&mut Sends> {
        self.sends.as_deref_mut().filter(|sends| !sends.staged.is_empty())
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
        let deferred = self.deferred.get_or_insert_default();
        out.owe(bytes.len());
        deferred.answers.push_back((position, bytes));
        deferred.promise.get_or_insert_with(|| self.peer.defer());
        broker.confirmations.wait(position, Arc::clone(&self.peer));
        // It may have been confirmed before the wait was noted; then nobody would wake us.
        self.release(broker.store.confirmed(), out);
    }

    /// Sends the answers whose position is confirmed.
    pub(crate) fn release(&mut self, confirmed: u64, out: &mut Output) {
        let Some(deferred) = &mut self.deferred else { return };
        while let Some((_, bytes)) = deferred.answers.pop_front_if(|(end, _)| *end <= confirmed) {
            out.settle(bytes.len());
            out.buffer().extend_from_slice(&bytes);
        }
        if deferred.answers.is_empty() {
            deferred.promise = None;
        }
    }
}

impl Wake for Arc<Peer> {
    fn wake(&self) {
        Peer::wake(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_takes_at_most_64_bytes() {
        assert!(size_of::<Session>() <= 64, "{}", size_of::<Session>());
    }
}
