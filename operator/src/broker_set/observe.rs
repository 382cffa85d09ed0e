//! What there is of a `BrokerSet`: the only reads of a pass, but for those that gate a restart.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt as _};
use rocketkube_crds::broker_set::GroupState;
use rocketkube_crds::{BrokerSet, condition};
use serde::de::DeserializeOwned;
use tracing::debug;

use super::Worker;
use super::build::names;
use super::build::{ChildId, Sharer};
use super::sharing::sharers;
use crate::context::Key;
use crate::kind::Kind;
use crate::{Context, FIELD_MANAGER, labels};

/// Everything a pass decides from.
pub(crate) struct Observed {
    pub(crate) key: Key,
    pub(crate) set: Arc<BrokerSet>,
    /// Objects that this `BrokerSet` owns.
    pub(crate) owned: BTreeMap<ChildId, Arc<DynamicObject>>,
    /// Objects that stand where ours should, and whose they are.
    pub(crate) foreign: Vec<(ChildId, Owner)>,
    /// The `BrokerSet` whose name servers are shared, if there is one of that name.
    pub(crate) shared: Option<Arc<BrokerSet>>,
    /// Its name servers.
    pub(crate) shared_name_server: Option<Deployment>,
    /// Others that use its name servers.
    pub(crate) sharers: Vec<Sharer>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) claims: Vec<PersistentVolumeClaim>,
    pub(crate) refusals: Vec<Refusal>,
}

/// Why there is no pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What was to make it.
    pub(crate) of: ChildId,
    /// The API server's words.
    pub(crate) words: String,
}

/// Who owns an object that is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody, or somebody else.
    Other(String),
    /// A `BrokerSet` of the same name that was deleted: the object is on its way out.
    Predecessor,
}

/// Reads caches, and asks the API server for what should be there and is in none of them.
pub(crate) async fn observe(
    set: &Arc<BrokerSet>,
    worker: &Worker,
) -> Result<Observed, kube::Error> {
    let key = Key::of(&**set);
    let shared = shared(set, &key, worker);
    let mut observed = Observed {
        shared_name_server: shared.as_ref().and_then(|set| name_server_of(set, worker)),
        shared,
        sharers: sharers(set, &key, &worker.broker_sets),
        key,
        set: Arc::clone(set),
        owned: BTreeMap::new(),
        foreign: Vec::new(),
        pods: Vec::new(),
        claims: Vec::new(),
        refusals: Vec::new(),
    };
    let mut seen = BTreeMap::new();
    for (kind, object) in worker.caches.labelled(&observed.key) {
        match kind {
            Kind::Pod => observed.pods.extend(parse(&object)),
            Kind::PersistentVolumeClaim => observed.claims.extend(parse(&object)),
            _ => {
                seen.insert(ChildId { kind, name: object.name_any() }, object);
            }
        }
    }
    // A cache has no order, and messages name the first of several.
    observed.pods.sort_by_key(kube::ResourceExt::name_any);
    let wanted = names::all(set);
    for id in &wanted {
        if !seen.contains_key(id)
            && let Some(object) = live(&worker.context, &observed.key.namespace, id).await?
        {
            seen.insert(id.clone(), Arc::new(object));
        }
    }
    observed.sort(seen, &wanted);
    if set.spec.hibernate && observed.pods_of("broker").next().is_some() {
        // A cache may not know yet that a claim goes with the pod which is to be stopped.
        observed.claims = live_of(&worker.context, &observed.key).await?;
    }
    observed.refusals = refusals(&observed, &worker.context).await;
    Ok(observed)
}

