//! Which brokers there are, and which topics they have.
//!
//! Pure: no clock, no socket, no lock. Time and connections are arguments, and what a request looks
//! like on the wire is not known here. A broker is a group of members under one name; the member
//! with id 0 is the master, and only its topics count.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use rocketkube_protocol::body::DataVersion;

mod answers;
mod by_broker;
#[cfg(test)]
mod tests;
mod topics;

pub(crate) use answers::UnitTopics;
use by_broker::ByBroker;

/// Silence after which a member is dropped if it does not say another. Source: Apache's
/// `DEFAULT_BROKER_CHANNEL_EXPIRED_TIME`.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_mins(2);
/// Longest silence a member may ask for; longer ones would keep routes to the dead.
const MAX_TIMEOUT: Duration = Duration::from_hours(1);
/// Most members of all brokers together; about a hundred times what large clusters have.
const MAX_MEMBERS: usize = 10_000;
/// Most topics of one broker.
const MAX_TOPICS_PER_BROKER: usize = 250_000;
/// Most pairs of topic and broker; they need about 150 bytes each.
const MAX_TOPIC_QUEUES: usize = 1_000_000;
/// The member that takes writes.
pub(crate) const MASTER: i64 = 0;

/// A connection, as its server numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// What a member says of itself when it registers.
#[derive(Debug, Clone)]
pub(crate) struct Registration<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) broker: &'a str,
    pub(crate) id: i64,
    pub(crate) addr: &'a str,
    pub(crate) ha_addr: &'a str,
    pub(crate) zone: Option<&'a str>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) version: DataVersion,
    /// How many topics come with it.
    pub(crate) topics: usize,
}

/// A registration that was taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Registered {
    /// Whether the topics that come with it are news.
    pub(crate) wants_topics: bool,
    /// Address and replication address of the master, for other members.
    pub(crate) master: Option<(String, String)>,
}

/// Why a registration, or a topic, was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Apache's brokers announce a changed topic alone; from a broker nobody knows that would look
    /// like all it has. The text is what they look for.
    #[error("register broker failed")]
    OneTopicOfUnknownBroker,
    #[error("broker {broker} belongs to cluster {cluster}")]
    OtherCluster { broker: String, cluster: String },
    #[error(
        "member {id} of broker {broker} is registered with state {newer}, this one has {older}"
    )]
    OlderState { broker: String, id: i64, newer: i64, older: i64 },
    #[error("broker {broker} brings {count} topics, limit is {max}")]
    TooManyTopics { broker: String, count: usize, max: usize },
    #[error("broker {broker} brings {count} topics, and {max} of all brokers is the limit")]
    TooManyTopicsInAll { broker: String, count: usize, max: usize },
    #[error("{max} members are registered already")]
    TooManyMembers { max: usize },
    #[error("member {id} of broker {broker} is registered by another connection, which is open")]
    OtherConnection { broker: String, id: i64 },
    #[error("no broker {broker} is registered")]
    NoSuchBroker { broker: String },
}

impl Refused {
    pub(crate) fn in_all(broker: &str, count: usize) -> Self {
        Self::TooManyTopicsInAll { broker: broker.to_owned(), count, max: MAX_TOPIC_QUEUES }
    }
}

/// Queues of a topic on one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queues {
    pub(crate) read: i32,
    pub(crate) write: i32,
    pub(crate) perm: i32,
    pub(crate) sys_flag: i32,
}

#[derive(Debug)]
struct Member {
    addr: String,
    ha_addr: String,
    version: DataVersion,
    /// Where it registered; none if that connection is gone.
    registered_on: Option<ConnectionId>,
    /// Where it was heard last.
    connection: ConnectionId,
    timeout: Duration,
    deadline: Instant,
}

#[derive(Debug)]
struct Broker {
    cluster: String,
    zone: Option<String>,
    members: BTreeMap<i64, Member>,
    /// Topics that have queues here.
    topics: HashSet<Arc<str>, RandomState>,
}

/// All brokers and topics.
///
/// A topic is in `topics` with a broker exactly if that broker has it in its own set, so that a
/// broker can go without looking at the topics of others.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    brokers: BTreeMap<Arc<str>, Broker>,
    topics: HashMap<Arc<str>, ByBroker, RandomState>,
    member_count: usize,
    queues_count: usize,
}

impl Routes {
    /// Takes a member, or what is new about it. Its topics are given to [`Routes::put_topics`]
    /// afterwards, if they are wanted, in portions that do not hold up others.
    pub(crate) fn register(
        &mut self,
        registration: &Registration<'_>,
        connection: ConnectionId,
        now: Instant,
    ) -> Result<Registered, Refused> {
        self.check(registration)?;
        let Registration { cluster, broker: name, id, addr, version, .. } = *registration;
        let broker = self.brokers.entry(name.into()).or_insert_with(|| Broker {
            cluster: cluster.to_owned(),
            zone: None,
            members: BTreeMap::new(),
            topics: HashSet::default(),
        });
        broker.zone = registration.zone.map(str::to_owned);
        // A member that changes its role keeps its address, which has one id at a time.
        let before = broker.members.len();
        broker.members.retain(|&other, member| other == id || member.addr != addr);
        self.member_count -= before - broker.members.len();

        let timeout = registration.timeout.unwrap_or(DEFAULT_TIMEOUT).min(MAX_TIMEOUT);
        let member = Member {
            addr: addr.to_owned(),
            ha_addr: registration.ha_addr.to_owned(),
            version,
            registered_on: Some(connection),
            connection,
            timeout,
            deadline: now + timeout,
        };
        let previous = broker.members.insert(id, member);
        self.member_count += usize::from(previous.is_none());
        let known = previous.is_some_and(|it| it.addr == addr && it.version == version);
        let master = broker.members.get(&MASTER).filter(|_| id != MASTER);
        Ok(Registered {
            wants_topics: id == MASTER && !known,
            master: master.map(|it| (it.addr.clone(), it.ha_addr.clone())),
        })
    }

