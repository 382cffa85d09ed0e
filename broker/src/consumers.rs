//! Live consumers: who is in which group, and what the group subscribes.
//!
//! Fed by heartbeats, unregistrations and closed connections. Knows no socket: a member carries a
//! handle `H` that the caller knows how to notify. Time is an argument, in milliseconds.

use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::RwLock;
use rocketkube_protocol::body::{
    ConsumeFromWhere, ConsumeType, ConsumerData, MessageModel, SubscriptionData,
};

/// A group member that sent no heartbeat for this long is dropped.
/// Source: `ClientHousekeepingService` and `CHANNEL_EXPIRED_TIMEOUT` in Apache RocketMQ (120 s).
pub(crate) const MEMBER_EXPIRY_MS: i64 = 120_000;

/// How a group's members read, as its heartbeats say. The last heartbeat wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupMode {
    pub(crate) consume_type: ConsumeType,
    pub(crate) message_model: MessageModel,
    pub(crate) consume_from_where: ConsumeFromWhere,
}

impl GroupMode {
    pub(crate) fn of(heartbeat: &ConsumerData) -> Self {
        Self {
            consume_type: heartbeat.consume_type,
            message_model: heartbeat.message_model,
            consume_from_where: heartbeat.consume_from_where,
        }
    }

    /// Every member of a broadcasting group reads every queue and keeps its own offsets.
    pub(crate) fn is_broadcasting(self) -> bool {
        self.message_model == MessageModel::Broadcasting
    }
}

/// One connection of one client in a group.
#[derive(Debug, Clone)]
pub(crate) struct Member<H> {
    pub(crate) client_id: String,
    /// The connection's number; a client that connects twice is two members with one client id.
    pub(crate) connection: u64,
    pub(crate) handle: H,
    pub(crate) language: &'static str,
    pub(crate) version: i32,
    pub(crate) last_heartbeat_ms: i64,
}

/// A group as its live members describe it.
#[derive(Debug, Clone)]
pub(crate) struct Group<H> {
    pub(crate) mode: GroupMode,
    pub(crate) subscriptions: BTreeMap<String, SubscriptionData>,
    pub(crate) members: Members<H>,
}

/// Members of a group by their connections, those that connected first in front.
pub(crate) type Members<H> = BTreeMap<u64, Member<H>>;

impl<H: Clone> Group<H> {
    fn change(&self, name: &str) -> Change<H> {
        let notify = self.members.values().map(|member| member.handle.clone()).collect();
        Change { group: name.to_owned(), notify }
    }

    /// Client ids, each once; clients sort them.
    pub(crate) fn client_ids(&self) -> Vec<String> {
        let mut seen = HashSet::with_capacity(self.members.len());
        let ids = self.members.values().map(|member| &member.client_id);
        ids.filter(|id| seen.insert(*id)).cloned().collect()
    }

    /// Takes over the subscriptions of a heartbeat: per topic the highest version stays, topics
    /// that the heartbeat no longer names go.
    fn merge(&mut self, subscriptions: Vec<SubscriptionData>) -> bool {
        let mut changed = false;
        let before = self.subscriptions.len();
        let named: HashSet<&str> = subscriptions.iter().map(|s| s.topic.as_str()).collect();
        self.subscriptions.retain(|topic, _| named.contains(topic.as_str()));
        changed |= self.subscriptions.len() != before;
        for subscription in subscriptions {
            match self.subscriptions.get(&subscription.topic) {
                Some(known) if known.sub_version >= subscription.sub_version => {}
                _ => {
                    changed = true;
                    self.subscriptions.insert(subscription.topic.clone(), subscription);
                }
            }
        }
        changed
    }
}

/// Whom to tell that a group changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change<H> {
    pub(crate) group: String,
    /// Connections of all members after the change.
    pub(crate) notify: Vec<H>,
}

