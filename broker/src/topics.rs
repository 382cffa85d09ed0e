//! Which topics are special, and how topics come into being.

use std::sync::Arc;

use rocketkube_protocol::header::SendMessage;
use rocketkube_protocol::names;
use rocketkube_store::{StoreError, Topic, TopicConfig};

use crate::broker::{Broker, MAX_MADE};
use crate::refusal::SendError;

/// Bit of `perm` that lets a topic be a template.
pub(crate) const PERM_INHERIT: u32 = 1;
pub(crate) const PERM_WRITE: u32 = 2;
pub(crate) const PERM_READ: u32 = 4;

/// Whether a name belongs to the system: fixed names and the broker's own.
pub(crate) fn is_system(broker: &Broker, topic: &str) -> bool {
    names::is_system_topic(topic)
        || topic == broker.config.cluster
        || topic == broker.config.name
        || topic == names::reply_topic(&broker.config.cluster)
}

/// Names of the system topics that this broker has.
pub(crate) fn system_names(broker: &Broker) -> Vec<String> {
    let topics = broker.store.topics();
    let names = topics.iter().map(|topic| topic.name());
    names.filter(|name| is_system(broker, name)).map(str::to_owned).collect()
}

/// Makes the topic of a send that names an unknown one, if the topic it gives as template may be.
pub(crate) fn auto_create(
    broker: &Broker,
    header: &SendMessage<'_>,
) -> Result<Arc<Topic>, SendError> {
    let name = header.topic.as_ref();
    let missing = || SendError::NoSuchTopic { topic: name.to_owned() };
    if let Some(group) = name.strip_prefix(names::RETRY_PREFIX) {
        if broker.group(group).is_none() {
            return Err(SendError::NoSuchGroup { group: group.to_owned() });
        }
        return create(broker, name, &TopicConfig::with_queues(1));
    }
    if !broker.config.auto_create_topics {
        return Err(missing());
    }
    let template = broker.store.topic(&header.default_topic).ok_or_else(missing)?;
    let template = template.config();
    if template.perm & PERM_INHERIT == 0 {
        return Err(missing());
    }
    let asked = u32::try_from(header.default_topic_queues).unwrap_or(0);
    let queues = asked.min(template.write_queues).max(1);
    let config =
        TopicConfig { perm: template.perm & !PERM_INHERIT, ..TopicConfig::with_queues(queues) };
    create(broker, name, &config)
}

fn create(broker: &Broker, name: &str, config: &TopicConfig) -> Result<Arc<Topic>, SendError> {
    if !broker.has_room(name) {
        return Err(SendError::TooManyTopics { topic: name.to_owned(), max: MAX_MADE });
    }
    broker.make_topic(name, config)?;
    broker.store.topic(name).ok_or_else(|| SendError::NoSuchTopic { topic: name.to_owned() })
}

/// Makes the topics that a broker has from its first start: the template of auto-creation, and
/// those named as the cluster and the broker, by whose routes tools find them.
pub(crate) fn create_own(broker: &Broker) -> Result<(), StoreError> {
    let ensure = |name: &str, config: TopicConfig| match broker.store.topic(name) {
        Some(topic) if *topic.config() == config => Ok(()),
        _ => broker.put_topic(name, &config).map(|_| ()),
    };
    let inherit = TopicConfig { perm: 7, ..TopicConfig::with_queues(broker.config.default_queues) };
    if broker.config.auto_create_topics {
        ensure(names::DEFAULT_TOPIC, inherit)?;
    } else if broker.store.topic(names::DEFAULT_TOPIC).is_some() {
        broker.remove_topic(names::DEFAULT_TOPIC)?;
    }
    ensure(&broker.config.cluster, TopicConfig { perm: 7, ..TopicConfig::with_queues(16) })?;
    ensure(&broker.config.name, TopicConfig { perm: 7, ..TopicConfig::with_queues(1) })?;
    ensure(names::SELF_TEST_TOPIC, TopicConfig::with_queues(1))
}
