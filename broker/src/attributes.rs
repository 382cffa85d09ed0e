//! Attributes of topics: `+key=value` sets, `-key` removes.
//!
//! Keys and rules: `TopicAttributes` of Apache RocketMQ 5.

use std::collections::BTreeMap;

use crate::refusal::AdminError;

/// Attributes that mean something here, and the values they take.
const KNOWN: [(&str, &[&str]); 3] = [
    ("message.type", &["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "MIXED"]),
    ("queue.type", &["SimpleCQ"]),
    ("cleanup.policy", &["DELETE"]),
];
/// Set when a topic is created, never again.
const IMMUTABLE: [&str; 2] = ["queue.type", "cleanup.policy"];

/// Reads the text form: changes, separated by commas.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, String>, AdminError> {
    let mut changes = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        if changes.insert(key.trim().to_owned(), value.trim().to_owned()).is_some() {
            return Err(refused(part, "each attribute once"));
        }
    }
    Ok(changes)
}

/// Applies changes to the attributes there are; `before` is `None` for a new topic.
pub(crate) fn change(
    before: Option<&BTreeMap<String, String>>,
    changes: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, AdminError> {
    let mut attributes = before.cloned().unwrap_or_default();
    for (change, value) in changes {
        let (sign, key) = change.split_at_checked(1).unwrap_or(("", ""));
        if before.is_some() && IMMUTABLE.contains(&key) && attributes.get(key) != Some(value) {
            return Err(refused(change, "attributes that can be changed; this one cannot"));
        }
        match sign {
            "+" => {
                check(key, value)?;
                attributes.insert(key.to_owned(), value.clone());
            }
            "-" if before.is_some() => {
                attributes.remove(key);
            }
            "-" => return Err(refused(change, "only +key=value for a new topic")),
            _ => return Err(refused(change, "+key=value or -key")),
        }
    }
    Ok(attributes)
}

fn check(key: &str, value: &str) -> Result<(), AdminError> {
    let Some((_, values)) = KNOWN.iter().find(|(known, _)| *known == key) else {
        return Err(refused(key, "message.type, queue.type or cleanup.policy"));
    };
    if values.contains(&value) { Ok(()) } else { Err(refused(value, VALUES)) }
}

const VALUES: &str = "a value of message.type (NORMAL, FIFO, DELAY, TRANSACTION, MIXED, \
                      UNSPECIFIED), SimpleCQ or DELETE";

fn refused(value: &str, expected: &'static str) -> AdminError {
    AdminError::Attribute { value: value.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(text: &str) -> BTreeMap<String, String> {
        parse(text).unwrap()
    }

    #[test]
    fn a_new_topic_takes_what_is_set() {
        let attributes =
            change(None, &changes("+message.type=FIFO, +queue.type=SimpleCQ")).unwrap();
        assert_eq!(attributes["message.type"], "FIFO");
        assert_eq!(attributes.len(), 2);
    }

    #[test]
    fn a_known_topic_is_changed_key_by_key() {
        let before = change(None, &changes("+message.type=FIFO")).unwrap();
        let after = change(Some(&before), &changes("+message.type=NORMAL")).unwrap();
        assert_eq!(after["message.type"], "NORMAL");
        assert!(change(Some(&after), &changes("-message.type")).unwrap().is_empty());
    }

    #[test]
    fn unknown_keys_wrong_values_and_wrong_signs_are_refused() {
        for text in ["+color=red", "+message.type=RED", "message.type=FIFO", "-message.type"] {
            assert!(change(None, &changes(text)).is_err(), "{text}");
        }
        let before = BTreeMap::new();
        assert!(change(Some(&before), &changes("+queue.type=BatchCQ")).is_err());
        assert!(parse("+message.type=FIFO,+message.type=DELAY").is_err());
    }
}
