//! Conditions of a `BrokerSet`. Each says at which generation it was found.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use rocketkube_crds::broker_set::{BrokerSetStatus, GroupState, StorageKind};
use rocketkube_crds::condition as kinds;

use super::build::names;
use super::claims;
use super::status::{Group, View};
use super::validate::{Problem, Reason};
use crate::context::News;

/// Longest message; the schema of conditions has 32 KiB, and etcd has better use for them.
const LONGEST: usize = 4_000;

struct Verdict {
    kind: &'static str,
    is: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn yes(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, is: true, reason, message: message.into() }
    }

    fn no(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, is: false, reason, message: message.into() }
    }
}

/// All conditions; one that has not changed keeps its time.
pub(crate) fn all(view: &View<'_>, before: &[Condition], now: Timestamp) -> Vec<Condition> {
    let ready = ready(view);
    let stalled = stalled(view);
    let mut verdicts = vec![available(view), spec_valid(view), storage(view), up_to_date(view)];
    let resting = view.outcome.paused || (view.observed.set.spec.hibernate && view.stopped);
    if !ready.is && !resting && stalled.is_none() {
        let message = ready.message.clone();
        verdicts.push(Verdict::yes(kinds::RECONCILING, "Progressing", message));
    }
    verdicts.extend(stalled);
    verdicts.insert(0, ready);
    verdicts.iter().map(|verdict| condition(view, verdict, before, now)).collect()
}

fn condition(
    view: &View<'_>,
    verdict: &Verdict,
    before: &[Condition],
    now: Timestamp,
) -> Condition {
    let status = if verdict.is { "True" } else { "False" };
    let same = before.iter().find(|c| c.type_ == verdict.kind && c.status == status);
    // Whole seconds, as everywhere in the API.
    let now = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    Condition {
        type_: verdict.kind.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.to_owned(),
        message: verdict.message.chars().take(LONGEST).collect(),
        observed_generation: view.observed.set.metadata.generation,
        last_transition_time: same.map_or(now, |same| same.last_transition_time.clone()),
    }
}

fn ready(view: &View<'_>) -> Verdict {
    let no = |reason, message: String| Verdict::no(kinds::READY, reason, message);
    let (total, spec) = (view.groups.len(), &view.observed.set.spec);
    if !view.outcome.problems.is_empty() {
        let problems = &view.outcome.problems;
        return no(problem_of(problems), told(problems));
    }
    if let Some(failure) = &view.outcome.failure {
        return no("Failing", failure.clone());
    }
    if view.outcome.paused {
        let message = "the annotation mq.rocketkube.dev/paused is true: changes are not made";
        return no("Paused", message.to_owned());
    }
    if spec.hibernate {
        return no("Hibernated", stopping(view));
    }
    if !view.name_server.complete {
        let message = "not all name servers are ready and current".to_owned();
        return no("NameServerUnavailable", message);
    }
    let writable = view.writable();
    if writable < total {
        let is_full = view.groups.iter().any(|group| group.hindrance.full.is_some());
        let begins = !view.is_born() && !is_full;
        return no(if begins { "Initializing" } else { "GroupsUnavailable" }, waiting(view));
    }
    let unknown = view.groups.iter().filter(|group| group.hindrance.is_unknown);
    let unknown: Vec<_> =
        unknown.map(|group| names::group(&view.observed.key.name, group.index)).collect();
    if !unknown.is_empty() {
        let some = &unknown[..unknown.len().min(8)];
        return no("NotRegistered", unregistered(&some.join(", ")));
    }
    if view.current() < total {
        return no("RollingUpdate", outdated(view));
    }
    Verdict::yes(kinds::READY, "AsSpecified", format!("{total} of {total} groups take messages"))
}

fn stopping(view: &View<'_>) -> String {
    let (observed, sharers) = (view.observed, &view.observed.sharers);
    let keeps_pod = |group: &&Group| observed.keeps_pod(group.index);
    match (observed.pods_of("broker").count(), view.groups.iter().filter(keeps_pod).count()) {
        (0, _) if sharers.is_empty() => {
            "all pods are stopped; set spec.hibernate to false to go on".to_owned()
        }
        (0, _) => {
            let some: Vec<_> = sharers.iter().take(8).map(|sharer| sharer.name.as_str()).collect();
            let some = some.join(", ");
            format!(
                "all brokers are stopped, and name servers stay for {some}; set spec.hibernate to \
                 false to go on"
            )
        }
        (left, 0) => format!("{left} broker pods are still stopping"),
        (_, kept) => format!("{kept} broker pods go on, because their claims would go with them"),
    }
}

