//! K1: every acknowledged message reaches the drain, where its producer was told it is.

use super::{Seen, Violation, Violations};
use crate::event::{Event, Group, Topic};

pub(super) fn check(seen: &mut Seen, drain: Group, found: &mut Violations) {
    seen.deliveries.sort_unstable_by_key(|event| (event.group != drain, event.place()));
    let (drained, others) =
        seen.deliveries.split_at(seen.deliveries.partition_point(|event| event.group == drain));
    for attempt in &seen.attempts {
        let Some((at, offset)) = attempt.place() else { continue };
        if !holds(drained, (at.topic, at.queue, offset)) {
            found.add(Violation::Lost { at, offset, message: attempt.message });
        }
    }
    for event in others {
        if !holds(drained, event.place()) {
            let (at, message) = (event.position(), event.message());
            found.add(Violation::Vanished { at, offset: event.offset, message });
        }
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
    fn a_message_drained_from_another_queue_is_lost() {
        let found = violations(|lane| {
            let op = lane.invoke(AT, message(5));
            lane.ok(op, AT.queue + 1, 5);
            lane.deliver(DRAIN, AT, 5, message(5));
        });
        assert!(found.iter().any(|v| matches!(v, Violation::Lost { offset: 5, .. })), "{found:?}");
    }
}
