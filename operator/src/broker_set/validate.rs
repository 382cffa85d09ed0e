//! What is wrong with a `BrokerSet`, all of it at once; and if nothing is, what it means.
//!
//! The API server has checked what a schema can say. Checked here is what needs to know other
//! objects, and once more what would do harm if an older schema let it through.

use std::fmt;

use jiff::Timestamp;
use rocketkube_crds::broker_set::{GroupState, NameServer};

use super::build::name_server;
use super::build::{Facts, GroupFacts, RENDER_VERSION};
use super::observe::{Observed, Owner};
use super::trouble;
use crate::{Context, labels};

/// Why a spec cannot be made true. The reason of condition `SpecValid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    ForbiddenChange,
    ReferenceNotFound,
    NameServerConflict,
    NameConflict,
    InvalidValue,
    Rejected,
    /// The operator lacks a right, the namespace a quota, or something else does not let it.
    Forbidden,
    /// Nobody's fault: something has to go away first.
    Waiting,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: Reason,
    /// Where, as in `spec.nameServer.fromBrokerSet.name`.
    pub(crate) field: String,
    /// What, and what to write instead.
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(
        reason: Reason,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { reason, field: field.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// What to render, or everything that is wrong.
pub(crate) fn validate(observed: &Observed, context: &Context) -> Result<Facts, Vec<Problem>> {
    let mut problems = Vec::new();
    problems.extend(shape(observed));
    problems.extend(changes(observed));
    problems.extend(no_time(observed));
    problems.extend(annotations(observed));
    problems.extend(conflicts(observed));
    let name_servers = name_servers(observed);
    match name_servers {
        Ok(name_servers) if problems.is_empty() => Ok(facts(observed, context, name_servers)),
        Ok(_) => Err(problems),
        Err(problem) => {
            problems.push(problem);
            Err(problems)
        }
    }
}

/// What no rendering could be made of.
fn shape(observed: &Observed) -> Vec<Problem> {
    let (name, spec) = (&observed.key.name, &observed.set.spec);
    let mut problems = Vec::new();
    let mut invalid = |field: &str, message: String| {
        problems.push(Problem::new(Reason::InvalidValue, field, message));
    };
    if name.len() > 40 {
        let length = name.len();
        invalid("metadata.name", format!("has {length} characters; choose at most 40"));
    }
    if !(1..=64).contains(&spec.groups) {
        invalid("spec.groups", format!("is {}; write 1 to 64", spec.groups));
    }
    if spec.replicas_per_group != 1 {
        let count = spec.replicas_per_group;
        invalid(
            "spec.replicasPerGroup",
            format!("is {count}; write 1: there is no replication yet"),
        );
    }
    if let Some(NameServer { managed, from_broker_set, addresses }) = &spec.name_server {
        let given = [managed.is_some(), from_broker_set.is_some(), addresses.is_some()];
        if given.iter().filter(|is| **is).count() != 1 {
            let message = "write exactly one of managed, fromBrokerSet and addresses";
            invalid("spec.nameServer", message.to_owned());
        }
    }
    problems
}

/// Changes that would lose something.
fn changes(observed: &Observed) -> Vec<Problem> {
    let mut problems = Vec::new();
    let existing = observed.existing_groups();
    if observed.set.spec.groups < existing {
        let message = format!(
            "is {}, but there are {existing} groups with messages; write {existing} or more",
            observed.set.spec.groups
        );
        problems.push(Problem::new(Reason::ForbiddenChange, "spec.groups", message));
    }
    let rendered = observed.set.status.as_ref().and_then(|status| status.render_version);
    if let Some(version) = rendered.filter(|version| !(1..=RENDER_VERSION).contains(version)) {
        let message = format!(
            "is {version}, and this operator renders up to {RENDER_VERSION}; run the newer \
             operator that was here"
        );
        problems.push(Problem::new(Reason::ForbiddenChange, "status.renderVersion", message));
    }
    problems
}

/// The time for which somebody asked for a restart: as they wrote it, and what it means.
pub(crate) fn restart_at(observed: &Observed) -> Option<(&String, Option<Timestamp>)> {
    let value = observed.set.metadata.annotations.as_ref()?.get(labels::RESTART_AT)?;
    Some((value, value.parse().ok()))
}

fn no_time(observed: &Observed) -> Option<Problem> {
    let (value, None) = restart_at(observed)? else { return None };
    let field = format!("metadata.annotations[{}]", labels::RESTART_AT);
    let message = format!("is {value:?}; write a time such as 2030-01-31T06:00:00Z");
    Some(Problem::new(Reason::InvalidValue, field, message))
}

/// The operator's own annotations on pods say what a pod was made from: with another's values it would
/// be replaced again and again.
fn annotations(observed: &Observed) -> Vec<Problem> {
    let spec = &observed.set.spec;
    let managed = spec.name_server.as_ref().and_then(|given| given.managed.as_ref());
    let places = [
        ("spec.pod.annotations", Some(&spec.pod)),
        ("spec.nameServer.managed.pod.annotations", managed.map(|managed| &managed.pod)),
    ];
    let mut problems = Vec::new();
    for (field, options) in places {
        for key in options.iter().flat_map(|options| options.annotations.keys()) {
            if key.starts_with(labels::PREFIX) {
                let message = format!(
                    "cannot have {key}; annotations of {} are the operator's",
                    labels::PREFIX
                );
                problems.push(Problem::new(Reason::InvalidValue, field, message));
            }
        }
    }
    problems
}

/// Objects of others where ours should be.
fn conflicts(observed: &Observed) -> Vec<Problem> {
    let problem = |(id, owner): &(super::build::ChildId, Owner)| match owner {
        Owner::Other(owner) => Problem::new(
            Reason::NameConflict,
            "metadata.name",
            format!(
                "{id} exists and belongs to {owner}; delete or rename it, or choose another name \
                 for the BrokerSet"
            ),
        ),
        Owner::Predecessor => Problem::new(
            Reason::Waiting,
            "metadata.name",
            format!("{id} of a deleted BrokerSet of this name is still being removed"),
        ),
    };
    observed.foreign.iter().map(problem).collect()
}

/// What brokers are given as name servers.
fn name_servers(observed: &Observed) -> Result<String, Problem> {
    let (spec, key) = (&observed.set.spec, &observed.key);
    let Some(given) = &spec.name_server else {
        return Ok(name_server::peers(&key.name, &key.namespace));
    };
    if let Some(addresses) = &given.addresses {
        return Ok(addresses.join(";"));
    }
    let Some(other) = &given.from_broker_set else {
        return Ok(name_server::peers(&key.name, &key.namespace));
    };
    let field = "spec.nameServer.fromBrokerSet.name";
    let fail = |reason, message: String| Err(Problem::new(reason, field, message));
    if other.name == key.name {
        let message = "names this BrokerSet itself; write managed: {} instead of fromBrokerSet";
        return fail(Reason::NameServerConflict, message.to_owned());
    }
    let Some(shared) =
        observed.shared.as_ref().filter(|set| set.metadata.deletion_timestamp.is_none())
    else {
        let message = format!(
            "there is no BrokerSet {} in namespace {}; name one that is there, or write managed: {{}}",
            other.name, key.namespace
        );
        return fail(Reason::ReferenceNotFound, message);
    };
    if name_server::managed(shared.spec.name_server.as_ref()).is_none() {
        let message = format!(
            "BrokerSet {} runs no name servers itself; name the one whose it uses, or write \
             managed: {{}}",
            other.name
        );
        return fail(Reason::NameServerConflict, message);
    }
    Ok(name_server::peers(&other.name, &key.namespace))
}

fn facts(observed: &Observed, context: &Context, name_servers: String) -> Facts {
    let groups = 0..observed.set.spec.groups;
    let anybody_active = groups.clone().any(|index| observed.was_active(index));
    let of_group = |index| GroupFacts {
        state: group_state(observed, context, index, anybody_active),
        address: observed.address(index),
        keeps_pod: observed.set.spec.hibernate && observed.keeps_pod(index),
    };
    Facts {
        image: image(observed, context),
        operator_namespace: context.client.default_namespace().to_owned(),
        name_servers,
        restart_at: restart_at(observed)
            .filter(|(_, at)| at.is_some_and(|at| at <= context.clock.now()))
            .map(|(value, _)| value.clone()),
        sharers: observed.sharers.clone(),
        brokers_stopped: observed.pods_of("broker").next().is_none(),
        groups: groups.map(of_group).collect(),
    }
}

/// Groups of a new `BrokerSet` serve at once: there is nothing that others have and they lack. Later
/// ones join without taking messages until they were given everything.
fn group_state(
    observed: &Observed,
    context: &Context,
    index: i32,
    anybody_active: bool,
) -> GroupState {
    let filled = || observed.serves(index) && context.sync.is_filled(&observed.set, index);
    if observed.was_active(index) || !anybody_active || filled() {
        GroupState::Active
    } else {
        GroupState::Joining
    }
}

/// The image of all pods: what the spec says, else what brokers have served with, else the operator's own
/// release. An image that none has served with yet is in the pods' template only, and is kept as long
/// as nodes can get it: without that, one with a mistake would outlive its removal from the spec.
fn image(observed: &Observed, context: &Context) -> String {
    let spec = observed.set.spec.image.clone();
    let served = || observed.set.status.as_ref().and_then(|status| status.image.clone());
    let template = || {
        let template = observed.stateful_set(0)?.spec?.template;
        let mut containers = template.spec?.containers.into_iter();
        containers.find(|container| container.name == "broker")?.image
    };
    let can_be_had = |image: &String| !trouble::cannot_get(observed, image);
    spec.or_else(served)
        .or_else(|| template().filter(can_be_had))
        .unwrap_or_else(|| context.config.broker_image.clone())
}
