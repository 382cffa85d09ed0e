//! K5: a message that was sent after another was acknowledged, to the same queue, comes after it.
//!
//! Compares intervals, not the order of events in the history: sends that overlap in time may be
//! stored in either order.

use super::{Outcome, Seen, Violation, Violations};
use crate::recorder::{Message, Position};

struct Stored {
    at: Position,
    offset: i64,
    message: Message,
    invoked: u64,
    /// When the acknowledgement arrived; never, if it did not.
    acknowledged: u64,
}

pub(super) fn check(seen: &mut Seen, found: &mut Violations) {
    let mut stored = stored(seen);
    stored.sort_unstable_by_key(|stored| (stored.at, stored.offset));
    for queue in stored.chunk_by(|left, right| left.at == right.at) {
        let mut latest: Option<&Stored> = None;
        for message in queue {
            if let Some(earlier) = latest
                && earlier.invoked > message.acknowledged
            {
                found.add(Violation::OutOfOrder {
                    at: message.at,
                    first: (message.offset, message.message),
                    second: (earlier.offset, earlier.message),
                });
            }
            if latest.is_none_or(|latest| latest.invoked < message.invoked) {
                latest = Some(message);
            }
        }
    }
}

/// Where each message is that was acknowledged, or whose outcome is unknown and that was seen.
fn stored(seen: &Seen) -> Vec<Stored> {
    let acknowledged = seen.attempts.iter().filter_map(|attempt| {
        let Outcome::Ok { ended, .. } = attempt.outcome else { return None };
        let (at, offset) = attempt.place()?;
        let (message, invoked) = (attempt.message, attempt.invoked);
        Some(Stored { at, offset, message, invoked, acknowledged: ended })
    });
    let delivered = seen.deliveries.iter().filter_map(|event| {
        // With several attempts it is not known which of them this copy is.
        let [attempt] = seen.sends_of(event.producer, event.sequence) else { return None };
        let (message, invoked) = (attempt.message, attempt.invoked);
        (attempt.outcome == Outcome::Unknown).then_some(Stored {
            at: event.position(),
            offset: event.offset,
            message,
            invoked,
            acknowledged: u64::MAX,
        })
    });
    acknowledged.chain(delivered).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{AT, DRAIN, message, violations};
    use super::*;

    #[test]
    fn a_later_send_with_a_lower_offset_is_seen() {
        let found = violations(|lane| {
            for (sequence, offset) in [(5, 6), (6, 5)] {
                let op = lane.invoke(AT, message(sequence));
                lane.ok(op, AT.queue, offset);
                lane.deliver(DRAIN, AT, offset, message(sequence));
            }
        });
        let (first, second) = ((6, message(5)), (5, message(6)));
        assert_eq!(found, [Violation::OutOfOrder { at: AT, first, second }]);
    }

    #[test]
    fn an_unacknowledged_later_send_with_a_lower_offset_is_seen() {
        let found = violations(|lane| {
            let op = lane.invoke(AT, message(5));
            lane.ok(op, AT.queue, 6);
            let op = lane.invoke(AT, message(6));
            lane.unknown(op);
            lane.deliver(DRAIN, AT, 5, message(6));
            lane.deliver(DRAIN, AT, 6, message(5));
        });
        let (first, second) = ((6, message(5)), (5, message(6)));
        assert_eq!(found, [Violation::OutOfOrder { at: AT, first, second }]);
    }

    #[test]
    fn sends_that_overlap_may_be_stored_in_either_order() {
        let found = violations(|lane| {
            let first = lane.invoke(AT, message(5));
            let second = lane.invoke(AT, message(6));
            lane.ok(second, AT.queue, 5);
            lane.ok(first, AT.queue, 6);
            lane.deliver(DRAIN, AT, 5, message(6));
            lane.deliver(DRAIN, AT, 6, message(5));
        });
        assert_eq!(found, []);
    }
}
