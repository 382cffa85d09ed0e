//! What a name server keeps over restarts: key-value configuration and settings made by request.
//!
//! Pure state and its limits; [`crate::disk`] writes it. Routes are not kept: brokers announce
//! themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::settings::{Change, Settings};

/// Longest namespace, and longest key, in bytes.
const MAX_NAME: usize = 255;
/// Longest value in bytes.
const MAX_VALUE: usize = 64 * 1024;
/// Most values of all namespaces.
const MAX_VALUES: usize = 10_000;
/// Most bytes of all names and values: the whole is written at every change.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Why a value was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KvError {
    #[error("{what} must have 1 to {MAX_NAME} bytes of a-z A-Z 0-9 . _ - % |")]
    Name { what: &'static str },
    #[error("value of {size} bytes is over the limit of {MAX_VALUE}")]
    ValueTooLong { size: usize },
    #[error("value has control characters")]
    ControlCharacter,
    #[error(
        "{MAX_VALUES} values of {MAX_BYTES} bytes in all can be kept, and this is one too many"
    )]
    Full,
}

/// The whole of what is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Kept {
    values: BTreeMap<String, BTreeMap<String, String>>,
    settings: BTreeMap<Change, bool>,
}

impl Kept {
    pub(crate) fn get(&self, namespace: &str, key: &str) -> Option<&str> {
        self.values.get(namespace)?.get(key).map(String::as_str)
    }

    pub(crate) fn namespace(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.values.get(namespace)
    }

    pub(crate) fn put(&mut self, namespace: &str, key: &str, value: &str) -> Result<(), KvError> {
        check_name("namespace", namespace)?;
        check_name("key", key)?;
        if value.len() > MAX_VALUE {
            return Err(KvError::ValueTooLong { size: value.len() });
        }
        if value.chars().any(char::is_control) {
            return Err(KvError::ControlCharacter);
        }
        let old = self.get(namespace, key).map(|old| namespace.len() + key.len() + old.len());
        let (count, bytes) = self.size();
        let count = count - usize::from(old.is_some()) + 1;
        let bytes = bytes - old.unwrap_or(0) + namespace.len() + key.len() + value.len();
        if count > MAX_VALUES || bytes > MAX_BYTES {
            return Err(KvError::Full);
        }
        let values = self.values.entry(namespace.to_owned()).or_default();
        values.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    /// Whether there was something to delete.
    pub(crate) fn delete(&mut self, namespace: &str, key: &str) -> bool {
        let Some(values) = self.values.get_mut(namespace) else { return false };
        let deleted = values.remove(key).is_some();
        if values.is_empty() {
            self.values.remove(namespace);
        }
        deleted
    }

    /// The settings that a process started with, with the changes made since.
    pub(crate) fn settings(&self, mut settings: Settings) -> Settings {
        for (&change, &value) in &self.settings {
            change.apply(&mut settings, value);
        }
        settings
    }

    /// Keeps changes, which have been checked.
    pub(crate) fn change(&mut self, changes: &[(Change, bool)]) {
        self.settings.extend(changes.iter().copied());
    }

    /// Number of values, and bytes of their names and themselves.
    fn size(&self) -> (usize, usize) {
        let mut size = (0, 0);
        for (namespace, values) in &self.values {
            for (key, value) in values {
                size = (size.0 + 1, size.1 + namespace.len() + key.len() + value.len());
            }
        }
        size
    }
}

fn check_name(what: &'static str, name: &str) -> Result<(), KvError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-%|".contains(&byte);
    let sound = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed);
    if sound { Ok(()) } else { Err(KvError::Name { what }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_can_be_put_read_changed_and_deleted() {
        let mut kept = Kept::default();
        kept.put("ORDER_TOPIC_CONFIG", "T1", "b1:4;b2:4").unwrap();
        kept.put("ORDER_TOPIC_CONFIG", "T1", "b1:8").unwrap();
        assert_eq!(kept.get("ORDER_TOPIC_CONFIG", "T1"), Some("b1:8"));
        assert!(kept.delete("ORDER_TOPIC_CONFIG", "T1"));
        assert!(!kept.delete("ORDER_TOPIC_CONFIG", "T1"));
        assert_eq!(kept.namespace("ORDER_TOPIC_CONFIG"), None);
    }

    #[test]
    fn names_with_separators_and_long_values_are_refused() {
        let mut kept = Kept::default();
        for name in ["", "a/b", "..\\x", "a b", "a\n", "ü", &"x".repeat(256)] {
            assert_eq!(kept.put(name, "k", "v"), Err(KvError::Name { what: "namespace" }));
            assert_eq!(kept.put("n", name, "v"), Err(KvError::Name { what: "key" }));
        }
        let size = 1 << 20;
        assert_eq!(kept.put("n", "k", &"v".repeat(size)), Err(KvError::ValueTooLong { size }));
        assert_eq!(kept.put("n", "k", "a\0b"), Err(KvError::ControlCharacter));
        assert_eq!(kept, Kept::default());
    }

    #[test]
    fn what_is_kept_has_a_bound_and_replacing_stays_possible() {
        let mut kept = Kept::default();
        let value = "v".repeat(MAX_VALUE);
        let taken =
            (0..MAX_VALUES).take_while(|i| kept.put("n", &i.to_string(), &value).is_ok()).count();
        assert!(taken > 100 && taken < 130, "{taken}");
        assert_eq!(kept.put("n", "more", &value), Err(KvError::Full));
        kept.put("n", "0", &value).unwrap();
    }
}
