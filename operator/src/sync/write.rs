//! What is written to the API server for an object: status, finalizer, events.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt as _};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::warn;

use super::declared::Declared;
use super::wire::Wire;
use crate::context::{EventTarget, News};
use crate::{Context, FIELD_MANAGER};

/// How long the API server may take to answer. A connection that nobody closes would hold up all that
/// belongs to a `BrokerSet`, and one of the places that all of them share.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer of the API server, unless it takes too long.
pub(crate) async fn in_time<T>(
    asked: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
    let late = || format!("no answer within {} s", PATIENCE.as_secs());
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(kube::Error::Service(late().into())))
}

/// Statuses that were written and that the cache may not have yet.
///
/// Without it a pass that comes soon would decide by what is no longer so, and write again.
#[derive(Debug)]
pub(crate) struct Written<D: Declared> {
    /// By UID: the version that the object has with it, and the status.
    statuses: HashMap<String, (String, D::Status)>,
}

impl<D: Declared> Default for Written<D> {
    fn default() -> Self {
        Self { statuses: HashMap::new() }
    }
}

impl<D: Wire> Written<D> {
    /// An object with its newest status, if the cache is behind.
    pub(crate) fn newer(&mut self, object: &D) -> Option<D> {
        let uid = object.uid()?;
        let (version, status) = self.statuses.get(&uid)?;
        if !is_before(object.resource_version().as_deref(), version) {
            self.statuses.remove(&uid);
            return None;
        }
        let mut newer = object.clone();
        newer.set_status(status.clone());
        Some(newer)
    }

    /// Notes a status that was written, and the version of the object with it.
    pub(crate) fn note(&mut self, object: &D, version: String, status: D::Status) {
        if let Some(uid) = object.uid() {
            self.statuses.insert(uid, (version, status));
        }
    }

    /// Forgets objects that are gone.
    pub(crate) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.statuses.retain(|uid, _| is_there(uid));
    }
}

/// Whether a version of an object is older than another. They are numbers that grow; of others
/// nothing is known, and then the cache is believed.
fn is_before(version: Option<&str>, other: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    match (version.and_then(number), number(other)) {
        (Some(version), Some(other)) => version < other,
        _ => false,
    }
}

/// Writes to the API server on behalf of workers, not too much at a time.
pub(crate) struct Writer<'a> {
    pub(crate) context: &'a Context,
    pub(crate) permits: &'a Semaphore,
}

impl Writer<'_> {
    /// Writes a status and gives the version of the object with it. `None`: it was not written, and
    /// the next pass has to try again.
    pub(crate) async fn status<D: Wire>(&self, object: &D, status: &D::Status) -> Option<String> {
        let _permit = self.permits.acquire().await.expect("permits stay open");
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let patch = Patch::Apply(json!({
            "apiVersion": D::api_version(&()),
            "kind": D::kind(&()),
            // A new object of that name must not get the status of the one before.
            "metadata": {"name": name, "uid": object.uid()},
            "status": status,
        }));
        let api = self.context.api::<D>(&namespace);
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        match in_time(api.patch_status(&name, &parameters, &patch)).await {
            Ok(written) => Some(written.resource_version().unwrap_or_default()),
            // Nobody is left to tell.
            Err(error) if is_gone(&error) => Some(String::new()),
            Err(error) => {
                warn!(kind = %D::kind(&()), namespace, name, %error, "status was not written");
                None
            }
        }
    }

    /// Adds or removes our finalizer. False: it was not done.
    pub(crate) async fn finalizer<D: Declared>(&self, object: &ObjectMeta, add: bool) -> bool {
        let _permit = self.permits.acquire().await.expect("permits stay open");
        let namespace = object.namespace.as_deref().unwrap_or_default();
        finalizer(&self.context.api::<D>(namespace), object, add).await
    }

    /// Tells people about an object.
    pub(crate) async fn event(&self, about: &impl EventTarget, news: News) {
        let reason = news.reason.clone();
        if timeout(PATIENCE, self.context.event(about, news)).await.is_err() {
            warn!(reason, "event was not written in time");
        }
    }
}

/// Adds or removes our finalizer. False: it was not done.
///
/// Only metadata comes and goes, so that it can be done for what cannot be read.
pub(crate) async fn finalizer<D: Declared>(api: &Api<D>, object: &ObjectMeta, add: bool) -> bool {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let name = object.name.as_deref().unwrap_or_default();
    let mut finalizers = object.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != D::FINALIZER);
    if add {
        finalizers.push(D::FINALIZER.to_owned());
    }
    // Only if nobody changed the object meanwhile: the list is written as a whole.
    let patch = Patch::Merge(json!({"metadata": {
        "uid": object.uid,
        "resourceVersion": object.resource_version,
        "finalizers": finalizers,
    }}));
    match in_time(api.patch_metadata(name, &PatchParams::default(), &patch)).await {
        Ok(_) => true,
        Err(error) if is_gone(&error) => true,
        Err(kube::Error::Api(status)) if status.code == 409 => false,
        Err(error) => {
            warn!(kind = %D::kind(&()), namespace, name, %error, "finalizer was not changed");
            false
        }
    }
}

/// Whether the object went away meanwhile. Where another took its name the API server speaks of a
/// conflict, by the UID.
fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Names an object to people.
pub(crate) fn title<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{}/{}", object.meta().namespace.as_deref().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use rocketkube_crds::{Topic, TopicStatus};
    use serde_json::json;

    use super::*;

    fn topic(version: &str) -> Topic {
        serde_json::from_value(json!({
            "apiVersion": "mq.rocketkube.dev/v1alpha1", "kind": "Topic",
            "metadata": {"name": "t", "namespace": "shop", "uid": "1", "resourceVersion": version},
            "spec": {"brokerSetRef": {"name": "orders"}},
        }))
        .unwrap()
    }

    #[test]
    fn what_was_written_counts_until_the_cache_has_it() {
        let mut written = Written::<Topic>::default();
        let status = TopicStatus { adopted: Some(false), ..TopicStatus::default() };
        written.note(&topic("9"), "11".to_owned(), status.clone());
        // The cache still has it without the finalizer, then with, and then with the status.
        assert_eq!(written.newer(&topic("9")).unwrap().status, Some(status.clone()));
        assert_eq!(written.newer(&topic("10")).unwrap().status, Some(status.clone()));
        assert!(written.newer(&topic("11")).is_none());
        assert!(written.newer(&topic("9")).is_none(), "it is not remembered for ever");
        written.note(&topic("9"), "11".to_owned(), status);
        written.keep(|_| false);
        assert!(written.newer(&topic("9")).is_none());
    }

    #[test]
    fn versions_that_are_no_numbers_are_as_new_as_they_can_be() {
        assert!(is_before(Some("9"), "10"));
        assert!(!is_before(Some("10"), "10"));
        assert!(!is_before(Some("abc"), "10") && !is_before(None, "10"));
    }
}
