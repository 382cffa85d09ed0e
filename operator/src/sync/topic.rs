//! Topics: from a declaration to what a broker is told, one safe step at a time.

use rocketkube_client::protocol::body::{TopicConfig, perm};
use rocketkube_crds::{
    Access, AdoptionPolicy, BrokerSetRef, DeletionPolicy, MessageType, Topic, TopicGroupSync,
    TopicStatus,
};

use super::declared::{Declared, Difference, GroupReport, History, Next, Report, Shown};

/// Attribute that says what messages are sent to a topic.
const MESSAGE_TYPE: &str = "message.type";

impl Declared for Topic {
    type Settings = TopicConfig;
    type Status = TopicStatus;

    const NOUN: &'static str = "topic";
    const NAME_FIELD: &'static str = "spec.topicName";
    const FINALIZER: &'static str = "mq.rocketkube.dev/topic";
    const ADOPTED: &'static str = "TopicAdopted";

    fn broker_set_ref(&self) -> &BrokerSetRef {
        &self.spec.broker_set_ref
    }

    fn wire_name(&self) -> &str {
        let own = || self.metadata.name.as_deref().unwrap_or_default();
        self.spec.topic_name.as_deref().unwrap_or_else(own)
    }

    fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }

    fn adoption_policy(&self) -> AdoptionPolicy {
        self.spec.adoption_policy
    }

    fn status(&self) -> Option<&TopicStatus> {
        self.status.as_ref()
    }

    fn history(&self) -> History {
        let Some(status) = &self.status else { return History::default() };
        let indices = |is: fn(&TopicGroupSync) -> bool| {
            status.groups.iter().filter(|group| is(group)).map(|group| group.index).collect()
        };
        History {
            generation: status.observed_generation,
            adopted: status.adopted,
            // Queues are told of a group's own topic only, see `reported`.
            owned: indices(|group| group.queues.is_some()),
            synced: indices(|group| group.synced),
            drift: status.drift.clone(),
            conditions: status.conditions.clone(),
        }
    }

    fn differences(&self, held: &TopicConfig) -> Vec<Difference> {
        let declared = target(self, Some(held));
        let mut found = Vec::new();
        let mut compare = |field, declared: String, held: String, blocks_adoption| {
            if declared != held {
                found.push(Difference { field, declared, held, blocks_adoption });
            }
        };
        let queues = (declared.write_queue_nums, held.write_queue_nums);
        compare("queues", queues.0.to_string(), queues.1.to_string(), queues.1 > queues.0);
        let queues = (declared.read_queue_nums, held.read_queue_nums);
        compare("readQueues", queues.0.to_string(), queues.1.to_string(), queues.1 > queues.0);
        compare("access", access_text(declared.perm), access_text(held.perm), false);
        compare("ordered", declared.order.to_string(), held.order.to_string(), false);
        let kind = |config: &TopicConfig| {
            config.attributes.get(MESSAGE_TYPE).cloned().unwrap_or_else(|| "unset".to_owned())
        };
        let is_set = held.attributes.contains_key(MESSAGE_TYPE);
        compare("messageType", kind(&declared), kind(held), is_set);
        found
    }

    /// Growing takes one step. Shrinking takes two, because messages are left in the queues that
    /// go: first nothing is sent to them any more, then, when they are consumed, nobody reads them.
    fn next(&self, held: Option<&TopicConfig>) -> Next<TopicConfig> {
        let declared = target(self, held);
        let Some(held) = held else { return Next::Put(declared) };
        let read_queue_nums = declared.read_queue_nums.max(held.read_queue_nums);
        let staged = TopicConfig { read_queue_nums, ..declared.clone() };
        if staged != *held {
            return Next::Put(change(staged, held));
        }
        if declared == *held {
            return Next::Keep;
        }
        let queues = declared.read_queue_nums..held.read_queue_nums;
        Next::Drain { queues, then: change(declared, held) }
    }

    fn reported(&self, report: &Report<TopicConfig>) -> TopicStatus {
        let before = self.status.clone().unwrap_or_default();
        let (groups, synced_groups) = match &report.groups {
            Some(groups) => {
                let sync = groups.iter().map(|group| group_sync(group, &before.groups));
                (sync.collect(), Some(Report::synced_groups(groups)))
            }
            None => (before.groups, before.synced_groups),
        };
        TopicStatus {
            observed_generation: report.generation,
            topic_name: Some(self.wire_name().to_owned()),
            groups,
            synced_groups,
            adopted: report.adopted,
            drift: report.drift.clone(),
            conditions: before.conditions,
        }
    }
}

