//! Consuming a topic as member of a group.
//!
//! Members divide the queues of the topic among themselves: each asks a broker who the members are
//! and takes its share of the sorted list. What a member has consumed it commits every few seconds,
//! so after a crash, or when queues change hands, some messages are delivered twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rocketkube_protocol::body::{
    Body, ConsumeFromWhere, ConsumeType, ConsumerData, ConsumerIdList, HeartbeatData, MessageModel,
    SubscriptionData,
};
use rocketkube_protocol::header::{ConsumerGroup, UnregisterClient};
use rocketkube_protocol::message::tag_hash;
use rocketkube_protocol::{Command, NoHeader, RequestCode};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{self, Instant};
use tracing::warn;

use crate::client::body;
use crate::names::now_ms;
use crate::{Client, ClientError, PullConsumer, PullOptions, PullStatus, Queue, Received};

/// How often a member tells its brokers that it is there, and looks whether its share changed, should
/// none of them say so. Brokers forget a client that is silent for 120 s, or whose connection was
/// lost, and whoever is not a member has no share.
const REBALANCE: Duration = Duration::from_secs(20);
/// What a crash makes the group consume again, at most.
const COMMIT: Duration = Duration::from_secs(5);
/// Pause after an error, so that a broker that is gone is not asked without end.
const BACKOFF: Duration = Duration::from_secs(1);
/// Answers to pulls that wait to be taken; a queue is pulled again only when there is room.
const WAITING: usize = 16;

/// Where a group begins that has no offset in a queue yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum From {
    /// At the first message that is still there.
    First,
    /// Behind the last message.
    #[default]
    Last,
}

/// What to consume.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// Tags to choose messages by, joined by `||`; `*` for all. The same in all of the group.
    pub tags: String,
    /// Where a group begins that has no offset yet.
    pub from: From,
}

impl ConsumerOptions {
    /// All messages of `topic` from now on, for `group`.
    pub fn new(group: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            topic: topic.into(),
            tags: "*".to_owned(),
            from: From::default(),
        }
    }
}

/// Messages of one queue, in its order.
#[derive(Debug)]
pub struct Delivery {
    /// The queue.
    pub queue: Queue,
    /// Its messages; at least one.
    pub messages: Vec<Received>,
    next: u64,
    consumed: Arc<AtomicU64>,
}

impl Delivery {
    /// Says that all messages were consumed, so that the group goes on behind them.
    pub fn done(self) {
        self.consumed.fetch_max(self.next, Ordering::AcqRel);
    }
}

/// A member of a consumer group.
///
/// It consumes one topic, in clustering mode, and does not send back what could not be consumed.
#[derive(Debug)]
pub struct Consumer {
    deliveries: mpsc::Receiver<Delivery>,
    member: Arc<Member>,
    /// Ends with the consumer.
    running: JoinSet<()>,
}

#[derive(Debug)]
struct Member {
    client: Client,
    reader: PullConsumer,
    options: ConsumerOptions,
    owned: tokio::sync::Mutex<BTreeMap<Queue, Owned>>,
}

/// A queue this member consumes.
#[derive(Debug)]
struct Owned {
    /// Where the group goes on, as far as this member knows.
    consumed: Arc<AtomicU64>,
    committed: u64,
    pulling: AbortHandle,
}

impl Consumer {
    /// Joins the group and begins to consume.
    ///
    /// # Errors
    /// If the topic is unknown, or its brokers do not take the member.
    pub async fn start(client: Client, options: ConsumerOptions) -> Result<Self, ClientError> {
        let (sender, deliveries) = mpsc::channel(WAITING);
        let member = Arc::new(Member {
            reader: PullConsumer::new(client.clone(), options.group.as_str()),
            client,
            options,
            owned: tokio::sync::Mutex::default(),
        });
        member.heartbeat().await?;
        let mut running = JoinSet::new();
        let running_member = Arc::clone(&member);
        running.spawn(async move { running_member.run(sender).await });
        Ok(Self { deliveries, member, running })
    }

