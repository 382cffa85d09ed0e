//! Topics and their queues. Names and permissions are checked by those who ask, not here.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use foldhash::fast::FixedState;
use parking_lot::RwLock;
use rocketkube_protocol::names::MAX_QUEUES;

use crate::{
    queue::{Queue, Shore},
    state::TopicRecord,
};

/// Settings of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    pub read_queues: u32,
    pub write_queues: u32,
    /// Bits of `remoting`: read 4, write 2, inherit 1.
    pub perm: u32,
    pub order: bool,
    /// Filter type `MULTI_TAG` instead of `SINGLE_TAG`.
    pub multi_tag: bool,
    pub sys_flag: u32,
    pub attributes: BTreeMap<String, String>,
}

impl TopicConfig {
    /// Readable and writable, with so many queues.
    pub fn with_queues(queues: u32) -> Self {
        Self {
            read_queues: queues,
            write_queues: queues,
            perm: 6,
            order: false,
            multi_tag: false,
            sys_flag: 0,
            attributes: BTreeMap::new(),
        }
    }
}

/// One topic in one state; a change of its settings makes a new one that shares the queues.
#[derive(Debug)]
pub struct Topic {
    name: Arc<str>,
    id: u64,
    config: TopicConfig,
    queues: Box<[Arc<Queue>]>,
    /// Where the newest record of it lies in the log.
    position: u64,
    /// Seen in messages only: the record that makes it was carried to a later place of the log.
    provisional: bool,
}

impl Topic {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells incarnations of the same name apart: where in the log the topic was created.
    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn config(&self) -> &TopicConfig {
        &self.config
    }

    /// A queue by id. Includes queues above the configured counts that existed before.
    pub fn queue(&self, id: u32) -> Option<&Arc<Queue>> {
        self.queues.get(usize::try_from(id).ok()?)
    }

    pub fn queues(&self) -> &[Arc<Queue>] {
        &self.queues
    }

    /// False once it was deleted; a changed topic stays live, with the settings it had.
    pub fn is_live(&self) -> bool {
        self.queues.first().is_some_and(|queue| !queue.is_closed())
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn is_provisional(&self) -> bool {
        self.provisional
    }

    /// The record that says this state.
    pub(crate) fn record(&self) -> TopicRecord {
        let queues = u32::try_from(self.queues.len()).unwrap_or(MAX_QUEUES);
        record_of(&self.name, &self.config, self.id, queues)
    }
}

/// The record that creates (`id` 0) or changes a topic.
pub(crate) fn record_of(name: &str, config: &TopicConfig, id: u64, queues: u32) -> TopicRecord {
    TopicRecord {
        id,
        name: name.to_owned(),
        deleted: false,
        read_queues: config.read_queues,
        write_queues: config.write_queues,
        perm: config.perm,
        order: config.order,
        multi_tag: config.multi_tag,
        sys_flag: config.sys_flag,
        attributes: config.attributes.clone(),
        queues,
        first_offset: 0,
        existing: 0,
    }
}

fn config_of(record: &TopicRecord) -> TopicConfig {
    TopicConfig {
        read_queues: record.read_queues,
        write_queues: record.write_queues,
        perm: record.perm,
        order: record.order,
        multi_tag: record.multi_tag,
        sys_flag: record.sys_flag,
        attributes: record.attributes.clone(),
    }
}

/// Id of topics of which nothing tells where they were made. No record lies there.
const OLDEST: u64 = 1;

/// All topics of a store.
#[derive(Debug)]
pub(crate) struct Topics {
    shore: Arc<Shore>,
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    topics: HashMap<Arc<str>, Arc<Topic>, FixedState>,
    /// Of all these topics.
    queues: usize,
}

impl Table {
    fn insert(&mut self, topic: Arc<Topic>) {
        self.queues += topic.queues.len();
        let before = self.topics.insert(Arc::clone(&topic.name), topic);
        self.queues -= before.map_or(0, |topic| topic.queues.len());
    }

    fn remove(&mut self, name: &str) {
        let before = self.topics.remove(name);
        self.queues -= before.map_or(0, |topic| topic.queues.len());
    }
}

impl Topics {
    pub(crate) fn new(shore: &Arc<Shore>) -> Self {
        Self { shore: Arc::clone(shore), table: RwLock::default() }
    }

    /// Any topic, also one known from messages only.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.table.read().topics.get(name).map(Arc::clone)
    }

    /// Queues of all topics together.
    pub(crate) fn queues(&self) -> usize {
        self.table.read().queues
    }

