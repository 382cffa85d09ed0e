//! Comparing a history with what was promised.
//!
//! Each checker is one promise (names as in the test programme): `loss` K1, `phantom` K2,
//! `identity` K3, `monotonic` K4, `order` K5, `progress` K7, `duplicates` K8. They see only what
//! clients saw; none of them knows how a broker works.

use std::fmt;

use crate::{
    event::{Event, Group, Kind, Topic},
    history::History,
    recorder::{Message, Position},
};

mod duplicates;
mod identity;
mod loss;
mod monotonic;
mod order;
mod phantom;
mod progress;

/// What a run must have had to prove anything, who drained it, and what its history cannot say.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The group that read everything after the last fault.
    pub drain: Group,
    /// Fewer acknowledged sends make the run void.
    pub least_acknowledged: usize,
    /// Fewer faults make the run void.
    pub least_faults: usize,
    /// How many copies one send may leave: more than 1 if the client tries again by itself, of
    /// which the history knows nothing.
    pub copies_per_send: usize,
    /// Whether the history says when something was broken. Where it does not, every redelivery
    /// counts as explained.
    pub faults_are_noted: bool,
}

impl Rules {
    /// A run with at least one fault and 1,000 acknowledged sends, of which everything is known.
    pub fn drained_by(drain: Group) -> Self {
        Self {
            drain,
            least_acknowledged: 1_000,
            least_faults: 1,
            copies_per_send: 1,
            faults_are_noted: true,
        }
    }
}

/// What a run contained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    pub acknowledged: usize,
    pub refused: usize,
    pub unknown: usize,
    pub delivered: usize,
    pub commits: usize,
    pub faults: usize,
    /// Copies and redeliveries beyond the first, all of them explained.
    pub duplicates: usize,
}

/// Why a run is not green.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The run cannot have shown anything, whatever it contains.
    #[error("void: {report:?} has too few acknowledged sends or faults for {rules:?}")]
    Void { report: Report, rules: Rules },
    #[error("{} violations in {report:?}:{}", found.total, Listed(&found.shown))]
    Broken { report: Report, found: Violations },
}

/// One broken promise, with everything needed to look for it in logs and files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// K1: acknowledged, and the drain was not given it.
    Lost { at: Position, offset: i64, message: Message },
    /// K1: acknowledged, and the drain was given it, but from elsewhere.
    Moved { at: Position, offset: i64, found_at: Position, found_offset: i64, message: Message },
    /// K1: somebody was given it before, and the drain was not.
    Vanished { at: Position, offset: i64, message: Message },
    /// K2: nobody sent this.
    Phantom { at: Position, offset: i64, message: Message },
    /// K2: sent with another body.
    Altered { at: Position, offset: i64, sent: Message, delivered: Message },
    /// K2: sent to another place.
    Misplaced { at: Position, offset: i64, sent_to: Position, message: Message },
    /// K2: refused as "certainly not stored", and delivered.
    RefusedDelivered { at: Position, offset: i64, message: Message },
    /// K3: one place was two messages.
    TwoMessages { at: Position, offset: i64, first: Message, second: Message },
    /// K4: a bound that had been shown went back.
    WentBack { at: Position, bound: Kind, from: i64, to: i64 },
    /// K4: a queue's smallest offset was above its next one.
    Crossed { at: Position, lowest: i64, highest: i64 },
    /// K5: acknowledged before the other was sent, and has the higher offset.
    OutOfOrder { at: Position, first: (i64, Message), second: (i64, Message) },
    /// K7: below an acknowledged commit.
    ProgressFell { group: Group, at: Position, committed: i64, found: i64 },
    /// K7: above everything that was ever committed.
    ProgressAhead { group: Group, at: Position, highest: i64, found: i64 },
    /// K8: stored more often than it was sent.
    UnexplainedCopy { message: Message, attempts: usize, copies: usize },
    /// K8: given twice to one group with no fault between.
    UnexplainedRedelivery { group: Group, at: Position, offset: i64 },
}

/// Violations: all counted, the first few kept.
#[derive(Debug, Clone, Default)]
pub struct Violations {
    pub total: usize,
    pub shown: Vec<Violation>,
}

impl Violations {
    const SHOWN: usize = 40;

    fn add(&mut self, violation: Violation) {
        self.total += 1;
        if self.shown.len() < Self::SHOWN {
            self.shown.push(violation);
        }
    }
}

struct Listed<'a>(&'a [Violation]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|violation| write!(f, "\n  {violation:?}"))
    }
}

