//! The requests of the admin protocol that belong to each kind.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use rocketkube_client::protocol::body::{SubscriptionGroupConfig, TopicConfig};
use rocketkube_client::protocol::names;
use rocketkube_crds::{ConsumerGroup, ConsumerGroupStatus, Topic, TopicStatus};

use super::changes::{ChangeError, Changes};
use super::declared::Declared;
use super::lag::{self, Samples};
use super::masters::Tables;
use super::own_names::OwnNames;
use super::report::Extra;
use super::topic;

/// A kind, as brokers are asked for it.
pub(crate) trait Wire: Declared {
    /// What a master has of this kind, by name.
    fn table(tables: &Tables) -> &BTreeMap<String, Self::Settings>;
    fn name_of(settings: &Self::Settings) -> &str;
    /// Whether a name is not for objects to declare.
    fn is_own(name: &str, own: &OwnNames) -> bool;
    /// How long before it is deleted nobody may use it any more, so that clients learn that it goes.
    const GRACE: Duration;
    /// What to put for that, if it is not so already.
    fn closed(held: &Self::Settings) -> Option<Self::Settings>;

    /// Makes or changes all of them, or none.
    fn put(
        changes: &Changes,
        addr: &str,
        settings: &[Self::Settings],
    ) -> impl Future<Output = Result<(), ChangeError>> + Send;
    fn delete(
        changes: &Changes,
        addr: &str,
        name: &str,
    ) -> impl Future<Output = Result<(), ChangeError>> + Send;

    /// Makes a name server forget it that does not hear of deletions from brokers.
    fn forget(
        _changes: &Changes,
        _namesrv: &str,
        _cluster: &str,
        _name: &str,
    ) -> impl Future<Output = Result<(), ChangeError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Takes what was sampled into a status, and gives the conditions that follow from it.
    fn sampled(
        &self,
        _status: &mut Self::Status,
        _samples: &Samples,
        _now: Timestamp,
    ) -> Vec<Extra> {
        Vec::new()
    }

    fn set_status(&mut self, status: Self::Status);
    fn set_conditions(status: &mut Self::Status, conditions: Vec<Condition>);
}

impl Wire for Topic {
    fn table(tables: &Tables) -> &BTreeMap<String, TopicConfig> {
        &tables.topics
    }

    fn name_of(settings: &TopicConfig) -> &str {
        &settings.topic_name
    }

    fn is_own(name: &str, own: &OwnNames) -> bool {
        own.is_topic(name) || names::is_system_topic(name)
    }

    /// Clients ask for routes every 30 s.
    const GRACE: Duration = Duration::from_secs(30);

    fn closed(held: &TopicConfig) -> Option<TopicConfig> {
        topic::closed(held)
    }

    async fn put(
        changes: &Changes,
        addr: &str,
        settings: &[TopicConfig],
    ) -> Result<(), ChangeError> {
        changes.make(|admin| admin.set_topics(addr, settings)).await
    }

    async fn delete(changes: &Changes, addr: &str, name: &str) -> Result<(), ChangeError> {
        changes.make(|admin| admin.delete_topic_at(addr, name)).await
    }

    async fn forget(
        changes: &Changes,
        namesrv: &str,
        cluster: &str,
        name: &str,
    ) -> Result<(), ChangeError> {
        changes.make(|admin| admin.delete_route(namesrv, cluster, name)).await
    }

    fn set_status(&mut self, status: TopicStatus) {
        self.status = Some(status);
    }

    fn set_conditions(status: &mut TopicStatus, conditions: Vec<Condition>) {
        status.conditions = conditions;
    }
}

impl Wire for ConsumerGroup {
    fn table(tables: &Tables) -> &BTreeMap<String, SubscriptionGroupConfig> {
        &tables.groups
    }

    fn name_of(settings: &SubscriptionGroupConfig) -> &str {
        &settings.group_name
    }

    /// Brokers have no groups of their own.
    fn is_own(name: &str, _: &OwnNames) -> bool {
        names::is_system_group(name)
    }

    const GRACE: Duration = Duration::ZERO;

    fn closed(_: &SubscriptionGroupConfig) -> Option<SubscriptionGroupConfig> {
        None
    }

    async fn put(
        changes: &Changes,
        addr: &str,
        settings: &[SubscriptionGroupConfig],
    ) -> Result<(), ChangeError> {
        changes.make(|admin| admin.set_groups(addr, settings)).await
    }

    /// With its offsets: whoever makes a group of that name later does not expect to go on where
    /// this one stopped.
    async fn delete(changes: &Changes, addr: &str, name: &str) -> Result<(), ChangeError> {
        changes.make(|admin| admin.delete_group(addr, name, true)).await
    }

    fn sampled(
        &self,
        status: &mut ConsumerGroupStatus,
        samples: &Samples,
        now: Timestamp,
    ) -> Vec<Extra> {
        samples.publish(self.wire_name(), status, now);
        lag::conditions(status, self.spec.lag_alert.as_ref())
    }

    fn set_status(&mut self, status: ConsumerGroupStatus) {
        self.status = Some(status);
    }

    fn set_conditions(status: &mut ConsumerGroupStatus, conditions: Vec<Condition>) {
        status.conditions = conditions;
    }
}