    /// All topics, sorted by name.
    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        let mut all: Vec<_> = self.table.read().topics.values().map(Arc::clone).collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Applies a record that lies at `position`.
    pub(crate) fn apply(&self, record: &TopicRecord, position: u64) {
        let mut table = self.table.write();
        let current = table.topics.get(record.name.as_str());
        if record.deleted {
            // Replay may meet the deletion of an incarnation before the present one.
            if let Some(topic) = current.filter(|topic| topic.id <= record.id || topic.provisional)
            {
                topic.queues.iter().for_each(|queue| queue.close());
                table.remove(&record.name);
            }
            return;
        }
        let id = if record.id == 0 { position } else { record.id };
        let kept = match current {
            Some(topic) if topic.provisional && id <= topic.id => Some(Arc::clone(topic)),
            Some(topic) if topic.id == id => Some(Arc::clone(topic)),
            Some(topic) if topic.id > id && !topic.provisional => return,
            Some(topic) => {
                topic.queues.iter().for_each(|queue| queue.close());
                None
            }
            None => None,
        };
        table.insert(Arc::new(self.build(record, id, position, kept.as_deref())));
    }

    fn build(&self, record: &TopicRecord, id: u64, position: u64, kept: Option<&Topic>) -> Topic {
        let name = kept.map_or_else(|| Arc::from(record.name.as_str()), |t| Arc::clone(&t.name));
        let count = record.queues.max(record.read_queues).max(record.write_queues).min(MAX_QUEUES);
        let kept = kept.map_or(&[][..], |topic| &topic.queues);
        let queues = self.extend(&name, kept, count);
        queues.iter().for_each(|queue| queue.set_topic_id(id));
        if record.first_offset > 0 {
            let made = queues.iter().skip(kept.len()).filter(|queue| queue.id() >= record.existing);
            made.for_each(|queue| queue.go_on_at(record.first_offset));
        }
        Topic { name, id, config: config_of(record), queues, position, provisional: false }
    }

    fn extend(&self, name: &Arc<str>, kept: &[Arc<Queue>], count: u32) -> Box<[Arc<Queue>]> {
        let first_new = u32::try_from(kept.len()).unwrap_or(MAX_QUEUES);
        let new = (first_new..count).map(|id| Queue::new(name, id, &self.shore));
        kept.iter().map(Arc::clone).chain(new).collect()
    }

    /// Makes the topics real whose own records damage took: writable, with the queues that messages
    /// were seen of, and older than all that is left. Gives their names.
    pub(crate) fn bring_back(&self) -> Vec<String> {
        let lost: Vec<_> = self.all().into_iter().filter(|topic| topic.provisional).collect();
        for topic in &lost {
            let queues = u32::try_from(topic.queues.len()).unwrap_or(MAX_QUEUES);
            let config = TopicConfig::with_queues(queues);
            // At 0, so that the next trim writes it to the log.
            self.apply(&record_of(&topic.name, &config, OLDEST, queues), 0);
        }
        lost.iter().map(|topic| topic.name.to_string()).collect()
    }

