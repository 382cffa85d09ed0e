//! What is to be done in brokers for one object, and what came of it. Pure: what brokers hold is an
//! argument.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rocketkube_crds::{AdoptionPolicy, Drift};

use super::declared::{Declared, Difference, GroupReport, History, Next, Shown};
use super::report::{Obstacle, Reason};
use crate::text::shortened;

/// What one broker group holds of a name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held<'a, S> {
    /// Index of the group.
    pub(crate) index: i32,
    /// What it has, if it could be asked.
    pub(crate) what: Result<Option<&'a S>, Silence<'a>>,
}

/// Why it is unknown what a broker group holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence<'a> {
    pub(crate) why: &'a str,
    /// Its broker answered a moment ago, and may only be restarting. That changes nothing about what
    /// it has, and is nothing to write into every object.
    pub(crate) is_brief: bool,
}

/// What is to be done for an object in all broker groups.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan<S> {
    /// By index, for those groups that can be reached and may be changed.
    pub(crate) steps: Vec<(i32, Next<S>)>,
    /// Groups that hold something of that name which must be left alone, and why.
    pub(crate) blocked: Vec<(i32, String)>,
    /// What the status shall say: whether it was there before. `None` while nothing is decided.
    pub(crate) adopted: Option<bool>,
    /// The status has to say so before anything is done: otherwise, after a crash in between, what
    /// this object made would look as if somebody else had.
    pub(crate) claim_first: bool,
    /// Fields that somebody changed in brokers, by group.
    pub(crate) drift: Vec<(i32, &'static str)>,
}

/// What is told as a field of something that was deleted.
const DELETED: &str = "deleted";

impl<S> Plan<S> {
    /// Whether nothing at all is done for the object, because of what others have made.
    pub(crate) fn is_stopped(&self) -> bool {
        !self.blocked.is_empty() && self.adopted.is_none()
    }

