//! Members and lag of consumer groups: from what brokers answer to what a status says, and when.
//!
//! The live values are metrics. A status is for people, and each writing of it is kept by etcd.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rocketkube_client::protocol::body::{ConsumeStats, ConsumeTimeSpan, ConsumerConnection};
use rocketkube_crds::condition::{CONSUMING, LAGGING};
use rocketkube_crds::{ConsumerGroupStatus, GroupMember, Lag, LagAlert, Span, TopicLag};
use tokio::time::Instant;

use super::report::Extra;

/// A status is written for a sample at most this often.
const REST: Duration = Duration::from_mins(1);
/// For how long a status may speak of a sample that could not be repeated.
const STALE: Duration = Duration::from_mins(5);
const MOST_CLIENTS: usize = 10;
const MOST_TOPICS: usize = 20;
/// Longest id of a client that the schema takes.
const LONGEST_ID: usize = 255;

/// Who is in a group, and how far it is, over all masters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Language and version by client id. A client is a member on every master.
    pub(crate) members: BTreeMap<String, (String, i32)>,
    /// What each topic has that is not consumed.
    pub(crate) topics: BTreeMap<String, TopicSample>,
}

/// How far a group is in one topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TopicSample {
    /// Messages.
    pub(crate) lag: i64,
    /// Age of the oldest of them.
    pub(crate) oldest: Duration,
}

/// The last samples of the groups of a `BrokerSet`.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    by_group: HashMap<String, Sample>,
    /// Since when there are none, by group.
    missing: HashMap<String, Instant>,
}

impl Samples {
    /// Takes what was sampled, of all these groups.
    pub(crate) fn take(&mut self, sampled: HashMap<String, Sample>, groups: BTreeSet<String>) {
        let now = Instant::now();
        self.missing.retain(|group, _| groups.contains(group) && !sampled.contains_key(group));
        for group in groups.into_iter().filter(|group| !sampled.contains_key(group)) {
            self.missing.entry(group).or_insert(now);
        }
        self.by_group = sampled;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Sample)> {
        self.by_group.iter()
    }

    /// Brings a status up to date with what is known of a group now.
    pub(crate) fn publish(&self, group: &str, status: &mut ConsumerGroupStatus, now: Timestamp) {
        if let Some(sample) = self.by_group.get(group) {
            sample.publish(status, now);
        } else if self.missing.get(group).is_some_and(|since| since.elapsed() >= STALE) {
            status.members = None;
            status.clients = Vec::new();
            status.lag = None;
            status.sampled_at = None;
        }
    }
}

impl Sample {
    pub(crate) fn add_members(&mut self, answer: &ConsumerConnection) {
        for member in &answer.connection_set {
            let about = (member.language.clone(), member.version);
            self.members.insert(member.client_id.clone(), about);
        }
    }

    /// Adds what one master says of how far the group is, and gives the topics in which it is
    /// behind.
    pub(crate) fn add_progress(&mut self, answer: &ConsumeStats) -> Vec<String> {
        let mut behind: Vec<String> = Vec::new();
        for (queue, offsets) in &answer.offset_table.0 {
            let lag = offsets.broker_offset.saturating_sub(offsets.consumer_offset).max(0);
            let topic = self.topics.entry(queue.topic.clone()).or_default();
            topic.lag = topic.lag.saturating_add(lag);
            if lag > 0 && behind.last() != Some(&queue.topic) {
                behind.push(queue.topic.clone());
            }
        }
        behind.sort_unstable();
        behind.dedup();
        behind
    }

    /// Adds for how long messages of a topic have been waiting on one master.
    pub(crate) fn add_ages(&mut self, topic: &str, answer: &ConsumeTimeSpan) {
        let delays = answer.consume_time_span_set.iter().map(|span| span.delay_time);
        let oldest = delays.max().and_then(|delay| u64::try_from(delay).ok()).unwrap_or_default();
        let topic = self.topics.entry(topic.to_owned()).or_default();
        topic.oldest = topic.oldest.max(Duration::from_millis(oldest));
    }

