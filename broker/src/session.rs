//! What the broker remembers of one connection.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use rocketkube_protocol::body::{ConsumerData, HeartbeatData, SubscriptionData};
use rocketkube_remoting::{Deferral, Output, Peer};
use rocketkube_store::{Batch, Ticket};

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
    /// What the filters of the parked pulls take.
    pub(crate) parked_bytes: u32,
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
    /// With the bytes of its subscriptions.
    consumers: HashMap<String, usize>,
    producers: HashSet<String>,
}

impl Memberships {
    pub(crate) fn consumers(&self) -> impl Iterator<Item = &String> {
        self.consumers.keys()
    }

    pub(crate) fn producers(&self) -> impl Iterator<Item = &String> {
        self.producers.iter()
    }

    /// `repeats`: the heartbeat leaves the subscriptions of the last one as they are.
    pub(crate) fn consume(&mut self, group: &ConsumerData, repeats: bool) {
        let bytes = self.consumers.entry(group.group_name.clone()).or_default();
        if !repeats {
            *bytes = held_bytes(group);
        }
    }

    pub(crate) fn produce(&mut self, group: &str) {
        self.producers.insert(group.to_owned());
    }

    pub(crate) fn end_consuming(&mut self, group: &str) {
        self.consumers.remove(group);
    }

    pub(crate) fn end_producing(&mut self, group: &str) {
        self.producers.remove(group);
    }

    /// In how many groups the connection would be with those of a heartbeat.
    pub(crate) fn groups_with(&self, heartbeat: &HeartbeatData) -> usize {
        let consumers = heartbeat.consumer_data_set.iter().map(|data| &data.group_name);
        let producers = heartbeat.producer_data_set.iter().map(|data| &data.group_name);
        let new = consumers.filter(|name| !self.consumers.contains_key(*name)).count()
            + producers.filter(|name| !self.producers.contains(*name)).count();
        self.consumers.len() + self.producers.len() + new
    }

    /// Bytes of subscriptions that the connection would have us keep with those of a heartbeat.
    pub(crate) fn bytes_with(&self, heartbeat: &HeartbeatData) -> usize {
        let before: usize = self.consumers.values().sum();
        if heartbeat.without_sub {
            return before;
        }
        let replaced = heartbeat.consumer_data_set.iter().map(|data| &data.group_name);
        let replaced: usize = replaced.filter_map(|name| self.consumers.get(name)).sum();
        let new: usize = heartbeat.consumer_data_set.iter().map(held_bytes).sum();
        (before + new).saturating_sub(replaced)
    }
}

/// What a group's subscriptions take in memory, about.
fn held_bytes(group: &ConsumerData) -> usize {
    let bytes = |data: &SubscriptionData| {
        let tags: usize = data.tags_set.iter().map(|tag| size_of::<String>() + tag.len()).sum();
        let texts = data.topic.len() + data.sub_string.len() + data.expression_type.len();
        size_of::<SubscriptionData>() + texts + tags + size_of_val(&*data.code_set)
    };
    group.subscription_data_set.iter().map(bytes).sum()
}

/// Sends, and bytes of their unique ids, for which an answered read keeps room: there is one such per
/// producer, and what the largest read of each once took must not add up.
const KEPT_SENDS: usize = 256;
const KEPT_IDS: usize = 16 << 10;

/// What a producer's connection keeps.
#[derive(Default)]
pub(crate) struct Sends {
    /// Sends of one read of the socket: encoded, not yet appended.
    pub(crate) batch: Batch,
    pub(crate) staged: Vec<StagedSend>,
    /// The batch is in the log's queue, to be completed before anything else is read.
    pub(crate) submitted: Option<Ticket>,
    /// Unique ids of the staged sends, one after the other.
    pub(crate) unique_ids: String,
    /// Bytes of the last batch: about as many as the next one will have.
    pub(crate) last_batch: usize,
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

impl Sends {
    /// Keeps the memory of what was answered for the next read.
    pub(crate) fn reuse(
        &mut self,
        batch: Batch,
        mut staged: Vec<StagedSend>,
        mut unique_ids: String,
    ) {
        staged.clear();
        staged.shrink_to(KEPT_SENDS);
        unique_ids.clear();
        unique_ids.shrink_to(KEPT_IDS);
        *self = Self { batch, staged, unique_ids, last_batch: self.last_batch, submitted: None };
    }
}

impl Session {
    pub(crate) fn new(peer: Arc<Peer>) -> Self {
        Self {
            peer,
            sends: None,
            parked: Vec::new(),
            parked_bytes: 0,
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

    /// The batch that is to be completed, if there is one.
    pub(crate) fn submitted(&mut self) -> Option<Ticket> {
        self.sends.as_deref_mut().and_then(|sends| sends.submitted.take())
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
