//! Golden tests: `testdata/CASE/input.yaml` has a `BrokerSet` and facts, `output.yaml` what is made of
//! them. With `UPDATE_GOLDEN=1` the outputs are written instead of compared.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyIngressRule};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::de::DeserializeOwned;

use super::*;

const CASES: [&str; 6] =
    ["minimal", "typical", "first-pass", "external", "hibernated", "ephemeral"];

fn file(case: &str, name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata", case, name].iter().collect()
}

fn input(case: &str) -> (BrokerSet, Facts) {
    let text = std::fs::read_to_string(file(case, "input.yaml")).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let [set, facts] = documents.try_into().unwrap();
    (serde_json::from_value(set).unwrap(), serde_json::from_value(facts).unwrap())
}

fn rendered(case: &str) -> Children {
    let (set, facts) = input(case);
    build(&set, &facts)
}

#[test]
fn specs_become_the_objects_on_file() {
    for case in CASES {
        let documents: Vec<_> = rendered(case)
            .objects
            .iter()
            .map(|child| serde_saphyr::to_string(&child.object).unwrap())
            .collect();
        let text = documents.join("---\n");
        let path = file(case, "output.yaml");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(text == golden, "{case}: see git diff after UPDATE_GOLDEN=1\n{text}");
    }
}

/// Reads an object as its type and writes it again: a field that the type does not have is lost.
fn through<K: DeserializeOwned + Serialize>(object: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<K>(object.clone()).unwrap()).unwrap()
}

#[test]
fn every_field_is_one_that_kubernetes_has() {
    for case in CASES {
        for child in rendered(case).objects {
            let object = &child.object;
            let typed = match child.id.kind {
                Kind::ConfigMap => through::<ConfigMap>(object),
                Kind::ServiceAccount => through::<ServiceAccount>(object),
                Kind::Role => through::<Role>(object),
                Kind::RoleBinding => through::<RoleBinding>(object),
                Kind::Service => through::<Service>(object),
                Kind::NetworkPolicy => through::<NetworkPolicy>(object),
                Kind::PodDisruptionBudget => through::<PodDisruptionBudget>(object),
                Kind::Deployment => through::<Deployment>(object),
                Kind::StatefulSet => through::<StatefulSet>(object),
                Kind::Pod | Kind::PersistentVolumeClaim => {
                    panic!("{:?} is no child", child.id)
                }
            };
            assert_eq!(typed, *object, "{case}");
        }
    }
}

#[test]
fn names_are_known_before_anything_is_rendered() {
    for case in CASES {
        let (set, facts) = input(case);
        let Children { objects, awaiting } = build(&set, &facts);
        let mut made: Vec<_> = objects.into_iter().map(|child| child.id).chain(awaiting).collect();
        made.sort();
        assert_eq!(made, names::all(&set), "{case}");
    }
}

#[test]
fn every_name_fits_where_kubernetes_puts_it() {
    let (mut set, mut facts) = input("minimal");
    set.metadata.name = Some("a".repeat(40));
    set.spec.groups = 64;
    facts.groups = vec![facts.groups[0].clone(); 64];
    for child in build(&set, &facts).objects {
        let name = &child.id.name;
        // A pod's label has the name of its StatefulSet and a hash of ten letters behind it.
        let longest = if child.id.kind == Kind::StatefulSet { 63 - 11 } else { 63 };
        assert!(name.len() <= longest, "{name}");
        assert_eq!(child.object["metadata"]["name"], **name);
    }
}

#[test]
fn a_group_more_is_no_other_template_for_name_servers() {
    let deployment = |groups: usize| {
        let (set, mut facts) = input("minimal");
        facts.groups = vec![facts.groups[0].clone(); groups];
        let mut children = build(&set, &facts).objects.into_iter();
        children.find(|child| child.id.kind == Kind::Deployment).unwrap()
    };
    assert_eq!(deployment(1), deployment(3));
}

/// A settings file that name servers do not understand would keep them from starting.
#[test]
fn name_servers_are_told_of_brokers_in_their_own_words() {
    let children = rendered("typical").objects;
    let is = |child: &&Child| child.id.name == names::name_server_settings("orders");
    let text = &children.iter().find(is).unwrap().object["data"]["namesrv.yaml"];
    let settings: Value = serde_saphyr::from_str(text.as_str().unwrap()).unwrap();
    assert_eq!(settings, json!({ "expect": "orders-b0,orders-b1" }));
}