    pub(crate) fn total(&self) -> i64 {
        self.topics.values().fold(0, |total: i64, topic| total.saturating_add(topic.lag))
    }

    pub(crate) fn oldest(&self) -> Duration {
        self.topics.values().map(|topic| topic.oldest).max().unwrap_or_default()
    }

    fn clients(&self) -> Vec<GroupMember> {
        let member = |(id, (language, version)): (&String, &(String, i32))| GroupMember {
            id: id.chars().take(LONGEST_ID).collect(),
            language: Some(language.chars().take(32).collect()),
            version: Some(version.to_string()),
        };
        // Two ids that differ behind what the schema takes would be one entry twice.
        let mut clients: Vec<_> = self.members.iter().map(member).collect();
        clients.dedup_by(|a, b| a.id == b.id);
        clients.truncate(MOST_CLIENTS);
        clients
    }

    fn lag(&self) -> Lag {
        let behind = self.topics.iter().filter(|(_, topic)| topic.lag > 0);
        let mut topics: Vec<_> = behind
            .map(|(topic, sample)| TopicLag { topic: topic.clone(), lag: sample.lag })
            .collect();
        topics.sort_by(|a, b| b.lag.cmp(&a.lag).then_with(|| a.topic.cmp(&b.topic)));
        topics.truncate(MOST_TOPICS);
        let total = self.total();
        Lag { total, oldest_age: (total > 0).then(|| span(self.oldest())), topics }
    }

    /// Takes the sample into the status if that has rested long enough, and says something else.
    pub(crate) fn publish(&self, status: &mut ConsumerGroupStatus, now: Timestamp) {
        if !self.is_due(status, now) {
            return;
        }
        status.members = Some(i32::try_from(self.members.len()).unwrap_or(i32::MAX));
        status.clients = self.clients();
        status.lag = Some(self.lag());
        status.sampled_at = Some(Time(now));
    }

    fn is_due(&self, status: &ConsumerGroupStatus, now: Timestamp) -> bool {
        let Some(last) = &status.sampled_at else { return true };
        // A clock that was set back must not stop it for long.
        let rested = now.duration_since(last.0);
        if rested.is_negative() {
            return true;
        }
        if rested.unsigned_abs() < REST {
            return false;
        }
        let before = status.lag.as_ref();
        let total = before.map_or(0, |lag| lag.total);
        let oldest = before.and_then(|lag| lag.oldest_age.as_ref()).map(Span::length);
        let new_oldest = Some(self.oldest()).filter(|_| self.total() > 0);
        status.clients != self.clients()
            || status.members != i32::try_from(self.members.len()).ok()
            || is_other(total, self.total())
            || is_other(seconds(oldest), seconds(new_oldest))
    }
}

fn seconds(age: Option<Duration>) -> i64 {
    age.map_or(0, |age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX))
}

/// Whether a number changed by a tenth or more.
fn is_other(before: i64, now: i64) -> bool {
    let change = i128::from(now) - i128::from(before);
    change != 0 && change.unsigned_abs() * 10 >= i128::from(before).unsigned_abs()
}

/// A span as manifests write it, in whole seconds.
fn span(length: Duration) -> Span {
    // Ten years fit what the schema takes; nothing is kept for so long.
    let seconds = length.as_secs().min(10 * 365 * 86_400);
    let part =
        |unit: &str, count: u64| if count > 0 { format!("{count}{unit}") } else { String::new() };
    let (hours, minutes) = (part("h", seconds / 3_600), part("m", seconds / 60 % 60));
    // A span is never empty.
    let rest = if seconds == 0 { "0s".to_owned() } else { part("s", seconds % 60) };
    let text = format!("{hours}{minutes}{rest}");
    Span::try_from(text).expect("hours, minutes and seconds in this order are a span")
}

