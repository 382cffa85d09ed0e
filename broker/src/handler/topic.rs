//! Administration of topics.

use rocketkube_protocol::body::{
    Body, FilterType, GroupList, QueueMap, TopicConfig as WireConfig, TopicConfigList,
    TopicConfigTable, TopicList, TopicOffset, TopicStatsTable,
};
use rocketkube_protocol::header::{CreateTopic, GetAllTopicConfig, TopicName};
use rocketkube_protocol::{Request, names};
use rocketkube_store::{QueueOffset, Topic, TopicConfig};

use super::decode;
use super::page::Page;
use crate::answer::Reply;
use crate::attributes;
use crate::broker::Broker;
use crate::refusal::AdminError;
use crate::topics;

/// Most queues of a topic that an administrator may ask for.
const MAX_QUEUES: i32 = names::MAX_QUEUES.cast_signed();
/// Highest value of `perm`: read, write and inherit. Source: `PermName` of Apache RocketMQ.
const MAX_PERM: i32 = 7;
/// Highest value of `topicSysFlag`: unit and unit of subscription. Source: `TopicSysFlag` of Apache
/// RocketMQ.
const MAX_SYS_FLAG: i32 = 3;

/// `UPDATE_AND_CREATE_TOPIC` (17).
pub(crate) fn update(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: CreateTopic<'_> = request.header()?;
    let filter_type = filter_type(&header.filter_type)?;
    let config = WireConfig {
        attributes: attributes::parse(header.attributes.as_deref().unwrap_or_default())?,
        order: header.order,
        perm: header.perm,
        read_queue_nums: header.read_queues,
        topic_filter_type: filter_type,
        topic_name: header.topic.to_string(),
        topic_sys_flag: header.topic_sys_flag.unwrap_or(0),
        write_queue_nums: header.write_queues,
    };
    put(broker, &config).map(Reply::after)
}

fn filter_type(name: &str) -> Result<FilterType, AdminError> {
    if name.is_empty() {
        return Ok(FilterType::default());
    }
    FilterType::from_name(name).ok_or_else(|| AdminError::Parameter {
        field: "topicFilterType",
        value: name.chars().take(64).collect(),
        expected: "SINGLE_TAG or MULTI_TAG",
    })
}

/// `UPDATE_AND_CREATE_TOPIC_LIST` (18): all of them, or none.
pub(crate) fn update_list(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let list: TopicConfigList = decode(request.body, "list of topics")?;
    let mut queues = 0;
    for config in &list.topic_config_list {
        queues += new_queues(broker, &config.topic_name, &checked(broker, config)?);
    }
    broker.store.check_queues(queues)?;
    let mut after = 0;
    for config in &list.topic_config_list {
        after = after.max(put(broker, config)?);
    }
    Ok(Reply::after(after))
}

/// How many queues a topic would get that it does not have.
fn new_queues(broker: &Broker, topic: &str, config: &TopicConfig) -> usize {
    let queues = config.read_queues.max(config.write_queues) as usize;
    queues.saturating_sub(broker.store.topic(topic).map_or(0, |topic| topic.queues().len()))
}

fn put(broker: &Broker, config: &WireConfig) -> Result<u64, AdminError> {
    let known = checked(broker, config)?;
    Ok(broker.put_topic(&config.topic_name, &known)?)
}

/// The settings to store, if they can be: attributes are changes to those there are.
fn checked(broker: &Broker, config: &WireConfig) -> Result<TopicConfig, AdminError> {
    let topic = &config.topic_name;
    names::check_topic(topic)?;
    if topics::is_system(broker, topic) {
        return Err(AdminError::SystemTopic { topic: topic.clone() });
    }
    let known = broker.store.topic(topic);
    let before = known.as_ref().map(|topic| &topic.config().attributes);
    Ok(TopicConfig {
        read_queues: number("readQueueNums", config.read_queue_nums, 1..=MAX_QUEUES)?,
        write_queues: number("writeQueueNums", config.write_queue_nums, 1..=MAX_QUEUES)?,
        perm: number("perm", config.perm, 0..=MAX_PERM)?,
        order: config.order,
        multi_tag: config.topic_filter_type == FilterType::MultiTag,
        sys_flag: number("topicSysFlag", config.topic_sys_flag, 0..=MAX_SYS_FLAG)?,
        attributes: attributes::change(before, &config.attributes)?,
    })
}

