//! What is told of an object: conditions, and what is news among them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use rocketkube_crds::condition::{READY, RECONCILING, STALLED};

use crate::text::shortened;

/// Why an object is ready, or not. People and programs read these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Synced,
    BrokerSetNotFound,
    BrokerSetNotReady,
    NamespaceNotAllowed,
    NameConflict,
    AdoptionBlocked,
    PartiallySynced,
    QueueShrinkInProgress,
    BrokerRejected,
    Deleting,
    Unmanaged,
    Paused,
}

impl Reason {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Synced => "Synced",
            Self::BrokerSetNotFound => "BrokerSetNotFound",
            Self::BrokerSetNotReady => "BrokerSetNotReady",
            Self::NamespaceNotAllowed => "NamespaceNotAllowed",
            Self::NameConflict => "NameConflict",
            Self::AdoptionBlocked => "AdoptionBlocked",
            Self::PartiallySynced => "PartiallySynced",
            Self::QueueShrinkInProgress => "QueueShrinkInProgress",
            Self::BrokerRejected => "BrokerRejected",
            Self::Deleting => "Deleting",
            Self::Unmanaged => "Unmanaged",
            Self::Paused => "Paused",
        }
    }

    /// The condition that goes with it, besides Ready.
    fn progress(self) -> Option<&'static str> {
        match self {
            Self::Synced | Self::Unmanaged | Self::Paused => None,
            Self::BrokerSetNotFound
            | Self::BrokerSetNotReady
            | Self::PartiallySynced
            | Self::QueueShrinkInProgress
            | Self::Deleting => Some(RECONCILING),
            Self::NamespaceNotAllowed
            | Self::NameConflict
            | Self::AdoptionBlocked
            | Self::BrokerRejected => Some(STALLED),
        }
    }

    /// Whether people should hear of it when it begins: somebody has to do something.
    pub(crate) fn is_alarming(self) -> bool {
        self.progress() == Some(STALLED)
    }
}

/// Why something is not as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Obstacle {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: shortened(message.into()) }
    }
}

/// One condition of a kind's own, besides those that all have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extra {
    pub(crate) name: &'static str,
    /// `None`: nobody knows.
    pub(crate) is_true: Option<bool>,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// The conditions of an object. Times stay with conditions whose status is what it was before.
pub(crate) fn conditions(
    before: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
    obstacle: Option<&Obstacle>,
    extra: &[Extra],
) -> Vec<Condition> {
    let reason = obstacle.map_or(Reason::Synced, |obstacle| obstacle.reason);
    let message = obstacle.map_or("", |obstacle| &obstacle.message);
    let make = |name: &str, is_true: Option<bool>, reason: &str, message: &str| {
        let status = match is_true {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let same = before.iter().find(|it| it.type_ == name && it.status == status);
        Condition {
            type_: name.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: generation,
            last_transition_time: same
                .map_or(Time(now), |condition| condition.last_transition_time.clone()),
        }
    };
    let mut all = vec![make(READY, Some(obstacle.is_none()), reason.name(), message)];
    if let Some(progress) = reason.progress() {
        all.push(make(progress, Some(true), reason.name(), message));
    }
    all.extend(extra.iter().map(|it| make(it.name, it.is_true, it.reason, &it.message)));
    // The API server keeps the order that it has, and appends: any other looks like a change.
    all.sort_by_key(|it| {
        before.iter().position(|was| was.type_ == it.type_).unwrap_or(before.len())
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn told(conditions: &[Condition]) -> Vec<String> {
        let one = |it: &Condition| {
            format!(
                "{}={} {} @{}",
                it.type_,
                it.status,
                it.reason,
                it.last_transition_time.0.as_second()
            )
        };
        conditions.iter().map(one).collect()
    }

    #[test]
    fn the_time_of_a_condition_is_when_its_status_changed() {
        let waiting = Obstacle::new(Reason::BrokerSetNotReady, "no broker answers");
        let first = conditions(&[], Some(1), at(10), Some(&waiting), &[]);
        assert_eq!(
            told(&first),
            ["Ready=False BrokerSetNotReady @10", "Reconciling=True BrokerSetNotReady @10"]
        );
        let blocked = Obstacle::new(Reason::AdoptionBlocked, "queues is 8, declared 4");
        let second = conditions(&first, Some(2), at(20), Some(&blocked), &[]);
        assert_eq!(
            told(&second),
            ["Ready=False AdoptionBlocked @10", "Stalled=True AdoptionBlocked @20"]
        );
        assert!(second.iter().all(|it| it.observed_generation == Some(2)));
        let third = conditions(&second, Some(2), at(30), None, &[]);
        assert_eq!(told(&third), ["Ready=True Synced @30"]);
        assert_eq!(conditions(&third, Some(2), at(40), None, &[]), third);
    }

    #[test]
    fn conditions_of_a_kind_come_with_the_others() {
        let consuming = Extra {
            name: "Consuming",
            is_true: Some(false),
            reason: "NoMembers",
            message: String::new(),
        };
        let all = conditions(&[], Some(1), at(10), None, &[consuming]);
        assert_eq!(told(&all), ["Ready=True Synced @10", "Consuming=False NoMembers @10"]);
    }

    #[test]
    fn conditions_stay_in_the_order_in_which_they_came() {
        let consuming = Extra {
            name: "Consuming",
            is_true: None,
            reason: "NotSampled",
            message: String::new(),
        };
        let extra = [consuming];
        let first = conditions(&[], Some(1), at(10), None, &extra);
        let waiting = Obstacle::new(Reason::BrokerSetNotReady, "no broker answers");
        let second = conditions(&first, Some(1), at(20), Some(&waiting), &extra);
        let types: Vec<_> = second.iter().map(|it| &*it.type_).collect();
        assert_eq!(types, ["Ready", "Consuming", "Reconciling"]);
        assert_eq!(conditions(&second, Some(1), at(30), Some(&waiting), &extra), second);
    }

    #[test]
    fn a_message_is_cut_to_what_the_schema_takes() {
        let obstacle = Obstacle::new(Reason::BrokerRejected, "ü".repeat(700));
        assert!(obstacle.message.len() <= 1_024 && obstacle.message.ends_with("ü..."));
    }
}
