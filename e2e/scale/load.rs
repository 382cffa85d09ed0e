//! The objects that people would make.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Client;
use kube::api::{Api, PostParams};
use rocketkube_crds::{BrokerSet, Topic};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Where everything is.
pub(crate) const NAMESPACE: &str = "scale";
/// Objects made at a time where no rate is kept.
const AT_ONCE: usize = 8;

/// How much there is of everything.
pub(crate) struct Load {
    client: Client,
    pub(crate) broker_sets: usize,
    topics: usize,
    /// Topics per second.
    rate: u32,
}

impl Load {
    pub(crate) fn from_environment(client: Client) -> Result<Self> {
        let load = Self {
            client,
            broker_sets: number("ROCKETKUBE_SCALE_BROKERSETS", 200)?,
            topics: number("ROCKETKUBE_SCALE_TOPICS", 20_000)?,
            rate: u32::try_from(number("ROCKETKUBE_SCALE_RATE", 20)?)?,
        };
        ensure!(load.broker_sets > 0 && load.rate > 0, "BrokerSets and rate are at least 1");
        Ok(load)
    }

    pub(crate) async fn make_broker_sets(&self) -> Result<()> {
        let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.create(&PostParams::default(), &namespace).await?;
        // Pods that name no other are refused without it, and its controller is not there.
        let account = serde_json::from_value(json!({"metadata": {"name": "default"}}))?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), NAMESPACE);
        accounts.create(&PostParams::default(), &account).await?;
        let api: Api<BrokerSet> = Api::namespaced(self.client.clone(), NAMESPACE);
        stream::iter(0..self.broker_sets)
            .map(|set| {
                let api = api.clone();
                async move {
                    let set = object("BrokerSet", &broker_set(set), &json!({}))?;
                    api.create(&PostParams::default(), &set).await?;
                    anyhow::Ok(())
                }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Makes Topics at the rate, each of the next `BrokerSet`: none is left in peace for long. Gives
    /// when each was asked for.
    pub(crate) async fn make_topics(&self) -> Result<BTreeMap<String, Instant>> {
        let api: Api<Topic> = Api::namespaced(self.client.clone(), NAMESPACE);
        let mut pace = interval(Duration::from_secs(1) / self.rate);
        // Late ones are made up for, so that a slow answer does not lower the rate.
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut made, mut asked) = (JoinSet::new(), BTreeMap::new());
        for number in 0..self.topics {
            pace.tick().await;
            let set = broker_set(number % self.broker_sets);
            let name = format!("{set}-t{:04}", number / self.broker_sets);
            let spec = json!({"brokerSetRef": {"name": set}, "queues": 8});
            let topic = object("Topic", &name, &spec)?;
            asked.insert(name, Instant::now());
            let api = api.clone();
            made.spawn(async move { api.create(&PostParams::default(), &topic).await.map(drop) });
            while let Some(ended) = made.try_join_next() {
                ended??;
            }
        }
        while let Some(ended) = made.join_next().await {
            ended??;
        }
        Ok(asked)
    }
}

fn broker_set(number: usize) -> String {
    format!("set-{number:03}")
}

fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: &Value) -> Result<K> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "mq.rocketkube.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }))?)
}

fn number(variable: &str, default: usize) -> Result<usize> {
    let given = std::env::var(variable).ok();
    given.map_or(Ok(default), |text| text.parse().context(format!("{variable}={text}: a number")))
}
