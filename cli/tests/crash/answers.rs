//! Everything a broker answers about its data, for comparing it with itself after its derived
//! files are gone.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use rocketkube_protocol::{RequestCode, ResponseCode};
use rocketkube_testkit::{Group, Position, Topic, hash};

use crate::{
    names::topic_name,
    survey::{Places, Read, Survey, number},
};

/// One reading in this many gives a time to ask for.
const TIME_EVERY: i64 = 1_000;
/// Times and keys asked for: each is a request.
const MOST_TIMES: usize = 200;
const MOST_KEYS: usize = 100;

/// What to ask; taken from the first reading, asked again after the second.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    pub(crate) groups: Vec<Group>,
    /// Store times that occur in a queue.
    pub(crate) times: Vec<(Position, i64)>,
    /// Keys that occur in a topic.
    pub(crate) keys: Vec<(Topic, String)>,
}

/// What the broker answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    bounds: BTreeMap<Position, (i64, i64)>,
    /// Hash over every record of the queue, in order.
    contents: BTreeMap<Position, u64>,
    progress: BTreeMap<(Group, Position), Option<i64>>,
    by_time: BTreeMap<(Position, i64), i64>,
    /// Hashes of the records that have the key, sorted.
    by_key: BTreeMap<(Topic, String), Vec<u64>>,
}

impl Questions {
    /// Notes what a record that was just read lets us ask.
    pub(crate) fn learn(&mut self, read: &Read<'_>) {
        if read.offset % TIME_EVERY == 0 && self.times.len() < MOST_TIMES {
            self.times.push((read.at, read.store_timestamp));
        }
        let wanted = self.keys.len() < MOST_KEYS && read.offset % TIME_EVERY == TIME_EVERY / 2;
        if wanted && let Some(key) = key_of(read.record) {
            self.keys.push((read.at.topic, key));
        }
    }
}

/// The `KEYS` property of a record, found by its separators.
fn key_of(record: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"KEYS\x01";
    let at = record.windows(NAME.len()).rposition(|window| window == NAME)? + NAME.len();
    let len = record[at..].iter().position(|byte| *byte == 2)?;
    String::from_utf8(record[at..at + len].to_vec()).ok()
}

impl Answers {
    /// Adds a record to its queue's contents.
    pub(crate) fn see(&mut self, read: &Read<'_>) {
        let content = self.contents.entry(read.at).or_default();
        *content = content.rotate_left(5) ^ hash(read.record);
    }

    /// Asks everything that is not a matter of reading.
    pub(crate) fn ask(
        &mut self,
        survey: &mut Survey,
        questions: &Questions,
        ends: &Places,
    ) -> Result<()> {
        for at in ends.keys() {
            self.bounds.insert(*at, survey.bounds(*at)?);
            for group in &questions.groups {
                self.progress.insert((*group, *at), survey.progress(*group, *at)?);
            }
        }
        for (at, time) in &questions.times {
            self.by_time.insert((*at, *time), by_time(survey, *at, *time)?);
        }
        for (topic, key) in &questions.keys {
            self.by_key.insert((*topic, key.clone()), by_key(survey, *topic, key)?);
        }
        Ok(())
    }

    /// Says what differs, without the thousands of things that do not.
    pub(crate) fn ensure_equal(&self, other: &Self) -> Result<()> {
        differ("bounds", &self.bounds, &other.bounds)?;
        differ("contents", &self.contents, &other.contents)?;
        differ("progress", &self.progress, &other.progress)?;
        differ("offsets by time", &self.by_time, &other.by_time)?;
        differ("messages by key", &self.by_key, &other.by_key)
    }
}

fn differ<K, V>(what: &str, before: &BTreeMap<K, V>, after: &BTreeMap<K, V>) -> Result<()>
where
    K: Ord + std::fmt::Debug,
    V: PartialEq + std::fmt::Debug,
{
    for (key, value) in before {
        let now = after.get(key);
        ensure!(now == Some(value), "{what} of {key:?} were {value:?} and are {now:?}");
    }
    ensure!(before.len() == after.len(), "{what}: {} and {}", before.len(), after.len());
    Ok(())
}

fn by_time(survey: &mut Survey, at: Position, time: i64) -> Result<i64> {
    let topic = topic_name(at.topic);
    let fields = [
        ("topic", topic.as_str()),
        ("queueId", &at.queue.to_string()),
        ("timestamp", &time.to_string()),
    ];
    let answer = survey.wire.call(RequestCode::SEARCH_OFFSET_BY_TIMESTAMP.0, &fields, b"")?;
    ensure!(answer.response_code() == ResponseCode::SUCCESS, "{at:?} at {time}: {answer:?}");
    number(&answer, "offset")
}

fn by_key(survey: &mut Survey, topic: Topic, key: &str) -> Result<Vec<u64>> {
    let name = topic_name(topic);
    let fields = [
        ("topic", name.as_str()),
        ("key", key),
        ("maxNum", "64"),
        ("beginTimestamp", "0"),
        ("endTimestamp", &i64::MAX.to_string()),
    ];
    let answer = survey.wire.call(RequestCode::QUERY_MESSAGE.0, &fields, b"")?;
    ensure!(answer.response_code() == ResponseCode::SUCCESS, "key {key} of {name}: {answer:?}");
    let mut found = Vec::new();
    let mut rest = answer.body.as_slice();
    while let Some(size) = rest.first_chunk().map(|size| u32::from_be_bytes(*size) as usize) {
        ensure!(size >= 4 && size <= rest.len(), "key {key} of {name}: record of {size} bytes");
        found.push(hash(&rest[..size]));
        rest = &rest[size..];
    }
    ensure!(!found.is_empty(), "key {key} of {name} was read and is not found");
    found.sort_unstable();
    Ok(found)
}