/// Runs every checker over a history that has been drained.
pub fn check(history: &History, rules: &Rules) -> Result<Report, CheckError> {
    let mut seen = Seen::of(history);
    let mut found = Violations::default();
    let duplicates = duplicates::check(&mut seen, rules, &mut found);
    loss::check(&mut seen, rules.drain, &mut found);
    phantom::check(&mut seen, &mut found);
    identity::check(&mut seen, &mut found);
    monotonic::check(&mut seen, &mut found);
    order::check(&mut seen, &mut found);
    progress::check(&mut seen, &mut found);
    let report = Report { duplicates, ..seen.report };
    if found.total > 0 {
        return Err(CheckError::Broken { report, found });
    }
    if report.acknowledged < rules.least_acknowledged || report.faults < rules.least_faults {
        return Err(CheckError::Void { report, rules: *rules });
    }
    Ok(report)
}

/// A history sorted into what the checkers ask for. Checkers may reorder the tables.
struct Seen {
    /// Sends by (producer, sequence, time of invocation).
    attempts: Vec<Attempt>,
    deliveries: Vec<Event>,
    /// `Lowest` and `Highest`.
    bounds: Vec<Event>,
    /// `Commit`, `Committed` and `Progress`.
    progress: Vec<Event>,
    /// Times, ascending.
    faults: Vec<u64>,
    report: Report,
}

/// One send from its invocation to its end.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    /// In [`Position::ANY_QUEUE`] if the client chose the queue.
    to: Position,
    message: Message,
    invoked: u64,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok {
        queue: u32,
        offset: i64,
        ended: u64,
    },
    Refused,
    /// Said so, or never ended.
    Unknown,
}

impl Seen {
    fn of(history: &History) -> Self {
        let mut seen = Self {
            attempts: Vec::new(),
            deliveries: Vec::new(),
            bounds: Vec::new(),
            progress: Vec::new(),
            faults: Vec::new(),
            report: Report::default(),
        };
        let mut sends = Vec::new();
        for event in history.events() {
            match event.kind {
                Kind::Invoke | Kind::Ok | Kind::Refused | Kind::Unknown => sends.push(*event),
                Kind::Deliver => seen.deliveries.push(*event),
                Kind::Lowest | Kind::Highest => seen.bounds.push(*event),
                Kind::Commit | Kind::Committed | Kind::Progress => seen.progress.push(*event),
                Kind::Fault => seen.faults.push(event.time),
            }
        }
        seen.attempts = attempts(sends);
        seen.faults.sort_unstable();
        seen.count();
        seen
    }

    fn count(&mut self) {
        let with = |wanted: fn(&Outcome) -> bool| {
            self.attempts.iter().filter(|attempt| wanted(&attempt.outcome)).count()
        };
        self.report = Report {
            acknowledged: with(|outcome| matches!(outcome, Outcome::Ok { .. })),
            refused: with(|outcome| matches!(outcome, Outcome::Refused)),
            unknown: with(|outcome| matches!(outcome, Outcome::Unknown)),
            delivered: self.deliveries.len(),
            commits: self.progress.iter().filter(|e| e.kind == Kind::Committed).count(),
            faults: self.faults.len(),
            duplicates: 0,
        };
    }

    /// All sends of one message.
    fn sends_of(&self, producer: u32, sequence: u64) -> &[Attempt] {
        let key = |a: &Attempt| (a.message.producer, a.message.sequence);
        let from = self.attempts.partition_point(|a| key(a) < (producer, sequence));
        let rest = &self.attempts[from..];
        &rest[..rest.partition_point(|a| key(a) == (producer, sequence))]
    }
}

/// Joins invocations with their ends.
fn attempts(mut sends: Vec<Event>) -> Vec<Attempt> {
    // `Invoke` is the smallest kind: it comes first in its operation.
    sends.sort_unstable_by_key(|event| (event.op, event.kind));
    let mut attempts: Vec<Attempt> = sends
        .chunk_by(|left, right| left.op == right.op)
        .map(|operation| {
            let invoke = operation[0];
            let outcome = match operation.get(1) {
                Some(end) if end.kind == Kind::Ok => {
                    Outcome::Ok { queue: end.queue, offset: end.offset, ended: end.time }
                }
                Some(end) if end.kind == Kind::Refused => Outcome::Refused,
                _ => Outcome::Unknown,
            };
            let (to, message) = (invoke.position(), invoke.message());
            Attempt { to, message, invoked: invoke.since, outcome }
        })
        .collect();
    attempts.sort_unstable_by_key(|a| (a.message.producer, a.message.sequence, a.invoked));
    attempts
}

impl Event {
    fn position(&self) -> Position {
        Position { topic: self.topic, queue: self.queue }
    }

    fn message(&self) -> Message {
        Message { producer: self.producer, sequence: self.sequence, hash: self.hash }
    }

    /// A total order of places, for sorting.
    fn place(&self) -> (Topic, u32, i64) {
        (self.topic, self.queue, self.offset)
    }
}

