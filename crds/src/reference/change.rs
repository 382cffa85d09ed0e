//! What a change of a field does to what runs.

use std::fmt;

/// What follows when a field is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It takes effect in what runs.
    Live,
    /// Broker pods are replaced, one group after the other.
    RestartsBrokers,
    /// Name server pods are replaced, a new one before an old one.
    ReplacesNameServers,
    /// It is refused, or allowed in one direction only; the rules say which.
    Bounded,
}

use Change::{Bounded, Live, ReplacesNameServers, RestartsBrokers};

/// Of fields, with all that is below them unless it is here itself. What is not here is live.
///
/// The operator decides, by what it makes of a spec; here is what it does, for those who read. What a
/// field's own text says of restarts, a test compares with this.
pub const CHANGES: [(&str, &str, Change); 25] = [
    ("BrokerSet", "spec.clusterName", Bounded),
    ("BrokerSet", "spec.image", RestartsBrokers),
    ("BrokerSet", "spec.imagePullPolicy", RestartsBrokers),
    ("BrokerSet", "spec.imagePullSecrets", RestartsBrokers),
    ("BrokerSet", "spec.groups", Bounded),
    ("BrokerSet", "spec.replicasPerGroup", Bounded),
    ("BrokerSet", "spec.nameServer", RestartsBrokers),
    ("BrokerSet", "spec.nameServer.managed", Live),
    ("BrokerSet", "spec.nameServer.managed.resources", ReplacesNameServers),
    ("BrokerSet", "spec.nameServer.managed.pod", ReplacesNameServers),
    ("BrokerSet", "spec.flush.mode", RestartsBrokers),
    ("BrokerSet", "spec.storage.type", Bounded),
    ("BrokerSet", "spec.storage.size", Bounded),
    ("BrokerSet", "spec.storage.storageClassName", Bounded),
    ("BrokerSet", "spec.storage.accessMode", Bounded),
    ("BrokerSet", "spec.messages", RestartsBrokers),
    ("BrokerSet", "spec.resources", RestartsBrokers),
    ("BrokerSet", "spec.pod", RestartsBrokers),
    ("BrokerSet", "spec.pod.labels", Live),
    ("BrokerSet", "spec.pod.annotations", Live),
    ("Topic", "spec.brokerSetRef", Bounded),
    ("Topic", "spec.messageType", Bounded),
    ("Topic", "spec.topicName", Bounded),
    ("ConsumerGroup", "spec.brokerSetRef", Bounded),
    ("ConsumerGroup", "spec.groupName", Bounded),
];

impl Change {
    /// What a change of that field does.
    pub fn of(kind: &str, path: &str) -> Self {
        let holds = |of: &str| {
            path.strip_prefix(of)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let said = CHANGES.iter().filter(|(name, of, _)| *name == kind && holds(of));
        said.max_by_key(|(_, of, _)| of.len()).map_or(Live, |(_, _, change)| *change)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Live => "live",
            RestartsBrokers => "restarts brokers",
            ReplacesNameServers => "replaces name servers",
            Bounded => "see rules",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_follows_the_nearest_one_above_it_that_says_something() {
        let change = |path| Change::of("BrokerSet", path);
        assert_eq!(change("spec.pod.tolerations[].key"), RestartsBrokers);
        assert_eq!(change("spec.pod.labels"), Live);
        assert_eq!(change("spec.nameServer.managed.replicas"), Live);
        assert_eq!(change("spec.nameServer.addresses"), RestartsBrokers);
        assert_eq!(change("spec.storage.sizes"), Live);
        assert_eq!(Change::of("Topic", "spec.image"), Live);
    }
}
