//! What is changed on pods as they run: labels and annotations. None of it restarts anything.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Error, ResourceExt as _};
use serde_json::{Map, Value, json};

use super::build::Facts;
use super::observe::{Observed, is_ready};
use crate::{Context, FIELD_MANAGER, labels};

/// Gives running broker pods the labels and annotations that they lack. What a user no longer asks
/// for leaves with the pod: who else relies on it is not known here.
pub(crate) async fn label(
    observed: &Observed,
    facts: &Facts,
    context: &Context,
) -> Result<(), Error> {
    for (index, group) in (0..).zip(&facts.groups) {
        let Some(pod) = observed.pod(index).filter(|pod| pod.metadata.deletion_timestamp.is_none())
        else {
            continue;
        };
        let options = &observed.set.spec.pod;
        let mut pod_labels = options.labels.clone();
        if is_ready(pod) {
            pod_labels.insert(labels::ROLE.to_owned(), "master".to_owned());
        }
        let mut annotations = options.annotations.clone();
        annotations.insert(labels::STATE.to_owned(), format!("{:?}", group.state));
        let Some(patch) = missing(pod, &pod_labels, &annotations) else { continue };
        let api = context.api::<Pod>(&observed.key.namespace);
        let params =
            PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        match api.patch_metadata(&pod.name_any(), &params, &Patch::Merge(patch)).await {
            // Another pod of that name by now, or none: the next pass sees it.
            Err(Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            other => drop(other?),
        }
    }
    Ok(())
}

/// The image that our container of a pod runs. Others may have been added to the pod by somebody else.
pub(crate) fn image(pod: &Pod) -> Option<String> {
    let component = pod.labels().get(labels::COMPONENT)?;
    let containers = &pod.spec.as_ref()?.containers;
    containers.iter().find(|container| container.name == *component)?.image.clone()
}

/// A patch with what the pod lacks, for this pod and no other of its name.
fn missing(
    pod: &Pod,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> Option<Value> {
    let lacks = |wanted: &BTreeMap<String, String>, there: &BTreeMap<String, String>| {
        let differs = |(key, value): &(&String, &String)| there.get(*key) != Some(*value);
        let pairs = wanted.iter().filter(differs);
        pairs.map(|(key, value)| (key.clone(), json!(value))).collect::<Map<_, _>>()
    };
    let labels = lacks(labels, pod.labels());
    let annotations = lacks(annotations, pod.annotations());
    if labels.is_empty() && annotations.is_empty() {
        return None;
    }
    Some(json!({
        "metadata": { "uid": pod.uid(), "labels": labels, "annotations": annotations },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_pod_lacks_is_written() {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let mut pod = Pod::default();
        pod.metadata.uid = Some("1".to_owned());
        pod.metadata.labels = Some(map(&[("team", "a"), ("other", "x")]));
        let patch = missing(&pod, &map(&[("team", "b")]), &map(&[("note", "n")])).unwrap();
        let expected = json!({
            "metadata": { "uid": "1", "labels": { "team": "b" }, "annotations": { "note": "n" } },
        });
        assert_eq!(patch, expected);
        assert_eq!(missing(&pod, &map(&[("team", "a")]), &map(&[])), None);
    }
}