    /// The next messages, from whichever queue has some. Cancel-safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }

    /// The queues this member consumes at the moment.
    pub async fn queues(&self) -> Vec<Queue> {
        self.member.owned.lock().await.keys().cloned().collect()
    }

    /// Commits what was consumed and leaves the group, so that others take over at once.
    ///
    /// # Errors
    /// If a broker did not take an offset; the group will consume some messages again.
    pub async fn close(mut self) -> Result<(), ClientError> {
        self.running.shutdown().await;
        let committed = self.member.commit().await;
        self.member.leave().await;
        committed
    }
}

impl Member {
    /// Keeps the membership alive and the share right, until it is dropped.
    async fn run(self: Arc<Self>, sender: mpsc::Sender<Delivery>) {
        let mut pulls = JoinSet::new();
        let mut rebalance = time::interval(REBALANCE);
        let mut commit = time::interval_at(Instant::now() + COMMIT, COMMIT);
        loop {
            // Every branch only waits for a moment to come, so a loser loses nothing; the next
            // rebalance makes good for a notice that comes while another branch is at work.
            let result = tokio::select! {
                _ = commit.tick() => self.commit().await,
                _ = rebalance.tick() => match self.heartbeat().await {
                    Ok(()) => self.rebalance(&mut pulls, &sender).await,
                    failed => failed,
                },
                () = self.client.members_changed().notified() => {
                    self.rebalance(&mut pulls, &sender).await
                }
            };
            if let Err(error) = result {
                let (group, topic) = (&self.options.group, &self.options.topic);
                warn!(group, topic, %error, "consumer could not talk to its brokers");
            }
            while pulls.try_join_next().is_some() {}
        }
    }

    async fn rebalance(
        self: &Arc<Self>,
        pulls: &mut JoinSet<()>,
        sender: &mpsc::Sender<Delivery>,
    ) -> Result<(), ClientError> {
        let queues = self.reader.queues(&self.options.topic).await?;
        let members = self.members().await?;
        let mine: BTreeSet<_> = share(&queues, &members, self.client.id()).iter().collect();
        let mut owned = self.owned.lock().await;
        let lost: Vec<_> = owned.keys().filter(|queue| !mine.contains(queue)).cloned().collect();
        let mut result = Ok(());
        for queue in lost {
            if let Some(mut lost) = owned.remove(&queue) {
                lost.pulling.abort();
                result = result.and(self.commit_queue(&queue, &mut lost).await);
            }
        }
        let new: Vec<_> = mine.into_iter().filter(|queue| !owned.contains_key(queue)).collect();
        let mut away = BTreeSet::new();
        for queue in new {
            // One broker that is gone keeps nobody from the queues of the others, and is asked once.
            if away.contains(&queue.broker) {
                continue;
            }
            match self.begin(queue).await {
                Ok(begin) => {
                    owned.insert(queue.clone(), self.own(queue, begin, pulls, sender));
                }
                Err(error) => {
                    away.insert(&queue.broker);
                    result = Err(error);
                }
            }
        }
        result
    }

    /// Begins to pull a queue.
    fn own(
        self: &Arc<Self>,
        queue: &Queue,
        begin: u64,
        pulls: &mut JoinSet<()>,
        sender: &mpsc::Sender<Delivery>,
    ) -> Owned {
        let consumed = Arc::new(AtomicU64::new(begin));
        let pull = Pull {
            member: Arc::clone(self),
            queue: queue.clone(),
            consumed: Arc::clone(&consumed),
            sender: sender.clone(),
        };
        Owned { consumed, committed: begin, pulling: pulls.spawn(pull.run(begin)) }
    }