fn number(
    field: &'static str,
    value: i32,
    range: std::ops::RangeInclusive<i32>,
) -> Result<u32, AdminError> {
    let expected = match field {
        "perm" => "a sum of 4 (read), 2 (write) and 1 (inherit)",
        "topicSysFlag" => "0 to 3",
        _ => "1 to 65536",
    };
    let refused = || AdminError::Parameter { field, value: value.to_string(), expected };
    let value = if range.contains(&value) { u32::try_from(value).ok() } else { None };
    value.ok_or_else(refused)
}

/// `DELETE_TOPIC_IN_BROKER` (215); a topic that is not there is deleted already.
pub(crate) fn delete(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: TopicName<'_> = request.header()?;
    let topic = header.topic.as_ref();
    names::check_topic(topic)?;
    if topics::is_system(broker, topic) {
        return Err(AdminError::SystemTopic { topic: topic.to_owned() });
    }
    if broker.store.topic(topic).is_none() {
        // Whoever deleted it may still wait for the disk.
        return Ok(Reply::after(broker.store.end().0));
    }
    Ok(Reply::after(broker.remove_topic(topic)?))
}

/// `GET_ALL_TOPIC_CONFIG` (21), in parts for who asks for parts.
pub(crate) fn all(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: GetAllTopicConfig<'_> = request.header()?;
    let version = header.data_version.as_deref();
    let page = Page { from: header.topic_seq, version, most: header.max_topics };
    // Before the table, so that a change in between shows again with the next version.
    let data_version = broker.data_version();
    let topics = broker.store.topics();
    let part = page.of(&topics, data_version, "maxTopicNum")?;
    let topic_config_table =
        part.iter().map(|topic| (topic.name().to_owned(), wire(topic))).collect();
    let reply = Reply::body(TopicConfigTable { data_version, topic_config_table }.encode());
    Ok(if page.is_part() { reply.field("totalTopicNum", topics.len()) } else { reply })
}

/// `GET_TOPIC_CONFIG` (351).
pub(crate) fn one(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: TopicName<'_> = request.header()?;
    let topic = existing(broker, &header.topic)?;
    Ok(Reply::body(wire(&topic).encode()))
}

/// `GET_TOPIC_STATS_INFO` (202).
pub(crate) fn stats(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: TopicName<'_> = request.header()?;
    let topic = existing(broker, &header.topic)?;
    let config = topic.config();
    let count = config.read_queues.max(config.write_queues) as usize;
    let mut table = Vec::with_capacity(count);
    for queue in topic.queues().iter().take(count) {
        let bounds = queue.bounds();
        let last = bounds.max.0.checked_sub(1).map(QueueOffset);
        let last = match last {
            Some(last) => broker.store.store_time(queue, last)?,
            None => None,
        };
        let offsets = TopicOffset {
            last_update_timestamp: last.unwrap_or(0),
            max_offset: bounds.max.wire(),
            min_offset: bounds.min.wire(),
        };
        table.push((broker.message_queue(queue), offsets));
    }
    let stats = TopicStatsTable { offset_table: QueueMap(table), topic_put_tps: 0.0 };
    Ok(Reply::body(stats.encode()))
}

/// `GET_SYSTEM_TOPIC_LIST_FROM_BROKER` (305).
pub(crate) fn system(broker: &Broker) -> Reply {
    let list = TopicList { broker_addr: None, topic_list: topics::system_names(broker) };
    Reply::body(list.encode())
}

/// `QUERY_TOPIC_CONSUME_BY_WHO` (300): groups that subscribe the topic, and those that committed.
pub(crate) fn consumed_by(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: TopicName<'_> = request.header()?;
    let mut groups = broker.consumers.subscribers(&header.topic);
    let committed = broker.store.committed_in(&header.topic).into_iter();
    groups.extend(committed.map(|committed| committed.group));
    groups.sort_unstable();
    groups.dedup();
    Ok(Reply::body(GroupList { group_list: groups }.encode()))
}

fn existing(broker: &Broker, topic: &str) -> Result<std::sync::Arc<Topic>, AdminError> {
    let known = broker.store.topic(topic);
    known.ok_or_else(|| AdminError::NoSuchTopic { topic: topic.to_owned() })
}

/// A topic's settings as they go over the wire.
pub(crate) fn wire(topic: &Topic) -> WireConfig {
    let config = topic.config();
    WireConfig {
        attributes: config.attributes.clone(),
        order: config.order,
        perm: config.perm.cast_signed(),
        read_queue_nums: config.read_queues.cast_signed(),
        topic_filter_type: if config.multi_tag {
            FilterType::MultiTag
        } else {
            FilterType::SingleTag
        },
        topic_name: topic.name().to_owned(),
        topic_sys_flag: config.sys_flag.cast_signed(),
        write_queue_nums: config.write_queues.cast_signed(),
    }
}