    /// What the status shall say of `adopted` after the steps. Nothing yet, if no group took one: it
    /// is decided again. But what a broker may have made without being able to say so is the object's.
    fn decided(&self, history: &History, held: &[Held<'_, S>], refused: &[i32]) -> Option<bool> {
        if history.adopted.is_some() || self.claim_first {
            return self.adopted;
        }
        let is_silent = |index: &i32| held.iter().any(|it| it.index == *index && it.what.is_err());
        let is_undone =
            |index: &i32| refused.contains(index) || self.adopted == Some(true) && is_silent(index);
        self.adopted.filter(|_| !self.steps.iter().all(|(index, _)| is_undone(index)))
    }

    /// Fields that somebody had changed, and that are as declared after the steps.
    fn set_back<D>(&self, object: &D, held: &[Held<'_, S>]) -> Vec<&'static str>
    where
        D: Declared<Settings = S>,
    {
        let is_as_declared = |(index, field): &(i32, &'static str)| {
            let what = held.iter().find(|it| it.index == *index).and_then(|it| it.what.ok());
            what.flatten().is_some_and(|what| {
                *field == DELETED || object.differences(what).iter().all(|it| it.field != *field)
            })
        };
        let done = self.drift.iter().filter(|it| is_as_declared(it));
        done.map(|(_, field)| *field).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Plans for one object.
pub(crate) fn plan<D: Declared>(object: &D, held: &[Held<'_, D::Settings>]) -> Plan<D::Settings> {
    let history = object.history();
    let reached =
        || held.iter().filter_map(|it| it.what.as_ref().ok().map(|what| (it.index, *what)));
    // A group that joined while nothing was done for the object, during a pause say, has a copy.
    let is_copy = |of: &D::Settings| {
        reached().any(|(index, what)| history.owned.contains(&index) && what == Some(of))
    };
    let mut blocked = Vec::new();
    for (index, what) in reached() {
        let Some(what) = what.filter(|_| !history.owned.contains(&index)) else { continue };
        if is_copy(what) {
            continue;
        }
        if let Some(why) = foreign(object, &history, &object.differences(what)) {
            blocked.push((index, why));
        }
    }
    // One foreign thing of that name is enough to stop an object that has made nothing yet.
    let stopped = !blocked.is_empty() && history.adopted.is_none();
    let may_change = |index: &i32| !stopped && blocked.iter().all(|(other, _)| other != index);
    let steps: Vec<_> = reached()
        .filter(|(index, _)| may_change(index))
        .map(|(index, what)| (index, object.next(what)))
        .collect();
    let decided = !stopped && !steps.is_empty();
    let found = reached().any(|(_, what)| what.is_some());
    let adopted = history.adopted.or(decided.then_some(found));
    let never = object.adoption_policy() == AdoptionPolicy::Never;
    let claim_first = never && history.adopted.is_none() && adopted.is_some();
    Plan { steps, blocked, adopted, claim_first, drift: drift(object, &history, reached()) }
}

/// Why something that was there before the object must be left alone.
fn foreign<D: Declared>(object: &D, history: &History, found: &[Difference]) -> Option<String> {
    let list = |differences: &mut dyn Iterator<Item = &Difference>| {
        let texts: Vec<_> = differences.map(ToString::to_string).collect();
        texts.join("; ")
    };
    match object.adoption_policy() {
        AdoptionPolicy::Always => None,
        AdoptionPolicy::Never if history.adopted.is_none() => {
            let differences = list(&mut found.iter());
            let how = if differences.is_empty() { "is as declared" } else { &differences };
            Some(format!("it exists already, and adoptionPolicy is Never ({how})"))
        }
        AdoptionPolicy::Never | AdoptionPolicy::IfCompatible => {
            let blocking = list(&mut found.iter().filter(|it| it.blocks_adoption));
            (!blocking.is_empty()).then(|| {
                format!(
                    "it exists already and would lose something: {blocking}; change the spec, or \
                     write adoptionPolicy: Always"
                )
            })
        }
    }
}

/// What changed in groups that had it as this very spec says.
fn drift<'a, D: Declared>(
    object: &D,
    history: &History,
    reached: impl Iterator<Item = (i32, Option<&'a D::Settings>)>,
) -> Vec<(i32, &'static str)> {
    if history.generation != object.meta().generation || !history.is_compared() {
        return Vec::new();
    }
    let mut fields = Vec::new();
    for (index, what) in reached.filter(|(index, _)| history.synced.contains(index)) {
        match what {
            None => fields.push((index, DELETED)),
            Some(what) => {
                fields.extend(object.differences(what).iter().map(|it| (index, it.field)));
            }
        }
    }
    fields
}

/// The status of drift after a pass that corrected it.
pub(crate) fn drifted(before: Option<&Drift>, fields: &[&'static str], now: Time) -> Option<Drift> {
    if fields.is_empty() {
        return before.cloned();
    }
    let corrections = before.and_then(|drift| drift.corrections).unwrap_or_default() + 1;
    Some(Drift {
        last_detected: Some(now),
        corrections: Some(corrections),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    })
}

/// What came of a step that was not simply done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The broker said no, in its own words.
    Rejected(String),
    /// Somebody has still something to read in queues that go.
    Draining(String),
}

/// The state of an object in all broker groups after a pass.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome<S> {
    pub(crate) groups: Vec<GroupReport<S>>,
    /// Why it is not ready.
    pub(crate) obstacle: Option<Obstacle>,
    /// Whether it was there before the object; `None` until it is the object's.
    pub(crate) adopted: Option<bool>,
    /// Fields that somebody had changed in brokers, and that were set back.
    pub(crate) set_back: Vec<&'static str>,
}

/// Compares what brokers hold after the steps of a plan with what is declared.
pub(crate) fn outcome<D: Declared>(
    object: &D,
    plan: &Plan<D::Settings>,
    held: &[Held<'_, D::Settings>],
    trouble: impl Fn(i32) -> Option<Trouble>,
) -> Outcome<D::Settings> {
    let mut groups = Vec::with_capacity(held.len());
    let mut obstacles = Vec::new();
    let history = object.history();
    let was_synced = history.generation == object.meta().generation && history.is_compared();
    let is_refused = |index: &i32| matches!(trouble(*index), Some(Trouble::Rejected(_)));
    let refused: Vec<i32> = held.iter().map(|it| it.index).filter(is_refused).collect();
    let adopted = plan.decided(&history, held, &refused);
    for it in held {
        let blocked = plan.blocked.iter().find(|(index, _)| *index == it.index);
        let is_believed = was_synced && history.synced.contains(&it.index);
        let obstacle = match (blocked, &it.what) {
            (Some((_, why)), _) => Some((Reason::AdoptionBlocked, why.clone())),
            (None, Err(silence)) if silence.is_brief && is_believed => None,
            (None, Err(silence)) => Some((Reason::BrokerSetNotReady, silence.why.to_owned())),
            (None, Ok(what)) => unsettled(object, *what, trouble(it.index)),
        };
        let is_ours = blocked.is_none() && adopted.is_some();
        let held = match it.what {
            Err(_) => Shown::AsBefore,
            Ok(Some(what)) if is_ours => Shown::Held(what.clone()),
            Ok(_) => Shown::Nothing,
        };
        groups.push(GroupReport {
            index: it.index,
            synced: obstacle.is_none(),
            held,
            message: obstacle.as_ref().map(|(_, message)| shortened(message.clone())),
        });
        obstacles.extend(obstacle.map(|(reason, message)| (it.index, reason, message)));
    }
    let (obstacle, set_back) = (worst(&obstacles, held.len()), plan.set_back(object, held));
    Outcome { groups, obstacle, adopted, set_back }
}

/// Why one group that can be reached does not have what is declared.
fn unsettled<D: Declared>(
    object: &D,
    what: Option<&D::Settings>,
    trouble: Option<Trouble>,
) -> Option<(Reason, String)> {
    match trouble {
        _ if what.is_some_and(|what| object.differences(what).is_empty()) => None,
        Some(Trouble::Rejected(words)) => Some((Reason::BrokerRejected, words)),
        Some(Trouble::Draining(queues)) => Some((Reason::QueueShrinkInProgress, queues)),
        None => Some(match what.map(|what| (what, object.next(Some(what)))) {
            None => (Reason::PartiallySynced, "it is not there yet".to_owned()),
            Some((_, Next::Drain { queues, .. })) => {
                let which = format!("queues {} to {}", queues.start, queues.end - 1);
                (Reason::QueueShrinkInProgress, format!("{which} go once they are read"))
            }
            Some((what, _)) => {
                let all = object.differences(what);
                let texts: Vec<_> = all.iter().map(ToString::to_string).collect();
                (Reason::PartiallySynced, texts.join("; "))
            }
        }),
    }
}

/// The one obstacle that people are told: what needs somebody goes before what needs time.
fn worst(obstacles: &[(i32, Reason, String)], groups: usize) -> Option<Obstacle> {
    const ORDER: [Reason; 5] = [
        Reason::BrokerRejected,
        Reason::AdoptionBlocked,
        Reason::BrokerSetNotReady,
        Reason::PartiallySynced,
        Reason::QueueShrinkInProgress,
    ];
    let reason = *ORDER.iter().find(|reason| obstacles.iter().any(|it| it.1 == **reason))?;
    let all = obstacles.iter().filter(|it| it.1 == reason).count() == groups;
    // Some brokers that do not answer leave others that do.
    let shown = match reason {
        Reason::BrokerSetNotReady if !all => Reason::PartiallySynced,
        reason => reason,
    };
    let of_it = obstacles.iter().filter(|it| it.1 == reason);
    let lines: Vec<_> = of_it.map(|(index, _, message)| format!("b{index}: {message}")).collect();
    Some(Obstacle::new(shown, lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rocketkube_client::protocol::body::TopicConfig;
    use rocketkube_crds::Topic;
    use serde_json::{Value, json};

    use super::*;

    fn topic(policy: &str, status: Value) -> Topic {
        let mut topic = json!({
            "apiVersion": "mq.rocketkube.dev/v1alpha1", "kind": "Topic",
            "metadata": {"name": "t", "namespace": "shop", "generation": 2},
            "spec": {"brokerSetRef": {"name": "orders"}, "queues": 4, "adoptionPolicy": policy},
        });
        topic["status"] = status;
        serde_json::from_value(topic).unwrap()
    }

    fn config(queues: i32) -> TopicConfig {
        TopicConfig {
            topic_name: "t".to_owned(),
            write_queue_nums: queues,
            read_queue_nums: queues,
            attributes: [("message.type".to_owned(), "NORMAL".to_owned())].into(),
            ..TopicConfig::default()
        }
    }

    type What<'a> = Result<Option<&'a TopicConfig>, Silence<'a>>;

    fn silent(is_brief: bool) -> What<'static> {
        Err(Silence { why: "refused", is_brief })
    }

    fn held<'a>(groups: &[What<'a>]) -> Vec<Held<'a, TopicConfig>> {
        let one = |(index, what): (i32, &What<'a>)| Held { index, what: *what };
        (0..).zip(groups).map(one).collect()
    }

    fn reason(outcome: &Outcome<TopicConfig>) -> &'static str {
        outcome.obstacle.as_ref().map_or("Synced", |obstacle| obstacle.reason.name())
    }

    fn owned(indices: &[i32]) -> Value {
        let group = |index| json!({"index": index, "synced": true, "queues": 4});
        let groups: Vec<_> = indices.iter().map(group).collect();
        let ready = json!({"type": "Ready", "status": "True", "reason": "Synced", "message": "",
            "lastTransitionTime": "2030-01-31T06:00:00Z"});
        json!({"observedGeneration": 2, "adopted": false, "groups": groups, "conditions": [ready]})
    }

    #[test]
    fn what_nobody_has_is_made_everywhere() {
        let made = plan(&topic("IfCompatible", json!({})), &held(&[Ok(None), Ok(None)]));
        assert_eq!(made.adopted, Some(false));
        assert!(matches!(made.steps[..], [(0, Next::Put(_)), (1, Next::Put(_))]));
        assert!(!made.claim_first && made.blocked.is_empty() && made.drift.is_empty());
    }

    #[test]
    fn what_exists_is_taken_over_as_the_policy_says() {
        let (small, same, large) = (config(2), config(4), config(8));
        let rows = [
            // policy, held, adopted, blocked because
            ("IfCompatible", &small, Some(true), ""),
            ("IfCompatible", &same, Some(true), ""),
            ("IfCompatible", &large, None, "would lose something: queues is 8, declared 4; readQ"),
            ("Always", &large, Some(true), ""),
            ("Never", &same, None, "adoptionPolicy is Never (is as declared)"),
            ("Never", &small, None, "adoptionPolicy is Never (queues is 2, declared 4; "),
        ];
        for (policy, what, adopted, because) in rows {
            let object = topic(policy, json!({}));
            let held = held(&[Ok(Some(what)), Ok(None)]);
            let plan = plan(&object, &held);
            assert_eq!(plan.adopted, adopted, "{policy} {what:?}");
            if because.is_empty() {
                assert_eq!((plan.steps.len(), plan.blocked.len()), (2, 0));
                continue;
            }
            assert!(plan.steps.is_empty(), "nothing is made elsewhere either");
            assert!(plan.blocked[0].1.contains(because), "{}", plan.blocked[0].1);
            let outcome = outcome(&object, &plan, &held, |_| None);
            assert_eq!(reason(&outcome), "AdoptionBlocked");
            assert_eq!(outcome.groups[0].held, Shown::Nothing, "it is not ours");
        }
    }

    #[test]
    fn with_the_policy_never_a_claim_comes_before_the_first_change() {
        let nothing = held(&[Ok(None)]);
        let first = plan(&topic("Never", json!({})), &nothing);
        assert!(first.claim_first && first.adopted == Some(false));
        // The operator died between making it and saying so.
        let claimed = topic("Never", json!({"observedGeneration": 2, "adopted": false}));
        let mine = config(4);
        let second = plan(&claimed, &held(&[Ok(Some(&mine))]));
        assert!(!second.claim_first && second.blocked.is_empty());
        assert_eq!(second.steps, [(0, Next::Keep)]);
    }

    #[test]
    fn a_larger_topic_on_a_group_that_comes_later_is_left_alone_there_only() {
        let (mine, foreign) = (config(2), config(8));
        let object = topic("IfCompatible", owned(&[0]));
        let held = held(&[Ok(Some(&mine)), Ok(Some(&foreign))]);
        let plan = plan(&object, &held);
        assert!(matches!(plan.steps[..], [(0, Next::Put(_))]));
        assert_eq!(plan.blocked[0].0, 1);
        let outcome = outcome(&object, &plan, &held, |_| None);
        assert_eq!(reason(&outcome), "AdoptionBlocked");
        assert!(matches!(outcome.groups[0].held, Shown::Held(_)));
        assert_eq!(outcome.groups[1].held, Shown::Nothing);
    }

    #[test]
    fn ones_own_topic_shrinks_although_a_foreign_one_would_not() {
        let large = config(8);
        let plan = plan(&topic("IfCompatible", owned(&[0])), &held(&[Ok(Some(&large))]));
        assert!(plan.blocked.is_empty() && matches!(plan.steps[..], [(0, Next::Put(_))]));
    }

    #[test]
    fn drift_is_what_differs_from_a_spec_that_was_there_already() {
        let mut changed = config(4);
        changed.perm = 0;
        let (same, larger) = (config(4), TopicConfig { order: true, ..config(4) });
        let found = |status, groups: &[What<'_>]| -> Vec<&str> {
            let drift = plan(&topic("IfCompatible", status), &held(groups)).drift;
            drift.into_iter().map(|(_, field)| field).collect()
        };
        assert_eq!(found(owned(&[0, 1]), &[Ok(Some(&changed)), Ok(Some(&same))]), ["access"]);
        let both = found(owned(&[0, 1, 2]), &[Ok(Some(&changed)), Ok(None), Ok(Some(&larger))]);
        assert_eq!(both, ["access", "deleted", "ordered"]);
        // A group that never had it, or cannot be asked, has nothing to drift from.
        assert!(found(owned(&[0]), &[Ok(Some(&same)), Ok(None)]).is_empty());
        assert!(found(owned(&[0]), &[silent(true)]).is_empty());
        // A new spec is not yet what brokers have, nor is one that came during a pause.
        let mut older = owned(&[0]);
        older["observedGeneration"] = json!(1);
        assert!(found(older, &[Ok(Some(&changed))]).is_empty());
        let mut paused = owned(&[0]);
        paused["conditions"][0]["reason"] = json!("Paused");
        assert!(found(paused, &[Ok(Some(&changed))]).is_empty());
    }

    #[test]
    fn corrections_are_counted() {
        let at = |second| Time(Timestamp::from_second(second).unwrap());
        assert_eq!(drifted(None, &[], at(1)), None);
        let first = drifted(None, &["queues"], at(1));
        let second = drifted(first.as_ref(), &["access"], at(2)).unwrap();
        assert_eq!((second.corrections, second.fields), (Some(2), vec!["access".to_owned()]));
        assert_eq!(drifted(first.as_ref(), &[], at(3)), first);
    }

    #[test]
    fn a_broker_that_restarts_changes_nothing_about_what_it_has() {
        let all = |status: Value, is_brief| {
            let object = topic("IfCompatible", status);
            let held = held(&[silent(is_brief)]);
            let outcome = outcome(&object, &plan(&object, &held), &held, |_| None);
            (reason(&outcome), outcome.groups[0].synced)
        };
        assert_eq!(all(owned(&[0]), true), ("Synced", true));
        assert_eq!(all(owned(&[0]), false), ("BrokerSetNotReady", false));
        assert_eq!(all(owned(&[1]), true), ("BrokerSetNotReady", false), "it never had it");
        let mut older = owned(&[0]);
        older["observedGeneration"] = json!(1);
        assert_eq!(all(older, true), ("BrokerSetNotReady", false), "it has an older one");
    }

    #[test]
    fn the_worst_of_all_groups_is_told() {
        let object = topic("IfCompatible", owned(&[0, 1]));
        let (same, mut wide) = (config(4), config(4));
        wide.read_queue_nums = 8;
        let rejected = |at| (at == 1).then(|| Trouble::Rejected("X (29) no".to_owned()));
        let draining = |at| (at == 1).then(|| Trouble::Draining("queues 4 to 7".to_owned()));
        let told = |groups: &[What<'_>], trouble: &dyn Fn(i32) -> Option<Trouble>| {
            let held = held(groups);
            let plan = plan(&object, &held);
            let outcome = outcome(&object, &plan, &held, trouble);
            let message = outcome.obstacle.as_ref().map_or("", |it| &it.message).to_owned();
            let synced = outcome.groups.iter().filter(|group| group.synced).count();
            (reason(&outcome), message, synced)
        };
        let none = |_| None;
        let ok = Ok(Some(&same));
        assert_eq!(told(&[ok, ok], &none), ("Synced", String::new(), 2));
        let expected = ("BrokerRejected", "b1: X (29) no".to_owned(), 1);
        assert_eq!(told(&[ok, Ok(None)], &rejected), expected);
        let expected = ("QueueShrinkInProgress", "b1: queues 4 to 7".to_owned(), 1);
        assert_eq!(told(&[ok, Ok(Some(&wide))], &draining), expected);
        let expected = ("PartiallySynced", "b1: refused".to_owned(), 1);
        assert_eq!(told(&[ok, silent(false)], &draining), expected);
        let expected = ("BrokerSetNotReady", "b0: refused\nb1: refused".to_owned(), 0);
        assert_eq!(told(&[silent(false), silent(false)], &none), expected);
        let expected =
            ("QueueShrinkInProgress", "b1: queues 4 to 7 go once they are read".into(), 1);
        assert_eq!(told(&[ok, Ok(Some(&wide))], &none), expected);
        let small = config(2);
        let differs = "queues is 2, declared 4; readQueues is 2, declared 4";
        let expected = ("PartiallySynced", format!("b0: {differs}\nb1: {differs}"), 0);
        assert_eq!(told(&[Ok(Some(&small)), Ok(Some(&small))], &none), expected);
    }
}