    async fn begin(&self, queue: &Queue) -> Result<u64, ClientError> {
        match (self.reader.committed(queue).await?, self.options.from) {
            (Some(offset), _) => Ok(offset),
            (None, From::First) => self.reader.min_offset(queue).await,
            (None, From::Last) => self.reader.max_offset(queue).await,
        }
    }

    async fn commit(&self) -> Result<(), ClientError> {
        let mut result = Ok(());
        for (queue, owned) in self.owned.lock().await.iter_mut() {
            result = result.and(self.commit_queue(queue, owned).await);
        }
        result
    }

    async fn commit_queue(&self, queue: &Queue, owned: &mut Owned) -> Result<(), ClientError> {
        let consumed = owned.consumed.load(Ordering::Acquire);
        if consumed != owned.committed {
            self.reader.commit(queue, consumed).await?;
            owned.committed = consumed;
        }
        Ok(())
    }

    /// All members of the group, sorted.
    async fn members(&self) -> Result<Vec<String>, ClientError> {
        let header = ConsumerGroup { consumer_group: self.options.group.as_str().into() };
        let code = RequestCode::GET_CONSUMER_LIST_BY_GROUP;
        let mut failed = ClientError::NoQueue { topic: self.options.topic.clone() };
        for addr in self.masters().await? {
            match self.client.ask(&addr, Command::request(code, &header)).await {
                Ok(answer) => {
                    let list: ConsumerIdList = body(&addr, code, &answer)?;
                    let mut members = list.consumer_id_list;
                    members.sort();
                    return Ok(members);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn masters(&self) -> Result<Vec<String>, ClientError> {
        let route = self.client.route(&self.options.topic).await?;
        let masters = route.brokers().filter_map(|broker| route.master(broker).ok());
        Ok(masters.map(str::to_owned).collect())
    }

    /// Tells all brokers of the topic who is there. Fails if none of them takes it.
    async fn heartbeat(&self) -> Result<(), ClientError> {
        let heartbeat = HeartbeatData {
            client_id: self.client.id().to_owned(),
            consumer_data_set: vec![ConsumerData {
                consume_from_where: match self.options.from {
                    From::First => ConsumeFromWhere::FirstOffset,
                    From::Last => ConsumeFromWhere::LastOffset,
                },
                consume_type: ConsumeType::Passively,
                group_name: self.options.group.clone(),
                message_model: MessageModel::Clustering,
                subscription_data_set: vec![self.subscription()],
                unit_mode: false,
            }],
            ..HeartbeatData::default()
        };
        let (mut taken, mut result) = (false, Ok(()));
        for addr in self.masters().await? {
            let command = Command::request(RequestCode::HEART_BEAT, &NoHeader);
            match self.client.ask(&addr, command.body(heartbeat.encode())).await {
                Ok(_) => taken = true,
                Err(error) => {
                    warn!(broker = addr, group = self.options.group, %error, "heartbeat not taken");
                    result = Err(error);
                }
            }
        }
        if taken { Ok(()) } else { result }
    }

    fn subscription(&self) -> SubscriptionData {
        let tags: Vec<String> = tags(&self.options.tags).map(str::to_owned).collect();
        SubscriptionData {
            code_set: tags.iter().map(|tag| tag_hash(tag)).collect(),
            sub_string: self.options.tags.clone(),
            sub_version: now_ms(),
            tags_set: tags,
            topic: self.options.topic.clone(),
            ..SubscriptionData::default()
        }
    }

    /// Leaves the group. A broker that does not hear it will notice by itself.
    async fn leave(&self) {
        let header = UnregisterClient {
            client_id: self.client.id().into(),
            producer_group: None,
            consumer_group: Some(self.options.group.as_str().into()),
        };
        for addr in self.masters().await.unwrap_or_default() {
            let command = Command::request(RequestCode::UNREGISTER_CLIENT, &header);
            if let Err(error) = self.client.ask(&addr, command).await {
                warn!(broker = addr, group = self.options.group, %error, "leaving was not heard");
            }
        }
    }
}

/// The pulling of one queue.
struct Pull {
    member: Arc<Member>,
    queue: Queue,
    consumed: Arc<AtomicU64>,
    sender: mpsc::Sender<Delivery>,
}

impl Pull {
    async fn run(mut self, mut offset: u64) {
        let options =
            PullOptions { tags: self.member.options.tags.clone(), ..PullOptions::default() };
        loop {
            match self.member.reader.pull(&self.queue, offset, &options).await {
                Ok(pulled) => {
                    offset = pulled.next;
                    if pulled.status == PullStatus::OutOfRange {
                        self.go_to(offset).await;
                    }
                    if pulled.status != PullStatus::Found {
                        continue;
                    }
                    if self.deliver(pulled.messages, offset).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let Queue { topic, id, .. } = &self.queue;
                    warn!(%topic, queue_id = id, %error, "pull failed");
                    time::sleep(BACKOFF).await;
                }
            }
        }
    }

    /// The broker says to go on elsewhere: what was delivered before counts no longer.
    async fn go_to(&mut self, offset: u64) {
        self.consumed = Arc::new(AtomicU64::new(offset));
        if let Some(owned) = self.member.owned.lock().await.get_mut(&self.queue) {
            owned.consumed = Arc::clone(&self.consumed);
        }
    }

    async fn deliver(&self, mut messages: Vec<Received>, next: u64) -> Result<(), ()> {
        // The broker compares hashes of tags, and two tags can have one hash.
        let wanted = &self.member.options.tags;
        if tags(wanted).next().is_some() {
            messages.retain(|message| tags(wanted).any(|tag| message.tag() == Some(tag)));
        }
        if messages.is_empty() {
            return Ok(());
        }
        let (queue, consumed) = (self.queue.clone(), Arc::clone(&self.consumed));
        self.sender.send(Delivery { queue, messages, next, consumed }).await.map_err(|_| ())
    }
}

/// The tags of an expression; none if it takes all.
fn tags(expression: &str) -> impl Iterator<Item = &str> {
    expression.split("||").map(str::trim).filter(|tag| !tag.is_empty() && *tag != "*")
}

/// The part of the sorted `queues` that member `me` of the sorted `members` consumes: parts follow
/// each other, and the first ones are longer by one if it does not come out even. The same as
/// `AllocateMessageQueueAveragely` of Apache RocketMQ, which may be in the same group.
fn share<'q>(queues: &'q [Queue], members: &[String], me: &str) -> &'q [Queue] {
    let Some(index) = members.iter().position(|member| member == me) else { return &[] };
    let (each, longer) = (queues.len() / members.len(), queues.len() % members.len());
    let begin = index * each + index.min(longer);
    let len = each + usize::from(index < longer);
    queues.get(begin..begin + len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(count: i32) -> Vec<Queue> {
        (0..count).map(|id| Queue { topic: "t".into(), broker: "b".into(), id }).collect()
    }

    #[test]
    fn every_queue_has_exactly_one_owner_and_shares_differ_by_one() {
        for count in 0..40 {
            for size in 1..12 {
                let (queues, members): (_, Vec<_>) =
                    (queues(count), (0..size).map(|n| format!("{n:02}")).collect());
                let shares: Vec<_> =
                    members.iter().map(|member| share(&queues, &members, member)).collect();
                assert_eq!(shares.concat(), queues);
                let lens = || shares.iter().map(|share| share.len());
                assert!(lens().max().unwrap() - lens().min().unwrap() <= 1);
            }
        }
    }

    #[test]
    fn who_is_not_a_member_owns_nothing() {
        assert!(share(&queues(4), &["a".to_owned()], "b").is_empty());
        assert!(share(&queues(4), &[], "b").is_empty());
    }

    #[test]
    fn tags_are_split_at_double_bars() {
        assert_eq!(tags("a || b||c").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(tags("*").count(), 0);
        assert_eq!(tags("").count(), 0);
    }
}
