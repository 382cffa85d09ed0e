//! What the load programs of `e2e/scenarios/clients` say, read as a history.
//!
//! A history here is one producer, which sends one message after another, and one consumer group.
//! Their clocks are not compared: the order of the producer's lines is its time, because a send
//! begins when the one before it has ended.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    body::hash,
    check::{CheckError, Rules, Violation, check},
    event::{Event, Group, Kind, Topic},
    history::History,
    recorder::{Message, Position},
};

/// Copies that one send may leave: stock clients try twice more, in other queues too.
const COPIES_PER_SEND: usize = 3;
/// Number of a message whose body is no key.
const NO_NUMBER: u64 = u64::MAX;
const TOPIC: Topic = Topic(0);
const READERS: Group = Group(0);

/// What one producer and one consumer group said.
#[derive(Debug, Default)]
pub struct LoadLog {
    events: Vec<Event>,
    producers: Names,
    queues: Names,
    /// Whose sends these are.
    sender: Option<u32>,
    sends: u64,
    failed: usize,
    /// When sends were acknowledged, in ms since 1970.
    acknowledged_ms: Vec<u64>,
}

/// Whether what was said is what was promised.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub acknowledged: usize,
    /// Sends whose outcome the application was not told.
    pub failed: usize,
    pub received: usize,
    /// Messages that were received again: copies, and one place given twice.
    pub repeated: usize,
    /// The longest time without an acknowledged send.
    pub longest_gap_ms: u64,
    /// How many promises were broken; 0 for a history that was kept.
    pub violations: usize,
    /// The first of them, for people.
    pub shown: Vec<String>,
}

/// Why a text is not the whole log of a load program.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadLogError {
    #[error("line {number} begins as an event and is none: {line:?}")]
    Line { number: usize, line: String },
    #[error(
        "line {number} is a send of {found} among those of {expected}: \
        give the log of one producer, and name others with --other"
    )]
    Producers { number: usize, expected: String, found: String },
    #[error("its last line is {last:?} and not \"done\": the program did not end well, or goes on")]
    NotDone { last: String },
}

/// One line. A key is a producer's name and a number, and the whole body of its message.
enum Line<'a> {
    Acked {
        place: Place<'a>,
        ms: u64,
    },
    Failed {
        key: &'a str,
    },
    Got {
        place: Place<'a>,
    },
    /// Of the client library, or of the program's end.
    Other,
}

struct Place<'a> {
    key: &'a str,
    queue: &'a str,
    offset: i64,
}

/// Names, each with the number that stands for it in events.
#[derive(Debug, Default)]
struct Names(Vec<String>);

