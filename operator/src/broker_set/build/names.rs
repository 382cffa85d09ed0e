//! Names of the objects of a `BrokerSet`. Its own name has at most 40 characters, so that all of
//! these, and the labels that Kubernetes makes of them, stay within 63.

use kube::ResourceExt as _;
use rocketkube_crds::BrokerSet;

use super::ChildId;
use crate::kind::Kind;

/// The `StatefulSet` of a group and all that stands with it; also the `brokerName` of clients.
pub(crate) fn group(set: &str, index: i32) -> String {
    format!("{set}-b{index}")
}

/// The pod of a group that has one member.
pub(crate) fn pod(set: &str, index: i32) -> String {
    format!("{set}-b{index}-0")
}

/// The claim of that pod.
pub(crate) fn claim(set: &str, index: i32) -> String {
    format!("data-{set}-b{index}-0")
}

/// Service by which clients reach the master of a group.
pub(crate) fn master(set: &str, index: i32) -> String {
    format!("{set}-b{index}-master")
}

/// `ConfigMap` with what a group is told while it runs.
pub(crate) fn state(set: &str, index: i32) -> String {
    format!("{set}-b{index}-state")
}

/// Headless Service of all broker pods.
pub(crate) fn brokers(set: &str) -> String {
    format!("{set}-brokers")
}

/// `ConfigMap` with the settings of all brokers.
pub(crate) fn settings(set: &str) -> String {
    format!("{set}-broker-config")
}

/// Deployment of the name servers, and the Service that clients are given.
pub(crate) fn name_server(set: &str) -> String {
    format!("{set}-namesrv")
}

/// `ConfigMap` with the settings of the name servers.
pub(crate) fn name_server_settings(set: &str) -> String {
    format!("{set}-namesrv-config")
}

/// Headless Service of all name server pods, ready or not.
pub(crate) fn name_server_peers(set: &str) -> String {
    format!("{set}-namesrv-peers")
}

/// Network policy for pods that belong together.
pub(crate) fn internal(set: &str) -> String {
    format!("{set}-internal")
}

/// Network policy for clients.
pub(crate) fn clients(set: &str) -> String {
    format!("{set}-clients")
}

/// The objects of a spec, whatever is known so far.
pub(crate) fn all(set: &BrokerSet) -> Vec<ChildId> {
    let (name, spec) = (set.name_any(), &set.spec);
    let mut names = vec![(Kind::ConfigMap, settings(&name)), (Kind::Service, brokers(&name))];
    if super::name_server::managed(spec.name_server.as_ref()).is_some() {
        names.extend([
            (Kind::ConfigMap, name_server_settings(&name)),
            (Kind::Service, name_server(&name)),
            (Kind::Service, name_server_peers(&name)),
            (Kind::Deployment, name_server(&name)),
            (Kind::PodDisruptionBudget, name_server(&name)),
        ]);
    }
    if spec.network_policy.enabled {
        names.extend([
            (Kind::NetworkPolicy, internal(&name)),
            (Kind::NetworkPolicy, clients(&name)),
        ]);
    }
    for index in 0..spec.groups.clamp(0, 64) {
        names.extend([
            (Kind::ConfigMap, state(&name, index)),
            (Kind::ServiceAccount, group(&name, index)),
            (Kind::Role, group(&name, index)),
            (Kind::RoleBinding, group(&name, index)),
            (Kind::Service, master(&name, index)),
            (Kind::StatefulSet, group(&name, index)),
        ]);
    }
    let mut ids: Vec<_> = names.into_iter().map(|(kind, name)| ChildId { kind, name }).collect();
    ids.sort();
    ids
}
