//! The definitions take what the broker takes.

use crate::support::kind;
use rocketkube_crds::BrokerSetSpec;
use rocketkube_protocol::names;
use rocketkube_testkit::settings_table;
use serde_json::{Value, json};

#[test]
fn settings_of_messages_have_the_defaults_and_bounds_of_the_brokers_settings() {
    let kind = kind("BrokerSet");
    let refused = |key: &str, value: &Value| {
        !kind.refusals(json!({ "spec": { "messages": { key: value } } })).is_empty()
    };
    let defaults = serde_json::to_value(BrokerSetSpec::default()).unwrap();
    let table = settings_table(include_str!("../../../docs/settings.md"), "Broker");
    for (key, value) in defaults["messages"].as_object().unwrap() {
        let row = table.iter().find(|row| row.key == *key).unwrap();
        // Whoever writes manifests declares groups as well.
        if key != "autoCreateGroups" {
            let default = row.default.as_deref().unwrap();
            assert_eq!(in_manifest(key, default), *value, "{key}");
        }
        let Some((least, most)) = &row.range else { continue };
        for bound in [least, most] {
            assert!(!refused(key, &in_manifest(key, bound)), "{key} {bound}");
        }
        for beyond in beyond(least, most) {
            assert!(refused(key, &in_manifest(key, &beyond)), "{key} {beyond}");
        }
    }
}

/// A value of the settings page, as a manifest has it.
fn in_manifest(key: &str, value: &str) -> Value {
    match (key, value) {
        ("maxBodySize", "4194304") => json!("4Mi"),
        ("retention", "3650d") => json!("87600h"),
        ("maxBodySize" | "retention", text) => json!(text),
        (_, other) => serde_json::from_str(other).unwrap(),
    }
}

fn beyond(least: &str, most: &str) -> Vec<String> {
    match (least.parse::<u64>(), most.parse::<u64>()) {
        (Ok(least), Ok(most)) => vec![(least - 1).to_string(), (most + 1).to_string()],
        _ => vec!["59s".to_owned(), "87600h1s".to_owned()],
    }
}

#[test]
fn a_topic_has_as_many_queues_as_the_broker_allows() {
    let kind = kind("Topic");
    let refusals = |queues: u32| {
        let spec = json!({ "brokerSetRef": { "name": "orders" }, "queues": queues });
        kind.refusals(json!({ "spec": spec }))
    };
    assert!(refusals(1).is_empty() && refusals(names::MAX_QUEUES).is_empty());
    assert!(!refusals(0).is_empty() && !refusals(names::MAX_QUEUES + 1).is_empty());
}

#[test]
fn names_are_as_long_as_the_broker_allows() {
    for (name, field, max) in
        [("Topic", "topicName", names::MAX_TOPIC), ("ConsumerGroup", "groupName", names::MAX_GROUP)]
    {
        let refusals = |length: usize| {
            let spec = json!({ "brokerSetRef": { "name": "orders" }, field: "T".repeat(length) });
            kind(name).refusals(json!({ "spec": spec }))
        };
        assert!(refusals(max).is_empty(), "{name}");
        assert_eq!(refusals(max + 1).len(), 1, "{name}");
    }
}

#[test]
fn a_field_that_does_not_exist_is_not_taken() {
    let problems = kind("BrokerSet").refusals(json!({ "spec": { "tls": {} } }));
    assert_eq!(problems, [".spec.tls is not known"]);
}

#[test]
fn an_explicit_null_means_the_default() {
    let kind = kind("BrokerSet");
    let stored = kind.stored(json!({ "spec": { "storage": { "size": null }, "groups": null } }));
    assert_eq!(kind.problems(&stored, None), Vec::<String>::new());
    assert_eq!(stored["spec"]["storage"]["size"], "20Gi");
    assert_eq!(stored["spec"]["groups"], 1);
}