/// The conditions of consumer groups, of what the status says. Of what was known once, and no longer
/// is, they say so.
pub(crate) fn conditions(status: &ConsumerGroupStatus, alert: Option<&LagAlert>) -> Vec<Extra> {
    let Some(members) = status.members else {
        let were_told = status.conditions.iter().any(|condition| condition.type_ == CONSUMING);
        let names = [Some(CONSUMING), alert.map(|_| LAGGING)];
        return names.into_iter().flatten().filter(|_| were_told).map(unknown).collect();
    };
    let mut all = vec![Extra {
        name: CONSUMING,
        is_true: Some(members > 0),
        reason: if members > 0 { "HasMembers" } else { "NoMembers" },
        message: String::new(),
    }];
    let (Some(alert), Some(lag)) = (alert, &status.lag) else { return all };
    let mut exceeded = Vec::new();
    if let Some(most) = alert.messages.filter(|most| lag.total > *most) {
        exceeded.push(format!("more than {most} messages are not consumed"));
    }
    let oldest = lag.oldest_age.as_ref().map(Span::length).unwrap_or_default();
    if let Some(most) = alert.age.as_ref().filter(|most| oldest > most.length()) {
        exceeded.push(format!("the oldest message that is not consumed is over {}", most.as_str()));
    }
    all.push(Extra {
        name: LAGGING,
        is_true: Some(!exceeded.is_empty()),
        reason: if exceeded.is_empty() { "WithinBounds" } else { "LagAlertExceeded" },
        message: exceeded.join("; "),
    });
    all
}

fn unknown(name: &'static str) -> Extra {
    let message = "brokers could not be asked for some minutes".to_owned();
    Extra { name, is_true: None, reason: "NotSampled", message }
}

#[cfg(test)]
mod tests {
    use rocketkube_client::protocol::body::{
        Connection, MessageQueue, OffsetWrapper, QueueMap, QueueTimeSpan,
    };

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn progress(queues: &[(&str, i64, i64)]) -> ConsumeStats {
        let one = |(topic, broker_offset, consumer_offset): &(&str, i64, i64)| {
            let queue = MessageQueue { topic: (*topic).to_owned(), ..MessageQueue::default() };
            let (broker_offset, consumer_offset) = (*broker_offset, *consumer_offset);
            let offsets =
                OffsetWrapper { broker_offset, consumer_offset, ..OffsetWrapper::default() };
            (queue, offsets)
        };
        ConsumeStats { consume_tps: 0.0, offset_table: QueueMap(queues.iter().map(one).collect()) }
    }

    fn ages(delays: &[i64]) -> ConsumeTimeSpan {
        let span = |delay_time: &i64| QueueTimeSpan {
            delay_time: *delay_time,
            ..QueueTimeSpan::default()
        };
        ConsumeTimeSpan { consume_time_span_set: delays.iter().map(span).collect() }
    }

    fn members(ids: &[&str]) -> ConsumerConnection {
        let connection = |id: &&str| Connection {
            client_id: (*id).to_owned(),
            language: "JAVA".to_owned(),
            version: 493,
            ..Connection::default()
        };
        let connection_set = ids.iter().map(connection).collect();
        ConsumerConnection { connection_set, ..ConsumerConnection::default() }
    }

    fn sample(lag: i64, oldest_s: u64) -> Sample {
        let oldest = Duration::from_secs(oldest_s);
        let topics = [("t".to_owned(), TopicSample { lag, oldest })].into();
        Sample { topics, ..Sample::default() }
    }

    #[test]
    fn lag_is_summed_over_queues_and_masters_and_members_are_not() {
        let mut sample = Sample::default();
        let behind = sample.add_progress(&progress(&[("a", 10, 4), ("b", 5, 5), ("a", 7, 7)]));
        assert_eq!(behind, ["a"]);
        let behind = sample.add_progress(&progress(&[("a", 9, 8), ("b", 3, 1), ("c", 1, 2)]));
        assert_eq!(behind, ["a", "b"]);
        sample.add_ages("a", &ages(&[0, 61_500, 2_000]));
        sample.add_ages("a", &ages(&[1_000]));
        sample.add_members(&members(&["x", "y"]));
        sample.add_members(&members(&["y", "x"]));
        assert_eq!((sample.total(), sample.oldest().as_secs()), (9, 61));

        let mut status = ConsumerGroupStatus::default();
        sample.publish(&mut status, at(0));
        let lag = status.lag.unwrap();
        assert_eq!((lag.total, lag.oldest_age.unwrap().as_str()), (9, "1m1s"));
        let topics: Vec<_> = lag.topics.iter().map(|it| (&*it.topic, it.lag)).collect();
        assert_eq!(topics, [("a", 7), ("b", 2)]);
        assert_eq!((status.members, status.clients.len()), (Some(2), 2));
        assert_eq!(status.clients[0].version.as_deref(), Some("493"));
    }