fn group_sync(group: &GroupReport<TopicConfig>, before: &[TopicGroupSync]) -> TopicGroupSync {
    let (index, synced, message) = (group.index, group.synced, group.message.clone());
    let nothing =
        TopicGroupSync { index, synced, queues: None, read_queues: None, access: None, message };
    match &group.held {
        Shown::Nothing => nothing,
        Shown::Held(held) => TopicGroupSync {
            queues: Some(held.write_queue_nums),
            read_queues: Some(held.read_queue_nums),
            access: Some(access(held.perm)),
            ..nothing
        },
        Shown::AsBefore => match before.iter().find(|before| before.index == index) {
            Some(TopicGroupSync { queues, read_queues, access, .. }) => TopicGroupSync {
                queues: *queues,
                read_queues: *read_queues,
                access: *access,
                ..nothing
            },
            None => nothing,
        },
    }
}

/// What the broker shall hold in the end. What the declaration does not speak of stays.
fn target(topic: &Topic, held: Option<&TopicConfig>) -> TopicConfig {
    let spec = &topic.spec;
    let mut config = held.cloned().unwrap_or_default();
    topic.wire_name().clone_into(&mut config.topic_name);
    config.write_queue_nums = spec.queues;
    config.read_queue_nums = spec.read_queues.unwrap_or(spec.queues);
    config.perm = match spec.access {
        Access::ReadWrite => perm::READ | perm::WRITE,
        Access::ReadOnly => perm::READ,
        Access::WriteOnly => perm::WRITE,
        Access::None => 0,
    };
    config.order = spec.ordered;
    let message_type = match spec.message_type {
        MessageType::Unspecified => return config,
        MessageType::Normal => "NORMAL",
        MessageType::Fifo => "FIFO",
    };
    config.attributes.insert(MESSAGE_TYPE.to_owned(), message_type.to_owned());
    config
}

/// Settings whose attributes are only those that change: brokers refuse to be told some of them
/// again, and those of another version may not know all.
fn change(mut settings: TopicConfig, held: &TopicConfig) -> TopicConfig {
    settings.attributes.retain(|key, value| held.attributes.get(key) != Some(value));
    settings
}

/// Closes a topic that is going to be deleted, if it is open.
pub(crate) fn closed(held: &TopicConfig) -> Option<TopicConfig> {
    let closed = TopicConfig { perm: 0, ..held.clone() };
    (closed != *held).then(|| change(closed, held))
}

fn access(bits: i32) -> Access {
    match (bits & perm::READ != 0, bits & perm::WRITE != 0) {
        (true, true) => Access::ReadWrite,
        (true, false) => Access::ReadOnly,
        (false, true) => Access::WriteOnly,
        (false, false) => Access::None,
    }
}

