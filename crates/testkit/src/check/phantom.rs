//! K2: everything delivered was sent, to there, with that body, and was not refused.

use super::{Outcome, Seen, Violation, Violations};
use crate::event::Event;

pub(super) fn check(seen: &mut Seen, found: &mut Violations) {
    for event in &seen.deliveries {
        if let Some(violation) = judge(seen, event) {
            found.add(violation);
        }
    }
}

fn judge(seen: &Seen, event: &Event) -> Option<Violation> {
    let (at, offset, message) = (event.position(), event.offset, event.message());
    let sends = seen.sends_of(message.producer, message.sequence);
    let Some(first) = sends.first() else {
        return Some(Violation::Phantom { at, offset, message });
    };
    if sends.iter().all(|send| send.message.hash != message.hash) {
        return Some(Violation::Altered { at, offset, sent: first.message, delivered: message });
    }
    if !sends.iter().any(|send| send.may_be_in(at)) {
        return Some(Violation::Misplaced { at, offset, sent_to: first.to, message });
    }
    if sends.iter().all(|send| send.outcome == Outcome::Refused) {
        return Some(Violation::RefusedDelivered { at, offset, message });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::{AT, DRAIN, message, violations};
    use super::*;
    use crate::{
        event::Topic,
        recorder::{Message, Position},
    };

    #[test]
    fn a_message_that_nobody_sent_is_a_phantom() {
        let found = violations(|lane| lane.deliver(DRAIN, AT, 5, message(5)));
        assert_eq!(found, [Violation::Phantom { at: AT, offset: 5, message: message(5) }]);
    }

    #[test]
    fn a_message_with_another_body_is_altered() {
        let delivered = Message { hash: 1, ..message(5) };
        let found = violations(|lane| {
            let op = lane.invoke(AT, message(5));
            lane.unknown(op);
            lane.deliver(DRAIN, AT, 5, delivered);
        });
        assert_eq!(found, [Violation::Altered { at: AT, offset: 5, sent: message(5), delivered }]);
    }

    #[test]
    fn a_message_in_another_queue_is_misplaced() {
        let at = Position { queue: 7, ..AT };
        let found = violations(|lane| {
            let op = lane.invoke(AT, message(5));
            lane.unknown(op);
            lane.deliver(DRAIN, at, 0, message(5));
        });
        let message = message(5);
        assert_eq!(found, [Violation::Misplaced { at, offset: 0, sent_to: AT, message }]);
    }

    #[test]
    fn a_message_whose_queue_the_client_chose_may_be_in_any_queue_of_its_topic() {
        let found = violations(|lane| {
            let anywhere = Position { queue: Position::ANY_QUEUE, ..AT };
            let op = lane.invoke(anywhere, message(5));
            lane.ok(op, 7, 0);
            lane.deliver(DRAIN, Position { queue: 7, ..AT }, 0, message(5));
        });
        assert_eq!(found, []);
    }

    #[test]
    fn a_message_in_another_topic_is_misplaced_whoever_chose_the_queue() {
        let anywhere = Position { queue: Position::ANY_QUEUE, ..AT };
        let at = Position { topic: Topic(7), queue: 0 };
        let found = violations(|lane| {
            let op = lane.invoke(anywhere, message(5));
            lane.unknown(op);
            lane.deliver(DRAIN, at, 0, message(5));
        });
        let message = message(5);
        assert_eq!(found, [Violation::Misplaced { at, offset: 0, sent_to: anywhere, message }]);
    }

    #[test]
    fn a_refused_message_must_not_be_delivered() {
        let found = violations(|lane| {
            let op = lane.invoke(AT, message(5));
            lane.refused(op);
            lane.deliver(DRAIN, AT, 5, message(5));
        });
        assert_eq!(found, [Violation::RefusedDelivered { at: AT, offset: 5, message: message(5) }]);
    }

    #[test]
    fn a_refused_message_that_was_sent_again_may_be_delivered() {
        let found = violations(|lane| {
            let op = lane.invoke(AT, message(5));
            lane.refused(op);
            let op = lane.invoke(AT, message(5));
            lane.ok(op, AT.queue, 5);
            lane.deliver(DRAIN, AT, 5, message(5));
        });
        assert_eq!(found, []);
    }
}
