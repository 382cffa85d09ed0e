//! Consumer groups and their settings. What a setting means is the broker's business: here it is
//! the protocol's JSON, which clients extend without asking.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::FixedState;
use parking_lot::RwLock;

use crate::state::GroupRecord;

/// One consumer group in one state; a change makes a new one.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    name: Arc<str>,
    config: String,
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
        let group = Group { name: Arc::clone(&name), config: record.config, position };
        table.insert(name, Arc::new(group));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
