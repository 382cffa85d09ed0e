//! The rights on file are those that the operator uses.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use rocketkube_operator::{Clock, Config, Context, run};
use rocketkube_service::http::Health;
use rocketkube_service::metrics::Registry;
use serde::Deserialize;
use serde_json::json;
use support::run::{Cluster, Operator};
use support::{ApiServer, Call, Id};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rights {
    watched: Vec<Rule>,
    own: Vec<Rule>,
    cluster: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    reason: String,
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
}

/// API group, resource with subresource, verb.
type Right = (String, String, String);

fn rights(rules: &[Rule]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in rules {
        assert!(!rule.reason.is_empty());
        for group in &rule.api_groups {
            for resource in &rule.resources {
                for verb in &rule.verbs {
                    rights.insert((group.clone(), resource.clone(), verb.clone()));
                }
            }
        }
    }
    rights
}

/// What the authorizer asks about a request: an apply of something new is a patch and a create.
fn needed(call: &Call) -> Vec<Right> {
    let subresource = call.subresource.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
    let right = |verb: &str| {
        (call.group.clone(), format!("{}{subresource}", call.resource), verb.to_owned())
    };
    let mut needed = vec![right(call.verb.name())];
    if call.is_apply && subresource.is_empty() {
        needed.push(right("create"));
    }
    needed
}

fn file() -> Rights {
    serde_saphyr::from_str(include_str!("../rbac.yaml")).unwrap()
}