/// As the spec writes it, with what it cannot write.
fn access_text(bits: i32) -> String {
    let extra = bits & !(perm::READ | perm::WRITE);
    let access = access(bits);
    if extra == 0 { format!("{access:?}") } else { format!("{access:?} (perm {bits})") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn topic(spec: &Value) -> Topic {
        let mut topic = json!({
            "apiVersion": "mq.rocketkube.dev/v1alpha1",
            "kind": "Topic",
            "metadata": {"name": "created", "namespace": "shop"},
            "spec": {"brokerSetRef": {"name": "orders"}, "queues": 4},
        });
        for (field, value) in spec.as_object().unwrap() {
            topic["spec"][field] = value.clone();
        }
        serde_json::from_value(topic).unwrap()
    }

    fn held(write: i32, read: i32) -> TopicConfig {
        TopicConfig {
            topic_name: "created".to_owned(),
            write_queue_nums: write,
            read_queue_nums: read,
            attributes: [("message.type".to_owned(), "NORMAL".to_owned())].into(),
            ..TopicConfig::default()
        }
    }

    fn unlabelled(config: TopicConfig) -> TopicConfig {
        TopicConfig { attributes: [].into(), ..config }
    }

    #[test]
    fn a_new_topic_gets_everything_that_is_declared() {
        let topic = topic(&json!({
            "topicName": "Other", "readQueues": 6, "access": "ReadOnly",
            "messageType": "Fifo", "ordered": true,
        }));
        let Next::Put(config) = topic.next(None) else { panic!("it has to be made") };
        let expected = TopicConfig {
            topic_name: "Other".to_owned(),
            write_queue_nums: 4,
            read_queue_nums: 6,
            perm: 4,
            order: true,
            attributes: [("message.type".to_owned(), "FIFO".to_owned())].into(),
            ..TopicConfig::default()
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn queues_grow_at_once_and_shrink_in_two_steps() {
        let four = topic(&json!({}));
        // write and read queues held, and what happens
        assert_eq!(four.next(Some(&held(4, 4))), Next::Keep);
        assert_eq!(four.next(Some(&held(2, 2))), Next::Put(unlabelled(held(4, 4))));
        assert_eq!(four.next(Some(&held(2, 8))), Next::Put(unlabelled(held(4, 8))));
        assert_eq!(four.next(Some(&held(8, 8))), Next::Put(unlabelled(held(4, 8))));
        let then = unlabelled(held(4, 4));
        assert_eq!(four.next(Some(&held(4, 8))), Next::Drain { queues: 4..8, then });
    }

    #[test]
    fn fewer_read_queues_than_before_wait_although_as_many_are_written() {
        let topic = topic(&json!({"readQueues": 5}));
        let then = unlabelled(held(4, 5));
        assert_eq!(topic.next(Some(&held(4, 6))), Next::Drain { queues: 5..6, then });
    }

    #[test]
    fn what_the_declaration_does_not_speak_of_stays() {
        let topic = topic(&json!({"messageType": "Unspecified", "access": "None"}));
        let mut before = held(4, 4);
        before.topic_sys_flag = 1;
        before.attributes.insert("cleanup.policy".to_owned(), "DELETE".to_owned());
        let Next::Put(config) = topic.next(Some(&before)) else { panic!("access changes") };
        assert_eq!((config.perm, config.topic_sys_flag), (0, 1));
        assert!(config.attributes.is_empty(), "no attribute is told again: {config:?}");
        assert_eq!(topic.next(Some(&TopicConfig { perm: 0, ..before })), Next::Keep);
    }

    #[test]
    fn differences_name_the_field_and_both_values() {
        let topic = topic(&json!({}));
        let mut other = held(8, 9);
        other.perm = 7;
        other.order = true;
        other.attributes.insert("message.type".to_owned(), "FIFO".to_owned());
        let found: Vec<_> = topic.differences(&other).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "queues is 8, declared 4",
                "readQueues is 9, declared 4",
                "access is ReadWrite (perm 7), declared ReadWrite",
                "ordered is true, declared false",
                "messageType is FIFO, declared NORMAL",
            ]
        );
    }

    #[test]
    fn taking_over_never_shrinks_or_changes_the_type() {
        let topic = topic(&json!({}));
        let blocked = |held: &TopicConfig| -> Vec<&str> {
            let all = topic.differences(held);
            all.iter().filter(|it| it.blocks_adoption).map(|it| it.field).collect()
        };
        assert!(blocked(&held(2, 2)).is_empty());
        assert_eq!(blocked(&held(8, 8)), ["queues", "readQueues"]);
        assert!(blocked(&TopicConfig { perm: 0, order: true, ..held(4, 4) }).is_empty());
        assert!(blocked(&unlabelled(held(4, 4))).is_empty(), "no type is no other type");
        let mut fifo = held(4, 4);
        fifo.attributes.insert("message.type".to_owned(), "FIFO".to_owned());
        assert_eq!(blocked(&fifo), ["messageType"]);
    }

    #[test]
    fn a_topic_is_closed_once() {
        let open = held(4, 4);
        let closed_config = closed(&open).unwrap();
        assert_eq!((closed_config.perm, closed_config.attributes.len()), (0, 0));
        assert_eq!(closed(&TopicConfig { perm: 0, ..open }), None);
    }

    #[test]
    fn the_status_remembers_which_groups_hold_a_topic_of_ours() {
        let mut topic = topic(&json!({}));
        let group = |index, synced, held| GroupReport { index, synced, held, message: None };
        let report = Report {
            generation: Some(3),
            groups: Some(vec![
                group(0, true, Shown::Held(held(4, 4))),
                group(1, false, Shown::Held(held(4, 8))),
                group(2, false, Shown::Nothing),
            ]),
            adopted: Some(true),
            drift: None,
        };
        let status = topic.reported(&report);
        assert_eq!(status.synced_groups.as_deref(), Some("1/3"));
        assert_eq!(status.groups[1].read_queues, Some(8));
        topic.status = Some(status.clone());
        let history = topic.history();
        assert_eq!(history.owned, [0, 1].into());
        assert_eq!(history.synced, [0].into());
        assert_eq!((history.generation, history.adopted), (Some(3), Some(true)));
        // Nothing new of the groups: what is known of them stays.
        let kept = topic.reported(&Report { groups: None, ..report.clone() });
        assert_eq!(kept, status);
        // A group that cannot be asked keeps what is this object's.
        let unknown = (0..3).map(|index| group(index, false, Shown::AsBefore)).collect();
        topic.status = Some(topic.reported(&Report { groups: Some(unknown), ..report }));
        let history = topic.history();
        assert_eq!((history.owned, history.synced), ([0, 1].into(), [].into()));
    }
}
