//! Whether an object has a say in the brokers, and what becomes of its finalizer. Decided from
//! objects alone, before anything is asked of a broker.

use std::cmp::Reverse;
use std::collections::HashMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rocketkube_crds::{BrokerSet, DeletionPolicy};

use super::declared::{DELETE_CONFIRM, Declared};
use super::report::{Obstacle, Reason};
use super::stores::Known;
use crate::Key;
use crate::labels::{self, PAUSED};

/// The `BrokerSet` that objects refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'a> {
    /// There is none of that name.
    Missing,
    /// It is there, and its brokers are there or will be.
    Present(&'a BrokerSet),
    /// It will be gone with its brokers.
    Ending,
    /// This operator has no right to read it.
    Forbidden,
    /// It cannot be read, for this reason.
    Unreadable(&'a str),
}

impl<'a> From<&'a Known> for Target<'a> {
    fn from(known: &'a Known) -> Self {
        match known {
            Known::Missing => Self::Missing,
            Known::Forbidden => Self::Forbidden,
            Known::Unreadable(why) => Self::Unreadable(why),
            Known::Present(set) if set.metadata.deletion_timestamp.is_some() => Self::Ending,
            Known::Present(set) => Self::Present(set),
        }
    }
}

/// What an object has to say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Brokers shall have what it declares.
    Apply,
    /// Brokers shall no longer have it.
    Delete,
    /// Nothing, for now or for ever.
    Wait(Obstacle),
    /// It is going, and nothing of it is left to do.
    Gone,
}

/// What becomes of the finalizer that holds an object until brokers have forgotten what it declared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Finalizer {
    Keep,
    Add,
    /// With what people are to be told about it, if it is unusual.
    Drop(Option<String>),
}

/// All there is to know about an object besides itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation<'a> {
    pub(crate) key: &'a Key,
    pub(crate) target: Target<'a>,
    /// Why its namespace may not use the `BrokerSet`.
    pub(crate) refused: Option<&'a str>,
    /// Another object that declares the same thing, and goes before this one.
    pub(crate) winner: Option<&'a str>,
    /// Its name belongs to the brokers.
    pub(crate) is_own: bool,
}

/// Judges an object.
pub(crate) fn judge<D: Declared>(object: &D, situation: &Situation<'_>) -> (Verdict, Finalizer) {
    if object.is_being_deleted() {
        return judge_deleted(object, situation);
    }
    let verdict = match obstacle(object, situation) {
        Some(obstacle) => Verdict::Wait(obstacle),
        None => Verdict::Apply,
    };
    // What has no say holds nothing up, or a namespace could not go because of a name.
    let has_say = verdict == Verdict::Apply || may_have_say_later(&verdict);
    let wanted = object.deletion_policy() == DeletionPolicy::Delete && has_say;
    let finalizer = match (wanted, object.has_finalizer()) {
        (true, false) if verdict == Verdict::Apply => Finalizer::Add,
        (false, true) => Finalizer::Drop(None),
        _ => Finalizer::Keep,
    };
    (verdict, finalizer)
}

/// A `BrokerSet` that is not there yet, or a pause, says nothing about what the object owns.
fn may_have_say_later(verdict: &Verdict) -> bool {
    let Verdict::Wait(obstacle) = verdict else { return false };
    matches!(
        obstacle.reason,
        Reason::BrokerSetNotFound | Reason::BrokerSetNotReady | Reason::Paused
    )
}

fn obstacle<D: Declared>(object: &D, situation: &Situation<'_>) -> Option<Obstacle> {
    let key = situation.key;
    if !object.is_managed() {
        return Some(Obstacle::new(
            Reason::Unmanaged,
            "the annotation mq.rocketkube.dev/managed is \"false\": nothing is read or changed in \
             brokers for this object",
        ));
    }
    let set = match situation.target {
        Target::Present(set) => set,
        Target::Missing => {
            let message = format!("there is no BrokerSet {key}; spec.brokerSetRef names it");
            return Some(Obstacle::new(Reason::BrokerSetNotFound, message));
        }
        Target::Ending => {
            let message = format!("the BrokerSet {key} is being deleted");
            return Some(Obstacle::new(Reason::BrokerSetNotReady, message));
        }
        Target::Forbidden => {
            return Some(Obstacle::new(Reason::BrokerSetNotReady, forbidden(key)));
        }
        Target::Unreadable(why) => {
            let message = format!("the BrokerSet {key} cannot be read: {why}");
            return Some(Obstacle::new(Reason::BrokerSetNotReady, message));
        }
    };
    if let Some(why) = situation.refused {
        return Some(Obstacle::new(Reason::NamespaceNotAllowed, why));
    }
    if situation.is_own {
        let message = format!(
            "{} {} is the cluster's own, made by its brokers for themselves: write another {} in a \
             new object",
            D::NOUN,
            object.wire_name(),
            D::NAME_FIELD,
        );
        return Some(Obstacle::new(Reason::NameConflict, message));
    }
    if let Some(winner) = situation.winner {
        let message = format!(
            "{} {} of BrokerSet {key} is declared by {winner} already, which is older: delete one \
             of the two, or write another {} in a new object",
            D::NOUN,
            object.wire_name(),
            D::NAME_FIELD,
        );
        return Some(Obstacle::new(Reason::NameConflict, message));
    }
    paused(object).or_else(|| paused_set(set)).or_else(|| hibernated(set))
}