impl Attempt {
    fn may_be_in(&self, at: Position) -> bool {
        self.to == at || self.to == Position { queue: Position::ANY_QUEUE, ..at }
    }

    /// Where it was stored, if its producer was told.
    fn place(&self) -> Option<(Position, i64)> {
        match self.outcome {
            Outcome::Ok { queue, offset, .. } => {
                Some((Position { topic: self.to.topic, queue }, offset))
            }
            Outcome::Refused | Outcome::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::recorder::{Lane, Recorder};

    pub(super) const AT: Position = Position { topic: Topic(1), queue: 2 };
    pub(super) const DRAIN: Group = Group(9);

    pub(super) fn message(sequence: u64) -> Message {
        Message { producer: 1, sequence, hash: sequence + 1_000 }
    }

    /// Violations of a history that `plant` added to; the sound one has five acknowledged and
    /// drained messages at offsets 0 to 4 after a fault, so a plant continues at 5.
    pub(super) fn violations(plant: impl FnOnce(&mut Lane)) -> Vec<Violation> {
        match verdict(plant) {
            Ok(_) => Vec::new(),
            Err(CheckError::Broken { found, .. }) => found.shown,
            Err(void) => panic!("{void}"),
        }
    }

    pub(super) fn verdict(plant: impl FnOnce(&mut Lane)) -> Result<Report, CheckError> {
        verdict_by(Rules::drained_by(DRAIN), plant)
    }

    pub(super) fn verdict_by(
        rules: Rules,
        plant: impl FnOnce(&mut Lane),
    ) -> Result<Report, CheckError> {
        let recorder = Recorder::in_memory();
        let mut lane = recorder.lane(0);
        sound(&mut lane, 5);
        plant(&mut lane);
        drop(lane);
        check(&recorder.take().unwrap(), &Rules { least_acknowledged: 5, ..rules })
    }

    fn sound(lane: &mut Lane, messages: i64) {
        for offset in 0..messages {
            let op = lane.invoke(AT, message(offset.unsigned_abs()));
            lane.ok(op, AT.queue, offset);
        }
        lane.fault();
        for offset in 0..messages {
            lane.deliver(DRAIN, AT, offset, message(offset.unsigned_abs()));
        }
    }

    #[test]
    fn a_sound_history_is_green() {
        let report = verdict(|_| {}).unwrap();
        let expected = Report { acknowledged: 5, delivered: 5, faults: 1, ..Report::default() };
        assert_eq!(report, expected);
    }

    #[test]
    fn a_history_without_a_fault_is_void() {
        let recorder = Recorder::in_memory();
        let mut lane = recorder.lane(0);
        for sequence in 0..2_000 {
            let op = lane.invoke(AT, message(sequence));
            lane.ok(op, AT.queue, sequence.cast_signed());
            lane.deliver(DRAIN, AT, sequence.cast_signed(), message(sequence));
        }
        drop(lane);
        let verdict = check(&recorder.take().unwrap(), &Rules::drained_by(DRAIN));
        assert!(matches!(verdict, Err(CheckError::Void { .. })), "{verdict:?}");
    }

    #[test]
    fn a_history_of_999_acknowledged_sends_is_void_and_of_1000_is_not() {
        for (messages, void) in [(999, true), (1_000, false)] {
            let recorder = Recorder::in_memory();
            let mut lane = recorder.lane(0);
            sound(&mut lane, messages);
            drop(lane);
            let verdict = check(&recorder.take().unwrap(), &Rules::drained_by(DRAIN));
            assert_eq!(matches!(verdict, Err(CheckError::Void { .. })), void, "{verdict:?}");
        }
    }

    #[test]
    fn a_send_that_never_ended_is_unknown() {
        let report = verdict(|lane| {
            let _ = lane.invoke(AT, message(5));
        });
        assert_eq!(report.unwrap().unknown, 1);
    }

    #[test]
    fn all_violations_are_counted_and_a_few_shown() {
        let verdict = verdict(|lane| {
            for offset in 5..1_005 {
                lane.deliver(DRAIN, AT, offset, message(7_000));
            }
        });
        let Err(CheckError::Broken { found, .. }) = verdict else { panic!("{verdict:?}") };
        assert!(found.total >= 1_000, "{}", found.total);
        assert_eq!(found.shown.len(), Violations::SHOWN);
    }

    #[test]
    fn half_a_million_events_are_checked_in_seconds() {
        let recorder = Recorder::in_memory();
        let mut lane = recorder.lane(0);
        sound(&mut lane, 166_000);
        drop(lane);
        let history = recorder.take().unwrap();
        let started = Instant::now();
        check(&history, &Rules::drained_by(DRAIN)).unwrap();
        let elapsed = started.elapsed();
        assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    }
}
