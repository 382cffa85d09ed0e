//! Random operations against a model, with restarts, kills, lost derived files and retention.

#![allow(
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "small numbers, a printed seed, and helpers that clippy does not take for tests"
)]

#[path = "support/model.rs"]
mod model;
mod support;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use model::{Dice, Message, Model};
use rocketkube_protocol::record::records;
use rocketkube_store::{
    Batch, Boundary, Extent, FileError, KeyQuery, Options, PhysicalOffset, QueueOffset, ReadError,
    Retention, Store, TopicConfig,
};
use support::{bodies, open_with, options, parts, queue};

const TOPICS: [&str; 4] = ["a", "b", "%RETRY%g", "long-topic"];
const GROUPS: [&str; 3] = ["g", "h", "i"];
const KEYS: [&str; 6] = ["k1", "k2", "k3", "order-17", "order-18", "x"];
const ALL_TIME: std::ops::RangeInclusive<i64> = 0..=i64::MAX;

/// How a store ends and what happens to its files before the next one opens them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Clean,
    /// What has begun in the background is finished, nothing else.
    Dropped,
    /// Its files as they are while it runs.
    Copied,
    /// Everything derived is gone.
    WithoutDerived,
    /// A bit of an index file is flipped after a clean stop.
    WithDamagedIndex,
}

const ENDINGS: [Ending; 5] = [
    Ending::Clean,
    Ending::Dropped,
    Ending::Copied,
    Ending::WithoutDerived,
    Ending::WithDamagedIndex,
];

struct Run<'d> {
    /// Holds a directory for each copy.
    root: &'d Path,
    dir: PathBuf,
    store: Option<Store>,
    model: Model,
    dice: Dice,
    now_ms: i64,
}

fn reopen(dir: &Path) -> Store {
    let retention = Retention { age: Duration::from_secs(20), ..Retention::default() };
    open_with(Options { retention, ..options(dir) }).0
}