    #[test]
    fn a_status_is_written_once_a_minute_and_for_a_tenth() {
        let mut status = ConsumerGroupStatus::default();
        let told = |status: &mut ConsumerGroupStatus, sample: Sample, second| {
            let before = status.clone();
            sample.publish(status, at(second));
            *status != before
        };
        assert!(told(&mut status, sample(100, 30), 0), "the first one");
        assert!(!told(&mut status, sample(9_999, 30), 59), "too soon");
        assert!(!told(&mut status, sample(109, 30), 60), "not a tenth");
        assert!(told(&mut status, sample(110, 30), 61));
        assert!(!told(&mut status, sample(110, 32), 200), "nor here");
        assert!(told(&mut status, sample(110, 33), 201));
        assert!(told(&mut status, sample(0, 0), 300), "caught up");
        assert!(!told(&mut status, sample(0, 5_000), 400), "an age of nothing");
        assert!(told(&mut status, sample(1, 1), 500));
        let joined = Sample { members: [("x".into(), ("GO".into(), 1))].into(), ..sample(1, 1) };
        assert!(!told(&mut status, joined.clone(), 559), "too soon");
        assert!(told(&mut status, joined.clone(), 560));
        let other = Sample { members: [("y".into(), ("GO".into(), 1))].into(), ..joined };
        assert!(told(&mut status, other.clone(), 620), "as many, but another");
        assert!(!told(&mut status, other.clone(), 700));
        status.sampled_at = Some(Time(at(9_999)));
        assert!(told(&mut status, other, 701), "a clock that was set back");
    }

    #[test]
    fn ages_are_written_as_manifests_write_them() {
        let text = |seconds| span(Duration::from_secs(seconds)).as_str().to_owned();
        assert_eq!(text(0), "0s");
        assert_eq!(text(59), "59s");
        assert_eq!(text(3_600), "1h");
        assert_eq!(text(90_061), "25h1m1s");
        assert_eq!(text(u64::MAX), "87600h");
    }

    #[test]
    fn a_group_lags_when_it_is_over_either_bound() {
        let status = |lag, age| {
            let mut status = ConsumerGroupStatus::default();
            sample(lag, age).publish(&mut status, at(0));
            status
        };
        let alert = |messages, age: Option<&str>| LagAlert {
            messages,
            age: age.map(|text| Span::try_from(text.to_owned()).unwrap()),
        };
        let lagging = |status: &ConsumerGroupStatus, alert: LagAlert| {
            let all = conditions(status, Some(&alert));
            let lagging = all.into_iter().find(|it| it.name == LAGGING).unwrap();
            (lagging.is_true.unwrap(), lagging.message)
        };
        let (no, ten) = ((false, String::new()), status(10, 90));
        assert_eq!(lagging(&ten, alert(Some(10), Some("2m"))), no);
        let told = "more than 9 messages are not consumed".to_owned();
        assert_eq!(lagging(&ten, alert(Some(9), None)), (true, told));
        let told = "the oldest message that is not consumed is over 1m".to_owned();
        assert_eq!(lagging(&ten, alert(None, Some("1m"))), (true, told));
        assert_eq!(lagging(&status(0, 90), alert(Some(1), Some("1s"))), no);

        let names = |status, alert: Option<&LagAlert>| -> Vec<_> {
            conditions(status, alert).iter().map(|it| (it.name, it.is_true)).collect()
        };
        assert_eq!(names(&ten, None), [(CONSUMING, Some(false))]);
        assert!(names(&ConsumerGroupStatus::default(), Some(&alert(Some(1), None))).is_empty());
    }
}
