//! K1: every acknowledged message reaches the drain, where its producer was told it is.

use super::{Attempt, Seen, Violation, Violations};
use crate::event::{Event, Group, Topic};

pub(super) fn check(seen: &mut Seen, drain: Group, found: &mut Violations) {
    seen.deliveries.sort_unstable_by_key(|event| (event.group != drain, event.place()));
    let (drained, others) =
        seen.deliveries.split_at(seen.deliveries.partition_point(|event| event.group == drain));
    let missing = |attempt: &&Attempt| {
        let place = attempt.place().map(|(at, offset)| (at.topic, at.queue, offset));
        place.is_some_and(|place| !holds(drained, place))
    };
    let missing: Vec<&Attempt> = seen.attempts.iter().filter(missing).collect();
    if !missing.is_empty() {
        look_elsewhere(&missing, drained, found);
    }
    for event in others {
        if !holds(drained, event.place()) {
            let (at, message) = (event.position(), event.message());
            found.add(Violation::Vanished { at, offset: event.offset, message });
        }
    }
}

/// Tells what is gone from what is only not where it should be.
fn look_elsewhere(missing: &[&Attempt], drained: &[Event], found: &mut Violations) {
    let key = |event: &Event| (event.producer, event.sequence);
    let mut by_message: Vec<&Event> = drained.iter().collect();
    by_message.sort_by_key(|event| key(event));
    for attempt in missing {
        let Some((at, offset)) = attempt.place() else { continue };
        let message = attempt.message;
        let wanted = (message.producer, message.sequence);
        let elsewhere = by_message.partition_point(|event| key(event) < wanted);
        found.add(match by_message.get(elsewhere).filter(|event| key(event) == wanted) {
            Some(event) => {
                let (found_at, found_offset) = (event.position(), event.offset);
                Violation::Moved { at, offset, found_at, found_offset, message }
            }
            None => Violation::Lost { at, offset, message },
        });
    }
}

/// Whether something is at this place; whether it is the right message is for K3 to say.
fn holds(drained: &[Event], place: (Topic, u32, i64)) -> bool {
    drained.binary_search_by_key(&place, Event::place).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{AT, DRAIN, message, violations};
    use super::*;
    use crate::recorder::Position;

    #[test]
    fn an_acknowledged_message_that_is_not_drained_is_lost() {
        let found = violations(|lane| {
            let op = lane.invoke(AT, message(5));
            lane.ok(op, AT.queue, 5);
        });
        assert_eq!(found, [Violation::Lost { at: AT, offset: 5, message: message(5) }]);
    }

    #[test]
    fn an_unacknowledged_message_may_be_missing() {
        let found = violations(|lane| {
            let op = lane.invoke(AT, message(5));
            lane.unknown(op);
        });
        assert_eq!(found, []);
    }

    #[test]
    fn a_message_that_somebody_saw_must_stay() {
        let found = violations(|lane| {
            let op = lane.invoke(AT, message(5));
            lane.deliver(Group(3), AT, 5, message(5));
            lane.unknown(op);
        });
        assert_eq!(found, [Violation::Vanished { at: AT, offset: 5, message: message(5) }]);
    }

    #[test]
    fn a_message_drained_from_another_queue_only_has_moved() {
        let found = violations(|lane| {
            let op = lane.invoke(AT, message(5));
            lane.ok(op, AT.queue + 1, 5);
            lane.deliver(DRAIN, AT, 5, message(5));
        });
        let at = Position { queue: AT.queue + 1, ..AT };
        let (found_at, found_offset, message) = (AT, 5, message(5));
        let moved = Violation::Moved { at, offset: 5, found_at, found_offset, message };
        assert_eq!(found, [moved]);
    }
}
