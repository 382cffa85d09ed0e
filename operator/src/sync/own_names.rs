//! Names that are not for objects to declare: they belong to brokers and their cluster.

use std::collections::BTreeSet;

use kube::ResourceExt as _;
use rocketkube_client::protocol::names;
use rocketkube_crds::BrokerSet;

use super::masters::Masters;

/// The names that brokers of one `BrokerSet` make for themselves, because of what they are called.
#[derive(Debug, Default)]
pub(crate) struct OwnNames {
    topics: BTreeSet<String>,
}

impl OwnNames {
    pub(crate) fn of(set: &BrokerSet, masters: &Masters) -> Self {
        let cluster = set.spec.cluster_name.clone().unwrap_or_else(|| set.name_any());
        let mut topics: BTreeSet<String> =
            masters.iter().map(|(_, master)| master.name.clone()).collect();
        topics.insert(names::reply_topic(&cluster));
        topics.insert(cluster);
        Self { topics }
    }

    pub(crate) fn is_topic(&self, name: &str) -> bool {
        self.topics.contains(name)
    }
}
