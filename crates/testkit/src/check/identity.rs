//! K3: one offset of one queue is one message, to every producer and reader, before and after
//! every fault.

use super::{Seen, Violation, Violations};
use crate::recorder::{Message, Position};

pub(super) fn check(seen: &mut Seen, found: &mut Violations) {
    let told = seen
        .attempts
        .iter()
        .filter_map(|attempt| attempt.place().map(|(at, offset)| (at, offset, attempt.message)));
    let read = seen.deliveries.iter().map(|e| (e.position(), e.offset, e.message()));
    let mut sightings: Vec<(Position, i64, Message)> = told.chain(read).collect();
    sightings.sort_unstable_by_key(|&(at, offset, message)| {
        (at, offset, message.producer, message.sequence, message.hash)
    });
    sightings.dedup();
    for pair in sightings.windows(2) {
        let [(at, offset, first), (next, next_offset, second)] = *pair else { continue };
        if (at, offset) == (next, next_offset) {
            found.add(Violation::TwoMessages { at, offset, first, second });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{AT, DRAIN, message, violations};
    use super::*;
    use crate::event::Group;

    #[test]
    fn an_offset_told_to_two_producers_is_seen() {
        let found = violations(|lane| {
            let op = lane.invoke(AT, message(5));
            lane.ok(op, AT.queue, 4);
        });
        let (first, second) = (message(4), message(5));
        assert!(found.contains(&Violation::TwoMessages { at: AT, offset: 4, first, second }));
    }

    #[test]
    fn an_offset_that_shows_another_message_to_another_reader_is_seen() {
        let found = violations(|lane| {
            for sequence in [5, 6] {
                let op = lane.invoke(AT, message(sequence));
                lane.unknown(op);
            }
            lane.deliver(Group(1), AT, 5, message(5));
            lane.fault();
            lane.deliver(DRAIN, AT, 5, message(6));
        });
        let (first, second) = (message(5), message(6));
        assert_eq!(found, [Violation::TwoMessages { at: AT, offset: 5, first, second }]);
    }
}
