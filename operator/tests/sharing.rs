//! Name servers that several `BrokerSets` use, at an API server in the test's own process.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod support;

use serde_json::{Value, json};
use support::run::{Cluster, Operator, broker_set, changes};

fn sharing(groups: i32) -> Value {
    json!({ "groups": groups, "nameServer": { "fromBrokerSet": { "name": "orders" } } })
}

/// What name servers that start wait for.
fn expected(cluster: &Cluster) -> String {
    let settings = cluster.get("", "configmaps", "orders-namesrv-config").unwrap();
    let text = settings["data"]["namesrv.yaml"].as_str().unwrap();
    text.trim_start_matches("expect: ").trim().trim_matches('"').to_owned()
}

fn name_servers(cluster: &Cluster) -> Value {
    cluster.get("apps", "deployments", "orders-namesrv").unwrap()["spec"].clone()
}

#[tokio::test(start_paused = true)]
async fn name_servers_expect_the_brokers_of_all_that_use_them() {
    let cluster = Cluster::new();
    let operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.apply("audit", &sharing(1));
    cluster.apply("other", &json!({}));
    cluster.quiet().await;
    assert_eq!(expected(&cluster), "orders-b0,audit-b0");
    let before = name_servers(&cluster);

    cluster.apply("audit", &sharing(2));
    cluster.apply("billing", &sharing(1));
    cluster.quiet().await;
    assert_eq!(expected(&cluster), "orders-b0,audit-b0,audit-b1,billing-b0");
    assert_eq!(name_servers(&cluster), before, "none of them is restarted");
    operator.kill().await;

    cluster.server.take_calls();
    let _operator = Operator::start(&cluster.server);
    assert_eq!(changes(&cluster.quiet().await), Vec::<String>::new(), "nothing changed");
    cluster.apply("audit", &json!({ "groups": 2 }));
    cluster.server.objects(|objects| objects.remove(&broker_set("billing")));
    cluster.quiet().await;
    assert_eq!(expected(&cluster), "orders-b0");
    assert_eq!(name_servers(&cluster), before);
}

#[tokio::test(start_paused = true)]
async fn who_left_while_a_watch_was_broken_is_not_waited_for() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.apply("audit", &sharing(1));
    cluster.quiet().await;
    assert_eq!(expected(&cluster), "orders-b0,audit-b0");
    cluster.server.objects(|objects| {
        objects.hold_watches();
        objects.remove(&broker_set("audit"));
        objects.forget();
        objects.release_watches();
    });
    cluster.quiet().await;
    assert_eq!(expected(&cluster), "orders-b0");
}

#[tokio::test(start_paused = true)]
async fn name_servers_of_a_set_that_hibernates_stay_for_those_that_do_not() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.apply("audit", &sharing(1));
    cluster.quiet().await;
    cluster.apply("orders", &json!({ "hibernate": true }));
    cluster.quiet().await;
    assert_eq!(cluster.phase("orders"), "Hibernated");
    let (_, reason, message) = cluster.condition("orders", "Ready").unwrap();
    assert_eq!(reason, "Hibernated");
    assert!(message.contains("name servers stay for audit"), "{message}");
    assert_eq!(name_servers(&cluster)["replicas"], 2);
    assert_eq!(expected(&cluster), "audit-b0", "nobody comes of the one that hibernates");
    assert!(cluster.is_ready("audit"), "{:?}", cluster.condition("audit", "Ready"));

    let mut asleep = sharing(1);
    asleep["hibernate"] = true.into();
    cluster.apply("audit", &asleep);
    let calls = cluster.quiet().await;
    assert_eq!(name_servers(&cluster)["replicas"], 0);
    let stops: Vec<_> = calls
        .iter()
        .filter(|call| call.changes() && call.body["spec"]["replicas"] == 0)
        .map(|call| call.id().name)
        .collect();
    assert_eq!(stops, ["audit-b0", "orders-namesrv"], "brokers say goodbye to name servers");
    let (_, _, message) = cluster.condition("orders", "Ready").unwrap();
    assert!(message.starts_with("all pods are stopped"), "{message}");

    cluster.apply("audit", &sharing(1));
    cluster.quiet().await;
    assert_eq!(name_servers(&cluster)["replicas"], 2);
    assert!(cluster.is_ready("audit"), "{:?}", cluster.condition("audit", "Ready"));
}
