//! Consumer groups: from a declaration to what a broker is told.

use rocketkube_client::protocol::body::SubscriptionGroupConfig;
use rocketkube_crds::{
    AdoptionPolicy, BrokerSetRef, ConsumerGroup, ConsumerGroupStatus, DeletionPolicy, GroupSync,
};

use super::declared::{Declared, Difference, History, Next, Report};

impl Declared for ConsumerGroup {
    type Settings = SubscriptionGroupConfig;
    type Status = ConsumerGroupStatus;

    const NOUN: &'static str = "consumer group";
    const NAME_FIELD: &'static str = "spec.groupName";
    const FINALIZER: &'static str = "mq.rocketkube.dev/consumergroup";
    const ADOPTED: &'static str = "GroupAdopted";

    fn broker_set_ref(&self) -> &BrokerSetRef {
        &self.spec.broker_set_ref
    }

    fn wire_name(&self) -> &str {
        let own = || self.metadata.name.as_deref().unwrap_or_default();
        self.spec.group_name.as_deref().unwrap_or_else(own)
    }

    fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }

    fn adoption_policy(&self) -> AdoptionPolicy {
        self.spec.adoption_policy
    }

    fn status(&self) -> Option<&ConsumerGroupStatus> {
        self.status.as_ref()
    }

    fn history(&self) -> History {
        let Some(status) = &self.status else { return History::default() };
        let groups = || status.groups.iter();
        let owned = status.adopted.is_some();
        History {
            generation: status.observed_generation,
            adopted: status.adopted,
            // Taking over takes nothing away, so it is decided for all broker groups at once.
            owned: groups().filter(|_| owned).map(|group| group.index).collect(),
            synced: groups().filter(|group| group.synced).map(|group| group.index).collect(),
            drift: status.drift.clone(),
            conditions: status.conditions.clone(),
        }
    }

    fn differences(&self, held: &SubscriptionGroupConfig) -> Vec<Difference> {
        let fields = [
            ("enabled", self.spec.enabled, held.consume_enable),
            ("broadcast", self.spec.broadcast, held.consume_broadcast_enable),
        ];
        let differ = fields.into_iter().filter(|(_, declared, held)| declared != held);
        let difference = |(field, declared, held): (_, bool, bool)| Difference {
            field,
            declared: declared.to_string(),
            held: held.to_string(),
            blocks_adoption: false,
        };
        differ.map(difference).collect()
    }

    /// Settings that the declaration does not speak of stay.
    fn next(&self, held: Option<&SubscriptionGroupConfig>) -> Next<SubscriptionGroupConfig> {
        let declared = SubscriptionGroupConfig {
            group_name: self.wire_name().to_owned(),
            consume_enable: self.spec.enabled,
            consume_broadcast_enable: self.spec.broadcast,
            ..held.cloned().unwrap_or_default()
        };
        if held == Some(&declared) { Next::Keep } else { Next::Put(declared) }
    }

    /// Members and lag are sampled at times of their own, see [`super::lag`].
    fn reported(&self, report: &Report<SubscriptionGroupConfig>) -> ConsumerGroupStatus {
        let before = self.status.clone().unwrap_or_default();
        let (groups, synced_groups) = match &report.groups {
            Some(groups) => {
                let sync = groups.iter().map(|group| GroupSync {
                    index: group.index,
                    synced: group.synced,
                    message: group.message.clone(),
                });
                (sync.collect(), Some(Report::synced_groups(groups)))
            }
            None => (before.groups, before.synced_groups),
        };
        ConsumerGroupStatus {
            observed_generation: report.generation,
            group_name: Some(self.wire_name().to_owned()),
            groups,
            synced_groups,
            adopted: report.adopted,
            drift: report.drift.clone(),
            ..before
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group() -> ConsumerGroup {
        serde_json::from_value(json!({
            "apiVersion": "mq.rocketkube.dev/v1alpha1",
            "kind": "ConsumerGroup",
            "metadata": {"name": "billing", "namespace": "shop"},
            "spec": {"brokerSetRef": {"name": "orders"}, "broadcast": false},
        }))
        .unwrap()
    }

    #[test]
    fn a_new_group_gets_the_brokers_defaults_and_what_is_declared() {
        let Next::Put(config) = group().next(None) else { panic!("it has to be made") };
        let expected = SubscriptionGroupConfig {
            group_name: "billing".to_owned(),
            consume_broadcast_enable: false,
            ..SubscriptionGroupConfig::default()
        };
        assert_eq!(config, expected);
        assert_eq!(group().next(Some(&config)), Next::Keep);
    }

    #[test]
    fn settings_that_are_not_declared_are_left_as_they_are() {
        let held = SubscriptionGroupConfig {
            group_name: "billing".to_owned(),
            consume_enable: false,
            retry_max_times: 3,
            ..SubscriptionGroupConfig::default()
        };
        let Next::Put(config) = group().next(Some(&held)) else { panic!("two fields differ") };
        assert_eq!((config.retry_max_times, config.consume_enable), (3, true));
        let found: Vec<_> = group().differences(&held).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["enabled is false, declared true", "broadcast is true, declared false"]);
        assert!(group().differences(&held).iter().all(|it| !it.blocks_adoption));
    }
}