/// What is asked for while `BrokerSets` come, change and rest.
async fn reconciling() -> Vec<Call> {
    let cluster = Cluster::new();
    let operator = Operator::start(&cluster.server);
    let mut calls = Vec::new();
    let specs = [
        json!({}),
        json!({ "groups": 2, "image": "rocketkube:2", "pod": { "labels": { "a": "b" } } }),
        json!({
            "groups": 2,
            "nameServer": { "addresses": ["ns.example.com:9876"] },
            "networkPolicy": { "enabled": false },
        }),
        json!({ "groups": 2, "hibernate": true }),
    ];
    for spec in specs {
        cluster.apply("orders", &spec);
        calls.extend(cluster.quiet().await);
    }
    operator.kill().await;
    calls
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_that_is_not_on_file() {
    let used: BTreeSet<Right> = reconciling().await.iter().flat_map(needed).collect();
    assert!(used.len() > 40, "{used:?}");
    let allowed = rights(&file().watched);
    let missing: Vec<_> = used.difference(&allowed).collect();
    assert_eq!(missing, Vec::<&Right>::new());
}

/// What is asked for when the operator goes with its namespace.
async fn leaving() -> Vec<Call> {
    let server = ApiServer::new();
    let now = json!("2030-01-01T00:00:00Z");
    let kinds = [
        Id::new("", "namespaces", "", "operator"),
        Id::new("mq.rocketkube.dev", "topics", "operator", "t"),
        Id::new("mq.rocketkube.dev", "consumergroups", "operator", "g"),
    ];
    for (id, finalizer) in kinds.iter().zip(["kubernetes", "topic", "consumergroup"]) {
        let finalizers = [format!("mq.rocketkube.dev/{finalizer}")];
        let metadata = json!({ "deletionTimestamp": now, "finalizers": finalizers });
        server.objects(|objects| objects.put(id, json!({ "metadata": metadata })));
    }
    let context =
        Context::new(server.client(), Config::default(), &Registry::default(), Clock::default());
    let stopped = CancellationToken::new();
    stopped.cancel();
    run(context, &Health::default(), stopped).await.unwrap();
    server.take_calls()
}

#[tokio::test(start_paused = true)]
async fn who_leaves_a_namespace_needs_rights_in_it_alone() {
    let calls = leaving().await;
    let elsewhere = |call: &&Call| call.verb.is_write() && call.id().namespace != "operator";
    assert_eq!(calls.iter().find(elsewhere), None);
    let used: BTreeSet<Right> = calls.iter().flat_map(needed).collect();
    let patched =
        |resource: &str| ("mq.rocketkube.dev".to_owned(), resource.to_owned(), "patch".to_owned());
    assert!(used.contains(&patched("topics")) && used.contains(&patched("consumergroups")));
    let Rights { watched, own, .. } = file();
    let allowed = &rights(&watched) | &rights(&own);
    let missing: Vec<_> = used.difference(&allowed).collect();
    assert_eq!(missing, Vec::<&Right>::new());
}

/// What the whole process asks for, with leader election and with what keeps topics and groups.
async fn whole() -> Vec<Call> {
    let cluster = Cluster::new();
    let config = Config {
        broker_image: "rocketkube:1".to_owned(),
        identity: "test".to_owned(),
        ..Config::default()
    };
    let context =
        Context::new(cluster.server.client(), config, &Registry::default(), Clock::default());
    let shutdown = CancellationToken::new();
    let until = shutdown.clone();
    let process = tokio::spawn(async move { run(context, &Health::default(), until).await });
    let by_label = json!({ "topicNamespaces": {
        "from": "Selector", "selector": { "matchLabels": { "mq": "orders" } } } });
    cluster.apply("orders", &json!({ "access": by_label }));
    for (resource, kind) in [("topics", "Topic"), ("consumergroups", "ConsumerGroup")] {
        for namespace in ["shop", "other"] {
            let id = Id::new("mq.rocketkube.dev", resource, namespace, "t");
            let reference = json!({ "name": "orders", "namespace": "shop" });
            let object = json!({
                "apiVersion": "mq.rocketkube.dev/v1alpha1",
                "kind": kind,
                "spec": { "brokerSetRef": reference, "deletionPolicy": "Delete" },
            });
            cluster.server.objects(|objects| objects.put(&id, object));
        }
    }
    sleep(Duration::from_mins(5)).await;
    let calls = cluster.server.take_calls();
    shutdown.cancel();
    process.await.unwrap().unwrap();
    calls
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_that_is_not_on_file_by_the_process_either() {
    let calls = whole().await;
    let (leases, others): (Vec<_>, Vec<_>) =
        calls.iter().partition(|call| call.resource == "leases");
    let Rights { watched, own, cluster: of_cluster } = file();
    let allowed = &rights(&watched) | &rights(&of_cluster);
    let used: BTreeSet<Right> = others.into_iter().flat_map(needed).collect();
    for resource in ["topics", "topics/status", "consumergroups/status", "namespaces"] {
        assert!(used.iter().any(|(_, used, _)| used == resource), "{resource}: {used:?}");
    }
    assert_eq!(used.difference(&allowed).collect::<Vec<_>>(), Vec::<&Right>::new());
    let used: BTreeSet<Right> = leases.into_iter().flat_map(needed).collect();
    assert!(!used.is_empty());
    assert_eq!(used.difference(&rights(&own)).collect::<Vec<_>>(), Vec::<&Right>::new());
}

/// Rights that none of the requests here need.
fn without_requests() -> BTreeSet<Right> {
    let right = |group: &str, resource: &str, verb: &str| {
        (group.to_owned(), resource.to_owned(), verb.to_owned())
    };
    // Asked for where the API server checks owner references, which the one of the tests does not.
    let mut rights =
        BTreeSet::from([right("mq.rocketkube.dev", "brokersets/finalizers", "update")]);
    // Asked for when a BrokerSet seems to be gone, and when an event is told again.
    rights.insert(right("mq.rocketkube.dev", "brokersets", "get"));
    rights.insert(right("events.k8s.io", "events", "patch"));
    // Handed on to the role of each group.
    for verb in ["get", "watch", "update"] {
        rights.insert(right("coordination.k8s.io", "leases", verb));
        rights.insert(right("discovery.k8s.io", "endpointslices", verb));
    }
    rights
}

#[tokio::test(start_paused = true)]
async fn nothing_is_on_file_that_is_not_asked_for() {
    let calls = [reconciling().await, leaving().await, whole().await].concat();
    let is_own = |call: &&Call| {
        call.resource == "leases"
            || (call.resource == "namespaces" && call.name.as_deref() == Some("operator"))
    };
    let (own, others): (Vec<_>, Vec<_>) = calls.iter().partition(is_own);
    let own: BTreeSet<Right> = own.into_iter().flat_map(needed).collect();
    let others: BTreeSet<Right> = others.into_iter().flat_map(needed).collect();
    let on_file = file();
    let unused = |rights: &BTreeSet<Right>, used: &BTreeSet<Right>| -> BTreeSet<Right> {
        rights.difference(used).cloned().collect()
    };
    assert_eq!(unused(&rights(&on_file.watched), &others), without_requests());
    assert_eq!(unused(&rights(&on_file.own), &own), BTreeSet::new());
    assert_eq!(unused(&rights(&on_file.cluster), &others), BTreeSet::new());
}

#[test]
fn groups_get_no_right_that_the_operator_lacks() {
    let allowed = rights(&file().watched);
    for resource in ["leases", "endpointslices"] {
        let group = if resource == "leases" { "coordination.k8s.io" } else { "discovery.k8s.io" };
        for verb in ["get", "watch", "update"] {
            let right = (group.to_owned(), resource.to_owned(), verb.to_owned());
            assert!(allowed.contains(&right), "{right:?}");
        }
    }
}

#[test]
fn nothing_dangerous_is_on_file() {
    let Rights { watched, own, cluster } = file();
    for (_, resource, verb) in rights(&watched).union(&rights(&own)) {
        assert!(!resource.starts_with("secrets"), "{resource}");
        assert!(!resource.contains("exec") && !resource.contains('*'), "{resource}");
        assert!(!["*", "escalate", "bind", "impersonate"].contains(&verb.as_str()), "{verb}");
    }
    for (_, resource, verb) in rights(&cluster) {
        assert!(["get", "list", "watch"].contains(&verb.as_str()), "{verb} {resource}");
    }
}
