//! The life of clients: heartbeats, leaving, who is in a group.

use std::sync::Arc;

use rocketkube_protocol::body::{
    Body, CheckClientConfig, Connection, ConsumerConnection, ConsumerIdList, HeartbeatData,
    ProducerConnection, ProducerInfo, ProducerTable,
};
use rocketkube_protocol::code::RequestCode;
use rocketkube_protocol::header::{ConsumerGroup, ProducerGroup, UnregisterClient};
use rocketkube_protocol::{Command, Request, names};
use rocketkube_remoting::Peer;
use tracing::debug;

use super::decode;
use crate::answer::Reply;
use crate::broker::Broker;
use crate::consumers::{Change, Group, GroupMode, Member, is_only_elsewhere};
use crate::filter::{TagFilter, is_tag_language};
use crate::refusal::AdminError;
use crate::session::{Memberships, Session};

/// Most groups of one connection: a process with more of them is not one.
const MAX_GROUPS: usize = 10_000;
/// Most groups that one heartbeat makes: it takes milliseconds. The next one makes more.
pub(crate) const MAX_NEW_GROUPS: usize = 256;
/// Most bytes of subscriptions of one connection: some 1,600 for each of so many groups.
const MAX_SUBSCRIBED: usize = 16 << 20;
/// Longest client id, in bytes. Clients build it of an address, a process id and a name.
const MAX_CLIENT_ID: usize = 1_024;

/// `HEART_BEAT` (34): who is there, for which groups, and what they subscribe.
pub(crate) fn heartbeat(
    broker: &Broker,
    session: &mut Session,
    request: &Request<'_>,
) -> Result<Reply, AdminError> {
    let body: HeartbeatData = decode(request.body, "heartbeat")?;
    check(&body, session.memberships())?;
    let (now_ms, peer) = (broker.now_ms(), Arc::clone(&session.peer));
    let joined = session.memberships();
    let member = || Member {
        client_id: body.client_id.clone(),
        connection: peer.id(),
        handle: Arc::clone(&peer),
        language: request.language.name(),
        version: request.version,
        last_heartbeat_ms: now_ms,
    };
    for producer in &body.producer_data_set {
        joined.produce(&producer.group_name);
        broker.producers.heartbeat(&producer.group_name, member());
    }
    let (mut after, mut refused, mut new) = (0, None, 0);
    for consumer in body.consumer_data_set {
        let group = consumer.group_name.clone();
        let is_new = broker.config.auto_create_groups && !broker.has_group(&group);
        new += usize::from(is_new);
        if is_new && new > MAX_NEW_GROUPS {
            refused = Some(AdminError::TooManyNewGroups { max: MAX_NEW_GROUPS });
            continue;
        }
        match broker.ensure_group(&group) {
            Ok(Some(position)) => after = after.max(position),
            // It gets no queues, and pulls are refused with the reason.
            Ok(None) => continue,
            Err(error) => {
                refused = Some(error);
                continue;
            }
        }
        joined.consume(&consumer, body.without_sub);
        let mode = GroupMode::of(&consumer);
        let subscriptions = (!body.without_sub).then_some(consumer.subscription_data_set);
        let change = broker.consumers.heartbeat(&group, mode, subscriptions, member());
        change.iter().for_each(notify_members);
    }
    // The other groups are registered all the same.
    if let Some(error) = refused {
        return Err(error);
    }
    let reply = Reply::after(after).field("IS_SUPPORT_HEART_BEAT_V2", true);
    Ok(reply.field("IS_SUB_CHANGE", true))
}

fn check(body: &HeartbeatData, joined: &Memberships) -> Result<(), AdminError> {
    let groups = joined.groups_with(body);
    if groups > MAX_GROUPS {
        let (value, expected) = (groups.to_string(), "at most 10000 groups of one connection");
        return Err(AdminError::Parameter { field: "groups", value, expected });
    }
    let bytes = joined.bytes_with(body);
    if bytes > MAX_SUBSCRIBED {
        let value = format!("{bytes} bytes");
        let expected = "at most 16 MiB of subscriptions of one connection";
        return Err(AdminError::Parameter { field: "subscriptionDataSet", value, expected });
    }
    check_client_id(&body.client_id)?;
    for consumer in &body.consumer_data_set {
        names::check_group(&consumer.group_name)?;
    }
    for producer in &body.producer_data_set {
        names::check_group(&producer.group_name)?;
    }
    Ok(())
}

/// Refuses a client id that nobody should have to remember.
pub(crate) fn check_client_id(client_id: &str) -> Result<(), AdminError> {
    if (1..=MAX_CLIENT_ID).contains(&client_id.len()) {
        return Ok(());
    }
    let value = format!("{} bytes", client_id.len());
    Err(AdminError::Parameter { field: "clientID", value, expected: "1 to 1024 bytes" })
}

/// Whether a client is a member of a group through other connections only. One that is not there at
/// all may be one that reconnected and has not sent its heartbeat yet.
pub(crate) fn is_foreign_consumer(
    broker: &Broker,
    connection: u64,
    group: &str,
    client_id: &str,
) -> bool {
    let foreign = |group: &Group<_>| is_only_elsewhere(&group.members, client_id, connection);
    broker.consumers.with_group(group, foreign).unwrap_or(false)
}

