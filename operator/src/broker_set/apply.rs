//! Makes the objects what they should be: the only writes of a pass, but for status and restarts.

use std::fmt::Display;
use std::sync::Arc;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::Status;
use kube::{Error, ResourceExt as _};
use tracing::info;

use super::build::{Child, ChildId, Children};
use super::compare;
use super::observe::Observed;
use super::validate::{Problem, Reason};
use crate::kind::Kind;
use crate::{Context, FIELD_MANAGER, labels};

/// Applies what differs, and then deletes what is no longer wanted. Gives back what the API server does
/// not take or allow; any other failure ends the pass.
pub(crate) async fn apply(
    children: &Children,
    observed: &mut Observed,
    context: &Context,
) -> Result<Vec<Problem>, Error> {
    let mut problems = Vec::new();
    for child in &children.objects {
        let field = match child.id.kind {
            Kind::Deployment => "spec.nameServer",
            Kind::StatefulSet => "spec.pod",
            _ => "spec",
        };
        let applied = apply_one(child, observed, context).await;
        problems.extend(problem(applied, field, &child.id)?);
    }
    if problems.is_empty() {
        problems = sweep(children, observed, context).await?;
    }
    Ok(problems)
}

async fn apply_one(child: &Child, observed: &mut Observed, context: &Context) -> Result<(), Error> {
    if let Some(live) = observed.owned.get(&child.id) {
        // What is being deleted is made again when it is gone.
        let leaving = live.metadata.deletion_timestamp.is_some();
        if leaving || !compare::is_outdated(&child.object, live) {
            return Ok(());
        }
    }
    let api = api(context, observed, child.id.kind);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let applied = match api.patch(&child.id.name, &params, &Patch::Apply(&child.object)).await {
        // An apply leaves in a list what somebody else put there, such as a port of our name under
        // another number, and both together can be what is refused. A merge replaces lists whole.
        Err(Error::Api(status)) if status.code == 422 && observed.owned.contains_key(&child.id) => {
            let params = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            api.patch(&child.id.name, &params, &Patch::Merge(&child.object)).await?
        }
        applied => applied?,
    };
    context.metrics.applied();
    info!(broker_set = %observed.key, child = %child.id, "applied");
    observed.owned.insert(child.id.clone(), Arc::new(applied));
    Ok(())
}

fn api(context: &Context, observed: &Observed, kind: Kind) -> Api<DynamicObject> {
    Api::namespaced_with(context.client.clone(), &observed.key.namespace, &kind.resource())
}

/// What people have to be told of a request about `what`, if it was refused in a way that trying again
/// does not help; its error, if it failed otherwise.
pub(crate) fn problem<T>(
    done: Result<T, Error>,
    field: &str,
    what: impl Display,
) -> Result<Option<Problem>, Error> {
    let Err(error) = done else { return Ok(None) };
    let Error::Api(status) = &error else { return Err(error) };
    let message = &status.message;
    // A field that the API server does not know, or of another type, and a quantity that is none, are its
    // own fault in its words.
    let untyped = ["failed to create typed patch", "failed to convert new object"];
    let untyped = status.code == 500 && untyped.iter().any(|start| message.starts_with(start));
    if status.code == 403 {
        Ok(Some(forbidden(status, &what)))
    } else if untyped || matches!(status.code, 400 | 422) {
        let message = format!("the API server does not take {what}: {message}");
        Ok(Some(Problem::new(Reason::Rejected, field, message)))
    } else {
        Err(error)
    }
}

/// Rights, quotas, whatever else admits objects, and the end of a namespace all have the code 403: what
/// helps is in causes or words.
fn forbidden(status: &Status, what: &impl Display) -> Problem {
    let words = &status.message;
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    if causes.any(|cause| cause.reason == "NamespaceTerminating") {
        let message = "is being deleted, with all that is in it, and takes nothing new; wait";
        return Problem::new(Reason::Waiting, "metadata.namespace", message);
    }
    let by_rights =
        ["is forbidden: User ", "is attempting to grant RBAC permissions not currently held"];
    let help = if words.contains("is forbidden: exceeded quota") {
        "; give the namespace a larger quota"
    } else if by_rights.iter().any(|start| words.contains(start)) {
        "; give the operator this right"
    } else {
        ""
    };
    let message = format!("the API server forbids it: {words}{help}");
    Problem::new(Reason::Forbidden, what.to_string(), message)
}

