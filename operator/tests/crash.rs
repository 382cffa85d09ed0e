//! The operator is killed before and after every request that it makes. Whatever it left behind, the
//! next one ends where one that was never killed ends, and does nothing twice.
//!
//! A process leaves nothing behind but what its writes did: being killed before a request is the same
//! as after the write before it. So it is killed before its first request, and after each write.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod support;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::run::{Cluster, Operator, broker_set, changes};
use support::{Call, Fate, Id, Verb};

/// What is done to a cluster.
struct Flow {
    name: &'static str,
    before: Option<Value>,
    act: fn(&Cluster),
}

const FLOWS: [Flow; 6] = [
    Flow {
        name: "create",
        before: None,
        act: |cluster| cluster.apply("orders", &json!({ "groups": 2 })),
    },
    Flow {
        name: "change",
        before: Some(Value::Null),
        act: |cluster| cluster.apply("orders", &json!({ "groups": 2, "image": "rocketkube:2" })),
    },
    Flow {
        name: "scale",
        before: Some(Value::Null),
        act: |cluster| cluster.apply("orders", &json!({ "groups": 3 })),
    },
    Flow {
        name: "hibernate",
        before: Some(Value::Null),
        act: |cluster| cluster.apply("orders", &json!({ "groups": 2, "hibernate": true })),
    },
    Flow {
        name: "other name servers",
        before: Some(Value::Null),
        act: |cluster| {
            let name_server = json!({ "addresses": ["ns.example.com:9876"] });
            cluster.apply("orders", &json!({ "groups": 2, "nameServer": name_server }));
        },
    },
    Flow {
        name: "delete and create again",
        before: Some(Value::Null),
        act: |cluster| {
            cluster.server.objects(|objects| objects.remove(&broker_set("orders")));
            cluster.apply("orders", &json!({ "groups": 2 }));
        },
    },
];

/// How a flow ended.
#[derive(Debug, PartialEq)]
struct End {
    objects: BTreeMap<String, Value>,
    /// How often each pod was deleted.
    deleted: BTreeMap<String, usize>,
}

/// Requests but watches and what only tells.
fn counts(call: &Call) -> bool {
    call.verb != Verb::Watch && call.resource != "events"
}

/// Plays a flow, with an operator that is killed at one of its requests; returns those it made.
async fn play(flow: &Flow, killed_at: Option<(usize, Fate)>) -> (End, Vec<Call>) {
    let cluster = Cluster::new();
    let mut operator = Operator::start(&cluster.server);
    if flow.before.is_some() {
        cluster.apply("orders", &json!({ "groups": 2 }));
    }
    cluster.quiet().await;
    if let Some((at, fate)) = killed_at {
        let mut seen = 0;
        cluster.server.decide(move |call| {
            if !counts(call) {
                return Fate::Answered;
            }
            seen += 1;
            if seen == at + 1 { fate } else { Fate::Answered }
        });
    }
    (flow.act)(&cluster);
    if killed_at.is_some() {
        cluster.server.stopped().await;
        operator.kill().await;
        cluster.server.decide_nothing();
        operator = Operator::start(&cluster.server);
    }
    let calls = cluster.quiet().await.into_iter().filter(counts).collect();
    operator.kill().await;
    let end = end(&cluster);

    let _operator = Operator::start(&cluster.server);
    let idle = cluster.quiet().await;
    assert_eq!(changes(&idle), Vec::<String>::new(), "{} {killed_at:?}", flow.name);
    (end, calls)
}

fn end(cluster: &Cluster) -> End {
    let skip = |id: &Id| matches!(id.resource.as_str(), "events" | "leases");
    cluster.server.objects(|objects| {
        let kept = objects.all().filter(|(id, _)| !skip(id));
        let deleted = objects.deletions().iter().filter(|(id, _)| id.resource == "pods");
        End {
            objects: kept
                .map(|(id, object)| (format!("{} {}", id.resource, id.name), plain(object)))
                .collect(),
            deleted: deleted.map(|(id, count)| (id.name.clone(), *count)).collect(),
        }
    })
}

/// An object without what differs from run to run: versions, times, and numbers given in order.
fn plain(object: &Value) -> Value {
    match object {
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, _)| {
                !matches!(
                    key.as_str(),
                    "uid"
                        | "resourceVersion"
                        | "generation"
                        | "observedGeneration"
                        | "lastTransitionTime"
                        | "podIP"
                        | "addresses"
                        | "mq.rocketkube.dev/rendered"
                )
            })
            .map(|(key, value)| (key.clone(), plain(value)))
            .collect(),
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

/// The requests to be killed at, and whether they are done.
fn moments(calls: &[Call]) -> Vec<(usize, Fate)> {
    let writes = calls.iter().enumerate().filter(|(_, call)| call.verb.is_write());
    let after = writes.map(|(at, _)| (at, Fate::StoppedAfter));
    std::iter::once((0, Fate::StoppedBefore)).chain(after).collect()
}

async fn never_matters(name: &str) {
    let flow = FLOWS.iter().find(|flow| flow.name == name).unwrap();
    let (expected, calls) = play(flow, None).await;
    let moments = moments(&calls);
    assert!(moments.len() > 3, "{name}: {} requests", moments.len());
    for (at, fate) in moments {
        let (end, _) = play(flow, Some((at, fate))).await;
        let moment = format!("{name}, {:?} {:?}, {fate:?}", calls[at].verb, calls[at].id());
        assert_eq!(end.deleted, expected.deleted, "{moment}");
        for (object, wanted) in &expected.objects {
            assert_eq!(end.objects.get(object), Some(wanted), "{object}: {moment}");
        }
        assert_eq!(end.objects.len(), expected.objects.len(), "{moment}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_creating_never_matters() {
    never_matters("create").await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_changing_never_matters() {
    never_matters("change").await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_scaling_never_matters() {
    never_matters("scale").await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_hibernating_never_matters() {
    never_matters("hibernate").await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_sweeping_never_matters() {
    never_matters("other name servers").await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_deleting_never_matters() {
    never_matters("delete and create again").await;
}
