//! Whether an object is as it should be, so that nothing is written when nothing changed.
//!
//! What we set has to be there as we set it; what others or the API server add is not ours to judge.
//! Fields that we no longer set show in the hash that every object carries.

use kube::api::DynamicObject;
use serde_json::{Map, Value};

/// Whether an object lacks something of what is desired.
pub(crate) fn is_outdated(desired: &Value, live: &DynamicObject) -> bool {
    let mut live = serde_json::to_value(live).unwrap_or(Value::Object(Map::new()));
    // What it is, is known: objects that come in a list do not say it.
    for key in ["apiVersion", "kind"] {
        live[key] = desired[key].clone();
    }
    differs(desired, &live)
}

fn differs(desired: &Value, live: &Value) -> bool {
    !holds(desired, Some(live))
}

fn holds(desired: &Value, live: Option<&Value>) -> bool {
    let Some(live) = live.filter(|value| !value.is_null()) else { return is_empty(desired) };
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => {
            // A selector is one thing to the API server: a label more selects something else.
            let whole =
                |key: &str, value: &Value| key == "selector" && live.get(key) != Some(value);
            desired.iter().all(|(key, value)| !whole(key, value) && holds(value, live.get(key)))
        }
        (Value::Array(desired), Value::Array(live)) => list_holds(desired, live),
        (Value::String(desired), Value::String(live)) => {
            desired == live || same_quantity(desired, live)
        }
        _ => desired == live,
    }
}

/// The API server leaves out what is empty or zero.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}

/// Lists whose items have names belong to several managers; others belong to one.
fn list_holds(desired: &[Value], live: &[Value]) -> bool {
    let Some(key) = ["uid", "name"].into_iter().find(|key| all_have(desired, key)) else {
        return desired.len() == live.len()
            && desired.iter().zip(live).all(|(desired, live)| holds(desired, Some(live)));
    };
    desired.iter().all(|item| {
        let same = |other: &&Value| other.get(key) == item.get(key);
        live.iter().find(same).is_some_and(|live| holds(item, Some(live)))
    })
}

fn all_have(items: &[Value], key: &str) -> bool {
    !items.is_empty() && items.iter().all(|item| item.get(key).is_some_and(Value::is_string))
}

/// The API server writes `0.5` as `500m` and `1024Mi` as `1Gi`.
fn same_quantity(a: &str, b: &str) -> bool {
    match (quantity(a), quantity(b)) {
        (Some(a), Some(b)) => (a - b).abs() <= f64::EPSILON * a.abs(),
        _ => false,
    }
}

fn quantity(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (digits, factor) = unit.unwrap_or((text, 1.0));
    // `inf` and `nan` are numbers to Rust.
    let first = digits.bytes().next()?;
    (first.is_ascii_digit() || first == b'.')
        .then(|| digits.parse::<f64>().ok())
        .flatten()
        .map(|n| n * factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_add_is_no_difference() {
        let desired = json!({ "spec": { "replicas": 1, "list": [{ "name": "a", "x": 1 }] } });
        let live = json!({
            "spec": {
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "list": [{ "name": "injected" }, { "name": "a", "x": 1, "y": 2 }],
            },
            "status": {},
        });
        assert!(!differs(&desired, &live));
    }

    #[test]
    fn what_others_change_or_remove_is_a_difference() {
        let desired = json!({ "spec": { "replicas": 1, "ports": [1, 2] } });
        assert!(differs(&desired, &json!({ "spec": { "replicas": 2, "ports": [1, 2] } })));
        assert!(differs(&desired, &json!({ "spec": { "replicas": 1, "ports": [1] } })));
        assert!(differs(&desired, &json!({ "spec": { "replicas": 1 } })));
        assert!(differs(&desired, &json!({})));
    }

    #[test]
    fn a_selector_is_compared_as_a_whole() {
        let desired = json!({ "spec": { "selector": { "a": "b" } } });
        assert!(!differs(&desired, &desired));
        assert!(differs(&desired, &json!({ "spec": { "selector": { "a": "b", "c": "d" } } })));
    }

    #[test]
    fn owners_of_others_are_no_difference_and_a_lost_one_of_ours_is() {
        let desired = json!([{ "uid": "1", "name": "x" }]);
        assert!(!differs(
            &desired,
            &json!([{ "uid": "0", "name": "x" }, { "uid": "1", "name": "x" }])
        ));
        assert!(differs(&desired, &json!([{ "uid": "0", "name": "x" }])));
    }

    #[test]
    fn quantities_are_compared_by_what_they_mean() {
        for (desired, live) in [("0.5", "500m"), ("1024Mi", "1Gi"), ("1000m", "1"), ("2", "2")] {
            assert!(
                !differs(&json!({ "cpu": desired }), &json!({ "cpu": live })),
                "{desired} {live}"
            );
        }
        for (desired, live) in [("1", "2"), ("1Gi", "1G"), ("m", "k"), ("a", "b"), ("inf", "nan")] {
            assert!(
                differs(&json!({ "cpu": desired }), &json!({ "cpu": live })),
                "{desired} {live}"
            );
        }
    }

    #[test]
    fn what_is_empty_may_be_left_out() {
        let desired = json!({ "endpoints": [], "hibernate": false, "labels": {}, "none": null });
        assert!(!differs(&desired, &json!({ "endpoints": null })));
        assert!(differs(&json!({ "endpoints": [] }), &json!({ "endpoints": [1] })));
    }
}
