//! K8: no copy without an attempt behind it, no redelivery without a fault before it.

use super::{Outcome, Rules, Seen, Violation, Violations};
use crate::event::Event;

/// Gives the number of duplicates that are explained.
pub(super) fn check(seen: &mut Seen, rules: &Rules, found: &mut Violations) -> usize {
    copies(seen, rules, found) + redeliveries(seen, rules, found)
}

/// Each attempt that was not refused stores a message at most once, or as often as the client tries.
fn copies(seen: &mut Seen, rules: &Rules, found: &mut Violations) -> usize {
    let message = |event: &Event| (event.producer, event.sequence);
    seen.deliveries.sort_unstable_by_key(|event| (message(event), event.place()));
    let mut explained = 0;
    for message in seen.deliveries.chunk_by(|left, right| message(left) == message(right)) {
        let copies = message.chunk_by(|left, right| left.place() == right.place()).count();
        if copies == 1 {
            continue;
        }
        let sends = seen.sends_of(message[0].producer, message[0].sequence);
        let attempts = sends.iter().filter(|send| send.outcome != Outcome::Refused).count();
        if copies > attempts * rules.copies_per_send {
            let message = message[0].message();
            found.add(Violation::UnexplainedCopy { message, attempts, copies });
        } else {
            explained += copies - 1;
        }
    }
    explained
}

/// A group is given a place again only after a fault, which includes a consumer's time-out.
fn redeliveries(seen: &mut Seen, rules: &Rules, found: &mut Violations) -> usize {
    seen.deliveries.sort_unstable_by_key(|event| (event.group, event.place(), event.time));
    let mut explained = 0;
    for pair in seen.deliveries.windows(2) {
        let [first, second] = pair else { continue };
        if (first.group, first.place()) != (second.group, second.place()) {
            continue;
        }
        let next_fault = seen.faults.partition_point(|fault| *fault < first.time);
        let after_a_fault = seen.faults.get(next_fault).is_some_and(|fault| *fault <= second.time);
        if after_a_fault || !rules.faults_are_noted {
            explained += 1;
        } else {
            let (group, at) = (second.group, second.position());
            found.add(Violation::UnexplainedRedelivery { group, at, offset: second.offset });
        }
    }
    explained
}

#[cfg(test)]
mod tests {
    use super::super::tests::{AT, DRAIN, message, verdict, verdict_by, violations};
    use super::*;
    use crate::{check::CheckError, event::Group};

    #[test]
    fn a_second_copy_of_a_message_sent_once_is_seen() {
        let found = violations(|lane| lane.deliver(DRAIN, AT, 5, message(4)));
        let message = message(4);
        assert_eq!(found, [Violation::UnexplainedCopy { message, attempts: 1, copies: 2 }]);
    }

    #[test]
    fn a_second_copy_after_an_unknown_outcome_is_explained() {
        let report = verdict(|lane| {
            let op = lane.invoke(AT, message(5));
            lane.unknown(op);
            let op = lane.invoke(AT, message(5));
            lane.ok(op, AT.queue, 6);
            lane.deliver(DRAIN, AT, 5, message(5));
            lane.deliver(DRAIN, AT, 6, message(5));
        });
        assert_eq!(report.unwrap().duplicates, 1);
    }

    #[test]
    fn a_redelivery_without_a_fault_is_seen() {
        let found = violations(|lane| lane.deliver(DRAIN, AT, 4, message(4)));
        let group = DRAIN;
        assert_eq!(found, [Violation::UnexplainedRedelivery { group, at: AT, offset: 4 }]);
    }

    #[test]
    fn a_redelivery_after_a_fault_is_explained() {
        let report = verdict(|lane| {
            lane.fault();
            lane.deliver(DRAIN, AT, 4, message(4));
        });
        assert_eq!(report.unwrap().duplicates, 1);
    }

    #[test]
    fn a_client_that_tries_again_by_itself_may_leave_that_many_copies_of_a_send() {
        let rules = Rules { copies_per_send: 2, ..Rules::drained_by(DRAIN) };
        let copies = |offsets: &'static [i64]| {
            verdict_by(rules, |lane| {
                let op = lane.invoke(AT, message(5));
                lane.ok(op, AT.queue, 5);
                for offset in offsets {
                    lane.deliver(DRAIN, AT, *offset, message(5));
                }
            })
        };
        assert_eq!(copies(&[5, 6]).unwrap().duplicates, 1);
        let Err(CheckError::Broken { found, .. }) = copies(&[5, 6, 7]) else { panic!("green") };
        let message = message(5);
        assert_eq!(found.shown, [Violation::UnexplainedCopy { message, attempts: 1, copies: 3 }]);
    }

    #[test]
    fn a_redelivery_is_explained_where_faults_are_not_noted() {
        let rules = Rules { faults_are_noted: false, ..Rules::drained_by(DRAIN) };
        let report = verdict_by(rules, |lane| lane.deliver(DRAIN, AT, 4, message(4)));
        assert_eq!(report.unwrap().duplicates, 1);
    }

    #[test]
    fn each_group_is_given_everything_once() {
        assert_eq!(violations(|lane| lane.deliver(Group(2), AT, 4, message(4))), []);
    }
}