    /// The topic of a message or an end record at `position` whose own record was carried to a
    /// later place; `None` if no such queue can exist.
    pub(crate) fn provisional(&self, name: &str, queue: u32, position: u64) -> Option<Arc<Topic>> {
        if queue >= MAX_QUEUES {
            return None;
        }
        let mut table = self.table.write();
        let current = table.topics.get(name);
        if let Some(topic) = current.filter(|topic| !topic.provisional) {
            return Some(Arc::clone(topic));
        }
        let name = current.map_or_else(|| Arc::from(name), |topic| Arc::clone(&topic.name));
        let queues = self.extend(&name, current.map_or(&[], |topic| &topic.queues), queue + 1);
        let topic = Arc::new(Topic {
            name,
            id: current.map_or(position, |topic| topic.id),
            config: TopicConfig::with_queues(0),
            queues,
            position,
            provisional: true,
        });
        table.insert(Arc::clone(&topic));
        Some(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        Topics::new(&Shore::new(std::net::SocketAddr::from(([127, 0, 0, 1], 10_911))))
    }

    fn record(id: u64, queues: u32) -> TopicRecord {
        record_of("t", &TopicConfig::with_queues(queues), id, queues)
    }

    fn deletion(id: u64) -> TopicRecord {
        TopicRecord { id, name: "t".to_owned(), deleted: true, ..TopicRecord::default() }
    }

    #[test]
    fn a_created_topic_is_named_by_its_place_in_the_log() {
        let topics = topics();
        topics.apply(&record(0, 4), 4192);
        let topic = topics.get("t").unwrap();
        assert_eq!((topic.id(), topic.queues().len()), (4192, 4));
    }

    #[test]
    fn an_update_keeps_the_queues_and_shrinking_loses_none() {
        let topics = topics();
        topics.apply(&record(0, 4), 100);
        let before = topics.get("t").unwrap();
        topics.apply(&record(100, 2), 200);
        let after = topics.get("t").unwrap();
        assert_eq!((after.id(), after.config().read_queues, after.queues().len()), (100, 2, 4));
        assert!(Arc::ptr_eq(before.queue(3).unwrap(), after.queue(3).unwrap()));
    }

    /// The creation may have been trimmed since, and the messages behind may have lower offsets.
    #[test]
    fn only_queues_that_a_record_makes_start_behind_what_damage_took() {
        let topics = topics();
        let update = TopicRecord { first_offset: 700, existing: 2, ..record(100, 4) };
        topics.apply(&update, 9000);
        let topic = topics.get("t").unwrap();
        let starts: Vec<_> = topic.queues().iter().map(|queue| queue.min().0).collect();
        assert_eq!(starts, [0, 0, 700, 700]);
    }

    #[test]
    fn a_deleted_and_recreated_topic_has_new_queues() {
        let topics = topics();
        topics.apply(&record(0, 1), 100);
        let old = Arc::clone(topics.get("t").unwrap().queue(0).unwrap());
        topics.apply(&deletion(100), 200);
        assert!(topics.get("t").is_none() && old.is_closed());
        topics.apply(&record(0, 1), 300);
        let topic = topics.get("t").unwrap();
        assert!(topic.id() == 300 && !topic.queue(0).unwrap().is_closed());
    }

    #[test]
    fn replaying_an_earlier_incarnation_does_not_touch_the_present_one() {
        let topics = topics();
        topics.apply(&record(300, 2), 300);
        topics.apply(&record(0, 9), 100);
        topics.apply(&deletion(100), 200);
        let topic = topics.get("t").unwrap();
        assert_eq!((topic.id(), topic.queues().len()), (300, 2));
    }

    #[test]
    fn a_carried_record_adopts_the_queues_of_messages_seen_before_it() {
        let topics = topics();
        let early = topics.provisional("t", 3, 5000).unwrap();
        assert!(early.is_provisional());
        topics.apply(&record(100, 8), 9000);
        let topic = topics.get("t").unwrap();
        assert_eq!((topic.id(), topic.queues().len()), (100, 8));
        assert!(Arc::ptr_eq(topic.queue(3).unwrap(), early.queue(3).unwrap()));
    }

    #[test]
    fn a_new_topic_does_not_adopt_messages_older_than_itself() {
        let topics = topics();
        let early = topics.provisional("t", 0, 5000).unwrap();
        topics.apply(&record(0, 1), 9000);
        assert!(early.queue(0).unwrap().is_closed());
    }

    #[test]
    fn queues_are_counted_through_every_change() {
        let topics = topics();
        let steps: [(&dyn Fn(), usize); 7] = [
            (&|| drop(topics.provisional("t", 3, 50)), 4),
            (&|| topics.apply(&record(0, 2), 100), 2),
            (&|| topics.apply(&record(100, 5), 200), 5),
            (&|| topics.apply(&record(100, 1), 300), 5),
            (&|| topics.apply(&record(0, 3), 400), 3),
            (&|| topics.apply(&deletion(100), 200), 3),
            (&|| topics.apply(&deletion(400), 500), 0),
        ];
        for (number, (step, expected)) in steps.iter().enumerate() {
            step();
            let held: usize = topics.all().iter().map(|topic| topic.queues().len()).sum();
            assert_eq!((topics.queues(), held), (*expected, *expected), "step {number}");
        }
    }

    #[test]
    fn a_topic_of_eight_queues_takes_at_most_600_bytes_without_them() {
        let entry = size_of::<(Arc<str>, Arc<Topic>)>() * 8 / 7 + 1;
        let bytes = size_of::<Topic>() + 16 + entry + 16 + 40 + 8 * size_of::<Arc<Queue>>();
        assert!(bytes <= 600, "{bytes}");
    }

    #[test]
    fn queue_ids_out_of_range_make_nothing() {
        let topics = topics();
        assert!(topics.provisional("t", MAX_QUEUES, 1).is_none());
        assert!(topics.get("t").is_none());
    }
}
