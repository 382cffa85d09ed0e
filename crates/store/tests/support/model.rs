//! What a store has to answer, in the simplest way that can be right: vectors and maps.

use std::collections::BTreeMap;

/// A message as it was sent, and where the store said it put it.
#[derive(Debug, Clone)]
pub struct Message {
    pub physical: u64,
    pub body: Vec<u8>,
    pub key: String,
    pub stored_ms: i64,
}

pub type Queue = Vec<Message>;

/// The whole store.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub topics: BTreeMap<String, Vec<Queue>>,
    pub groups: BTreeMap<String, String>,
    /// By group, topic and queue.
    pub commits: BTreeMap<(String, String, u32), u64>,
    /// What of `commits` a crash cannot take back.
    pub logged: BTreeMap<(String, String, u32), u64>,
    /// First retained physical offset, as the store says.
    pub start: u64,
}

impl Model {
    pub fn create(&mut self, topic: &str, queues: u32) {
        self.topics.insert(topic.to_owned(), vec![Vec::new(); queues as usize]);
    }

    pub fn grow(&mut self, topic: &str, queues: u32) {
        let topic = self.topics.get_mut(topic).unwrap();
        topic.resize(topic.len().max(queues as usize), Vec::new());
    }

    pub fn delete(&mut self, topic: &str) {
        self.topics.remove(topic);
        self.commits.retain(|(_, other, _), _| other != topic);
        self.logged.retain(|(_, other, _), _| other != topic);
    }

    pub fn delete_group(&mut self, group: &str, clean: bool) {
        self.groups.remove(group);
        if clean {
            self.commits.retain(|(other, ..), _| other != group);
            self.logged.retain(|(other, ..), _| other != group);
        }
    }

    pub fn flush_commits(&mut self) {
        self.logged = self.commits.clone();
    }

    pub fn crash(&mut self) {
        self.commits = self.logged.clone();
    }

    pub fn min(&self, queue: &Queue) -> u64 {
        queue.partition_point(|message| message.physical < self.start) as u64
    }

    /// First queue offset stored at or after the time.
    pub fn lower(&self, queue: &Queue, time_ms: i64) -> u64 {
        let min = self.min(queue);
        (min..queue.len() as u64)
            .find(|at| queue[*at as usize].stored_ms >= time_ms)
            .unwrap_or(queue.len() as u64)
    }

    /// Last queue offset stored at or before the time.
    pub fn upper(&self, queue: &Queue, time_ms: i64) -> u64 {
        let min = self.min(queue);
        (min..queue.len() as u64)
            .rev()
            .find(|at| queue[*at as usize].stored_ms <= time_ms)
            .unwrap_or(min)
    }

    /// Physical offsets of retained messages with the key, newest first.
    pub fn with_key(&self, topic: &str, key: &str, from_ms: i64, to_ms: i64) -> Vec<u64> {
        let queues = self.topics.get(topic).into_iter().flatten();
        let mut found: Vec<u64> = queues
            .flatten()
            .filter(|m| m.key == key && (from_ms..=to_ms).contains(&m.stored_ms))
            .map(|m| m.physical)
            .filter(|physical| *physical >= self.start)
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
    }
}

/// Numbers from a seed (`SplitMix64`); the same on every machine.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let index = self.below(from.len() as u64) as usize;
        from.get(index)
    }
}
