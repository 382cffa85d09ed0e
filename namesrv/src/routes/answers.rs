//! What clients and tools ask: routes, clusters, lists of topics.

use std::collections::{BTreeMap, BTreeSet};

use rocketkube_protocol::body::{
    BrokerData, ClusterInfo, MemberGroup, QueueData, TopicList, TopicRouteData,
};

use super::{Broker, Routes};

/// `topicSysFlag`: the topic belongs to a unit. Source: `TopicSysFlag` of Apache RocketMQ.
const UNIT: i32 = 1;
/// `topicSysFlag`: the topic has subscribers of units.
const UNIT_SUB: i32 = 2;

/// Which topics a list is to have, by their system flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitTopics {
    /// Those of units.
    OfUnits,
    /// Those with subscribers of units.
    WithUnitSubscribers,
    /// Those with subscribers of units that belong to none.
    WithUnitSubscribersOnly,
}

impl UnitTopics {
    fn has(self, sys_flag: i32) -> bool {
        let (unit, subscribers) = (sys_flag & UNIT != 0, sys_flag & UNIT_SUB != 0);
        match self {
            Self::OfUnits => unit,
            Self::WithUnitSubscribers => subscribers,
            Self::WithUnitSubscribersOnly => subscribers && !unit,
        }
    }
}

impl Routes {
    /// Where a topic is; `None` if no broker has it.
    pub(crate) fn route(&self, topic: &str) -> Option<TopicRouteData> {
        let by_broker = self.topics.get(topic)?;
        let mut route = TopicRouteData::default();
        for (name, queues) in by_broker.iter() {
            let Some(broker) = self.brokers.get(name) else { continue };
            route.broker_datas.push(broker_data(name, broker));
            route.queue_datas.push(QueueData {
                broker_name: name.to_string(),
                perm: queues.perm,
                read_queue_nums: queues.read,
                topic_sys_flag: queues.sys_flag,
                write_queue_nums: queues.write,
            });
        }
        Some(route)
    }

    /// All brokers by cluster.
    pub(crate) fn cluster_info(&self) -> ClusterInfo {
        let mut info = ClusterInfo::default();
        for (name, broker) in &self.brokers {
            info.broker_addr_table.insert(name.to_string(), broker_data(name, broker));
            let of_cluster = info.cluster_addr_table.entry(broker.cluster.clone()).or_default();
            of_cluster.push(name.to_string());
        }
        info
    }

    /// Members of one broker; none if it is not known.
    pub(crate) fn member_group(&self, cluster: &str, broker: &str) -> MemberGroup {
        let found = self.brokers.get(broker).filter(|it| it.cluster == cluster);
        MemberGroup {
            broker_addrs: found.map(addrs).unwrap_or_default(),
            broker_name: broker.to_owned(),
            cluster: cluster.to_owned(),
        }
    }

    /// Every topic.
    pub(crate) fn topic_list(&self) -> TopicList {
        list(self.topics.keys().map(ToString::to_string).collect())
    }

    /// Topics of the brokers of a cluster.
    pub(crate) fn topics_of_cluster(&self, cluster: &str) -> TopicList {
        let brokers = self.brokers.values().filter(|broker| broker.cluster == cluster);
        let topics: BTreeSet<&str> =
            brokers.flat_map(|broker| broker.topics.iter().map(|topic| &**topic)).collect();
        list(topics.into_iter().map(str::to_owned).collect())
    }

    /// The topics named after clusters and brokers, and a broker to ask for the others.
    pub(crate) fn system_topics(&self) -> TopicList {
        let clusters = self.brokers.values().map(|broker| &*broker.cluster);
        let names: BTreeSet<&str> = clusters.chain(self.brokers.keys().map(|it| &**it)).collect();
        let mut members = self.brokers.values().flat_map(|broker| broker.members.values());
        TopicList {
            broker_addr: members.next().map(|member| member.addr.clone()),
            topic_list: names.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Topics with certain system flags.
    pub(crate) fn unit_topics(&self, which: UnitTopics) -> TopicList {
        let flagged = self.topics.iter().filter(|(_, by_broker)| {
            by_broker.iter().next().is_some_and(|(_, queues)| which.has(queues.sys_flag))
        });
        list(flagged.map(|(topic, _)| topic.to_string()).collect())
    }
}

fn list(topic_list: Vec<String>) -> TopicList {
    TopicList { broker_addr: None, topic_list }
}

fn addrs(broker: &Broker) -> BTreeMap<i64, String> {
    broker.members.iter().map(|(&id, member)| (id, member.addr.clone())).collect()
}

fn broker_data(name: &str, broker: &Broker) -> BrokerData {
    BrokerData {
        broker_addrs: addrs(broker),
        broker_name: name.to_owned(),
        cluster: broker.cluster.clone(),
        enable_acting_master: false,
        zone_name: broker.zone.clone(),
    }
}