impl Run<'_> {
    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn topic(&mut self) -> Option<String> {
        let names: Vec<_> = self.model.topics.keys().cloned().collect();
        self.dice.pick(&names).cloned()
    }

    fn step(&mut self) {
        self.now_ms += self.dice.below(200).cast_signed();
        match self.dice.below(100) {
            0..=54 => self.send(),
            55..=60 => self.create_or_change(),
            61..=62 => self.delete(),
            63..=76 => self.commit(),
            77..=80 => self.flush_commits(),
            81..=84 => self.change_group(),
            85..=88 => self.retain(),
            89..=92 => self.look(),
            n => self.restart(ENDINGS[n as usize % ENDINGS.len()]),
        }
    }

    fn send(&mut self) {
        let Some(topic) = self.topic() else { return };
        let queues = self.model.topics[&topic].len() as u64;
        let (mut batch, mut sent) = (Batch::default(), Vec::new());
        for _ in 0..=self.dice.below(12) {
            let id = self.dice.below(queues) as u32;
            let body = vec![self.dice.roll() as u8; self.dice.below(3_000) as usize];
            let key = (*self.dice.pick(&KEYS).unwrap()).to_owned();
            let properties = format!("KEYS\u{1}{key} other\u{2}TAGS\u{1}TagA\u{2}");
            let queue = queue(self.store(), &topic, id);
            batch.push_message(&queue, &parts(&body, &properties)).unwrap();
            sent.push((id, body, key));
        }
        let receipt = self.store().append(batch, self.now_ms).unwrap();
        for ((id, body, key), placed) in sent.into_iter().zip(receipt.placed) {
            let (placed, stored_ms) = (placed.unwrap(), self.now_ms);
            let queue = &mut self.model.topics.get_mut(&topic).unwrap()[id as usize];
            assert_eq!(placed.queue_offset.0, queue.len() as u64);
            queue.push(Message { physical: placed.physical_offset.0, body, key, stored_ms });
        }
    }

    fn create_or_change(&mut self) {
        let name = *self.dice.pick(&TOPICS).unwrap();
        let queues = 1 + self.dice.below(4) as u32;
        let config = TopicConfig::with_queues(queues);
        if self.model.topics.contains_key(name) {
            self.store().update_topic(name, &config, self.now_ms).unwrap();
            self.model.grow(name, queues);
        } else {
            self.store().create_topic(name, &config, self.now_ms).unwrap();
            self.model.create(name, queues);
        }
    }

    fn delete(&mut self) {
        let Some(topic) = self.topic() else { return };
        self.store().delete_topic(&topic, self.now_ms).unwrap();
        self.model.delete(&topic);
        if self.dice.below(2) == 0 {
            // The next one of that name has nothing of it, whatever is asked.
            self.store().create_topic(&topic, &TopicConfig::with_queues(1), self.now_ms).unwrap();
            self.model.create(&topic, 1);
            (0..8).for_each(|_| self.send());
            (0..20).for_each(|_| self.look());
        }
    }

    fn commit(&mut self) {
        let Some(topic) = self.topic() else { return };
        let group = *self.dice.pick(&GROUPS).unwrap();
        let id = self.dice.below(self.model.topics[&topic].len() as u64) as u32;
        let offset = self.dice.below(100);
        self.store().commit(group, &topic, id, QueueOffset(offset));
        self.model.commits.insert((group.to_owned(), topic, id), offset);
    }

    fn flush_commits(&mut self) {
        self.now_ms += 100;
        self.store().flush_commits(self.now_ms).unwrap();
        self.model.flush_commits();
    }

    fn change_group(&mut self) {
        let group = *self.dice.pick(&GROUPS).unwrap();
        if self.dice.below(4) > 0 || !self.model.groups.contains_key(group) {
            let config = format!("{{\"retryMaxTimes\":{}}}", self.dice.below(20));
            self.store().put_group(group, &config, self.now_ms).unwrap();
            self.model.groups.insert(group.to_owned(), config);
        } else {
            let clean = self.dice.below(2) == 0;
            self.store().delete_group(group, clean, self.now_ms).unwrap();
            self.model.delete_group(group, clean);
        }
    }

    fn retain(&mut self) {
        let used = if self.dice.below(4) == 0 { 86 } else { 10 };
        let held = self.topic().map(|topic| self.held(&topic));
        self.store().retain(self.now_ms, &|| support::used(used)).unwrap();
        // Whoever was reading has the messages as they were, or nothing.
        for (extent, before) in held.into_iter().flatten() {
            let mut now = Vec::new();
            let read = self.store().read_bytes(extent, &mut now);
            assert!(read.is_err() || now == before);
        }
        let start = self.store().start().0;
        assert!(start >= self.model.start, "the start of the log went back");
        self.model.start = start;
    }

    /// Where the messages of a topic's first queue are, and their bytes.
    fn held(&self, topic: &str) -> Vec<(Extent, Vec<u8>)> {
        let queue = queue(self.store(), topic, 0);
        let extents = support::read(self.store(), &queue, queue.min().0).extents;
        let bytes = |extent: &Extent| {
            let mut bytes = Vec::new();
            self.store().read_bytes(*extent, &mut bytes).unwrap();
            bytes
        };
        extents.iter().map(|extent| (*extent, bytes(extent))).collect()
    }

    fn restart(&mut self, ending: Ending) {
        if matches!(ending, Ending::Clean | Ending::WithDamagedIndex) {
            self.store().close(self.now_ms).unwrap();
            self.model.flush_commits();
        } else {
            self.model.crash();
        }
        let before = self.dir.clone();
        if ending == Ending::Copied {
            self.dir = self.root.join(self.dice.roll().to_string());
            copy_running(&before, &self.dir);
        }
        drop(self.store.take());
        match ending {
            Ending::Copied => fs::remove_dir_all(before).unwrap(),
            Ending::WithoutDerived => {
                for derived in ["index", "snapshot"] {
                    fs::remove_dir_all(self.dir.join(derived)).unwrap();
                }
            }
            Ending::WithDamagedIndex => self.flip_a_bit(),
            Ending::Clean | Ending::Dropped => {}
        }
        self.store = Some(reopen(&self.dir));
        if ending == Ending::WithDamagedIndex {
            self.find_damage();
        }
        self.check();
    }

    /// In any index file.
    fn flip_a_bit(&mut self) {
        let files = files_in(&self.dir.join("index"));
        let Some(path) = self.dice.pick(&files).cloned() else { return };
        let mut bytes = fs::read(&path).unwrap();
        let at = self.dice.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << self.dice.below(8);
        fs::write(path, bytes).unwrap();
    }

    /// Asks everything once: what is damaged is refused, and then made again.
    fn find_damage(&mut self) {
        let store = self.store();
        for topic in store.topics() {
            for queue in topic.queues() {
                let _ = store.read(queue, queue.min(), support::ANY, &|_| true);
                let _ = store.offset_by_time(queue, 1, Boundary::Lower);
            }
            for key in KEYS {
                let _ = store.find_by_key(&by_key(topic.name(), key, ALL_TIME));
            }
        }
        store.retain(self.now_ms, &|| support::used(10)).unwrap();
        assert_eq!(store.trouble(), None);
        self.model.start = store.start().0;
    }

    /// Everything.
    fn check(&mut self) {
        let store = self.store();
        let names: Vec<_> = store.topics().iter().map(|topic| topic.name().to_owned()).collect();
        assert_eq!(names, self.model.topics.keys().cloned().collect::<Vec<_>>());
        for (name, queues) in &self.model.topics {
            assert_eq!(store.topic(name).unwrap().queues().len(), queues.len());
            for (id, expected) in queues.iter().enumerate() {
                self.check_queue(name, id as u32, expected);
            }
        }
        let groups = store.groups();
        let groups = groups.iter().map(|g| (g.name().to_owned(), g.config().to_owned()));
        assert_eq!(
            groups.collect::<Vec<_>>(),
            self.model.groups.clone().into_iter().collect::<Vec<_>>()
        );
        for group in GROUPS {
            let found = store.committed_by(group).into_iter();
            let found: Vec<_> = found.map(|c| ((c.group, c.topic, c.queue), c.offset.0)).collect();
            let commits = self.model.commits.clone().into_iter();
            let expected: Vec<_> = commits.filter(|((other, ..), _)| other == group).collect();
            assert_eq!(found, expected);
        }
    }

    fn check_queue(&self, name: &str, id: u32, expected: &model::Queue) {
        let queue = queue(self.store(), name, id);
        let min = self.model.min(expected);
        assert_eq!((queue.min().0, queue.max().0), (min, expected.len() as u64), "{name} {id}");
        let found = bodies(self.store(), &queue, min);
        let expected = expected.iter().zip(0..).skip(min as usize);
        let expected: Vec<_> = expected.map(|(m, at): (_, u64)| (at, m.body.clone())).collect();
        assert!(found == expected, "{name} {id}: {} for {}", found.len(), expected.len());
    }

    /// Questions about one queue and one key.
    fn look(&mut self) {
        let Some(topic) = self.topic() else { return };
        let id = self.dice.below(self.model.topics[&topic].len() as u64) as u32;
        let key = *self.dice.pick(&KEYS).unwrap();
        let (t0, t1) = (self.dice.below(self.now_ms.cast_unsigned() + 9), self.dice.below(5_000));
        let (t0, t1) = (t0.cast_signed(), (t0 + t1).cast_signed());
        let (store, expected) = (self.store(), &self.model.topics[&topic][id as usize]);
        let held = queue(store, &topic, id);
        let by_time = |boundary| answered(|| store.offset_by_time(&held, t0, boundary)).0;
        assert_eq!(by_time(Boundary::Lower), self.model.lower(expected, t0));
        assert_eq!(by_time(Boundary::Upper), self.model.upper(expected, t0));
        for stored in [ALL_TIME, t0..=t1] {
            let expected = self.model.with_key(&topic, key, *stored.start(), *stored.end());
            let found = answered(|| store.find_by_key(&by_key(&topic, key, stored.clone())));
            let found: Vec<_> =
                records(&found.records).map(|r| r.unwrap().physical_offset()).collect();
            assert_eq!(found, expected[..expected.len().min(5)]);
        }
        if let Some(message) = expected.last() {
            let mut out = Vec::new();
            let retained = message.physical >= self.model.start;
            let at = PhysicalOffset(message.physical);
            assert_eq!(store.record_at(at, &mut out).unwrap(), retained);
            assert!(!store.record_at(PhysicalOffset(at.0 + 1), &mut out).unwrap());
        }
    }
}

