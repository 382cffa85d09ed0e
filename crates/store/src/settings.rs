//! Broker-wide values by name, such as the order configuration. Gives them no meaning.

use std::collections::BTreeMap;

use parking_lot::RwLock;

use crate::state::SettingRecord;

/// All settings, each with the place of its record in the log.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    table: RwLock<BTreeMap<String, (String, u64)>>,
}

impl Settings {
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.table.read().get(name).map(|(value, _)| value.clone())
    }

    pub(crate) fn apply(&self, record: SettingRecord, position: u64) {
        let mut table = self.table.write();
        if record.value.is_empty() {
            table.remove(&record.name);
        } else {
            table.insert(record.name, (record.value, position));
        }
    }

    /// All settings with the places of their records.
    pub(crate) fn all(&self) -> Vec<(SettingRecord, u64)> {
        let table = self.table.read();
        let record = |(name, (value, position)): (&String, &(String, u64))| {
            (SettingRecord { name: name.clone(), value: value.clone() }, *position)
        };
        table.iter().map(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_value_removes_a_setting() {
        let settings = Settings::default();
        let record = |value: &str| SettingRecord { name: "n".to_owned(), value: value.to_owned() };
        settings.apply(record("v"), 1);
        assert_eq!(settings.get("n").as_deref(), Some("v"));
        assert_eq!(settings.all(), [(record("v"), 1)]);
        settings.apply(record(""), 2);
        assert_eq!(settings.get("n"), None);
    }
}
