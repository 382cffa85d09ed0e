//! What `Topic` and `ConsumerGroup` have in common: both declare something that every broker group
//! of a `BrokerSet` shall hold.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt};
use rocketkube_crds::{AdoptionPolicy, BrokerSetRef, DeletionPolicy, Drift, condition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::report::Reason;
use crate::Key;

/// Stops everything about an object: nothing is read or changed in brokers for it.
pub(crate) const MANAGED: &str = "mq.rocketkube.dev/managed";
/// Lets an object go although its brokers cannot be reached.
pub(crate) const DELETE_CONFIRM: &str = "mq.rocketkube.dev/delete-confirm";

/// A kind that declares something in brokers.
pub(crate) trait Declared:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + fmt::Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// What a broker holds of it.
    type Settings: Clone + fmt::Debug + PartialEq + Send + Sync + 'static;
    /// The status subresource.
    type Status: Clone + fmt::Debug + PartialEq + Serialize + Send + Sync + 'static;

    /// What people call it.
    const NOUN: &'static str;
    /// Field of the spec that names it.
    const NAME_FIELD: &'static str;
    const FINALIZER: &'static str;
    /// Event when something that was there is taken over.
    const ADOPTED: &'static str;

    fn broker_set_ref(&self) -> &BrokerSetRef;
    /// Name as clients use it.
    fn wire_name(&self) -> &str;
    fn deletion_policy(&self) -> DeletionPolicy;
    fn adoption_policy(&self) -> AdoptionPolicy;
    fn status(&self) -> Option<&Self::Status>;
    /// What earlier passes did, as the status has it.
    fn history(&self) -> History;
    /// How what a broker holds differs from what is declared.
    fn differences(&self, held: &Self::Settings) -> Vec<Difference>;
    /// What to do in a broker that holds this, or nothing.
    fn next(&self, held: Option<&Self::Settings>) -> Next<Self::Settings>;
    /// The status that says this, conditions apart; what does not come from `report` stays.
    fn reported(&self, report: &Report<Self::Settings>) -> Self::Status;

    fn broker_set(&self) -> Key {
        let reference = self.broker_set_ref();
        let own = || self.namespace().unwrap_or_default();
        let namespace = reference.namespace.clone().unwrap_or_else(own);
        Key::new(namespace, &reference.name)
    }

    /// The value of one of our annotations.
    fn annotation(&self, key: &str) -> Option<&str> {
        self.meta().annotations.as_ref()?.get(key).map(String::as_str)
    }

    fn is_managed(&self) -> bool {
        self.annotation(MANAGED) != Some("false")
    }

    fn has_finalizer(&self) -> bool {
        self.finalizers().iter().any(|finalizer| finalizer == Self::FINALIZER)
    }

    fn is_being_deleted(&self) -> bool {
        self.meta().deletion_timestamp.is_some()
    }
}

/// One setting that is not as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Field of the spec.
    pub(crate) field: &'static str,
    pub(crate) declared: String,
    pub(crate) held: String,
    /// Whether taking it over would take something away, or change what it is.
    pub(crate) blocks_adoption: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, declared {}", self.field, self.held, self.declared)
    }
}

/// What to do next in one broker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Next<S> {
    /// It is as declared.
    Keep,
    /// Give it these settings.
    Put(S),
    /// Give it these settings once nobody has anything left to read in these queues.
    Drain { queues: Range<i32>, then: S },
}

/// What the status says of earlier passes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct History {
    /// Generation of the spec it is about.
    pub(crate) generation: Option<i64>,
    /// Whether the thing was there before the object; `None` until it was made or taken over.
    pub(crate) adopted: Option<bool>,
    /// Broker groups in which it is this object's.
    pub(crate) owned: BTreeSet<i32>,
    /// Broker groups that had it as declared.
    pub(crate) synced: BTreeSet<i32>,
    pub(crate) drift: Option<Drift>,
    pub(crate) conditions: Vec<Condition>,
}

impl History {
    /// Whether the last pass compared brokers with the spec. Otherwise the status may speak of a
    /// newer spec than brokers were ever told.
    pub(crate) fn is_compared(&self) -> bool {
        const COMPARED: [Reason; 5] = [
            Reason::Synced,
            Reason::PartiallySynced,
            Reason::QueueShrinkInProgress,
            Reason::AdoptionBlocked,
            Reason::BrokerRejected,
        ];
        let last = self.ready_reason();
        COMPARED.iter().any(|reason| last == Some(reason.name()))
    }

    /// Reason of the condition Ready.
    pub(crate) fn ready_reason(&self) -> Option<&str> {
        let ready = self.conditions.iter().find(|it| it.type_ == condition::READY);
        ready.map(|it| it.reason.as_str())
    }
}

/// What a status is made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report<S> {
    pub(crate) generation: Option<i64>,
    /// Broker groups by index; `None` keeps what the status has.
    pub(crate) groups: Option<Vec<GroupReport<S>>>,
    pub(crate) adopted: Option<bool>,
    pub(crate) drift: Option<Drift>,
}

impl<S> Report<S> {
    /// Groups that have it as declared, of those there are.
    pub(crate) fn synced_groups(groups: &[GroupReport<S>]) -> String {
        let synced = groups.iter().filter(|group| group.synced).count();
        format!("{synced}/{}", groups.len())
    }
}

/// One broker group in a status.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GroupReport<S> {
    pub(crate) index: i32,
    pub(crate) synced: bool,
    pub(crate) held: Shown<S>,
    pub(crate) message: Option<String>,
}

/// What a status shows of what a broker group holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shown<S> {
    /// It holds nothing that is this object's.
    Nothing,
    /// This is the object's.
    Held(S),
    /// It could not be asked: what was the object's still is.
    AsBefore,
}
