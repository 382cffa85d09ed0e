//! Consumer groups and their settings. What a setting means is the broker's business: kept is the
//! protocol's JSON, which clients extend without asking.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use foldhash::fast::FixedState;
use parking_lot::RwLock;
use rocketkube_protocol::body::{Body, SubscriptionGroupConfig};

use crate::state::GroupRecord;

/// One consumer group in one state; a change makes a new one.
#[derive(Debug)]
pub struct Group {
    name: Arc<str>,
    config: String,
    /// What `config` says, for every pull; made by the first.
    settings: OnceLock<Option<Arc<SubscriptionGroupConfig>>>,
    /// Where its newest record lies in the log.
    position: u64,
}

impl Group {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The settings, as they were given.
    pub fn config(&self) -> &str {
        &self.config
    }

    /// The settings, decoded; `None` if nobody can read them.
    pub fn settings(&self) -> Option<Arc<SubscriptionGroupConfig>> {
        let decode = || SubscriptionGroupConfig::decode(self.config.as_bytes()).ok().map(Arc::new);
        self.settings.get_or_init(decode).clone()
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn record(&self) -> GroupRecord {
        GroupRecord {
            name: self.name.to_string(),
            config: self.config.clone(),
            ..GroupRecord::default()
        }
    }
}

/// All consumer groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    table: RwLock<HashMap<Arc<str>, Arc<Group>, FixedState>>,
}

impl Groups {
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Group>> {
        self.table.read().get(name).map(Arc::clone)
    }

    /// All groups, sorted by name.
    pub(crate) fn all(&self) -> Vec<Arc<Group>> {
        let mut all: Vec<_> = self.table.read().values().map(Arc::clone).collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Applies a record that lies at `position`.
    pub(crate) fn apply(&self, record: GroupRecord, position: u64) {
        let mut table = self.table.write();
        if record.deleted {
            table.remove(record.name.as_str());
            return;
        }
        let name: Arc<str> = Arc::from(record.name);
        let settings = OnceLock::new();
        let group = Group { name: Arc::clone(&name), config: record.config, settings, position };
        table.insert(name, Arc::new(group));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_those_of_the_last_record_and_none_if_they_cannot_be_read() {
        let groups = Groups::default();
        let retries = |config: &str| {
            let config = config.to_owned();
            let record = GroupRecord { name: "g".to_owned(), config, ..GroupRecord::default() };
            groups.apply(record, 1);
            Some(groups.get("g")?.settings()?.retry_max_times)
        };
        assert_eq!(retries(r#"{"groupName":"g"}"#), Some(16));
        assert_eq!(retries(r#"{"groupName":"g","retryMaxTimes":3}"#), Some(3));
        assert_eq!(retries("no JSON"), None);
    }

    #[test]
    fn the_last_record_of_a_group_counts() {
        let groups = Groups::default();
        let record = |config: &str| GroupRecord {
            name: "g".to_owned(),
            config: config.to_owned(),
            ..GroupRecord::default()
        };
        groups.apply(record("{}"), 1);
        groups.apply(record("{\"retryMaxTimes\":3}"), 2);
        let group = groups.get("g").unwrap();
        assert_eq!((group.config(), group.position()), ("{\"retryMaxTimes\":3}", 2));
        groups.apply(GroupRecord { deleted: true, ..record("") }, 3);
        assert!(groups.get("g").is_none() && groups.all().is_empty());
    }
}