/// Names some of the groups that take no messages.
fn waiting(view: &View<'_>) -> String {
    let missing = view.groups.iter().filter(|group| !group.is_writable());
    let told = |group: &Group| {
        let name = names::group(&view.observed.key.name, group.index);
        let lacks = view.outcome.sync.lacking.get(&group.index);
        match lacks.filter(|_| group.state == Some(GroupState::Joining)) {
            Some(what) => format!("{name} (it lacks {what})"),
            None => name,
        }
    };
    let some: Vec<_> = missing.map(told).take(8).collect();
    let (writable, total) = (view.writable(), view.groups.len());
    format!("{writable} of {total} groups take messages; waiting for {}", some.join(", "))
}

fn unregistered(groups: &str) -> String {
    format!(
        "no name server sends clients to {groups}: is spec.nameServer right? /statusz of the pods has \
         each name server, and why it does not know the broker"
    )
}

fn available(view: &View<'_>) -> Verdict {
    let writable = view.writable();
    if writable == 0 && view.observed.set.spec.hibernate {
        // Not the reason of an outage: nobody is to be woken up for what somebody asked for.
        return Verdict::no(kinds::AVAILABLE, "Hibernated", "spec.hibernate stops all groups");
    }
    if writable == 0 {
        return Verdict::no(kinds::AVAILABLE, "NoWritableGroup", "no group takes messages");
    }
    if !view.name_server.available {
        return Verdict::no(kinds::AVAILABLE, "NoNameServer", "no name server is ready");
    }
    let is_found = |group: &Group| group.is_writable() && !group.hindrance.is_unknown;
    if !view.groups.iter().any(is_found) {
        let message = "no name server sends clients to any group that takes messages";
        return Verdict::no(kinds::AVAILABLE, "NoNameServer", message);
    }
    Verdict::yes(kinds::AVAILABLE, "Serving", format!("{writable} groups take messages"))
}

fn up_to_date(view: &View<'_>) -> Verdict {
    if view.outcome.paused || !view.outcome.problems.is_empty() {
        let message = "the spec is not applied in full: it is paused, not valid or refused";
        return Verdict::no(kinds::UP_TO_DATE, "RolloutPaused", message);
    }
    if view.observed.set.spec.hibernate {
        return Verdict::yes(kinds::UP_TO_DATE, "Hibernated", "no brokers have to run");
    }
    if view.current() < view.groups.len() {
        return Verdict::no(kinds::UP_TO_DATE, "RollingUpdate", outdated(view));
    }
    Verdict::yes(kinds::UP_TO_DATE, "AllCurrent", "all broker pods run what the spec says")
}

fn outdated(view: &View<'_>) -> String {
    format!("{} of {} broker pods run what the spec says", view.current(), view.groups.len())
}

fn storage(view: &View<'_>) -> Verdict {
    let (observed, spec) = (view.observed, &view.observed.set.spec.storage);
    let full = |group: &Group| {
        let words = group.hindrance.full.as_ref()?;
        Some(format!("{}: {words}", names::group(&observed.key.name, group.index)))
    };
    let full: Vec<_> = view.groups.iter().filter_map(full).take(8).collect();
    if !full.is_empty() {
        let message = format!("{}; what is stored can be read", full.join("; "));
        return Verdict::no(kinds::STORAGE_READY, "Full", message);
    }
    if spec.kind == StorageKind::Ephemeral {
        let message = "messages are in directories that go with their pods";
        return Verdict::yes(kinds::STORAGE_READY, "Ephemeral", message);
    }
    if let Some(message) = claims::told(observed) {
        return Verdict::no(kinds::STORAGE_READY, "ClaimDeleted", message);
    }
    for group in &view.groups {
        let name = names::claim(&observed.key.name, group.index);
        let claim = observed.claims.iter().find(|c| c.metadata.name.as_ref() == Some(&name));
        let phase = claim.and_then(|claim| claim.status.as_ref()?.phase.as_deref());
        match phase {
            Some("Bound") => {}
            Some("Lost") => {
                let message = format!("the volume of claim {name} is gone");
                return Verdict::no(kinds::STORAGE_READY, "VolumeLost", message);
            }
            _ => return Verdict::no(kinds::STORAGE_READY, "ClaimPending", pending(&name, claim)),
        }
    }
    Verdict::yes(kinds::STORAGE_READY, "Bound", "all claims have their volumes")
}