/// The answer, once what it takes is not damaged any more: damage in a part that nobody has asked
/// for is found by the one who does, and mended in the background.
fn answered<T>(ask: impl Fn() -> Result<T, ReadError>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match ask() {
            Err(ReadError::Index(FileError::Damaged { .. })) if Instant::now() < deadline => {
                std::thread::yield_now();
            }
            answer => return answer.unwrap(),
        }
    }
}

fn by_key<'q>(topic: &'q str, key: &'q str, stored: std::ops::RangeInclusive<i64>) -> KeyQuery<'q> {
    KeyQuery { topic, key, unique_only: false, stored, max_messages: 5 }
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Copies what is derived before what it is derived from, as a kill would leave it.
fn copy_running(from: &Path, to: &Path) {
    for folder in ["", "snapshot", "index", "log"] {
        fs::create_dir_all(to.join(folder)).unwrap();
        for path in files_in(&from.join(folder)) {
            let copied = fs::copy(&path, to.join(folder).join(path.file_name().unwrap()));
            // Finished and renamed meanwhile.
            let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
            assert!(copied.as_ref().is_ok() || copied.as_ref().is_err_and(is_gone), "{copied:?}");
        }
    }
}

fn run(seed: u64, steps: usize) {
    println!("seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("first");
    let store = Some(reopen(&first));
    let (model, dice) = (Model::default(), Dice(seed));
    let mut run = Run { root: dir.path(), dir: first, store, model, dice, now_ms: 1_000 };
    for _ in 0..steps {
        run.step();
    }
    run.check();
    for ending in ENDINGS {
        run.restart(ending);
        (0..20).for_each(|_| run.look());
    }
}

/// `ROCKETKUBE_MODEL_SEEDS=a..b` runs others, and longer.
#[test]
fn a_store_answers_like_its_model() {
    let wanted = std::env::var("ROCKETKUBE_MODEL_SEEDS").ok();
    let wanted = wanted.as_deref().and_then(|range| range.split_once(".."));
    match wanted {
        Some((a, b)) => (a.parse().unwrap()..b.parse().unwrap()).for_each(|seed| run(seed, 1_000)),
        None => (0..3).for_each(|seed| run(seed, 300)),
    }
}

/// Handles from before stay harmless whatever happens to their topic.
#[test]
fn a_handle_of_a_deleted_topic_shows_nothing_of_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = reopen(dir.path());
    let old = support::topic(&store, "t", 1);
    support::send(&store, &old, b"old", "", 1);
    store.delete_topic("t", 1).unwrap();
    let new = support::topic(&store, "t", 1);
    support::send(&store, &new, b"new", "", 1);
    assert!(!Arc::ptr_eq(&old, &new));
    assert_eq!(bodies(&store, &old, 0), [(0, b"old".to_vec())]);
    assert_eq!(bodies(&store, &new, 0), [(0, b"new".to_vec())]);
}
