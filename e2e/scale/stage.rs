//! Plays the controllers of `StatefulSets` and Deployments, the kubelets, and the brokers, as far as the
//! operator sees them: pods that are Ready as soon as they are wanted, and an admin port behind the
//! address of every master's Service.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use futures::{Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec, Service};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};
use parking_lot::Mutex;
use rocketkube_client::protocol::RequestCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::broker::Master;
use crate::load::NAMESPACE;

/// Where brokers are asked.
const PORT: u16 = 10_911;
/// Objects looked after at a time, of each kind.
const AT_ONCE: usize = 8;

/// Everything that is played.
pub(crate) struct Stage {
    client: Client,
    masters: Mutex<BTreeMap<SocketAddr, Master>>,
    pods: AtomicU32,
}

impl Stage {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, masters: Mutex::default(), pods: AtomicU32::new(0) }
    }

    /// Plays until the set of tasks is dropped.
    pub(crate) fn act(self: &Arc<Self>) -> JoinSet<()> {
        let mut acting = JoinSet::new();
        let stage = Arc::clone(self);
        acting.spawn(each(self.objects(), move |service: Service| {
            let stage = Arc::clone(&stage);
            async move { stage.serve(&service) }
        }));
        let stage = Arc::clone(self);
        acting.spawn(each(self.objects(), move |set: StatefulSet| {
            let stage = Arc::clone(&stage);
            async move { stage.run_stateful_set(&set).await }
        }));
        let stage = Arc::clone(self);
        acting.spawn(each(self.objects(), move |deployment: Deployment| {
            let stage = Arc::clone(&stage);
            async move { stage.run_deployment(&deployment).await }
        }));
        acting
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    fn objects<K>(&self) -> impl Stream<Item = K> + Send + 'static
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let objects = watcher(self.api::<K>(), watcher::Config::default());
        objects.default_backoff().applied_objects().filter_map(async |object| object.ok())
    }

    /// Starts the broker behind a master's Service.
    fn serve(&self, service: &Service) -> Result<()> {
        if !service.name_any().ends_with("-master") {
            return Ok(());
        }
        let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_ref());
        let ip: IpAddr = address.context("a Service without an address")?.parse()?;
        let address = SocketAddr::new(ip, PORT);
        self.masters.lock().entry(address).or_insert_with(|| Master::start_at(address));
        Ok(())
    }

    async fn run_stateful_set(&self, set: &StatefulSet) -> Result<()> {
        let status = set.status.clone().unwrap_or_default();
        if status.observed_generation == set.metadata.generation {
            return Ok(());
        }
        let spec = set.spec.as_ref().context("a StatefulSet without a spec")?;
        let pod = format!("{}-0", set.name_any());
        let mut volumes = Vec::new();
        for claim in spec.volume_claim_templates.iter().flatten() {
            let (volume, name) = (claim.name_any(), format!("{}-{pod}", claim.name_any()));
            let mut claim = claim.clone();
            claim.metadata.name = Some(name.clone());
            claim.metadata.namespace = None;
            let bound = json!({"phase": "Bound"});
            self.make::<PersistentVolumeClaim>(&name, &claim, &bound).await?;
            volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": name}}));
        }
        self.run_pod(&pod, &spec.template, volumes).await?;
        let status = json!({
            "observedGeneration": set.metadata.generation, "replicas": 1, "readyReplicas": 1,
            "currentReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1,
        });
        self.report::<StatefulSet>(&set.name_any(), &status).await
    }

    async fn run_deployment(&self, deployment: &Deployment) -> Result<()> {
        let status = deployment.status.clone().unwrap_or_default();
        if status.observed_generation == deployment.metadata.generation {
            return Ok(());
        }
        let spec = deployment.spec.as_ref().context("a Deployment without a spec")?;
        let replicas = spec.replicas.unwrap_or(1);
        for number in 0..replicas {
            let pod = format!("{}-{number}", deployment.name_any());
            self.run_pod(&pod, &spec.template, Vec::new()).await?;
        }
        let status = json!({
            "observedGeneration": deployment.metadata.generation, "replicas": replicas,
            "readyReplicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas,
        });
        self.report::<Deployment>(&deployment.name_any(), &status).await
    }

    async fn run_pod(
        &self,
        name: &str,
        template: &PodTemplateSpec,
        volumes: Vec<Value>,
    ) -> Result<()> {
        let mut pod = serde_json::to_value(template)?;
        pod["metadata"]["name"] = name.into();
        // Where there is none, nothing schedules it.
        pod["spec"]["nodeName"] = "played".into();
        let mut mounted = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        mounted.extend(volumes);
        pod["spec"]["volumes"] = mounted.into();
        let [.., high, low] = self.pods.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let now = jiff::Timestamp::now();
        let condition =
            |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
        let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition);
        let status = json!({
            "phase": "Running", "podIP": format!("10.244.{high}.{low}"),
            "podIPs": [{"ip": format!("10.244.{high}.{low}")}], "startTime": now,
            "conditions": conditions,
        });
        self.make::<Pod>(name, &pod, &status).await
    }

    /// Makes an object, unless it is there, and gives it a status.
    async fn make<K>(&self, name: &str, object: &impl Serialize, status: &Value) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Serialize,
    {
        let object: K = serde_json::from_value(serde_json::to_value(object)?)?;
        match self.api::<K>().create(&PostParams::default(), &object).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            other => drop(other?),
        }
        self.report::<K>(name, status).await
    }

    async fn report<K>(&self, name: &str, status: &Value) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let patch = Patch::Merge(json!({"status": status}));
        self.api::<K>().patch_status(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Has every broker say that something changed.
    pub(crate) fn touch_all(&self) {
        for master in self.masters.lock().values() {
            master.with(|state| {
                if let Some(name) = state.topics.keys().next().cloned() {
                    state.edit_topic(&name, |_| {});
                }
            });
        }
    }

    pub(crate) fn forget_questions(&self) {
        for master in self.masters.lock().values() {
            master.with(|state| state.asked.clear());
        }
    }

    /// Whether every broker was asked what it has.
    pub(crate) fn all_were_read(&self) -> bool {
        let read = |master: &Master| {
            master.with(|state| state.asked.contains(&RequestCode::GET_ALL_TOPIC_CONFIG))
        };
        self.masters.lock().values().all(read)
    }

    /// How many topics brokers have.
    pub(crate) fn topics(&self) -> usize {
        self.masters.lock().values().map(|master| master.with(|state| state.topics.len())).sum()
    }
}

/// Does something for every object. What fails is said: it shows as something that never gets ready.
async fn each<K, F>(objects: impl Stream<Item = K>, act: impl Fn(K) -> F)
where
    F: Future<Output = Result<()>>,
{
    objects
        .for_each_concurrent(AT_ONCE, |object| async {
            if let Err(error) = act(object).await {
                println!("cannot play: {error:#}");
            }
        })
        .await;
}