/// A claim keeps the class it was made with, also for the next `BrokerSet` of the name.
fn pending(name: &str, claim: Option<&PersistentVolumeClaim>) -> String {
    let Some(claim) = claim else { return format!("claim {name} is not there yet") };
    let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    format!(
        "claim {name} has no volume yet; its class (spec.storage.storageClassName when it was made) is {}. \
         If there is no such class, make it; or make the BrokerSet anew with another one, and delete the \
         claim, which holds nothing (kubectl delete pvc {name}), and its pod",
        class.unwrap_or("none: the cluster has no default")
    )
}

fn spec_valid(view: &View<'_>) -> Verdict {
    let of_spec = |problem: &&Problem| problem.reason != Reason::Forbidden;
    let problems: Vec<_> = view.outcome.problems.iter().filter(of_spec).cloned().collect();
    match problems.iter().map(|problem| problem.reason).min() {
        None => Verdict::yes(kinds::SPEC_VALID, "Accepted", "the spec is accepted in full"),
        Some(reason) => Verdict::no(kinds::SPEC_VALID, name(reason), told(&problems)),
    }
}

fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::ForbiddenChange => "ForbiddenChange",
        Reason::ReferenceNotFound => "ReferenceNotFound",
        Reason::NameServerConflict => "NameServerConflict",
        Reason::NameConflict => "NameConflict",
        Reason::InvalidValue => "InvalidValue",
        Reason::Rejected => "Rejected",
        Reason::Forbidden => "Forbidden",
        Reason::Waiting => "Waiting",
    }
}

/// Whether it is the spec that has to change, or what the operator may do, or neither.
fn problem_of(problems: &[Problem]) -> &'static str {
    let mut reasons = problems.iter().map(|problem| problem.reason);
    if reasons.clone().all(|reason| reason == Reason::Waiting) {
        "Waiting"
    } else if reasons.all(|reason| matches!(reason, Reason::Waiting | Reason::Forbidden)) {
        "Forbidden"
    } else {
        "InvalidSpec"
    }
}

/// All problems in one text, each once.
fn told(problems: &[Problem]) -> String {
    let mut texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
    texts.dedup();
    texts.join("; ")
}

/// Work that does not go on by itself.
fn stalled(view: &View<'_>) -> Option<Verdict> {
    let problems = &view.outcome.problems;
    if problems.iter().any(|problem| problem.reason != Reason::Waiting) {
        return Some(Verdict::yes(kinds::STALLED, problem_of(problems), told(problems)));
    }
    if let Some(failure) = &view.outcome.failure {
        return Some(Verdict::yes(kinds::STALLED, "Failing", failure.clone()));
    }
    let trouble = view.trouble.as_ref()?;
    Some(Verdict::yes(kinds::STALLED, trouble.reason, trouble.message.clone()))
}

/// Events with the same reason count as one, unless they are about different things.
fn stateful_set(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("apps/v1".to_owned()),
        kind: Some("StatefulSet".to_owned()),
        name: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

/// What is new in a status.
pub(crate) fn news(before: Option<&BrokerSetStatus>, after: &BrokerSetStatus) -> Vec<News> {
    let find = |status: Option<&BrokerSetStatus>, kind: &str| {
        status.and_then(|status| status.conditions.iter().find(|c| c.type_ == kind)).cloned()
    };
    let mut news = Vec::new();
    if let Some(now) = find(Some(after), kinds::STALLED) {
        let then = find(before, kinds::STALLED);
        if then.is_none_or(|then| then.reason != now.reason || then.message != now.message) {
            news.push(News::warning(&now.reason, now.message));
        }
    }
    for group in &after.group_status {
        let joined = |status: &BrokerSetStatus| {
            let then = status.group_status.iter().find(|then| then.index == group.index);
            then.is_some_and(|then| then.state == Some(GroupState::Joining))
        };
        if group.state == Some(GroupState::Active) && before.is_some_and(joined) {
            let name = group.name.clone().unwrap_or_default();
            let note = format!("group {name} has joined and takes messages");
            let related = stateful_set(&name);
            news.push(News { related: Some(related), ..News::normal("ScaleOut", note) });
        }
    }
    news
}