/// Deletes what this `BrokerSet` owns and no longer wants. Never claims, and nothing of a group: a group
/// has messages, and taking one away is more than deleting objects.
async fn sweep(
    children: &Children,
    observed: &mut Observed,
    context: &Context,
) -> Result<Vec<Problem>, Error> {
    let mut problems = Vec::new();
    let wanted = |id: &ChildId| {
        children.objects.iter().any(|child| child.id == *id) || children.awaiting.contains(id)
    };
    let orphans: Vec<_> = observed
        .owned
        .iter()
        .filter(|(id, object)| {
            id.kind.is_child()
                && !wanted(id)
                && !object.labels().contains_key(labels::GROUP)
                && object.metadata.deletion_timestamp.is_none()
        })
        .map(|(id, object)| (id.clone(), object.uid()))
        .collect();
    for (id, uid) in orphans {
        let preconditions = Some(Preconditions { uid, resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::background() };
        let deleted = match api(context, observed, id.kind).delete(&id.name, &params).await {
            Err(Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            other => other.map(drop),
        };
        if let Some(problem) = problem(deleted, "spec", &id)? {
            problems.push(problem);
            continue;
        }
        info!(broker_set = %observed.key, child = %id, "deleted, no longer wanted");
        observed.owned.remove(&id);
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_forbidden_is_told_with_what_helps() {
        let told = |words: &str, cause: &str| {
            let mut status = Status::failure(words, "Forbidden").with_code(403);
            let details = json!({ "causes": [{ "reason": cause }] });
            status.details = serde_json::from_value(details).unwrap();
            let told = forbidden(&status, &"Pod a");
            (told.reason, told.to_string())
        };
        let forbidden = |words: &str, help: &str| {
            (Reason::Forbidden, format!("Pod a: the API server forbids it: {words}{help}"))
        };
        for (words, help) in [
            (
                "pods \"a\" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1",
                "; give the namespace a larger quota",
            ),
            (
                "pods \"a\" is forbidden: User \"o\" cannot delete resource \"pods\" in API group \"\"",
                "; give the operator this right",
            ),
            (
                "roles.rbac.authorization.k8s.io \"a\" is forbidden: user \"o\" (groups=[]) is \
                 attempting to grant RBAC permissions not currently held: {}",
                "; give the operator this right",
            ),
            ("admission webhook \"x\" denied the request: you cannot use this resource", ""),
            ("pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\"", ""),
        ] {
            assert_eq!(told(words, ""), forbidden(words, help));
        }
        let words = "configmaps \"a\" is forbidden: unable to create new content in namespace shop";
        let (reason, told) = told(words, "NamespaceTerminating");
        assert_eq!(reason, Reason::Waiting);
        assert!(told.starts_with("metadata.namespace: is being deleted"), "{told}");
    }

    #[test]
    fn what_no_second_try_helps_is_a_problem_and_the_rest_an_error() {
        let told = |code, message: &str| {
            let status = Status::failure(message, "").with_code(code).boxed();
            let told = problem::<()>(Err(Error::Api(status)), "spec.pod", "Pod a");
            told.ok().flatten().map(|problem| (problem.reason, problem.field))
        };
        let rejected = Some((Reason::Rejected, "spec.pod".to_owned()));
        assert_eq!(told(422, "Invalid value"), rejected);
        assert_eq!(told(500, "failed to convert new object: quantities must match"), rejected);
        assert_eq!(told(500, "failed to create typed patch object"), rejected);
        assert_eq!(told(403, "forbidden"), Some((Reason::Forbidden, "Pod a".to_owned())));
        assert_eq!(told(500, "failed calling webhook"), None);
        assert!(problem::<()>(Ok(()), "spec", "Pod a").unwrap().is_none());
    }
}
