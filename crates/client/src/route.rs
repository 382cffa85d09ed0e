//! Where the queues of a topic are, as clients see it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rocketkube_protocol::body::{BrokerData, TopicRouteData, perm};

use crate::ClientError;

/// One queue of a topic on one broker.
///
/// Ordered by topic, broker and number: all members of a group have to divide the same list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Queue {
    /// The topic.
    pub topic: Arc<str>,
    /// Name of the broker, that is of a master with its followers.
    pub broker: Arc<str>,
    /// Number of the queue on this broker.
    pub id: i32,
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.broker, self.id)
    }
}

/// The brokers and queues of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    topic: Arc<str>,
    data: TopicRouteData,
    /// Addresses by broker name and id; id 0 is the master.
    brokers: BTreeMap<Arc<str>, BTreeMap<i64, String>>,
    writable: Vec<Queue>,
    readable: Vec<Queue>,
}

impl Route {
    pub(crate) fn new(topic: &str, data: TopicRouteData) -> Self {
        let addrs = |it: &BrokerData| (Arc::from(&*it.broker_name), it.broker_addrs.clone());
        let mut route = Self {
            topic: topic.into(),
            brokers: data.broker_datas.iter().map(addrs).collect(),
            writable: Vec::new(),
            readable: Vec::new(),
            data,
        };
        for queues in &route.data.queue_datas {
            let Some((broker, addrs)) = route.brokers.get_key_value(&*queues.broker_name) else {
                continue;
            };
            let queue =
                |id| Queue { topic: Arc::clone(&route.topic), broker: Arc::clone(broker), id };
            if queues.perm & perm::WRITE != 0 && addrs.contains_key(&0) {
                route.writable.extend((0..queues.write_queue_nums).map(queue));
            }
            if queues.perm & perm::READ != 0 {
                route.readable.extend((0..queues.read_queue_nums).map(queue));
            }
        }
        route.writable.sort();
        route.readable.sort();
        route
    }

    /// The route a topic will have once a broker of this one has created it.
    pub(crate) fn for_new_topic(&self, topic: &str, queues: i32) -> Self {
        let mut data = self.data.clone();
        for at in &mut data.queue_datas {
            at.write_queue_nums = at.write_queue_nums.min(queues);
            at.read_queue_nums = at.write_queue_nums;
        }
        Self::new(topic, data)
    }

    /// The queues producers may write to, sorted.
    pub fn writable(&self) -> &[Queue] {
        &self.writable
    }

    /// The queues consumers may read, sorted.
    pub fn readable(&self) -> &[Queue] {
        &self.readable
    }

    /// What the name server answered.
    pub fn data(&self) -> &TopicRouteData {
        &self.data
    }

    /// The names of all brokers.
    pub fn brokers(&self) -> impl Iterator<Item = &str> {
        self.brokers.keys().map(|name| &**name)
    }

    /// The address of a broker's master.
    ///
    /// # Errors
    /// If there is none at the moment.
    pub fn master(&self, broker: &str) -> Result<&str, ClientError> {
        let master = self.brokers.get(broker).and_then(|addrs| addrs.get(&0));
        master
            .map(String::as_str)
            .ok_or_else(|| ClientError::NoMaster { broker: broker.to_owned() })
    }

    /// The address of the broker's member `id`, or of any if that is gone, the master last.
    pub(crate) fn member(&self, broker: &str, id: i64) -> Result<&str, ClientError> {
        let addrs = self.brokers.get(broker);
        let member = addrs.and_then(|addrs| addrs.get(&id).or_else(|| addrs.values().next_back()));
        member
            .map(String::as_str)
            .ok_or_else(|| ClientError::NoMaster { broker: broker.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rocketkube_protocol::body::QueueData;

    fn route(brokers: &[(&str, i32, &[i64])]) -> Route {
        let mut data = TopicRouteData::default();
        for (name, perm, ids) in brokers {
            data.queue_datas.push(QueueData {
                broker_name: (*name).to_owned(),
                perm: *perm,
                read_queue_nums: 3,
                write_queue_nums: 2,
                topic_sys_flag: 0,
            });
            data.broker_datas.push(BrokerData {
                broker_name: (*name).to_owned(),
                broker_addrs: ids.iter().map(|id| (*id, format!("{name}:{id}"))).collect(),
                ..BrokerData::default()
            });
        }
        Route::new("t", data)
    }

    fn names(queues: &[Queue]) -> Vec<String> {
        queues.iter().map(Queue::to_string).collect()
    }

    #[test]
    fn queues_are_sorted_and_only_masters_are_written_to() {
        let route = route(&[("b", 6, &[0]), ("a", 6, &[0]), ("c", 6, &[1]), ("d", 4, &[0])]);
        assert_eq!(names(route.writable()), ["t/a/0", "t/a/1", "t/b/0", "t/b/1"]);
        assert_eq!(route.readable().len(), 12);
        assert!(matches!(route.master("c"), Err(ClientError::NoMaster { .. })));
        assert_eq!(route.master("a").unwrap(), "a:0");
        assert_eq!(route.member("c", 0).unwrap(), "c:1");
    }

    #[test]
    fn a_new_topic_has_no_more_queues_than_asked_for() {
        let template = route(&[("a", 7, &[0])]);
        assert_eq!(names(template.for_new_topic("new", 1).writable()), ["new/a/0"]);
        assert_eq!(template.for_new_topic("new", 9).writable().len(), 2);
    }
}