fn forbidden(key: &Key) -> String {
    format!("this operator has no right to read the BrokerSet {key}")
}

fn paused<D: Declared>(object: &D) -> Option<Obstacle> {
    let message = "the annotation mq.rocketkube.dev/paused is \"true\"";
    (object.annotation(PAUSED) == Some("true")).then(|| Obstacle::new(Reason::Paused, message))
}

fn paused_set(set: &BrokerSet) -> Option<Obstacle> {
    let message = || format!("the BrokerSet {} is paused", Key::of(set));
    labels::is_paused(set).then(|| Obstacle::new(Reason::Paused, message()))
}

fn hibernated(set: &BrokerSet) -> Option<Obstacle> {
    let message = || format!("the BrokerSet {} is hibernated: it has no brokers now", Key::of(set));
    set.spec.hibernate.then(|| Obstacle::new(Reason::BrokerSetNotReady, message()))
}

fn judge_deleted<D: Declared>(object: &D, situation: &Situation<'_>) -> (Verdict, Finalizer) {
    let drop_because = |why: Option<String>| (Verdict::Gone, Finalizer::Drop(why));
    if !object.has_finalizer() {
        return (Verdict::Gone, Finalizer::Keep);
    }
    let owns = object.history().adopted.is_some();
    let has_no_say = !object.is_managed() || situation.winner.is_some() || situation.is_own;
    if has_no_say || object.deletion_policy() == DeletionPolicy::Retain {
        return drop_because(None);
    }
    let left = |why: &str| Some(format!("{why}: {} {} is left", D::NOUN, object.wire_name()));
    if !owns {
        // It may have been made by an operator that ended before it wrote so.
        return drop_because(left("its status does not say that it was made or taken over"));
    }
    let key = situation.key;
    match situation.target {
        Target::Missing => return drop_because(left(&format!("there is no BrokerSet {key}"))),
        Target::Ending => {
            return drop_because(left(&format!("the BrokerSet {key} is being deleted")));
        }
        // Nor will it have brokers that this operator may look for.
        Target::Forbidden => return drop_because(left(&forbidden(key))),
        Target::Present(_) | Target::Unreadable(_)
            if object.annotation(DELETE_CONFIRM).is_some() =>
        {
            return drop_because(left("mq.rocketkube.dev/delete-confirm is set"));
        }
        Target::Present(_) | Target::Unreadable(_) => {}
    }
    if let Some(why) = situation.refused {
        return drop_because(left(why));
    }
    match obstacle(object, situation) {
        Some(mut obstacle) => {
            obstacle.message.push_str(
                ". Deleting goes on afterwards; the annotation mq.rocketkube.dev/delete-confirm \
                 lets the object go without",
            );
            (Verdict::Wait(obstacle), Finalizer::Keep)
        }
        None => (Verdict::Delete, Finalizer::Keep),
    }
}

/// Of objects that declare the same thing, the one that goes first: the oldest, and of two of the
/// same second the one with the lower UID, which is arbitrary but the same every time.
///
/// Gives the winner of each name as `namespace/name`. Objects that cannot have a say must not be
/// among those that are given: they would take names from those that can.
pub(crate) fn winners<'a, D: Declared>(
    objects: impl IntoIterator<Item = &'a D>,
) -> HashMap<&'a str, &'a D> {
    let mut winners: HashMap<&str, &D> = HashMap::new();
    for object in objects {
        let winner = winners.entry(object.wire_name()).or_insert(object);
        if precedence(object.meta()) > precedence(winner.meta()) {
            *winner = object;
        }
    }
    winners
}

