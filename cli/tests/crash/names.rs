//! What topics and groups of the campaign are called, and where messages can be.

use rocketkube_testkit::{Group, Position, Topic};

/// Queues of each topic: what the broker gives a topic that a send creates.
pub(crate) const QUEUES: u32 = 4;

/// Reads behind the load, once, over the whole round.
pub(crate) const READER: Group = Group(1);
/// The first of the groups that commit; one per connection.
const FIRST_COMMITTER: u16 = 100;
/// The first of the groups that read everything; one per reading.
const FIRST_DRAIN: u16 = 1_000;

pub(crate) fn committer(connection: u16) -> Group {
    Group(FIRST_COMMITTER + connection)
}

pub(crate) fn drain(number: u16) -> Group {
    Group(FIRST_DRAIN + number)
}

pub(crate) fn topic_name(topic: Topic) -> String {
    format!("crash-{}", topic.0)
}

pub(crate) fn group_name(group: Group) -> String {
    format!("crash-group-{}", group.0)
}

/// Every queue of the first topics.
pub(crate) fn positions(topics: u16) -> impl Iterator<Item = Position> {
    (0..topics)
        .flat_map(|topic| (0..QUEUES).map(move |queue| Position { topic: Topic(topic), queue }))
}

/// The key of some of a producer's messages.
pub(crate) fn key(producer: u32, sequence: u64) -> String {
    format!("key-{producer}-{}", sequence / 64)
}
