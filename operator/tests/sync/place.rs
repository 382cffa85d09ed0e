//! A `BrokerSet` with masters, an API server, and sync workers between them, on paused time.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rocketkube_operator::{Clock, Config, Context, Key, SyncReport, sync_only};
use rocketkube_service::metrics::Registry;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::broker::Master;
use crate::support::{ApiServer, Call, Id};

pub(crate) const GROUP: &str = "mq.rocketkube.dev";
pub(crate) const NAMESPACE: &str = "shop";
/// Longer than anything that workers wait for, and two polls of every master.
const QUIET: Duration = Duration::from_secs(70);

/// Everything around sync workers.
pub(crate) struct Place {
    pub(crate) server: ApiServer,
    pub(crate) masters: Vec<Master>,
}

/// Sync workers that run; dropping them kills them.
pub(crate) struct Workers {
    pub(crate) context: Arc<Context>,
    pub(crate) metrics: Arc<Registry>,
    task: JoinHandle<()>,
}

impl Workers {
    pub(crate) fn start(server: &ApiServer) -> Self {
        let (started, wall) = (Instant::now(), Timestamp::from_second(1_900_000_000).unwrap());
        // The time of day goes with the paused clock.
        let clock = Clock::new(move || wall + SignedDuration::try_from(started.elapsed()).unwrap());
        let metrics = Arc::new(Registry::default());
        let context = Context::new(server.client(), Config::default(), &metrics, clock);
        let task = tokio::spawn(sync_only(Arc::clone(&context), CancellationToken::new()));
        Self { context, metrics, task }
    }

    pub(crate) async fn kill(mut self) {
        self.task.abort();
        drop((&mut self.task).await);
    }

    pub(crate) fn report(&self) -> Option<SyncReport> {
        self.context.sync.report(&Key::new(NAMESPACE, "orders"))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Place {
    /// With a `BrokerSet` `orders` of so many groups that serve.
    pub(crate) fn new(groups: usize) -> Self {
        let place = Self {
            server: ApiServer::new(),
            masters: (0..groups).map(|_| Master::start()).collect(),
        };
        place.put_broker_set(&json!({}), |_| "Active");
        place
    }

    /// Makes or replaces the `BrokerSet`; each group is in the state that is said.
    pub(crate) fn put_broker_set(&self, spec: &Value, state: impl Fn(usize) -> &'static str) {
        let group = |(index, master): (usize, &Master)| {
            json!({
                "index": index, "name": format!("orders-b{index}"), "state": state(index),
                "address": master.addr,
            })
        };
        let groups: Vec<Value> = self.masters.iter().enumerate().map(group).collect();
        self.server.objects(|objects| {
            let id = Id::new(GROUP, "brokersets", NAMESPACE, "orders");
            objects.put(
                &id,
                json!({
                    "apiVersion": "mq.rocketkube.dev/v1alpha1", "kind": "BrokerSet",
                    "spec": spec, "status": {"groupStatus": groups},
                }),
            );
        });
    }

    pub(crate) fn remove(&self, resource: &str, name: &str) {
        self.server.objects(|objects| objects.remove(&Id::new(GROUP, resource, NAMESPACE, name)));
    }

    /// Makes or replaces a Topic, as a person would.
    pub(crate) fn topic(&self, name: &str, spec: &Value) {
        self.declare("topics", "Topic", NAMESPACE, name, spec);
    }

    pub(crate) fn group(&self, name: &str, spec: &Value) {
        self.declare("consumergroups", "ConsumerGroup", NAMESPACE, name, spec);
    }

    pub(crate) fn declare(
        &self,
        resource: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        spec: &Value,
    ) {
        let id = Id::new(GROUP, resource, namespace, name);
        let mut all = json!({"brokerSetRef": {"name": "orders", "namespace": NAMESPACE}});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        self.server.objects(|objects| {
            let mut object = objects.get(&id).cloned().unwrap_or_else(
                || json!({"apiVersion": "mq.rocketkube.dev/v1alpha1", "kind": kind}),
            );
            object["spec"] = all;
            objects.put(&id, object);
        });
    }

    pub(crate) fn annotate(&self, resource: &str, name: &str, key: &str, value: Value) {
        let id = Id::new(GROUP, resource, NAMESPACE, name);
        self.server.objects(|objects| {
            objects.edit(&id, |it| {
                it["metadata"]["annotations"][format!("mq.rocketkube.dev/{key}")] = value;
            });
        });
    }

    pub(crate) fn get_in(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let id = Id::new(GROUP, resource, namespace, name);
        self.server.objects(|objects| objects.get(&id).cloned())
    }

    pub(crate) fn status(&self, resource: &str, name: &str) -> Value {
        self.get_in(resource, NAMESPACE, name).map_or(Value::Null, |it| it["status"].clone())
    }

    /// Reason and message of the condition Ready.
    pub(crate) fn ready_in(&self, resource: &str, namespace: &str, name: &str) -> (String, String) {
        let object = self.get_in(resource, namespace, name).unwrap_or_default();
        let ready = condition(&object["status"], "Ready");
        let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        (text("reason"), text("message"))
    }

    pub(crate) fn ready(&self, name: &str) -> (String, String) {
        self.ready_in("topics", NAMESPACE, name)
    }

    /// Waits until a Topic is in a state, and returns what it says about it.
    pub(crate) async fn topic_is(&self, name: &str, reason: &str) -> String {
        self.is("topics", name, reason).await
    }

    pub(crate) async fn is(&self, resource: &str, name: &str, reason: &str) -> String {
        self.is_in(resource, NAMESPACE, name, reason).await
    }

    pub(crate) async fn is_in(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        reason: &str,
    ) -> String {
        let ready = || self.ready_in(resource, namespace, name);
        let arrived = until(|| ready().0 == reason).await;
        assert!(arrived, "{resource} {name} is not {reason} but {:?}", ready());
        ready().1
    }

    /// Waits until nobody writes anything any more.
    pub(crate) async fn quiet(&self) {
        for _ in 0..50 {
            self.server.take_calls();
            sleep(QUIET).await;
            if !self.server.take_calls().iter().any(|call| call.verb.is_write()) {
                return;
            }
        }
        panic!("it never gets quiet: {:?}", self.server.take_calls());
    }

    /// Reason and note of all events, oldest first.
    pub(crate) fn events(&self) -> Vec<(String, String)> {
        let mut events = self.server.objects(|objects| objects.of("events.k8s.io", "events"));
        events.sort_by_key(|(_, it)| {
            it["metadata"]["uid"].as_str().unwrap()[4..].parse::<u64>().unwrap()
        });
        let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
        events.iter().map(|(_, it)| (text(it, "reason"), text(it, "note"))).collect()
    }

    pub(crate) fn event(&self, reason: &str) -> Option<String> {
        self.events().into_iter().find(|event| event.0 == reason).map(|event| event.1)
    }
}

/// Waits until something is so; false if it is not for ten minutes.
pub(crate) async fn until(is: impl Fn() -> bool) -> bool {
    for _ in 0..6_000 {
        if is() {
            return true;
        }
        sleep(Duration::from_millis(100)).await;
    }
    false
}

pub(crate) fn condition(status: &Value, kind: &str) -> Value {
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|it| it["type"] == kind).unwrap_or_default()
}

/// Requests that change something which people rely on.
pub(crate) fn writes(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.changes()).count()
}
