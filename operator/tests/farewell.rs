//! An operator that is told to stop because its namespace goes away.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use rocketkube_operator::{Clock, Config, Context, run};
use rocketkube_service::http::Health;
use rocketkube_service::metrics::Registry;
use serde_json::{Value, json};
use support::run::Cluster;
use support::{ApiServer, Fate, Id};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

const GROUP: &str = "mq.rocketkube.dev";
/// Where the operator is.
const HOME: &str = "operator";

/// Topics and a consumer group with finalizers, at home and elsewhere.
fn declare(server: &ApiServer, is_ending: bool) {
    let mut home = json!({ "metadata": {} });
    if is_ending {
        home["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z".into();
        home["metadata"]["finalizers"] = json!(["kubernetes"]);
    }
    server.objects(|objects| objects.put(&Id::new("", "namespaces", "", HOME), home));
    for (resource, kind, namespace, name) in [
        ("topics", "Topic", HOME, "t1"),
        ("topics", "Topic", HOME, "t2"),
        ("consumergroups", "ConsumerGroup", HOME, "g"),
        ("topics", "Topic", "shop", "t1"),
    ] {
        let finalizers = [format!("{GROUP}/{}", kind.to_lowercase()), "else/where".to_owned()];
        let object = json!({
            "apiVersion": "mq.rocketkube.dev/v1alpha1",
            "kind": kind,
            "metadata": { "finalizers": finalizers },
            "spec": { "brokerSetRef": { "name": "orders" }, "deletionPolicy": "Delete" },
        });
        let id = Id::new(GROUP, resource, namespace, name);
        server.objects(|objects| objects.put(&id, object));
    }
}

/// Namespace and name of what still has one of our finalizers.
fn held(server: &ApiServer) -> Vec<String> {
    let ours = |object: &Value| {
        let finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.iter().any(|it| it.as_str().unwrap().starts_with(GROUP))
    };
    server.objects(|objects| {
        let declared = objects.all().filter(|(id, object)| id.group == GROUP && ours(object));
        declared.map(|(id, _)| format!("{}/{}", id.namespace, id.name)).collect()
    })
}

fn context(server: &ApiServer, namespaces: &str) -> Arc<Context> {
    let config = Config {
        identity: "first".to_owned(),
        namespaces: namespaces.to_owned(),
        ..Config::default()
    };
    Context::new(server.client(), config, &Registry::default(), Clock::default())
}

/// Runs one that is told to stop before it leads.
async fn stop_a_standby(server: &ApiServer, namespaces: &str) {
    let stopped = CancellationToken::new();
    stopped.cancel();
    run(context(server, namespaces), &Health::default(), stopped).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_declared_in_its_namespace_is_let_go_and_nothing_else() {
    let server = ApiServer::new();
    declare(&server, true);
    stop_a_standby(&server, "").await;
    assert_eq!(held(&server), ["shop/t1"]);
    let id = Id::new(GROUP, "topics", HOME, "t1");
    let left =
        server.objects(|objects| objects.get(&id).unwrap()["metadata"]["finalizers"].clone());
    assert_eq!(left, json!(["else/where"]));
}

#[tokio::test(start_paused = true)]
async fn one_that_leads_lets_go_as_well() {
    let cluster = Cluster::new();
    declare(&cluster.server, true);
    let (context, stop) = (context(&cluster.server, ""), CancellationToken::new());
    let until = stop.clone();
    let running = tokio::spawn(async move { run(context, &Health::default(), until).await });
    cluster.quiet().await;
    stop.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(held(&cluster.server), ["shop/t1"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_let_go_by_a_restart_or_where_others_look_after_it() {
    let server = ApiServer::new();
    declare(&server, false);
    stop_a_standby(&server, "").await;
    assert_eq!(held(&server).len(), 4);
    declare(&server, true);
    stop_a_standby(&server, "shop").await;
    assert_eq!(held(&server).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_changed_meanwhile_is_tried_again_and_not_for_ever() {
    let server = ApiServer::new();
    declare(&server, true);
    let is_patch = |call: &support::Call| call.resource == "topics" && call.verb.is_write();
    server.decide(support::first(is_patch, [Fate::Refused(409), Fate::Lost]));
    stop_a_standby(&server, "").await;
    assert_eq!(held(&server), ["shop/t1"]);
    declare(&server, true);
    let begun = Instant::now();
    server.decide(move |call| if is_patch(call) { Fate::StoppedBefore } else { Fate::Answered });
    timeout(Duration::from_secs(20), stop_a_standby(&server, "")).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(5), "it was not tried");
}
