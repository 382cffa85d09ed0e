//! Leaving a namespace that goes away. The operator in it goes first, and finalizers that nobody takes
//! away would keep the namespace for ever.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, PartialObjectMeta};
use rocketkube_crds::{ConsumerGroup, Topic};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::REQUESTS;
use super::declared::Declared;
use super::write::finalizer;
use crate::Context;

/// How long it may take: the kubelet does not wait for ever.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long until what could not be let go is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// If the namespace that the operator runs in is being deleted, lets go what is declared there: it goes
/// with its brokers, or stays in those of other namespaces. To be called when nothing else acts any more.
/// Every operator does it, leading or not, as any of them may be the last.
pub(crate) async fn say(context: &Context) {
    let namespace = context.client.default_namespace();
    if !context.scopes.iter().any(|scope| scope.covers(namespace)) {
        return;
    }
    let patch = "see docs/kubernetes/uninstall.md for how to take away finalizers that are left";
    match timeout(PATIENCE, let_go_all(context, namespace)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(namespace, %error, "finalizers may be left; {patch}"),
        Err(_) => warn!(namespace, "finalizers are left, there was no time; {patch}"),
    }
}

async fn let_go_all(context: &Context, namespace: &str) -> Result<(), kube::Error> {
    let api: Api<Namespace> = Api::all(context.client.clone());
    if api.get_metadata(namespace).await?.metadata.deletion_timestamp.is_none() {
        return Ok(());
    }
    info!(namespace, "is being deleted with the operator in it: finalizers are taken away");
    let_go::<Topic>(context, namespace).await?;
    let_go::<ConsumerGroup>(context, namespace).await
}

/// Until none is left: what was changed meanwhile has to be read again.
async fn let_go<D: Declared>(context: &Context, namespace: &str) -> Result<(), kube::Error> {
    // Not by right of the Lease, which is over.
    let api: Api<D> = Api::namespaced(context.unbound.clone(), namespace);
    loop {
        let mut objects = api.list_metadata(&ListParams::default()).await?.items;
        objects.retain(|object| object.finalizers().iter().any(|it| it == D::FINALIZER));
        if objects.is_empty() {
            return Ok(());
        }
        let release = |object: PartialObjectMeta<D>| {
            let api = &api;
            async move { finalizer(api, &object.metadata, false).await }
        };
        let released = stream::iter(objects).map(release).buffer_unordered(REQUESTS);
        if !released.fold(true, |all, done| async move { all && done }).await {
            sleep(RETRY).await;
        }
    }
}