/// Whether a client is among the members, and only through other connections.
pub(crate) fn is_only_elsewhere<H>(members: &Members<H>, client_id: &str, connection: u64) -> bool {
    let is_it = |member: &Member<H>| member.client_id == client_id;
    !members.get(&connection).is_some_and(is_it) && members.values().any(is_it)
}

/// All consumer groups with live members.
#[derive(Debug)]
pub(crate) struct Consumers<H> {
    groups: RwLock<HashMap<String, Group<H>>>,
}

impl<H: Clone> Consumers<H> {
    pub(crate) fn new() -> Self {
        Self { groups: RwLock::new(HashMap::new()) }
    }

    /// Notes one heartbeat of `member` in `group`. `subscriptions` is `None` where the heartbeat
    /// says that it repeats the last one. Returns whom to notify if membership or subscriptions changed.
    pub(crate) fn heartbeat(
        &self,
        group: &str,
        mode: GroupMode,
        subscriptions: Option<Vec<SubscriptionData>>,
        member: Member<H>,
    ) -> Option<Change<H>> {
        let mut groups = self.groups.write();
        let entry = groups.entry(group.to_owned()).or_insert_with(|| Group {
            mode,
            subscriptions: BTreeMap::new(),
            members: BTreeMap::new(),
        });
        entry.mode = mode;
        let client_id = member.client_id.clone();
        let known = entry.members.insert(member.connection, member);
        let joined = known.is_none_or(|known| known.client_id != client_id);
        let resubscribed = subscriptions.is_some_and(|s| entry.merge(s));
        (joined || resubscribed).then(|| entry.change(group))
    }

    /// Removes a client's connection from one group, because the client said so.
    pub(crate) fn unregister(
        &self,
        group: &str,
        client_id: &str,
        connection: u64,
    ) -> Option<Change<H>> {
        let mut groups = self.groups.write();
        remove(&mut groups, group, connection, |member| member.client_id == client_id)
    }

    /// Removes a closed connection from the groups it joined.
    pub(crate) fn disconnected<'g>(
        &self,
        connection: u64,
        joined: impl IntoIterator<Item = &'g String>,
    ) -> Vec<Change<H>> {
        let mut groups = self.groups.write();
        let left = |group: &String| remove(&mut groups, group, connection, |_| true);
        joined.into_iter().filter_map(left).collect()
    }

    /// Drops members whose last heartbeat is older than [`MEMBER_EXPIRY_MS`].
    pub(crate) fn expire(&self, now_ms: i64) -> Vec<Change<H>> {
        let mut changes = Vec::new();
        self.groups.write().retain(|name, group| {
            let before = group.members.len();
            group.members.retain(|_, m| now_ms - m.last_heartbeat_ms <= MEMBER_EXPIRY_MS);
            if group.members.len() != before {
                changes.push(group.change(name));
            }
            !group.members.is_empty()
        });
        changes
    }

    /// Looks at one group; `None` if it has no live member.
    pub(crate) fn with_group<R>(
        &self,
        group: &str,
        look: impl FnOnce(&Group<H>) -> R,
    ) -> Option<R> {
        self.groups.read().get(group).map(look)
    }

    /// Groups with a live member that subscribes `topic`.
    pub(crate) fn subscribers(&self, topic: &str) -> Vec<String> {
        let groups = self.groups.read();
        let subscribed = groups.iter().filter(|(_, group)| group.subscriptions.contains_key(topic));
        subscribed.map(|(name, _)| name.clone()).collect()
    }
}

