//! What is changed on pods as they run: labels and annotations. None of it restarts anything.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Error, ResourceExt as _};
use rocketkube_crds::broker_set::{GroupState, PodOptions};
use serde_json::{Map, Value, json};

use super::apply;
use super::build::Facts;
use super::build::pod::names;
use super::observe::{Observed, is_ready};
use super::validate::Problem;
use crate::{Context, FIELD_MANAGER, labels};

/// Gives running broker pods the labels and annotations that the spec asks for, and takes off those
/// that it asked for before.
pub(crate) async fn label(
    observed: &Observed,
    facts: &Facts,
    context: &Context,
) -> Result<Vec<Problem>, Error> {
    let mut problems = Vec::new();
    for (index, group) in (0..).zip(&facts.groups) {
        let Some(pod) = observed.pod(index).filter(|pod| pod.metadata.deletion_timestamp.is_none())
        else {
            continue;
        };
        let Some(patch) = change(pod, &observed.set.spec.pod, group.state) else { continue };
        let api = context.api::<Pod>(&observed.key.namespace);
        let params =
            PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let name = pod.name_any();
        let patched = match api.patch_metadata(&name, &params, &Patch::Merge(patch)).await {
            // Another pod of that name by now, or none: the next pass sees it.
            Err(Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            other => other.map(drop),
        };
        problems.extend(apply::problem(patched, "spec.pod", format!("Pod {name}"))?);
    }
    Ok(problems)
}

/// The image that our container of a pod runs. Others may have been added to the pod by somebody else.
pub(crate) fn image(pod: &Pod) -> Option<String> {
    let component = pod.labels().get(labels::COMPONENT)?;
    let containers = &pod.spec.as_ref()?.containers;
    containers.iter().find(|container| container.name == *component)?.image.clone()
}

/// What a pod should have, by name; `None`: it should not be there.
type Wanted = BTreeMap<String, Option<String>>;

/// A patch that makes the pod what is asked for, for this pod and no other of its name.
fn change(pod: &Pod, options: &PodOptions, state: GroupState) -> Option<Value> {
    let mut labels = wanted(&options.labels, pod.annotations().get(labels::POD_LABELS));
    if is_ready(pod) {
        labels.insert(labels::ROLE.to_owned(), Some("master".to_owned()));
    }
    let mut annotations =
        wanted(&options.annotations, pod.annotations().get(labels::POD_ANNOTATIONS));
    annotations.extend([
        (labels::STATE.to_owned(), Some(format!("{state:?}"))),
        (labels::POD_LABELS.to_owned(), names(&options.labels)),
        (labels::POD_ANNOTATIONS.to_owned(), names(&options.annotations)),
    ]);
    let labels = difference(labels, pod.labels());
    let annotations = difference(annotations, pod.annotations());
    if labels.is_empty() && annotations.is_empty() {
        return None;
    }
    Some(json!({
        "metadata": { "uid": pod.uid(), "labels": labels, "annotations": annotations },
    }))
}

/// What is asked for, and without what was: the pod has the names of that.
fn wanted(asked: &BTreeMap<String, String>, before: Option<&String>) -> Wanted {
    let before = before.iter().flat_map(|names| names.split(','));
    let mut wanted: Wanted = before.map(|name| (name.to_owned(), None)).collect();
    wanted.extend(asked.iter().map(|(name, value)| (name.clone(), Some(value.clone()))));
    wanted
}

fn difference(wanted: Wanted, there: &BTreeMap<String, String>) -> Map<String, Value> {
    let differs = |(name, value): &(String, Option<String>)| there.get(name) != value.as_ref();
    wanted.into_iter().filter(differs).map(|(name, value)| (name, json!(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn only_what_differs_is_written_and_only_what_was_asked_for_is_taken_off() {
        let mut pod = Pod::default();
        pod.metadata.uid = Some("1".to_owned());
        pod.metadata.labels = Some(map(&[("team", "a"), ("old", "x"), ("theirs", "y")]));
        pod.metadata.annotations = Some(map(&[(labels::POD_LABELS, "gone,old,team")]));
        let options = PodOptions {
            labels: map(&[("team", "b")]),
            annotations: map(&[("note", "n")]),
            ..PodOptions::default()
        };
        let patch = change(&pod, &options, GroupState::Active).unwrap();
        let expected = json!({ "metadata": {
            "uid": "1",
            "labels": { "team": "b", "old": null },
            "annotations": {
                "note": "n",
                labels::STATE: "Active",
                labels::POD_LABELS: "team",
                labels::POD_ANNOTATIONS: "note",
            },
        } });
        assert_eq!(patch, expected);

        pod.metadata.labels = Some(map(&[("team", "b"), ("theirs", "y")]));
        pod.metadata.annotations = Some(map(&[
            ("note", "n"),
            (labels::STATE, "Active"),
            (labels::POD_LABELS, "team"),
            (labels::POD_ANNOTATIONS, "note"),
        ]));
        assert_eq!(change(&pod, &options, GroupState::Active), None);
    }
}