/// What restarts a pod is a promise: each change alone, and whether the pods of a group notice.
#[test]
fn only_what_has_to_restarts_pods() {
    let roll = |change: fn(&mut BrokerSet, &mut Facts)| {
        let (mut set, mut facts) = input("minimal");
        change(&mut set, &mut facts);
        let children = build(&set, &facts).objects;
        let sets = children.iter().find(|child| child.id.kind == Kind::StatefulSet).unwrap();
        sets.object["spec"]["template"]["metadata"]["annotations"][labels::ROLL].clone()
    };
    let before = roll(|_, _| {});
    let same: [fn(&mut BrokerSet, &mut Facts); 6] = [
        |set, _| drop(set.spec.pod.labels.insert("a".into(), "b".into())),
        |set, _| drop(set.spec.pod.annotations.insert("a".into(), "b".into())),
        |set, _| set.spec.network_policy.enabled = false,
        |set, _| set.spec.hibernate = true,
        |_, facts| facts.groups[0].state = GroupState::Joining,
        // Seen beside it: taking it away restarts nothing.
        |_, facts| facts.restart_at = Some("2030-01-31T06:00:00Z".into()),
    ];
    for change in same {
        assert_eq!(roll(change), before);
    }
    let other: [fn(&mut BrokerSet, &mut Facts); 4] = [
        |_, facts| facts.image = "rocketkube:2".into(),
        |set, _| set.spec.messages.auto_create_topics = true,
        |set, _| set.spec.pod.priority_class_name = Some("high".into()),
        |_, facts| facts.name_servers = "ns.example.com:9876".into(),
    ];
    for change in other {
        assert_ne!(roll(change), before);
    }
}

/// The policy of that name, and whom it lets in at which ports: none means all.
fn ingress(children: &[Child], name: &str) -> Vec<NetworkPolicyIngressRule> {
    let is = |child: &&Child| child.id.kind == Kind::NetworkPolicy && child.id.name == name;
    let policy = children.iter().find(is).unwrap().object.clone();
    let policy: NetworkPolicy = serde_json::from_value(policy).unwrap();
    policy.spec.unwrap().ingress.unwrap()
}

fn open_ports(rule: &NetworkPolicyIngressRule) -> Vec<i32> {
    let ports = rule.ports.iter().flatten().map(|port| match &port.port {
        Some(IntOrString::Int(port)) => *port,
        other => panic!("{other:?} is no number"),
    });
    ports.collect()
}

/// Pods by the labels that the peer asks for, if it asks for these and no more.
fn chosen(selector: Option<&LabelSelector>) -> BTreeMap<String, String> {
    let selector = selector.cloned().unwrap_or_default();
    assert_eq!(selector.match_expressions, None);
    selector.match_labels.unwrap_or_default()
}

#[test]
fn other_pods_beside_the_operator_come_in_as_clients_only() {
    let children = rendered("typical").objects;
    let [pods, operators] = ingress(&children, "orders-internal").try_into().unwrap();
    // Those that share name servers are in the same namespace, and may be there for that.
    let [peer] = pods.from.unwrap().try_into().unwrap();
    assert_eq!((peer.namespace_selector, peer.ip_block), (None, None));
    let [by] = peer.pod_selector.unwrap().match_expressions.unwrap().try_into().unwrap();
    assert_eq!((by.key.as_str(), by.operator.as_str()), (labels::BROKER_SET, "Exists"));
    assert_eq!(open_ports(&operators), [10_911]);
    let [peer] = operators.from.unwrap().try_into().unwrap();
    let namespace = chosen(peer.namespace_selector.as_ref());
    assert_eq!(namespace["kubernetes.io/metadata.name"], "rocketkube");
    // As the chart labels the pods of operators.
    let chart = include_str!("../../../../charts/testdata/default.yaml");
    let deployment = "kind: Deployment\n";
    let document = chart.split("---\n").find(|document| document.contains(deployment)).unwrap();
    let deployment: Deployment = serde_saphyr::from_str(document).unwrap();
    let has = deployment.spec.unwrap().template.metadata.unwrap().labels.unwrap();
    let asked = chosen(peer.pod_selector.as_ref());
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|(name, value)| has.get(name) == Some(value)), "{asked:?} {has:?}");
}

#[test]
fn without_the_peers_of_clients_only_health_and_metrics_are_open() {
    let children = rendered("typical").objects;
    let rules = ingress(&children, "orders-clients");
    let (named, everybody): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.from.is_some());
    assert_eq!(everybody.into_iter().map(open_ports).collect::<Vec<_>>(), [[8_080]]);
    assert_eq!(named.into_iter().map(open_ports).collect::<Vec<_>>(), [[10_911, 10_909, 9_876]]);
}