/// Takes a connection out of a group, and with the last one the group.
fn remove<H: Clone>(
    groups: &mut HashMap<String, Group<H>>,
    name: &str,
    connection: u64,
    is_it: impl Fn(&Member<H>) -> bool,
) -> Option<Change<H>> {
    let group = groups.get_mut(name)?;
    group.members.get(&connection).filter(|member| is_it(member))?;
    group.members.remove(&connection);
    let change = group.change(name);
    if group.members.is_empty() {
        groups.remove(name);
    }
    Some(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode() -> GroupMode {
        GroupMode::of(&ConsumerData::default())
    }

    fn member(client: &str, connection: u64, now: i64) -> Member<u64> {
        Member {
            client_id: client.into(),
            connection,
            handle: connection,
            language: "JAVA",
            version: 493,
            last_heartbeat_ms: now,
        }
    }

    fn subscription(topic: &str, expression: &str, version: i64) -> SubscriptionData {
        SubscriptionData {
            topic: topic.into(),
            sub_string: expression.into(),
            sub_version: version,
            ..SubscriptionData::default()
        }
    }

    fn join(consumers: &Consumers<u64>, client: &str, connection: u64) -> Option<Change<u64>> {
        let subscriptions = Some(vec![subscription("t", "*", 1)]);
        consumers.heartbeat("g", mode(), subscriptions, member(client, connection, 0))
    }

    #[test]
    fn the_first_heartbeat_changes_the_group_and_the_second_does_not() {
        let consumers = Consumers::new();
        assert_eq!(join(&consumers, "a", 1).unwrap().notify, [1]);
        assert!(join(&consumers, "a", 1).is_none());
        assert_eq!(join(&consumers, "b", 2).unwrap().notify, [1, 2]);
    }

    #[test]
    fn a_client_with_two_connections_is_listed_once() {
        let consumers = Consumers::new();
        join(&consumers, "a", 1);
        join(&consumers, "a", 2);
        assert_eq!(consumers.with_group("g", Group::client_ids).unwrap(), ["a"]);
    }

    #[test]
    fn a_closed_connection_leaves_its_groups_and_the_others_hear_of_it() {
        let consumers = Consumers::new();
        join(&consumers, "a", 1);
        join(&consumers, "b", 2);
        let joined = ["g".to_owned(), "long gone".to_owned()];
        let changes = consumers.disconnected(1, &joined);
        assert_eq!(changes, [Change { group: "g".into(), notify: vec![2] }]);
        assert!(consumers.disconnected(1, &joined).is_empty());
    }

    #[test]
    fn a_group_without_members_is_gone() {
        let consumers = Consumers::new();
        join(&consumers, "a", 1);
        assert!(consumers.unregister("g", "someone else", 1).is_none());
        assert!(consumers.unregister("g", "a", 1).is_some());
        assert!(consumers.with_group("g", |_| ()).is_none());
    }

    #[test]
    fn a_silent_member_expires_after_two_minutes() {
        let consumers = Consumers::new();
        join(&consumers, "a", 1);
        assert!(consumers.expire(MEMBER_EXPIRY_MS).is_empty());
        assert_eq!(consumers.expire(MEMBER_EXPIRY_MS + 1).len(), 1);
    }

    #[test]
    fn the_highest_subscription_version_stays_and_unnamed_topics_go() {
        let consumers = Consumers::new();
        let beat = |subscriptions| {
            consumers.heartbeat("g", mode(), Some(subscriptions), member("a", 1, 0)).is_some()
        };
        assert!(beat(vec![subscription("t", "A", 5), subscription("u", "*", 1)]));
        assert!(!beat(vec![subscription("t", "B", 4), subscription("u", "*", 1)]));
        assert!(beat(vec![subscription("t", "B", 6)]));
        let topics = consumers.with_group("g", |g| g.subscriptions.clone()).unwrap();
        assert_eq!(topics.len(), 1);
        assert_eq!(topics["t"].sub_string, "B");
        assert_eq!(consumers.subscribers("t"), ["g"]);
        assert!(consumers.subscribers("u").is_empty());
    }

    #[test]
    fn a_heartbeat_without_subscriptions_keeps_those_known() {
        let consumers = Consumers::new();
        join(&consumers, "a", 1);
        assert!(consumers.heartbeat("g", mode(), None, member("a", 1, 5)).is_none());
        assert_eq!(consumers.subscribers("t"), ["g"]);
    }
}
