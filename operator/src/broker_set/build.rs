//! From a spec and a few facts to the objects it means. Pure: no client, no clock, no order.
//!
//! Objects are written as JSON, which reads as the manifests people know; a test holds them against
//! the types of the API, so that a misspelt field cannot pass. What is applied to an existing
//! `BrokerSet` may only change with its spec, or pods would restart because the operator was upgraded:
//! a rendering that differs is a new [`RENDER_VERSION`] beside the old one.

mod access;
mod broker;
pub(crate) mod name_server;
pub(crate) mod names;
mod network;
pub(crate) mod pod;
mod settings;

use std::net::IpAddr;

use kube::ResourceExt as _;
use rocketkube_crds::BrokerSet;
use rocketkube_crds::broker_set::GroupState;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::kind::Kind;
use crate::{FIELD_MANAGER, labels};

/// The rendering that is made here. What a `BrokerSet` was first rendered with stays in its status.
pub(crate) const RENDER_VERSION: i32 = 1;

/// What a rendering depends on besides the spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Facts {
    /// Image of all pods.
    pub(crate) image: String,
    /// Where the operator runs: it may always connect.
    pub(crate) operator_namespace: String,
    /// What brokers are given as name servers.
    pub(crate) name_servers: String,
    /// Whether no broker pod is left. Name servers are stopped last.
    pub(crate) brokers_stopped: bool,
    /// The time for which somebody asked for a restart, once it has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restart_at: Option<String>,
    /// Others that use its name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sharers: Vec<Sharer>,
    /// One for each group, by index.
    pub(crate) groups: Vec<GroupFacts>,
}

/// A `BrokerSet` that uses the name servers of another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Sharer {
    pub(crate) name: String,
    /// How many groups it has.
    pub(crate) groups: i32,
}

/// What the rendering of one group depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct GroupFacts {
    pub(crate) state: GroupState,
    /// Cluster address of the master Service. Brokers announce it, so there is none without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<IpAddr>,
    /// Whether its pod goes on although the `BrokerSet` hibernates.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) keeps_pod: bool,
}

/// Names an object of the `BrokerSet`'s namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChildId {
    pub(crate) kind: Kind,
    pub(crate) name: String,
}

impl std::fmt::Display for ChildId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.kind, self.name)
    }
}

/// An object as it should be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Child {
    pub(crate) id: ChildId,
    pub(crate) object: Value,
}

/// All objects of a `BrokerSet`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Children {
    pub(crate) objects: Vec<Child>,
    /// Objects that wait for a fact. They are left alone if they exist.
    pub(crate) awaiting: Vec<ChildId>,
}

impl Children {
    /// Adds an object, given without `apiVersion` and `kind`.
    fn push(&mut self, kind: Kind, name: String, content: Value) {
        let resource = kind.resource();
        let mut object = json!({ "apiVersion": resource.api_version, "kind": resource.kind });
        if let (Value::Object(object), Value::Object(content)) = (&mut object, content) {
            object.extend(content);
        }
        let hash = digest(&object);
        object["metadata"]["annotations"][labels::RENDERED] = hash.into();
        self.objects.push(Child { id: ChildId { kind, name }, object });
    }
}

/// One rendering: everything that its parts look at.
struct Rendering<'a> {
    set: &'a BrokerSet,
    facts: &'a Facts,
    name: String,
    namespace: String,
}

/// The objects of a valid spec.
pub(crate) fn build(set: &BrokerSet, facts: &Facts) -> Children {
    let (name, namespace) = (set.name_any(), set.namespace().unwrap_or_default());
    let rendering = Rendering { set, facts, name, namespace };
    let mut children = Children::default();
    broker::shared(&rendering, &mut children);
    for (index, group) in (0..).zip(&facts.groups) {
        access::of_group(&rendering, index, &mut children);
        broker::of_group(&rendering, index, group, &mut children);
    }
    name_server::all(&rendering, &mut children);
    network::policies(&rendering, &mut children);
    children.objects.sort_by(|a, b| a.id.cmp(&b.id));
    children
}

/// What `broker` or `namesrv` pods are labelled with; `group` for brokers.
fn identity(name: &str, component: &str, group: Option<i32>) -> Value {
    let mut identity = json!({ labels::BROKER_SET: name, labels::COMPONENT: component });
    if let Some(group) = group {
        identity[labels::GROUP] = group.to_string().into();
    }
    identity
}

impl Rendering<'_> {
    /// What selects the pods of a component. Never changes: selectors cannot.
    fn selector(&self, component: &str, group: Option<i32>) -> Value {
        identity(&self.name, component, group)
    }

    /// Labels of everything that belongs to a component.
    fn labels(&self, component: &str, group: Option<i32>) -> Value {
        let mut labels = identity(&self.name, component, group);
        labels[labels::NAME] = "rocketkube".into();
        labels["app.kubernetes.io/instance"] = self.name.clone().into();
        labels[labels::MANAGED_BY] = FIELD_MANAGER.into();
        labels
    }

    /// Metadata of a child: goes with the `BrokerSet`.
    fn metadata(&self, name: &str, component: &str, group: Option<i32>) -> Value {
        json!({
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels(component, group),
            "ownerReferences": [{
                "apiVersion": format!("{}/{}", rocketkube_crds::GROUP, rocketkube_crds::VERSION),
                "kind": "BrokerSet",
                "name": self.name,
                "uid": self.set.uid().unwrap_or_default(),
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        })
    }
}

/// The first 16 hexadecimal digits of a SHA-256, for noticing changes.
pub(crate) fn digest(value: &Value) -> String {
    let hash = Sha256::digest(value.to_string());
    let start = hash.iter().take(8).fold(0, |start, byte| start << 8 | u64::from(*byte));
    format!("{start:016x}")
}

#[cfg(test)]
mod tests;
