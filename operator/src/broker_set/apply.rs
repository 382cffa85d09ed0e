//! Makes the objects what they should be: the only writes of a pass, but for status and restarts.

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

/// Applies what differs, and then deletes what is no longer wanted. What the API server refuses to
/// take is the spec's problem; any other failure ends the pass.
pub(crate) async fn apply(
    children: &Children,
    observed: &mut Observed,
    context: &Context,
) -> Result<Vec<Problem>, Error> {
    let mut problems = Vec::new();
    for child in &children.objects {
        match apply_one(child, observed, context).await {
            Err(Error::Api(status)) if is_refusal(&status) => {
                problems.push(refusal(child, &status.message));
            }
            other => other?,
        }
    }
    if problems.is_empty() {
        sweep(children, observed, context).await?;
    }
    Ok(problems)
}

/// Applies the addresses of masters only: what has to go on while nothing else may change.
pub(crate) async fn apply_endpoints(
    children: &Children,
    observed: &mut Observed,
    context: &Context,
) -> Result<(), Error> {
    for child in children.objects.iter().filter(|child| child.id.kind == Kind::EndpointSlice) {
        apply_one(child, observed, context).await?;
    }
    Ok(())
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
    let applied = api.patch(&child.id.name, &params, &Patch::Apply(&child.object)).await?;
    context.metrics.applied();
    info!(broker_set = %observed.key, child = %child.id, "applied");
    observed.owned.insert(child.id.clone(), Arc::new(applied));
    Ok(())
}

fn api(context: &Context, observed: &Observed, kind: Kind) -> Api<DynamicObject> {
    Api::namespaced_with(context.client.clone(), &observed.key.namespace, &kind.resource())
}

/// Whether the answer means: not this object, however often you try.
fn is_refusal(status: &Status) -> bool {
    // A field that the API server does not know, or of another type, is its own fault in its words.
    let untyped = status.code == 500 && status.message.starts_with("failed to create typed patch");
    untyped || matches!(status.code, 400 | 403 | 422)
}

fn refusal(child: &Child, message: &str) -> Problem {
    let field = match child.id.kind {
        Kind::Deployment => "spec.nameServer",
        Kind::StatefulSet => "spec.pod",
        _ => "spec",
    };
    let message = format!("the API server does not take {}: {message}", child.id);
    Problem::new(Reason::Rejected, field, message)
}

/// Deletes what this `BrokerSet` owns and no longer wants. Never claims, and never anything of a group:
/// a group has messages, and taking one away is more than deleting objects.
async fn sweep(
    children: &Children,
    observed: &mut Observed,
    context: &Context,
) -> Result<(), Error> {
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
        match api(context, observed, id.kind).delete(&id.name, &params).await {
            Err(Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            other => drop(other?),
        }
        info!(broker_set = %observed.key, child = %id, "deleted, no longer wanted");
        observed.owned.remove(&id);
    }
    Ok(())
}
