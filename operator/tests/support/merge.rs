//! Merging of what somebody applies into what is there.

use serde_json::{Map, Value};

/// Puts `change` over `target`; lists whose items have names item by item.
pub fn apply(target: &mut Value, change: &Value) {
    match (target, change) {
        (Value::Object(target), Value::Object(change)) => {
            for (key, value) in change {
                apply(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(target), Value::Array(change)) if key_of(change).is_some() => {
            let key = key_of(change).unwrap();
            for item in change {
                match target.iter_mut().find(|other| other.get(key) == item.get(key)) {
                    Some(same) => apply(same, item),
                    None => target.push(item.clone()),
                }
            }
        }
        (target, change) => *target = change.clone(),
    }
}

/// Takes out of `target` what `before` had set and `now` does not.
pub fn remove_dropped(target: &mut Value, before: &Value, now: &Value) {
    match (target, before, now) {
        (Value::Object(target), Value::Object(before), Value::Object(now)) => {
            for (key, value) in before {
                match now.get(key) {
                    Some(still) => {
                        if let Some(inner) = target.get_mut(key) {
                            remove_dropped(inner, value, still);
                        }
                    }
                    None => drop(target.remove(key)),
                }
            }
        }
        (Value::Array(target), Value::Array(before), Value::Array(now)) => {
            let Some(key) = key_of(before) else { return };
            let has = |items: &[Value], item: &Value| {
                items.iter().any(|other| other.get(key) == item.get(key))
            };
            target.retain(|item| !has(before, item) || has(now, item));
            for item in target.iter_mut() {
                let same = |items: &[Value]| {
                    items.iter().find(|other| other.get(key) == item.get(key)).cloned()
                };
                if let (Some(before), Some(now)) = (same(before), same(now)) {
                    remove_dropped(item, &before, &now);
                }
            }
        }
        _ => {}
    }
}

/// A JSON merge patch.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { unreachable!("made an object above") };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn key_of(items: &[Value]) -> Option<&'static str> {
    let has = |key: &&str| !items.is_empty() && items.iter().all(|item| item.get(*key).is_some());
    ["uid", "name", "type", "index"].into_iter().find(has)
}