    fn check(&self, registration: &Registration<'_>) -> Result<(), Refused> {
        let Registration { cluster, broker: name, id, addr, version, topics, .. } = *registration;
        if topics > MAX_TOPICS_PER_BROKER {
            let (broker, max) = (name.to_owned(), MAX_TOPICS_PER_BROKER);
            return Err(Refused::TooManyTopics { broker, count: topics, max });
        }
        let broker = self.brokers.get(name);
        if let Some(broker) = broker.filter(|it| it.cluster != cluster) {
            let cluster = broker.cluster.clone();
            return Err(Refused::OtherCluster { broker: name.to_owned(), cluster });
        }
        let more = topics.saturating_sub(broker.map_or(0, |it| it.topics.len()));
        if id == MASTER && self.queues_count + more > MAX_TOPIC_QUEUES {
            return Err(Refused::in_all(name, topics));
        }
        let Some(member) = broker.and_then(|it| it.members.get(&id)) else {
            if topics == 1 {
                return Err(Refused::OneTopicOfUnknownBroker);
            }
            if self.member_count >= MAX_MEMBERS {
                return Err(Refused::TooManyMembers { max: MAX_MEMBERS });
            }
            return Ok(());
        };
        // Our brokers carry the epoch of their mastership here: who was master before must not take
        // the place of who is. With the address unchanged it may be a store that was made anew.
        if member.addr != addr && member.version.state_version > version.state_version {
            return Err(Refused::OlderState {
                broker: name.to_owned(),
                id,
                newer: member.version.state_version,
                older: version.state_version,
            });
        }
        Ok(())
    }

    /// Counts as a sign of life of the member at `addr`, if there is one: its version.
    pub(crate) fn touch(
        &mut self,
        cluster: &str,
        broker: &str,
        addr: &str,
        connection: ConnectionId,
        now: Instant,
    ) -> Option<DataVersion> {
        let broker = self.brokers.get_mut(broker).filter(|it| it.cluster == cluster)?;
        let member = broker.members.values_mut().find(|member| member.addr == addr)?;
        member.deadline = now + member.timeout;
        // The connection it registered on may be dead without our knowing; its end must not take a
        // member along that speaks to us on another.
        member.connection = connection;
        Some(member.version)
    }

    /// Drops the member `id`, if it is at `addr`; only for the connection that it registered on, as
    /// long as that one is open. Whether there was something to drop.
    pub(crate) fn unregister(
        &mut self,
        cluster: &str,
        broker: &str,
        id: i64,
        addr: &str,
        connection: ConnectionId,
    ) -> Result<bool, Refused> {
        let found = self.brokers.get(broker).filter(|it| it.cluster == cluster);
        let member = found.and_then(|it| it.members.get(&id)).filter(|it| it.addr == addr);
        let Some(member) = member else { return Ok(false) };
        if member.registered_on.is_some_and(|other| other != connection) {
            return Err(Refused::OtherConnection { broker: broker.to_owned(), id });
        }
        self.drop_members(|name, member_id, _| name == broker && member_id == id);
        Ok(true)
    }

    /// Drops the members that were last heard on a connection, unless the one they registered on is
    /// still open, and returns how many there were.
    pub(crate) fn connection_closed(&mut self, connection: ConnectionId) -> usize {
        self.drop_members(|_, _, member| {
            if member.registered_on == Some(connection) {
                member.registered_on = None;
            }
            let was_last = member.connection == connection;
            if was_last && let Some(open) = member.registered_on {
                member.connection = open;
                return false;
            }
            was_last
        })
    }

    /// Drops the members that were silent for too long, and returns how many there were.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        self.drop_members(|_, _, member| member.deadline <= now)
    }

    fn drop_members(&mut self, mut goes: impl FnMut(&str, i64, &mut Member) -> bool) -> usize {
        let mut dropped = 0;
        let mut emptied = Vec::new();
        for (name, broker) in &mut self.brokers {
            let before = broker.members.len();
            broker.members.retain(|&id, member| !goes(name, id, member));
            dropped += before - broker.members.len();
            if broker.members.is_empty() {
                emptied.push(Arc::clone(name));
            }
        }
        self.member_count -= dropped;
        for name in emptied {
            self.drop_broker(&name);
        }
        dropped
    }

    fn drop_broker(&mut self, name: &str) {
        let Some(broker) = self.brokers.remove(name) else { return };
        for topic in broker.topics {
            self.remove_queues(&topic, name);
        }
    }

    /// Whether no broker can have more topics.
    pub(crate) fn is_full(&self) -> bool {
        self.queues_count >= MAX_TOPIC_QUEUES
    }

    /// Brokers, members and topics there are.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            brokers: self.brokers.len(),
            members: self.member_count,
            topics: self.topics.len(),
        }
    }
}

/// How much a name server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) brokers: usize,
    pub(crate) members: usize,
    pub(crate) topics: usize,
}