/// Greater goes before. An object without a time was made by no API server.
fn precedence(meta: &ObjectMeta) -> impl Ord + use<'_> {
    let created = meta.creation_timestamp.as_ref().map(|time| Reverse(time.0));
    (created, Reverse(meta.uid.as_deref().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use rocketkube_crds::{Topic, TopicStatus};
    use serde_json::{Value, json};

    use super::*;

    fn with(mut object: Value, part: &str, fields: &Value) -> Value {
        for (field, value) in fields.as_object().unwrap() {
            object[part][field] = value.clone();
        }
        object
    }

    fn topic(metadata: &Value, spec: &Value) -> Topic {
        let topic = json!({
            "apiVersion": "mq.rocketkube.dev/v1alpha1", "kind": "Topic",
            "metadata": {"name": "t", "namespace": "shop"},
            "spec": {"brokerSetRef": {"name": "orders"}},
        });
        let topic = with(with(topic, "metadata", metadata), "spec", spec);
        serde_json::from_value(topic).unwrap()
    }

    /// One that was made in brokers, is to be deleted there, and is going.
    fn ending(metadata: &Value) -> Topic {
        let going = json!({"metadata": {
            "deletionTimestamp": "2030-01-31T06:00:00Z",
            "finalizers": ["mq.rocketkube.dev/topic"],
        }});
        let metadata = with(going, "metadata", metadata)["metadata"].take();
        let mut topic = topic(&metadata, &json!({"deletionPolicy": "Delete"}));
        topic.status = Some(TopicStatus { adopted: Some(false), ..TopicStatus::default() });
        topic
    }

    fn set(metadata: &Value, spec: &Value) -> BrokerSet {
        let set = json!({
            "apiVersion": "mq.rocketkube.dev/v1alpha1", "kind": "BrokerSet",
            "metadata": {"name": "orders", "namespace": "shop"}, "spec": {},
        });
        serde_json::from_value(with(with(set, "metadata", metadata), "spec", spec)).unwrap()
    }

    /// What happens to a topic of a `BrokerSet`, in the words of reason and message.
    fn judged(
        object: &Topic,
        set: Option<&BrokerSet>,
        refused: Option<&str>,
        winner: Option<&str>,
    ) -> (String, Finalizer) {
        let key = Key::new("shop", "orders");
        let known = set.map_or(Known::Missing, |set| Known::Present(Box::new(set.clone())));
        let target = Target::from(&known);
        let situation = Situation { key: &key, target, refused, winner, is_own: false };
        let (verdict, finalizer) = judge(object, &situation);
        let verdict = match verdict {
            Verdict::Wait(obstacle) => format!("{}: {}", obstacle.reason.name(), obstacle.message),
            other => format!("{other:?}"),
        };
        (verdict, finalizer)
    }

    /// Object, `BrokerSet`, refusal, winner, and the verdict.
    type Row<'a> = (&'a Topic, Option<&'a BrokerSet>, Option<&'a str>, Option<&'a str>, &'a str);

    #[test]
    fn an_object_applies_unless_something_is_in_the_way() {
        let ready = set(&json!({}), &json!({}));
        let asleep = set(&json!({}), &json!({"hibernate": true}));
        let paused = json!({"annotations": {"mq.rocketkube.dev/paused": "true"}});
        let paused_set = set(&paused, &json!({}));
        let paused = topic(&paused, &json!({}));
        let unmanaged = json!({"annotations": {"mq.rocketkube.dev/managed": "false"}});
        let unmanaged = topic(&unmanaged, &json!({}));
        let plain = topic(&json!({}), &json!({}));
        let no = Some("no consent");
        let rows: [Row<'_>; 9] = [
            (&plain, Some(&ready), None, None, "Apply"),
            (&plain, None, None, None, "BrokerSetNotFound: there is no BrokerSet shop/orders; "),
            (&plain, None, no, None, "BrokerSetNotFound"),
            (&plain, Some(&ready), no, None, "NamespaceNotAllowed: no consent"),
            (&plain, Some(&ready), None, Some("shop/u"), "NameConflict: topic t of BrokerSet "),
            (
                &plain,
                Some(&asleep),
                None,
                None,
                "BrokerSetNotReady: the BrokerSet shop/orders is h",
            ),
            (&plain, Some(&paused_set), None, None, "Paused: the BrokerSet shop/orders is paused"),
            (&paused, Some(&ready), None, None, "Paused: the annotation"),
            (&unmanaged, None, no, Some("shop/u"), "Unmanaged: the annotation"),
        ];
        for (object, set, refused, winner, expected) in rows {
            let (verdict, finalizer) = judged(object, set, refused, winner);
            assert!(verdict.starts_with(expected), "{verdict} is not {expected}");
            assert_eq!(finalizer, Finalizer::Keep, "{expected}");
        }
    }

    #[test]
    fn only_what_is_to_be_deleted_and_has_a_say_gets_a_finalizer() {
        let ready = set(&json!({}), &json!({}));
        let delete = json!({"deletionPolicy": "Delete"});
        let new = topic(&json!({}), &delete);
        let finalizers = json!({"finalizers": ["other", "mq.rocketkube.dev/topic"]});
        let held = topic(&finalizers, &delete);
        let retained = topic(&finalizers, &json!({}));
        let on = |object, set, winner| judged(object, set, None, winner).1;
        assert_eq!(on(&new, Some(&ready), None), Finalizer::Add);
        assert_eq!(on(&new, None, None), Finalizer::Keep);
        assert_eq!(on(&new, Some(&ready), Some("shop/u")), Finalizer::Keep);
        assert_eq!(on(&held, Some(&ready), None), Finalizer::Keep);
        assert_eq!(on(&held, None, None), Finalizer::Keep, "it may come back");
        assert_eq!(on(&held, Some(&ready), Some("shop/u")), Finalizer::Drop(None));
        assert_eq!(on(&retained, Some(&ready), None), Finalizer::Drop(None));
    }

    #[test]
    fn what_is_deleted_is_deleted_in_brokers_only_where_it_may_be() {
        let ready = set(&json!({}), &json!({}));
        let going = set(&json!({"deletionTimestamp": "2030-01-31T06:00:00Z"}), &json!({}));
        let asleep = set(&json!({}), &json!({"hibernate": true}));
        let mine = ending(&json!({}));
        assert_eq!(judged(&mine, Some(&ready), None, None), ("Delete".into(), Finalizer::Keep));
        let (verdict, finalizer) = judged(&mine, Some(&asleep), None, None);
        assert!(verdict.starts_with("BrokerSetNotReady") && verdict.contains("delete-confirm"));
        assert_eq!(finalizer, Finalizer::Keep);

        let told = |text: &str| Finalizer::Drop(Some(format!("{text}: topic t is left")));
        let drops = [
            (judged(&mine, None, None, None).1, told("there is no BrokerSet shop/orders")),
            (
                judged(&mine, Some(&going), None, None).1,
                told("the BrokerSet shop/orders is being deleted"),
            ),
            (judged(&mine, Some(&ready), Some("no consent"), None).1, told("no consent")),
            (judged(&mine, Some(&ready), None, Some("shop/u")).1, Finalizer::Drop(None)),
        ];
        for (is, expected) in drops {
            assert_eq!(is, expected);
        }
        let annotated = |name: &str, value: &str| {
            ending(&json!({"annotations": {format!("mq.rocketkube.dev/{name}"): value}}))
        };
        let confirmed = annotated("delete-confirm", "");
        let expected = told("mq.rocketkube.dev/delete-confirm is set");
        assert_eq!(judged(&confirmed, Some(&asleep), None, None).1, expected);
        let unmanaged = annotated("managed", "false");
        assert_eq!(judged(&unmanaged, Some(&ready), None, None).1, Finalizer::Drop(None));
        let (verdict, _) = judged(&annotated("paused", "true"), Some(&ready), None, None);
        assert!(verdict.starts_with("Paused"), "{verdict}");
    }

    #[test]
    fn what_was_never_made_or_taken_over_is_not_deleted() {
        let ready = set(&json!({}), &json!({}));
        let mut blocked = ending(&json!({}));
        blocked.status.as_mut().unwrap().adopted = None;
        let judged_blocked = judged(&blocked, Some(&ready), None, None);
        let told = "its status does not say that it was made or taken over: topic t is left";
        assert_eq!(judged_blocked, ("Gone".into(), Finalizer::Drop(Some(told.to_owned()))));
        let without = ending(&json!({"finalizers": []}));
        assert_eq!(judged(&without, None, None, None), ("Gone".into(), Finalizer::Keep));
    }

    #[test]
    fn the_oldest_wins_and_then_the_lower_uid() {
        let made = |name: &str, second: u32, uid: &str| {
            let created = format!("2030-01-31T06:00:{second:02}Z");
            let meta = json!({"name": name, "creationTimestamp": created, "uid": uid});
            topic(&meta, &json!({"topicName": "same"}))
        };
        let objects = [made("young", 9, "0"), made("b", 5, "b"), made("a", 5, "a")];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let winners = winners(order.iter().map(|at| &objects[*at]));
            assert_eq!(winners.len(), 1);
            assert_eq!(winners["same"].metadata.name.as_deref(), Some("a"));
        }
    }
}
