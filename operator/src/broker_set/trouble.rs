//! Why pods do not come up, read from the pods themselves.

use k8s_openapi::api::core::v1::{ContainerStateWaiting, Pod};
use kube::ResourceExt as _;

use super::observe::Observed;
use super::pods;

/// What keeps a pod from serving until somebody acts. Reasons of condition `Stalled`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// The worst trouble of any pod, with what to do.
pub(crate) fn find(observed: &Observed) -> Option<Trouble> {
    let mut found: Vec<_> = observed.pods.iter().filter_map(of_pod).collect();
    let order = ["ImagePull", "CrashLoop", "Unschedulable"];
    found.sort_by_key(|trouble| order.iter().position(|reason| *reason == trouble.reason));
    found.into_iter().next()
}

/// Whether the node of a pod that is to run the image has failed to get it.
pub(crate) fn cannot_get(observed: &Observed, image: &str) -> bool {
    observed.pods.iter().any(|pod| {
        pods::image(pod).as_deref() == Some(image)
            && of_pod(pod).is_some_and(|trouble| trouble.reason == "ImagePull")
    })
}

fn of_pod(pod: &Pod) -> Option<Trouble> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    let waiting = containers.filter_map(|container| {
        container.state.as_ref()?.waiting.as_ref().map(|waiting| (container, waiting))
    });
    for (container, waiting) in waiting {
        let why = waiting.message.as_deref().unwrap_or_default();
        let pod = pod.name_any();
        if let Some(reason) = reason_of(waiting) {
            let message = match reason {
                "ImagePull" => format!(
                    "pod {pod} cannot get image {}: {why}; correct spec.image or \
                     spec.imagePullSecrets",
                    container.image
                ),
                _ => format!(
                    "container {} of pod {pod} ends soon after each start: {why}; see its log: \
                     kubectl logs {pod} --previous",
                    container.name
                ),
            };
            return Some(Trouble { reason, message });
        }
    }
    let scheduled = status.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled")?;
    if scheduled.status == "False" && scheduled.reason.as_deref() == Some("Unschedulable") {
        let why = scheduled.message.as_deref().unwrap_or("no node takes it");
        let message = format!(
            "pod {} has no node: {why}; see spec.pod, spec.resources and spec.storage",
            pod.name_any()
        );
        return Some(Trouble { reason: "Unschedulable", message });
    }
    None
}

fn reason_of(waiting: &ContainerStateWaiting) -> Option<&'static str> {
    match waiting.reason.as_deref()? {
        "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull"
        | "ImageInspectError" => Some("ImagePull"),
        "CrashLoopBackOff"
        | "CreateContainerError"
        | "RunContainerError"
        | "CreateContainerConfigError" => Some("CrashLoop"),
        _ => None,
    }
}
