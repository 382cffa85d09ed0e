//! An operator and a world around an API server, on paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rocketkube_operator::{Clock, Config, Context, lead};
use rocketkube_service::metrics::Registry;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{ApiServer, Call, Id, world};

/// Namespace of everything in these tests.
pub const NAMESPACE: &str = "shop";
/// What an operator is configured with, unless a test says otherwise.
pub const IMAGE: &str = "rocketkube:1";
/// Longer than anything the operator waits for before it looks again.
const QUIET: Duration = Duration::from_secs(70);

/// An operator that runs; dropping it kills it.
pub struct Operator {
    pub context: Arc<Context>,
    pub metrics: Arc<Registry>,
    task: JoinHandle<()>,
}

impl Operator {
    pub fn start(server: &ApiServer) -> Self {
        Self::start_with(server, IMAGE)
    }

    pub fn start_with(server: &ApiServer, image: &str) -> Self {
        Self::start_in(server, image, "")
    }

    /// One that looks after some namespaces only.
    pub fn start_in(server: &ApiServer, image: &str, namespaces: &str) -> Self {
        let config = Config {
            broker_image: image.to_owned(),
            namespaces: namespaces.to_owned(),
            identity: "test".to_owned(),
            ..Config::default()
        };
        let metrics = Arc::new(Registry::default());
        let wall = server.clone();
        let clock = Clock::new(move || wall.objects(|objects| objects.now()));
        let context = Context::new(server.client(), config, &metrics, clock);
        let leading = lead(Arc::clone(&context), CancellationToken::new());
        let task = tokio::spawn(async move {
            leading.await.unwrap();
        });
        Self { context, metrics, task }
    }

    pub async fn kill(mut self) {
        self.task.abort();
        drop((&mut self.task).await);
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A process that is stopped for a while, with its timers: the time since boot goes on without them.
#[derive(Clone, Default)]
pub struct Stops(Arc<AtomicU64>);

impl Stops {
    /// The paused clock of the test, and the stops.
    pub fn clock(&self) -> Clock {
        let (started, stopped) = (Instant::now(), Arc::clone(&self.0));
        let seconds = move || Duration::from_secs(stopped.load(Ordering::Relaxed));
        Clock::default().with_since_boot(move || started.elapsed() + seconds())
    }

    /// Stops it for longer than any Lease lasts. Whoever calls this goes on at the same moment.
    pub fn stop(&self) {
        self.0.fetch_add(20, Ordering::Relaxed);
    }
}

/// A server with a world around it. Dropping it ends the world.
pub struct Cluster {
    pub server: ApiServer,
    world: JoinHandle<()>,
}

impl Cluster {
    pub fn new() -> Self {
        let server = ApiServer::new();
        let world = tokio::spawn(world::run(server.clone()));
        Self { server, world }
    }

    /// Creates or replaces a `BrokerSet`, as a person would.
    pub fn apply(&self, name: &str, spec: &Value) {
        let id = broker_set(name);
        self.server.objects(|objects| {
            let mut object = objects.get(&id).cloned().unwrap_or_else(
                || json!({ "apiVersion": "mq.rocketkube.dev/v1alpha1", "kind": "BrokerSet" }),
            );
            object["spec"] = spec.clone();
            objects.put(&id, object);
        });
    }

    pub fn annotate(&self, name: &str, key: &str, value: Value) {
        self.server.objects(|objects| {
            objects.edit(&broker_set(name), |set| set["metadata"]["annotations"][key] = value);
        });
    }

    /// Waits until nobody writes anything any more; returns all requests of that time.
    pub async fn quiet(&self) -> Vec<Call> {
        let mut calls = Vec::new();
        for _ in 0..100 {
            sleep(QUIET).await;
            let new = self.server.take_calls();
            let done = !new.iter().any(Call::changes);
            calls.extend(new);
            if done {
                return calls;
            }
        }
        panic!("it never gets quiet; the last writes were {:?}", changes(&calls).last_chunk::<5>());
    }

    /// Waits until something is so; false if it is not for a day.
    pub async fn until(&self, is: impl Fn(&Self) -> bool) -> bool {
        self.until_in_steps_of(Duration::from_secs(1), is).await
    }

    /// The same for what does not last: looks a thousand times in a second.
    pub async fn until_soon(&self, is: impl Fn(&Self) -> bool) -> bool {
        self.until_in_steps_of(Duration::from_millis(1), is).await
    }

    async fn until_in_steps_of(&self, step: Duration, is: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..86_400 {
            if is(self) {
                return true;
            }
            sleep(step).await;
        }
        false
    }

    pub fn get(&self, group: &str, resource: &str, name: &str) -> Option<Value> {
        let id = Id::new(group, resource, NAMESPACE, name);
        self.server.objects(|objects| objects.get(&id).cloned())
    }

    /// Status and reason of a condition of a `BrokerSet`, and its message.
    pub fn condition(&self, name: &str, kind: &str) -> Option<(String, String, String)> {
        let set = self.get("mq.rocketkube.dev", "brokersets", name)?;
        let conditions = set["status"]["conditions"].as_array()?;
        let found = conditions.iter().find(|condition| condition["type"] == kind)?;
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        Some((text("status"), text("reason"), text("message")))
    }

    pub fn phase(&self, name: &str) -> String {
        let set = self.get("mq.rocketkube.dev", "brokersets", name);
        let phase = set.and_then(|set| Some(set["status"]["phase"].as_str()?.to_owned()));
        phase.unwrap_or_default()
    }

    pub fn is_ready(&self, name: &str) -> bool {
        self.condition(name, "Ready").is_some_and(|(status, ..)| status == "True")
    }

    /// Names of the objects of a kind.
    pub fn names(&self, group: &str, resource: &str) -> Vec<String> {
        let objects = self.server.objects(|objects| objects.of(group, resource));
        objects.into_iter().map(|(id, _)| id.name).collect()
    }

    /// Reasons of all events, oldest first.
    pub fn events(&self) -> Vec<String> {
        let mut events = self.server.objects(|objects| objects.of("events.k8s.io", "events"));
        events.sort_by_key(|(_, event)| {
            event["metadata"]["uid"].as_str().unwrap()[4..].parse::<u64>().unwrap()
        });
        let reason = |(_, event): (Id, Value)| event["reason"].as_str().unwrap().to_owned();
        events.into_iter().map(reason).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.world.abort();
    }
}

pub fn broker_set(name: &str) -> Id {
    Id::new("mq.rocketkube.dev", "brokersets", NAMESPACE, name)
}

/// The requests that changed something people rely on.
pub fn changes(calls: &[Call]) -> Vec<String> {
    let text = |call: &Call| {
        let subresource = call.subresource.as_deref().unwrap_or("");
        format!("{} {} {} {subresource}", call.verb.name(), call.resource, call.id().name)
    };
    calls.iter().filter(|call| call.changes()).map(text).collect()
}
