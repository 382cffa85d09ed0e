//! What a `BrokerSet` is told about itself. Pure, but for the one write, which is made only if
//! something changed.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Error, ResourceExt as _};
use rocketkube_crds::broker_set::{
    BrokerSetStatus, GroupState, GroupStatus, NameServerStatus, ReplicaStatus,
};
use serde_json::json;

use super::build::{Facts, RENDER_VERSION, name_server, names};
use super::conditions;
use super::image;
use super::name_servers::NameServerView;
use super::observe::{Observed, is_ready};
use super::pods;
use super::restart::Member;
use super::trouble::{self, Trouble};
use super::validate::Problem;
use crate::context::{Hindrance, SyncReport};
use crate::{Context, FIELD_MANAGER, labels};

/// What came of a pass.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What was rendered from; none if the spec is not valid.
    pub(crate) facts: Option<Facts>,
    pub(crate) problems: Vec<Problem>,
    /// What goes wrong again and again.
    pub(crate) failure: Option<String>,
    /// What the sync worker said last.
    pub(crate) sync: SyncReport,
    /// Whether nothing was applied because somebody asked for that.
    pub(crate) paused: bool,
}

/// One group as it is.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) index: i32,
    /// Unknown for a group that was never rendered.
    pub(crate) state: Option<GroupState>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) ready: bool,
    /// Whether its pod runs what the spec says.
    pub(crate) current: bool,
    pub(crate) replica: Option<ReplicaStatus>,
    /// What keeps clients away although it is ready.
    pub(crate) hindrance: Hindrance,
}

impl Group {
    pub(crate) fn is_writable(&self) -> bool {
        self.ready
            && self.state == Some(GroupState::Active)
            && self.address.is_some()
            && self.hindrance.full.is_none()
    }
}

/// Everything that conditions and columns are made of.
pub(crate) struct View<'a> {
    pub(crate) observed: &'a Observed,
    pub(crate) outcome: &'a Outcome,
    pub(crate) groups: Vec<Group>,
    pub(crate) name_server: NameServerView,
    pub(crate) trouble: Option<Trouble>,
    /// Whether all broker pods are gone.
    pub(crate) stopped: bool,
}

impl<'a> View<'a> {
    pub(crate) fn new(observed: &'a Observed, outcome: &'a Outcome) -> Self {
        let count = observed.set.spec.groups.clamp(0, 64).max(observed.existing_groups());
        let groups = (0..count).map(|index| group(observed, outcome, index)).collect();
        Self {
            observed,
            outcome,
            groups,
            name_server: NameServerView::of(observed),
            trouble: trouble::find(observed),
            stopped: observed.pods_of("broker").next().is_none(),
        }
    }

    pub(crate) fn ready(&self) -> usize {
        self.groups.iter().filter(|group| group.ready).count()
    }

    pub(crate) fn writable(&self) -> usize {
        self.groups.iter().filter(|group| group.is_writable()).count()
    }

    /// Whether it ever was more than being created.
    pub(crate) fn is_born(&self) -> bool {
        let phase = self.observed.set.status.as_ref().and_then(|status| status.phase.as_deref());
        phase.is_some_and(|phase| phase != "Creating")
    }

    pub(crate) fn current(&self) -> usize {
        self.groups.iter().filter(|group| group.current).count()
    }
}

fn group(observed: &Observed, outcome: &Outcome, index: i32) -> Group {
    let pod = observed.pod(index);
    let current = Member::of(observed, index).is_some_and(|member| member.is_current());
    let told = outcome
        .facts
        .as_ref()
        .and_then(|facts| facts.groups.get(usize::try_from(index).ok()?).map(|group| group.state));
    let before = observed.state_before(index);
    let replica = pod.map(|pod| ReplicaStatus {
        replica: 1,
        pod: Some(pod.name_any()),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        ready: is_ready(pod),
        revision: pod.labels().get("controller-revision-hash").cloned(),
    });
    let ready = observed.serves(index);
    let address = observed.address(index);
    let hindrance =
        outcome.sync.hindered.get(&index).filter(|_| ready).cloned().unwrap_or_default();
    Group { index, state: told.or(before), address, ready, current, replica, hindrance }
}

