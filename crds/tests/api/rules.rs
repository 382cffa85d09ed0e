//! Each validation rule lets through and refuses what `testdata` says.

use std::collections::BTreeSet;

use crate::support::{Kind, kind, kinds};
use kube::core::cel::{compile_schema, estimate_rule_cost};
use rocketkube_protocol::names;
use serde::Deserialize;
use serde_json::{Value, json};

/// Cases of one rule, which is named by its message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    rule: String,
    accepts: Vec<Value>,
    refuses: Vec<Value>,
}

fn cases(kind: &Kind) -> Vec<Cases> {
    let path = format!("{}/testdata/{}.yaml", env!("CARGO_MANIFEST_DIR"), kind.plural);
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What is said against a case; its old object has to be sound.
fn refusals(kind: &Kind, mut case: Value) -> Vec<String> {
    let before = case.as_object_mut().unwrap().remove("before").map(|old| kind.stored(old));
    if let Some(before) = &before {
        assert_eq!(kind.problems(before, None), Vec::<String>::new(), "{before}");
    }
    kind.problems(&kind.stored(case), before.as_ref())
}

#[test]
fn each_rule_lets_through_and_refuses_what_its_cases_say() {
    for kind in kinds() {
        for cases in cases(&kind) {
            for case in cases.accepts {
                assert_eq!(refusals(&kind, case.clone()), Vec::<String>::new(), "{case}");
            }
            for case in cases.refuses {
                assert_eq!(refusals(&kind, case.clone()), [cases.rule.as_str()], "{case}");
            }
        }
    }
}

#[test]
fn each_rule_has_cases_of_both_sorts() {
    for kind in kinds() {
        let mut rules = Vec::new();
        collect_rules(&kind.schema, &mut rules);
        let messages = rules.iter().map(|(_, rule)| rule["message"].as_str().unwrap());
        let (there, cases) = (messages.collect::<BTreeSet<_>>(), cases(&kind));
        let tested = cases.iter().map(|cases| cases.rule.as_str()).collect::<BTreeSet<_>>();
        assert_eq!(there, tested, "{}", kind.name);
        assert!(cases.iter().all(|cases| !cases.accepts.is_empty() && !cases.refuses.is_empty()));
    }
}

#[test]
fn no_rule_costs_more_than_an_api_server_allows_or_walks_over_something_unbounded() {
    for kind in kinds() {
        let mut rules = Vec::new();
        collect_rules(&kind.schema, &mut rules);
        for (schema, rule) in rules {
            let rule = rule["rule"].as_str().unwrap();
            let warnings = estimate_rule_cost(rule, &compile_schema(schema));
            assert!(warnings.is_empty(), "{rule}: {warnings:?}");
        }
    }
}

/// Rules with the schemas that they stand in.
fn collect_rules<'a>(schema: &'a Value, found: &mut Vec<(&'a Value, &'a Value)>) {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    found.extend(rules.into_iter().flatten().map(|rule| (schema, rule)));
    let children = schema.get("properties").and_then(Value::as_object);
    children.into_iter().flatten().for_each(|(_, child)| collect_rules(child, found));
    for key in ["items", "additionalProperties"] {
        schema.get(key).into_iter().for_each(|child| collect_rules(child, found));
    }
}

#[test]
fn the_brokers_own_topics_are_refused_without_exception() {
    let kind = kind("Topic");
    for topic in names::SYSTEM_TOPICS {
        let spec = json!({ "brokerSetRef": { "name": "orders" }, "topicName": topic });
        let problems = kind.refusals(json!({ "spec": spec }));
        assert_eq!(problems, ["topicName is one of the broker's own topics"], "{topic}");
    }
}

#[test]
fn the_brokers_own_groups_are_refused_without_exception() {
    let kind = kind("ConsumerGroup");
    for group in names::SYSTEM_GROUPS {
        let spec = json!({ "brokerSetRef": { "name": "orders" }, "groupName": group });
        let problems = kind.refusals(json!({ "spec": spec }));
        assert_eq!(problems, ["groupName is one of the broker's own groups"], "{group}");
    }
}
