//! Claims that somebody deleted. Such a claim stays as long as its pod does, and then goes with all
//! messages of its group: so its pod is left alone until somebody says that they may go.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt as _;
use rocketkube_crds::BrokerSet;
use rocketkube_crds::broker_set::StorageKind;

use super::build::names;
use super::observe::Observed;
use crate::labels;

/// Claims that one message names: there may be 64, and each has a long name.
const MOST_TOLD: usize = 8;

/// The claim of a group, if it has been deleted and is still there.
pub(crate) fn leaving<'a>(
    claims: &'a [PersistentVolumeClaim],
    set: &BrokerSet,
    index: i32,
) -> Option<&'a PersistentVolumeClaim> {
    if set.spec.storage.kind == StorageKind::Ephemeral {
        return None;
    }
    let name = names::claim(&set.name_any(), index);
    let is = |claim: &&PersistentVolumeClaim| claim.metadata.name.as_ref() == Some(&name);
    claims.iter().find(is).filter(|claim| claim.metadata.deletion_timestamp.is_some())
}

/// The same, unless somebody said that it may go. Its uid has to be named: a consent that is left in a
/// manifest does not hold for the next claim of the name.
pub(crate) fn protected<'a>(
    claims: &'a [PersistentVolumeClaim],
    set: &BrokerSet,
    index: i32,
) -> Option<&'a PersistentVolumeClaim> {
    leaving(claims, set, index).filter(|claim| !may_go(claim, set))
}

fn may_go(claim: &PersistentVolumeClaim, set: &BrokerSet) -> bool {
    let named = set.annotations().get(labels::DISCARD_DATA);
    let is = |uid: &str| Some(uid.trim()) == claim.metadata.uid.as_deref();
    named.is_some_and(|uids| uids.split(',').any(is))
}

/// What becomes of claims that have been deleted, and what to do; `None` if there are none.
pub(crate) fn told(observed: &Observed) -> Option<String> {
    let set = &observed.set;
    let leaving: Vec<_> = (0..observed.existing_groups())
        .filter_map(|index| leaving(&observed.claims, set, index))
        .collect();
    let (gone, kept): (Vec<_>, Vec<_>) = leaving.into_iter().partition(|claim| may_go(claim, set));
    let list = |claims: &[&PersistentVolumeClaim], text: fn(&PersistentVolumeClaim) -> String| {
        claims.iter().take(MOST_TOLD).map(|claim| text(claim)).collect::<Vec<_>>().join(",")
    };
    let annotation = labels::DISCARD_DATA;
    if !kept.is_empty() {
        return Some(format!(
            "claim {} is being deleted, and goes with its pod and all messages of its group, so the pod is \
             neither restarted nor stopped; have the messages consumed or copy the volume, and then \
             let them go: kubectl annotate bset {} --overwrite {annotation}={}",
            list(&kept, PersistentVolumeClaim::name_any),
            observed.key.name,
            list(&kept, |claim| claim.uid().unwrap_or_default()),
        ));
    }
    (!gone.is_empty()).then(|| {
        format!(
            "claim {} is being deleted, and goes with its pod and all messages of its group, as the \
             annotation {annotation} allows",
            list(&gone, PersistentVolumeClaim::name_any)
        )
    })
}

impl Observed {
    /// Whether the pod of a group is there and has to stay, because the group's messages go with it.
    pub(crate) fn keeps_pod(&self, index: i32) -> bool {
        let is_there = |pod: &Pod| pod.metadata.deletion_timestamp.is_none();
        self.pod(index).is_some_and(is_there) && protected(&self.claims, &self.set, index).is_some()
    }
}