/// The status as it should be.
pub(crate) fn status(view: &View<'_>, context: &Context) -> BrokerSetStatus {
    let (observed, outcome) = (view.observed, view.outcome);
    let before = observed.set.status.clone().unwrap_or_default();
    let count = |ready: usize| Some(format!("{ready}/{}", view.groups.len()));
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let image = served_image(observed, outcome).or(before.image.clone());
    let sync = context.sync.report_on(&observed.set).unwrap_or_default();
    let mut status = BrokerSetStatus {
        observed_generation: observed.set.metadata.generation,
        phase: None,
        groups: Some(observed.existing_groups()),
        selector: Some(format!(
            "{}={},{}=broker",
            labels::BROKER_SET,
            observed.key.name,
            labels::COMPONENT
        )),
        brokers: count(view.ready()),
        ready_groups: count(view.ready()),
        writable_groups: Some(number(view.writable())),
        version: image.as_deref().and_then(image::version).map(str::to_owned),
        image,
        render_version: before.render_version.or(Some(RENDER_VERSION)),
        name_server: Some(NameServerStatus { internal: Some(internal(observed)) }),
        group_status: view.groups.iter().map(|group| group_status(observed, group)).collect(),
        topics: sync.topics.or(before.topics),
        consumer_groups: sync.consumer_groups.or(before.consumer_groups),
        conditions: conditions::all(view, &before.conditions, context.clock.now()),
    };
    status.phase = Some(phase(view, &status).to_owned());
    status
}

/// The image that is wanted, once a broker serves with it: what a spec that names none goes on with.
fn served_image(observed: &Observed, outcome: &Outcome) -> Option<String> {
    let wanted = outcome.facts.as_ref().map(|facts| &facts.image)?;
    let serves = |pod: &Pod| is_ready(pod) && pods::image(pod).as_ref() == Some(wanted);
    observed.pods_of("broker").any(serves).then(|| wanted.clone())
}

fn group_status(observed: &Observed, group: &Group) -> GroupStatus {
    GroupStatus {
        index: group.index,
        name: Some(names::group(&observed.key.name, group.index)),
        state: group.state,
        writable: group.is_writable(),
        address: group.address.map(|address| address.to_string()),
        replicas: group.replica.iter().cloned().collect(),
    }
}

/// Name servers to give to clients.
fn internal(observed: &Observed) -> String {
    let key = &observed.key;
    let given = observed.set.spec.name_server.clone().unwrap_or_default();
    if let Some(addresses) = given.addresses {
        return addresses.join(";");
    }
    let owner = given.from_broker_set.map_or_else(|| key.name.clone(), |other| other.name);
    name_server::clients(&owner, &key.namespace)
}

/// For people; programs look at conditions.
fn phase(view: &View<'_>, status: &BrokerSetStatus) -> &'static str {
    let is = |type_: &str| status.conditions.iter().any(|c| c.type_ == type_ && c.status == "True");
    if view.observed.set.spec.hibernate && view.stopped {
        "Hibernated"
    } else if is(rocketkube_crds::condition::READY) {
        "Running"
    } else if !view.is_born() {
        "Creating"
    } else if view.groups.iter().any(|group| group.state == Some(GroupState::Joining)) {
        "Scaling"
    } else if view.current() < view.groups.len() {
        "Updating"
    } else {
        "Degraded"
    }
}

/// Writes the status if it is another one, and tells people what is new in it.
pub(crate) async fn publish(view: &View<'_>, context: &Context) -> Result<(), Error> {
    let status = status(view, context);
    let set = &view.observed.set;
    if set.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let patch = json!({
        "apiVersion": format!("{}/{}", rocketkube_crds::GROUP, rocketkube_crds::VERSION),
        "kind": "BrokerSet",
        "metadata": { "name": view.observed.key.name, "uid": set.uid() },
        "status": status,
    });
    let api = context.api::<rocketkube_crds::BrokerSet>(&view.observed.key.namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(&view.observed.key.name, &params, &Patch::Apply(patch)).await?;
    for news in conditions::news(set.status.as_ref(), &status) {
        context.event(&**set, news).await;
    }
    Ok(())
}