/// What the API server said to those that should have made a pod and did not. A `StatefulSet` has it
/// in events only. They are a courtesy: without the right to read them nothing is known.
async fn refusals(observed: &Observed, context: &Context) -> Vec<Refusal> {
    let lacks_pod = |index: &i32| {
        let replicas = observed.stateful_set(*index).and_then(|set| set.spec?.replicas);
        replicas.is_some_and(|replicas| replicas > 0) && observed.pod(*index).is_none()
    };
    let lacking: Vec<_> = (0..observed.existing_groups()).filter(lacks_pod).collect();
    if lacking.is_empty() {
        return Vec::new();
    }
    let params = ListParams::default().fields("reason=FailedCreate,regarding.kind=StatefulSet");
    let events = match context.api::<Event>(&observed.key.namespace).list(&params).await {
        Ok(events) => events.items,
        Err(error) => {
            debug!(broker_set = %observed.key, %error, "events cannot be read");
            return Vec::new();
        }
    };
    let of_group = |index: i32| {
        let name = names::group(&observed.key.name, index);
        let id = ChildId { kind: Kind::StatefulSet, name };
        let uid = observed.owned.get(&id)?.uid();
        let about = |event: &&Event| {
            event.regarding.as_ref().is_some_and(|regarding| regarding.uid == uid)
                && event.reason.as_deref() == Some("FailedCreate")
                // What was said before it was ready is settled.
                && last_time(event) >= observed.not_ready_since()
        };
        let last = events.iter().filter(about).max_by_key(|event| last_time(event))?;
        Some(Refusal { of: id, words: last.note.clone().unwrap_or_default() })
    };
    lacking.into_iter().filter_map(of_group).collect()
}

fn last_time(event: &Event) -> Option<Timestamp> {
    let times = [
        event.series.as_ref().map(|series| series.last_observed_time.0),
        event.deprecated_last_timestamp.as_ref().map(|time| time.0),
        event.event_time.as_ref().map(|time| time.0),
    ];
    times.into_iter().flatten().max()
}

/// An object as it is now, past all caches. Only names and owners of foreign objects matter.
pub(crate) async fn live(
    context: &Context,
    namespace: &str,
    id: &ChildId,
) -> Result<Option<DynamicObject>, kube::Error> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), namespace, &id.kind.resource());
    api.get_opt(&id.name).await
}

/// All objects of a kind that belong to a `BrokerSet`, past all caches.
pub(crate) async fn live_of<K>(context: &Context, key: &Key) -> Result<Vec<K>, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + fmt::Debug,
    K::DynamicType: Default,
{
    let ours =
        format!("{}={},{}={FIELD_MANAGER}", labels::BROKER_SET, key.name, labels::MANAGED_BY);
    let params = ListParams::default().labels(&ours);
    Ok(context.api::<K>(&key.namespace).list(&params).await?.items)
}

fn shared(set: &BrokerSet, key: &Key, worker: &Worker) -> Option<Arc<BrokerSet>> {
    let other = set.spec.name_server.as_ref()?.from_broker_set.as_ref()?;
    let reference =
        ObjectRef::<DeserializeGuard<BrokerSet>>::new(&other.name).within(&key.namespace);
    let found = worker.broker_sets.get(&reference)?;
    found.0.as_ref().ok().map(|set| Arc::new(set.clone()))
}

fn name_server_of(set: &BrokerSet, worker: &Worker) -> Option<Deployment> {
    let key = Key::of(set);
    let name = names::name_server(&key.name);
    let mut objects = worker.caches.labelled(&key).into_iter();
    let is = |(kind, object): &(Kind, Arc<DynamicObject>)| {
        *kind == Kind::Deployment && object.name_any() == name
    };
    objects.find(is).and_then(|(_, object)| parse(&object))
}

/// Whose an object is, if it is not the `BrokerSet`'s.
fn owner(object: &DynamicObject, uid: &str, name: &str) -> Option<Owner> {
    let controller = object.owner_references().iter().find(|owner| owner.controller == Some(true));
    match controller {
        Some(owner) if owner.uid == uid => None,
        Some(owner) if owner.kind == BrokerSet::kind(&()) && owner.name == name => {
            Some(Owner::Predecessor)
        }
        Some(owner) => Some(Owner::Other(format!("{} {}", owner.kind, owner.name))),
        // Made by an operator for a BrokerSet of this name, and orphaned since: an apply owns it again.
        None if is_orphan(object, name) => None,
        None => Some(Owner::Other("no BrokerSet".to_owned())),
    }
}

fn is_orphan(object: &DynamicObject, name: &str) -> bool {
    let is = |key, value: &str| object.labels().get(key).is_some_and(|label| label == value);
    is(labels::MANAGED_BY, FIELD_MANAGER)
        && is(labels::BROKER_SET, name)
        && object.annotations().contains_key(labels::RENDERED)
}