impl LoadLog {
    /// Adds what one program said from its start to its end.
    pub fn add(&mut self, text: &str) -> Result<(), LoadLogError> {
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let damaged = || LoadLogError::Line { number, line: line.to_owned() };
            match Line::read(line).ok_or_else(damaged)? {
                Line::Acked { place, ms } => {
                    let message = self.message(place.key).ok_or_else(damaged)?;
                    let queue = self.queues.number(place.queue);
                    self.send(number, message, Kind::Ok, queue, place.offset)?;
                    self.acknowledged_ms.push(ms);
                }
                Line::Failed { key } => {
                    let message = self.message(key).ok_or_else(damaged)?;
                    self.send(number, message, Kind::Unknown, Position::ANY_QUEUE, 0)?;
                    self.failed += 1;
                }
                Line::Got { place } => self.receive(&place),
                Line::Other => {}
            }
        }
        match text.lines().next_back() {
            Some("done") => Ok(()),
            last => Err(LoadLogError::NotDone { last: last.unwrap_or_default().to_owned() }),
        }
    }

    /// Compares it with what was promised. `others` are producers whose messages may be received
    /// though their sends are not here: of those it is only known where they are.
    pub fn judge(mut self, others: &[String]) -> Verdict {
        self.allow(others);
        let rules = Rules {
            drain: READERS,
            least_acknowledged: 1,
            least_faults: 0,
            copies_per_send: COPIES_PER_SEND,
            faults_are_noted: false,
        };
        let (report, violations, shown) = match check(&History::new(self.events), &rules) {
            Ok(report) => (report, 0, Vec::new()),
            Err(CheckError::Broken { report, found }) => {
                let names = (&self.producers, &self.queues);
                (report, found.total, found.shown.iter().map(|one| tell(one, names)).collect())
            }
            Err(CheckError::Void { report, .. }) => {
                (report, 1, vec!["no message was acknowledged, which proves nothing".to_owned()])
            }
        };
        Verdict {
            acknowledged: report.acknowledged,
            failed: self.failed,
            received: report.delivered,
            repeated: report.duplicates,
            longest_gap_ms: longest_gap(self.acknowledged_ms),
            violations,
            shown,
        }
    }

    fn send(
        &mut self,
        line: usize,
        message: Message,
        end: Kind,
        queue: u32,
        offset: i64,
    ) -> Result<(), LoadLogError> {
        let expected = *self.sender.get_or_insert(message.producer);
        if expected != message.producer {
            let name = |producer| self.producers.name(producer).to_owned();
            let (expected, found) = (name(expected), name(message.producer));
            return Err(LoadLogError::Producers { number: line, expected, found });
        }
        self.sends += 1;
        let began = 2 * self.sends;
        let invoke = Event { time: began, since: began, op: self.sends, ..sent(message) };
        self.events.push(invoke);
        self.events.push(Event { time: began + 1, queue, offset, kind: end, ..invoke });
        Ok(())
    }

    fn receive(&mut self, place: &Place) {
        let stranger = Message {
            producer: self.producers.number(place.key),
            sequence: NO_NUMBER,
            hash: hash(place.key.as_bytes()),
        };
        let message = self.message(place.key).unwrap_or(stranger);
        self.events.push(Event {
            offset: place.offset,
            queue: self.queues.number(place.queue),
            group: READERS,
            kind: Kind::Deliver,
            ..sent(message)
        });
    }

    /// The message with this key; none if a load program makes no such key.
    fn message(&mut self, key: &str) -> Option<Message> {
        let (producer, number) = key.rsplit_once('-')?;
        let sequence = u64::from(number.parse::<u32>().ok()?);
        let producer = self.producers.number(producer);
        Some(Message { producer, sequence, hash: hash(key.as_bytes()) })
    }

    /// Notes a send without an end for each message that was received from these producers.
    fn allow(&mut self, others: &[String]) {
        let is_other = |producer: u32| {
            Some(producer) != self.sender
                && others.iter().any(|name| name == self.producers.name(producer))
        };
        let received = self.events.iter().filter(|event| event.kind == Kind::Deliver);
        let received: BTreeMap<(u32, u64), u64> = received
            .filter(|event| is_other(event.producer) && event.sequence != NO_NUMBER)
            .map(|event| ((event.producer, event.sequence), event.hash))
            .collect();
        for ((producer, sequence), hash) in received {
            self.sends += 1;
            let message = Message { producer, sequence, hash };
            self.events.push(Event { op: self.sends, ..sent(message) });
        }
    }
}

impl<'a> Line<'a> {
    /// None if the line begins as an event and is none.
    fn read(line: &'a str) -> Option<Self> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match verb {
            "acked" => {
                let (place, ms) = Place::read(rest)?;
                Self::Acked { place, ms }
            }
            "got" => Self::Got { place: Place::read(rest)?.0 },
            "failed" => {
                let mut words = rest.split(' ');
                let key = words.next()?;
                words.next()?.parse::<u64>().ok()?;
                Self::Failed { key }
            }
            _ => Self::Other,
        })
    }
}

impl<'a> Place<'a> {
    /// From the end: a body that was altered may hold anything.
    fn read(words: &'a str) -> Option<(Self, u64)> {
        let (words, ms) = words.rsplit_once(' ')?;
        let (words, offset) = words.rsplit_once(' ')?;
        let (key, queue) = words.rsplit_once(' ')?;
        Some((Self { key, queue, offset: offset.parse().ok()? }, ms.parse().ok()?))
    }
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        let known = self.0.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        });
        u32::try_from(index).expect("a log has fewer than 2^32 names")
    }

    fn name(&self, number: u32) -> &str {
        self.0.get(number as usize).map_or("?", String::as_str)
    }
}

/// A send of this message to a queue that the client chooses.
fn sent(message: Message) -> Event {
    Event {
        sequence: message.sequence,
        hash: message.hash,
        queue: Position::ANY_QUEUE,
        producer: message.producer,
        topic: TOPIC,
        ..Event::of(Kind::Invoke)
    }
}

