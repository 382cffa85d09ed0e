//! The topics of brokers: putting, deleting, permissions.

use std::sync::Arc;

use rocketkube_protocol::body::{QueueData, TopicConfig, perm};
use rocketkube_protocol::names;

use super::{MAX_TOPIC_QUEUES, MAX_TOPICS_PER_BROKER, Queues, Refused, Routes};

/// Clients make an object of each queue.
const MAX_QUEUES: i32 = names::MAX_QUEUES.cast_signed();

impl Routes {
    /// Takes a portion of a broker's topics, and returns how many of them cannot be topics or are
    /// over a limit. A broker that went meanwhile gets none.
    pub(crate) fn put_topics(&mut self, broker: &str, topics: &[TopicConfig]) -> usize {
        let Some((broker, _)) = self.brokers.get_key_value(broker) else { return 0 };
        let broker = Arc::clone(broker);
        let put = |topic: &&TopicConfig| {
            let queues = Queues {
                read: topic.read_queue_nums,
                write: topic.write_queue_nums,
                perm: topic.perm,
                sys_flag: topic.topic_sys_flag,
            };
            !self.put_queues(&topic.topic_name, &broker, queues)
        };
        topics.iter().filter(put).count()
    }

    /// Takes queues of one topic on several brokers.
    pub(crate) fn register_topic(&mut self, topic: &str, all: &[QueueData]) -> Result<(), Refused> {
        if let Some(data) = all.iter().find(|it| !self.brokers.contains_key(&*it.broker_name)) {
            return Err(Refused::NoSuchBroker { broker: data.broker_name.clone() });
        }
        for data in all {
            let Some((broker, _)) = self.brokers.get_key_value(&*data.broker_name) else {
                continue;
            };
            let broker = Arc::clone(broker);
            let queues = Queues {
                read: data.read_queue_nums,
                write: data.write_queue_nums,
                perm: data.perm,
                sys_flag: data.topic_sys_flag,
            };
            if !self.put_queues(topic, &broker, queues) {
                let (broker, max) = (data.broker_name.clone(), MAX_TOPICS_PER_BROKER);
                return Err(Refused::TooManyTopics { broker, count: max + 1, max });
            }
        }
        Ok(())
    }

    /// Whether the queues could be taken.
    fn put_queues(&mut self, topic: &str, broker: &Arc<str>, queues: Queues) -> bool {
        let sound = names::check_topic(topic).is_ok()
            && (0..=MAX_QUEUES).contains(&queues.read)
            && (0..=MAX_QUEUES).contains(&queues.write);
        let Some(found) = self.brokers.get_mut(broker).filter(|_| sound) else { return false };
        if let Some(old) = self.topics.get_mut(topic).and_then(|it| it.get_mut(broker)) {
            *old = queues;
            return true;
        }
        let full = self.queues_count >= MAX_TOPIC_QUEUES;
        if full || found.topics.len() >= MAX_TOPICS_PER_BROKER {
            return false;
        }
        let name = self
            .topics
            .get_key_value(topic)
            .map_or_else(|| topic.into(), |(name, _)| Arc::clone(name));
        found.topics.insert(Arc::clone(&name));
        self.topics.entry(name).or_default().insert(Arc::clone(broker), queues);
        self.queues_count += 1;
        true
    }

    /// Forgets a topic, on the brokers of one cluster or on all.
    pub(crate) fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) {
        let Some(by_broker) = self.topics.get(topic) else { return };
        let in_cluster = |name: &&Arc<str>| {
            let of_broker = self.brokers.get(*name).map(|it| &*it.cluster);
            cluster.is_none_or(|cluster| of_broker == Some(cluster))
        };
        let names: Vec<Arc<str>> = by_broker.keys().filter(in_cluster).cloned().collect();
        for name in names {
            if let Some(broker) = self.brokers.get_mut(&name) {
                broker.topics.remove(topic);
            }
            self.remove_queues(topic, &name);
        }
    }

    /// Removes a topic from the table; the broker's own set is the caller's business.
    pub(super) fn remove_queues(&mut self, topic: &str, broker: &str) {
        let Some(by_broker) = self.topics.get_mut(topic) else { return };
        self.queues_count -= usize::from(by_broker.remove(broker));
        if by_broker.is_empty() {
            self.topics.remove(topic);
        }
    }

    /// Takes the right to write from all topics of a broker, until it brings changed settings.
    /// Returns how many topics it has.
    pub(crate) fn wipe_write(&mut self, broker: &str) -> usize {
        self.change_permission(broker, |old| old & !perm::WRITE)
    }

    /// Makes all topics of a broker readable and writable. Returns how many topics it has.
    pub(crate) fn add_write(&mut self, broker: &str) -> usize {
        self.change_permission(broker, |_| perm::READ | perm::WRITE)
    }

    fn change_permission(&mut self, broker: &str, change: impl Fn(i32) -> i32) -> usize {
        let Some(found) = self.brokers.get(broker) else { return 0 };
        for topic in &found.topics {
            if let Some(queues) = self.topics.get_mut(topic).and_then(|it| it.get_mut(broker)) {
                queues.perm = change(queues.perm);
            }
        }
        found.topics.len()
    }
}