/// An object as its type; what cannot be read as such is as good as not there.
pub(crate) fn parse<K: Resource + DeserializeOwned>(object: &DynamicObject) -> Option<K> {
    object.clone().try_parse().ok()
}

impl Observed {
    /// Tells what is ours from what is not.
    fn sort(&mut self, seen: BTreeMap<ChildId, Arc<DynamicObject>>, wanted: &[ChildId]) {
        let uid = self.set.uid().unwrap_or_default();
        for (id, object) in seen {
            match owner(&object, &uid, &self.key.name) {
                None => drop(self.owned.insert(id, object)),
                Some(owner) if wanted.contains(&id) => self.foreign.push((id, owner)),
                // Somebody else's, where nothing of ours has to stand.
                Some(_) => {}
            }
        }
    }

    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<&DynamicObject> {
        self.owned.get(&ChildId { kind, name: name.to_owned() }).map(|object| &**object)
    }

    pub(crate) fn stateful_set(&self, index: i32) -> Option<StatefulSet> {
        self.get(Kind::StatefulSet, &names::group(&self.key.name, index)).and_then(parse)
    }

    pub(crate) fn name_server(&self) -> Option<Deployment> {
        self.get(Kind::Deployment, &names::name_server(&self.key.name)).and_then(parse)
    }

    /// The cluster address of a group's master Service.
    pub(crate) fn address(&self, index: i32) -> Option<IpAddr> {
        let service = self.get(Kind::Service, &names::master(&self.key.name, index))?;
        service.data.pointer("/spec/clusterIP")?.as_str()?.parse().ok()
    }

    /// The broker pod of a group, also one that is not ready.
    pub(crate) fn pod(&self, index: i32) -> Option<&Pod> {
        let name = names::pod(&self.key.name, index);
        self.pods.iter().find(|pod| pod.metadata.name.as_ref() == Some(&name))
    }

    /// Pods of a component.
    pub(crate) fn pods_of<'a>(&'a self, component: &'a str) -> impl Iterator<Item = &'a Pod> {
        let is = move |pod: &&Pod| {
            pod.labels().get(labels::COMPONENT).is_some_and(|label| label == component)
        };
        self.pods.iter().filter(is)
    }

    /// Whether somebody answers for a group: it has one member, so that is whether its pod is ready.
    pub(crate) fn serves(&self, index: i32) -> bool {
        self.pod(index).is_some_and(is_ready)
    }

    /// Groups that exist, by the names of what their pods are made of: labels can be changed.
    pub(crate) fn existing_groups(&self) -> i32 {
        let start = names::group(&self.key.name, 0);
        let start = start.trim_end_matches('0');
        let index = |id: &ChildId| id.name.strip_prefix(start)?.parse::<i32>().ok();
        let sets = self.owned.keys().filter(|id| id.kind == Kind::StatefulSet);
        sets.filter_map(index).max().map_or(0, |highest| highest.saturating_add(1))
    }

    /// What is written down about a group: in what brokers read, or else in the status.
    pub(crate) fn state_before(&self, index: i32) -> Option<GroupState> {
        let told = self.get(Kind::ConfigMap, &names::state(&self.key.name, index));
        let told = told.and_then(|map| map.data.pointer("/data/state.yaml")?.as_str());
        if told.is_some_and(|state| state.contains("perm: 6")) {
            return Some(GroupState::Active);
        }
        let mut status = self.set.status.iter().flat_map(|status| &status.group_status);
        status.find(|group| group.index == index)?.state
    }

    /// Since when its status says that it is not ready.
    fn not_ready_since(&self) -> Option<Timestamp> {
        let mut conditions = self.set.status.iter().flat_map(|status| &status.conditions);
        let ready = conditions.find(|c| c.type_ == condition::READY && c.status == "False")?;
        Some(ready.last_transition_time.0)
    }

    pub(crate) fn was_active(&self, index: i32) -> bool {
        self.state_before(index) == Some(GroupState::Active)
    }
}

/// Whether a pod serves.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    pod.metadata.deletion_timestamp.is_none() && ready.any(|condition| condition.status == "True")
}