/// A clock that was set back in between must not hide a gap: hence the order.
fn longest_gap(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

/// A violation in the words of the logs.
fn tell(violation: &Violation, (producers, queues): (&Names, &Names)) -> String {
    let key = |message: Message| match (producers.name(message.producer), message.sequence) {
        (body, NO_NUMBER) => format!("{body:?}"),
        (producer, number) => format!("{producer}-{number}"),
    };
    let place = |at: Position, offset: i64| format!("{} {offset}", queues.name(at.queue));
    match *violation {
        Violation::Lost { at, offset, message } => {
            format!("{} was acknowledged at {} and never received", key(message), place(at, offset))
        }
        Violation::Moved { at, offset, found_at, found_offset, message } => format!(
            "{} was acknowledged at {} and received from {} only",
            key(message),
            place(at, offset),
            place(found_at, found_offset)
        ),
        Violation::Phantom { at, offset, message } => {
            format!("{} was received from {} and never sent", key(message), place(at, offset))
        }
        Violation::Altered { at, offset, sent, .. } => {
            format!("{} was received from {} with another body", key(sent), place(at, offset))
        }
        Violation::TwoMessages { at, offset, first, second } => format!(
            "{} was used twice: it is {} and {}",
            place(at, offset),
            key(first),
            key(second)
        ),
        Violation::OutOfOrder { at, first, second } => format!(
            "{} at {} was acknowledged before {} at {} was sent",
            key(first.1),
            place(at, first.0),
            key(second.1),
            place(at, second.0)
        ),
        Violation::UnexplainedCopy { message, attempts, copies } => format!(
            "{} was received from {copies} places, and one send leaves {COPIES_PER_SEND} copies at \
            most; sends: {attempts}",
            key(message)
        ),
        // The rest needs events that load programs do not have.
        _ => format!("{violation:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str =
        "acked p-0 b0/1 0 1000\nacked p-1 b0/1 1 2500\nfailed p-2 2600 CODE: 14\ndone\n";

    /// The verdict on a producer that said `SENT` and a consumer that was given this.
    fn verdict(got: &[&str]) -> Verdict {
        verdict_on(SENT, got)
    }

    fn verdict_on(sent: &str, got: &[&str]) -> Verdict {
        let mut log = LoadLog::default();
        log.add(sent).unwrap();
        let got: Vec<String> = got.iter().map(|line| format!("got {line} 9")).collect();
        log.add(&[&got[..], &["done".to_owned()]].concat().join("\n")).unwrap();
        log.judge(&["q".to_owned()])
    }

    #[test]
    fn everything_received_is_kept_though_it_came_twice_or_failed() {
        let verdict = verdict(&["p-0 b0/1 0", "p-0 b0/1 0", "p-1 b0/1 1", "p-2 b0/1 2"]);
        let expected = Verdict {
            acknowledged: 2,
            failed: 1,
            received: 4,
            repeated: 1,
            longest_gap_ms: 1500,
            violations: 0,
            shown: vec![],
        };
        assert_eq!(verdict, expected);
    }

    #[test]
    fn a_message_that_never_came_is_lost() {
        let shown = verdict(&["p-0 b0/1 0"]).shown;
        assert_eq!(shown, ["p-1 was acknowledged at b0/1 1 and never received"]);
    }

    #[test]
    fn a_message_that_came_from_elsewhere_only_has_moved() {
        let shown = verdict(&["p-0 b0/1 0", "p-1 b1/1 7"]).shown;
        assert_eq!(shown, ["p-1 was acknowledged at b0/1 1 and received from b1/1 7 only"]);
    }

    #[test]
    fn a_message_that_nobody_sent_is_invented() {
        let sound = ["p-0 b0/1 0", "p-1 b0/1 1"];
        let strangers =
            [("p-7", "p-7"), ("r-1", "r-1"), ("no key\t", "\"no key\\t\""), ("", "\"\"")];
        for (body, told) in strangers {
            let got = format!("{body} b0/1 2");
            let shown = verdict(&[sound[0], sound[1], &got]).shown;
            assert_eq!(shown, [format!("{told} was received from b0/1 2 and never sent")]);
        }
    }

    #[test]
    fn a_message_with_another_body_is_altered_and_its_place_was_used_twice() {
        let shown = verdict(&["p-0 b0/1 0", "p-01 b0/1 1"]).shown;
        let altered = "p-1 was received from b0/1 1 with another body";
        assert_eq!(shown, [altered, "b0/1 1 was used twice: it is p-1 and p-1"]);
    }

    #[test]
    fn messages_of_a_producer_that_is_named_may_be_received_and_take_no_place_twice() {
        let kept = verdict(&["p-0 b0/1 0", "q-5 b0/1 9", "q-5 b0/1 9", "p-1 b0/1 1"]);
        assert_eq!((kept.violations, kept.repeated, kept.failed), (0, 1, 1));
        let shown = verdict(&["p-0 b0/1 0", "q-5 b0/1 0", "p-1 b0/1 1"]).shown;
        assert_eq!(shown, ["b0/1 0 was used twice: it is p-0 and q-5"]);
    }

    #[test]
    fn an_offset_that_was_acknowledged_twice_was_reused() {
        let sent = "acked p-0 b0/1 0 1\nacked p-1 b0/1 0 2\ndone\n";
        let shown = verdict_on(sent, &["p-0 b0/1 0"]).shown;
        assert_eq!(shown, ["b0/1 0 was used twice: it is p-0 and p-1"]);
    }

    #[test]
    fn a_send_that_comes_before_an_earlier_one_in_its_queue_is_out_of_order() {
        let sent = "acked p-0 b0/1 1 5\nacked p-1 b0/1 0 5\ndone\n";
        let shown = verdict_on(sent, &["p-0 b0/1 1", "p-1 b0/1 0"]).shown;
        assert_eq!(shown, ["p-0 at b0/1 1 was acknowledged before p-1 at b0/1 0 was sent"]);
    }

    #[test]
    fn a_send_leaves_as_many_copies_as_stock_clients_try() {
        let mut got = vec!["p-0 b0/1 0", "p-1 b0/1 1", "p-2 b0/1 2", "p-2 b0/2 0", "p-2 b0/3 0"];
        assert_eq!(verdict(&got).violations, 0);
        got.push("p-2 b0/4 0");
        let shown = verdict(&got).shown;
        assert!(shown[0].starts_with("p-2 was received from 4 places"), "{shown:?}");
    }

    #[test]
    fn nothing_acknowledged_proves_nothing() {
        let verdict = verdict_on("failed p-0 1 no route\ndone\n", &[]);
        assert_eq!(verdict.violations, 1);
        assert_eq!(verdict.shown, ["no message was acknowledged, which proves nothing"]);
    }

    #[test]
    fn lines_that_are_no_events_are_passed_over() {
        let log = "WARN something\n\nacked p-0 b0/1 0 1\nackedly\ndone\n";
        assert_eq!(LoadLog::default().add(log), Ok(()));
    }

    #[test]
    fn a_damaged_event_is_refused_with_its_line() {
        for line in [
            "acked p-0 b0/1",
            "acked p-0 b0/1 x 1",
            "acked p b0/1 0 1",
            "acked",
            "got b0/1 0 1",
            "got p-0 b0/1 0 x",
            "failed p-0",
            "failed p-0 soon",
        ] {
            let refused = LoadLog::default().add(&format!("noise\n{line}\ndone\n"));
            assert_eq!(refused, Err(LoadLogError::Line { number: 2, line: line.to_owned() }));
        }
    }

    #[test]
    fn a_log_that_does_not_end_with_done_is_refused() {
        for (log, last) in [("", ""), ("acked p-0 b0/1 0 1\n", "acked p-0 b0/1 0 1")] {
            let refused = LoadLog::default().add(log);
            assert_eq!(refused, Err(LoadLogError::NotDone { last: last.to_owned() }));
        }
    }

    #[test]
    fn sends_of_two_producers_are_refused_because_their_order_is_unknown() {
        let mut log = LoadLog::default();
        log.add(SENT).unwrap();
        let refused = log.add("acked q-0 b0/1 7 1\ndone\n");
        let (expected, found) = ("p".to_owned(), "q".to_owned());
        assert_eq!(refused, Err(LoadLogError::Producers { number: 1, expected, found }));
    }
}
