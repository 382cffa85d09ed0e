//! Several operators, of which one acts.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use rocketkube_operator::{Config, Context, OperatorError, run};
use rocketkube_service::http::Health;
use rocketkube_service::metrics::Registry;
use serde_json::json;
use support::run::{Cluster, Stops};
use support::{Call, Fate, Id, Verb};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

struct Process {
    health: Arc<Health>,
    stops: Stops,
    metrics: Arc<Registry>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), OperatorError>>,
}

fn start(cluster: &Cluster, identity: &str) -> Process {
    start_in(cluster, identity, "")
}

fn start_in(cluster: &Cluster, identity: &str, namespaces: &str) -> Process {
    let config = Config {
        namespaces: namespaces.to_owned(),
        broker_image: "rocketkube:1".to_owned(),
        identity: identity.to_owned(),
        ..Config::default()
    };
    let metrics = Arc::new(Registry::default());
    let stops = Stops::default();
    let context = Context::new(cluster.server.client(), config, &metrics, stops.clock());
    let (health, shutdown) = (Arc::new(Health::default()), CancellationToken::new());
    let (of_task, until) = (Arc::clone(&health), shutdown.clone());
    let task = tokio::spawn(async move { run(context, &of_task, until).await });
    Process { health, stops, metrics, shutdown, task }
}

impl Process {
    fn leads(&self) -> bool {
        self.metrics.render().contains("mq_operator_leader 1")
    }
}

fn lease() -> Id {
    Id::new("coordination.k8s.io", "leases", "operator", "rocketkube-operator")
}

#[tokio::test(start_paused = true)]
async fn a_standby_is_ready_and_does_not_act() {
    let cluster = Cluster::new();
    let first = start(&cluster, "first");
    assert!(cluster.until(|_| first.leads()).await);
    let second = start(&cluster, "second");
    assert!(cluster.until(|_| second.health.unready().is_none()).await);
    cluster.quiet().await;
    assert!(first.leads() && !second.leads());
}

/// Waiting for the end of a Lease is by the clock on the wall, which no test can turn: here the next one
/// comes when the Lease was given back.
#[tokio::test(start_paused = true)]
async fn one_that_stops_gives_its_lease_back() {
    let cluster = Cluster::new();
    let first = start(&cluster, "first");
    assert!(cluster.until(|_| first.leads()).await);
    first.shutdown.cancel();
    first.task.await.unwrap().unwrap();
    let second = start(&cluster, "second");
    cluster.apply("orders", &json!({}));
    assert!(cluster.until(|cluster| cluster.is_ready("orders")).await);
    assert!(second.leads());
}

#[tokio::test(start_paused = true)]
async fn one_whose_lease_another_has_ends() {
    let cluster = Cluster::new();
    let operator = start(&cluster, "first");
    assert!(cluster.until(|_| operator.leads()).await);
    cluster.server.objects(|objects| {
        objects.edit(&lease(), |lease| lease["spec"]["holderIdentity"] = "other".into());
    });
    let error = operator.task.await.unwrap().unwrap_err();
    assert!(matches!(error, OperatorError::Leader(_)), "{error}");
    assert!(!operator.metrics.render().contains("mq_operator_leader 1"));
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_renew_its_lease_ends() {
    let cluster = Cluster::new();
    let operator = start(&cluster, "first");
    assert!(cluster.until(|_| operator.leads()).await);
    cluster.server.decide(
        |call| {
            if call.resource == "leases" { Fate::Lost } else { Fate::Answered }
        },
    );
    let error = operator.task.await.unwrap().unwrap_err();
    assert!(matches!(error, OperatorError::Leader(_)), "{error}");
}

/// What it writes, if it is stopped at a request of those that `which` picks. The Lease of nobody else
/// is in the way: that it does not look at its own first is what matters.
async fn written_after_a_stop(which: fn(&Call) -> bool) -> Vec<Call> {
    let cluster = Cluster::new();
    let operator = start(&cluster, "first");
    assert!(cluster.until(|_| operator.leads()).await);
    let (server, stops) = (cluster.server.clone(), operator.stops.clone());
    let mut is_stopped = false;
    cluster.server.decide(move |call| {
        if !is_stopped && which(call) {
            is_stopped = true;
            stops.stop();
            server.take_calls();
        }
        Fate::Answered
    });
    cluster.apply("orders", &json!({}));
    let ended = timeout(Duration::from_mins(5), operator.task).await.unwrap();
    let error = ended.unwrap().unwrap_err();
    assert!(matches!(error, OperatorError::Leader(_)), "{error}");
    cluster.server.take_calls().into_iter().filter(|call| call.verb.is_write()).collect()
}

#[tokio::test(start_paused = true)]
async fn one_that_is_stopped_between_seeing_and_writing_writes_nothing_when_it_goes_on() {
    let is_look = |call: &Call| call.verb == Verb::Get && call.resource == "statefulsets";
    assert_eq!(written_after_a_stop(is_look).await, []);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_stopped_at_a_write_makes_no_other() {
    for resource in ["statefulsets", "brokersets"] {
        let is_write = match resource {
            "statefulsets" => |call: &Call| call.changes() && call.resource == "statefulsets",
            _ => |call: &Call| call.changes() && call.resource == "brokersets",
        };
        assert_eq!(written_after_a_stop(is_write).await, [], "{resource}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_stopped_before_it_renews_its_lease_does_not_renew_that_of_another() {
    let is_renewal = |call: &Call| call.resource == "leases" && call.verb == Verb::Get;
    assert_eq!(written_after_a_stop(is_renewal).await, []);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_told_of_pods_any_more_is_not_ready_until_it_is() {
    let cluster = Cluster::new();
    let operator = start(&cluster, "first");
    assert!(cluster.until(|_| operator.leads()).await);
    sleep(Duration::from_mins(30)).await;
    assert_eq!(operator.health.unready(), None, "nothing changed, and each watch was answered");
    cluster.server.forbid("pods");
    sleep(Duration::from_mins(17)).await;
    let reason = operator.health.unready().unwrap_or_default();
    assert!(reason.ends_with("for 10 minutes what Pod there are"), "{reason}");
    assert!(operator.health.is_alive(), "a restart would not help");
    let silence = "mq_watch_silence_seconds{kind=\"Pod\",namespace=\"\"} ";
    assert!(operator.metrics.render().contains(silence));
    cluster.server.forbid_nothing();
    assert!(cluster.until(|_| operator.health.unready().is_none()).await);
}

#[tokio::test(start_paused = true)]
async fn one_of_whose_namespaces_one_is_gone_is_ready_for_the_others() {
    let cluster = Cluster::new();
    cluster.server.forbid_in("gone");
    let operator = start_in(&cluster, "first", "gone,shop");
    cluster.apply("orders", &json!({}));
    assert!(cluster.until(|cluster| cluster.is_ready("orders")).await);
    assert!(operator.leads() && operator.health.unready().is_none());
}

#[tokio::test(start_paused = true)]
async fn without_definitions_it_waits_and_says_so() {
    let cluster = Cluster::new();
    cluster.server.objects(|objects| objects.set_unknown("brokersets", true));
    let operator = start(&cluster, "first");
    sleep(Duration::from_mins(1)).await;
    let reason = operator.health.unready().unwrap_or_default();
    assert!(reason.contains("apply the CRDs"), "{reason}");
    assert!(!operator.task.is_finished());
    cluster.server.objects(|objects| objects.set_unknown("brokersets", false));
    assert!(cluster.until(|_| operator.leads()).await);
}