/// `UNREGISTER_CLIENT` (35). Only what this connection registered is taken out; a client that only
/// others registered is somebody else's.
pub(crate) fn unregister(
    broker: &Broker,
    session: &mut Session,
    request: &Request<'_>,
) -> Result<Reply, AdminError> {
    let header: UnregisterClient<'_> = request.header()?;
    let (client_id, connection) = (header.client_id.as_ref(), session.peer.id());
    let producers = header.producer_group.as_deref().filter(|group| !group.is_empty());
    let consumers = header.consumer_group.as_deref().filter(|group| !group.is_empty());
    let foreign = producers
        .is_some_and(|group| broker.producers.is_only_elsewhere(group, client_id, connection))
        || consumers.is_some_and(|group| is_foreign_consumer(broker, connection, group, client_id));
    if foreign {
        return Err(AdminError::foreign_client(client_id));
    }
    if let Some(group) = producers
        && broker.producers.unregister(group, client_id, connection)
    {
        session.memberships().end_producing(group);
    }
    if let Some(group) = consumers
        && let Some(change) = broker.consumers.unregister(group, client_id, connection)
    {
        session.memberships().end_consuming(group);
        notify_members(&change);
    }
    Ok(Reply::done())
}

/// `CHECK_CLIENT_CONFIG` (46): whether a subscription can be evaluated here.
pub(crate) fn check_config(request: &Request<'_>) -> Result<Reply, AdminError> {
    let body: CheckClientConfig = decode(request.body, "subscription to check")?;
    let subscription = body.subscription_data;
    if !is_tag_language(&subscription.expression_type) {
        return Err(AdminError::FilterType(subscription.expression_type));
    }
    let parsed = TagFilter::parse(&subscription.sub_string);
    parsed.map(|_| Reply::done()).map_err(|reason| AdminError::Subscription { reason })
}

/// `GET_CONSUMER_LIST_BY_GROUP` (38).
pub(crate) fn members(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: ConsumerGroup<'_> = request.header()?;
    let group = header.consumer_group.as_ref();
    let ids = broker.consumers.with_group(group, crate::consumers::Group::client_ids);
    let consumer_id_list = ids.ok_or_else(|| AdminError::NobodyInGroup { group: group.into() })?;
    Ok(Reply::body(ConsumerIdList { consumer_id_list }.encode()))
}

/// `GET_CONSUMER_CONNECTION_LIST` (203).
pub(crate) fn consumer_connections(
    broker: &Broker,
    request: &Request<'_>,
) -> Result<Reply, AdminError> {
    let header: ConsumerGroup<'_> = request.header()?;
    let name = header.consumer_group.as_ref();
    let body = broker.consumers.with_group(name, |group| ConsumerConnection {
        connection_set: group.members.values().map(connection).collect(),
        consume_from_where: group.mode.consume_from_where,
        consume_type: group.mode.consume_type,
        message_model: group.mode.message_model,
        subscription_table: group.subscriptions.clone(),
    });
    let body = body.ok_or_else(|| AdminError::NotOnline { group: name.to_owned() })?;
    Ok(Reply::body(body.encode()))
}

/// `GET_PRODUCER_CONNECTION_LIST` (204).
pub(crate) fn producer_connections(
    broker: &Broker,
    request: &Request<'_>,
) -> Result<Reply, AdminError> {
    let header: ProducerGroup<'_> = request.header()?;
    let members = broker.producers.members(&header.producer_group);
    if members.is_empty() {
        let group = header.producer_group.to_string();
        return Err(AdminError::NoSuchProducerGroup { group });
    }
    let connection_set = members.iter().map(connection).collect();
    Ok(Reply::body(ProducerConnection { connection_set }.encode()))
}

/// `GET_ALL_PRODUCER_INFO` (328).
pub(crate) fn all_producers(broker: &Broker) -> Reply {
    let info = |member: &Member<Arc<Peer>>| ProducerInfo {
        client_id: member.client_id.clone(),
        language: member.language.to_owned(),
        last_update_timestamp: member.last_heartbeat_ms,
        remote_ip: member.handle.remote().to_string(),
        version: member.version,
    };
    let groups = broker.producers.all().into_iter();
    let data =
        groups.map(|(group, members)| (group, members.values().map(info).collect())).collect();
    Reply::body(ProducerTable { data }.encode())
}

fn connection(member: &Member<Arc<Peer>>) -> Connection {
    Connection {
        client_addr: member.handle.remote().to_string(),
        client_id: member.client_id.clone(),
        language: member.language.to_owned(),
        version: member.version,
    }
}

/// Tells all members that the group changed (`NOTIFY_CONSUMER_IDS_CHANGED`, 40). A notice that
/// does not arrive only delays a rebalance to the client's own timer.
pub(crate) fn notify_members(change: &Change<Arc<Peer>>) {
    let header = ConsumerGroup { consumer_group: change.group.as_str().into() };
    for peer in &change.notify {
        let command = Command::request(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, &header);
        if let Err(error) = peer.send_oneway(command) {
            debug!(group = change.group, remote = %peer.remote(), %error, "change notice not sent");
        }
    }
}
