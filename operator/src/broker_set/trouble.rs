//! Why pods do not come up, read from the pods themselves.

use k8s_openapi::api::core::v1::{ContainerStateWaiting, ContainerStatus, Pod};
use kube::ResourceExt as _;

use super::claims;
use super::observe::{Observed, Refusal, is_ready};
use super::pods;
use super::restart::Member;

/// What keeps a pod from serving until somebody acts. Reasons of condition `Stalled`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// The worst trouble of any pod, with what to do.
pub(crate) fn find(observed: &Observed) -> Option<Trouble> {
    let refused = observed.refusals.iter().map(refused);
    let mut found: Vec<_> = observed
        .pods
        .iter()
        .filter_map(of_pod)
        .chain(refused)
        .chain(of_claims(observed))
        .chain(of_name_server(observed))
        .collect();
    // What to do about any other may end a pod, and messages with it.
    let order =
        ["ClaimDeleted", "PodRefused", "ImagePull", "BadContainer", "CrashLoop", "Unschedulable"];
    found.sort_by_key(|trouble| order.iter().position(|reason| *reason == trouble.reason));
    found.into_iter().next()
}

/// A pod that there is none of, because nobody may make it.
fn refused(Refusal { of, words }: &Refusal) -> Trouble {
    let message = format!(
        "{of} cannot make its pod: {words}; see spec.resources, spec.pod, and quotas of the namespace"
    );
    Trouble { reason: "PodRefused", message }
}

/// Pods that should be stopped or replaced, and are not because messages would go with them.
fn of_claims(observed: &Observed) -> Option<Trouble> {
    let should_go = |index: i32| {
        let is_outdated = || Member::of(observed, index).is_some_and(|it| it.is_outdated());
        observed.keeps_pod(index) && (observed.set.spec.hibernate || is_outdated())
    };
    let message = || Some(Trouble { reason: "ClaimDeleted", message: claims::told(observed)? });
    (0..observed.existing_groups()).any(should_go).then(message)?
}

fn of_name_server(observed: &Observed) -> Option<Trouble> {
    let deployment = observed.name_server()?;
    let conditions = deployment.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut failures = conditions.filter(|c| c.type_ == "ReplicaFailure" && c.status == "True");
    let words = failures.next()?.message.clone().unwrap_or_default();
    let message = format!(
        "Deployment {} cannot make its pods: {words}; see spec.nameServer.managed, and quotas of the \
         namespace",
        deployment.name_any()
    );
    Some(Trouble { reason: "PodRefused", message })
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
    let name = pod.name_any();
    for container in status.container_statuses.iter().flatten() {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        // Between two attempts it runs for a moment.
        let came_back = container.restart_count >= 2 && !is_ready(pod);
        let reason = waiting.and_then(reason_of).or(came_back.then_some("CrashLoop"));
        // The kubelet's own words change with every attempt.
        let message = match reason {
            None => continue,
            Some("ImagePull") => format!(
                "pod {name} cannot get image {} (kubectl describe pod {name} says why); correct \
                 spec.image or spec.imagePullSecrets",
                container.image
            ),
            Some("BadContainer") => {
                let why = waiting.and_then(|waiting| waiting.message.as_deref());
                format!(
                    "container {} of pod {name} cannot be made: {}; see spec.pod",
                    container.name,
                    why.unwrap_or("no reason is given")
                )
            }
            Some(_) if ran_out_of_memory(container) => format!(
                "container {} of pod {name} was ended because it took more memory than it may \
                 (OOMKilled); raise the limit in spec.resources",
                container.name
            ),
            Some(_) => format!(
                "container {} of pod {name} ends soon after each start; see its log: kubectl logs \
                 {name} --previous",
                container.name
            ),
        };
        return reason.map(|reason| Trouble { reason, message });
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

fn ran_out_of_memory(container: &ContainerStatus) -> bool {
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    last.and_then(|last| last.reason.as_deref()) == Some("OOMKilled")
}

fn reason_of(waiting: &ContainerStateWaiting) -> Option<&'static str> {
    match waiting.reason.as_deref()? {
        "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull"
        | "ImageInspectError" => Some("ImagePull"),
        "CrashLoopBackOff" => Some("CrashLoop"),
        "CreateContainerError" | "RunContainerError" | "CreateContainerConfigError" => {
            Some("BadContainer")
        }
        _ => None,
    }
}
