//! K4: a queue's bounds never go back and never cross.

use super::{Seen, Violation, Violations};
use crate::event::{Event, Kind};

pub(super) fn check(seen: &mut Seen, found: &mut Violations) {
    seen.bounds.sort_unstable_by_key(|event| (event.position(), event.since));
    for queue in seen.bounds.chunk_by(|left, right| left.position() == right.position()) {
        for bound in [Kind::Lowest, Kind::Highest] {
            never_back(queue, bound, found);
        }
        never_crossed(queue, found);
    }
}

/// Two answers must be in order if the first had arrived before the second was asked for.
fn never_back(queue: &[Event], bound: Kind, found: &mut Violations) {
    let asked: Vec<&Event> = queue.iter().filter(|event| event.kind == bound).collect();
    let mut answered = asked.clone();
    answered.sort_unstable_by_key(|event| event.time);
    let mut arrived = answered.into_iter().peekable();
    let mut shown = i64::MIN;
    for event in asked {
        while let Some(earlier) = arrived.next_if(|earlier| earlier.time < event.since) {
            shown = shown.max(earlier.offset);
        }
        if event.offset < shown {
            let at = event.position();
            found.add(Violation::WentBack { at, bound, from: shown, to: event.offset });
        }
    }
}

/// A smallest offset must not exceed any next offset that was asked for later: neither goes back.
fn never_crossed(queue: &[Event], found: &mut Violations) {
    let highest = queue.iter().filter(|event| event.kind == Kind::Highest).max_by_key(|e| e.since);
    for lowest in queue.iter().filter(|event| event.kind == Kind::Lowest) {
        if let Some(highest) = highest
            && lowest.time < highest.since
            && lowest.offset > highest.offset
        {
            found.add(Violation::Crossed {
                at: lowest.position(),
                lowest: lowest.offset,
                highest: highest.offset,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{AT, violations};
    use super::*;

    #[test]
    fn bounds_that_grow_are_green() {
        let found = violations(|lane| {
            for offset in [0, 3, 3, 9] {
                lane.lowest(lane.now(), AT, offset);
                lane.highest(lane.now(), AT, offset + 1);
            }
        });
        assert_eq!(found, []);
    }

    #[test]
    fn a_next_offset_that_goes_back_is_seen() {
        let found = violations(|lane| {
            lane.highest(lane.now(), AT, 5);
            lane.fault();
            lane.highest(lane.now(), AT, 4);
        });
        assert_eq!(found, [Violation::WentBack { at: AT, bound: Kind::Highest, from: 5, to: 4 }]);
    }

    #[test]
    fn a_smallest_offset_that_goes_back_is_seen() {
        let found = violations(|lane| {
            lane.lowest(lane.now(), AT, 2);
            lane.lowest(lane.now(), AT, 0);
        });
        assert_eq!(found, [Violation::WentBack { at: AT, bound: Kind::Lowest, from: 2, to: 0 }]);
    }

    #[test]
    fn answers_to_overlapping_questions_may_come_in_any_order() {
        let found = violations(|lane| {
            let asked = lane.now();
            lane.highest(lane.now(), AT, 5);
            lane.highest(asked, AT, 4);
        });
        assert_eq!(found, []);
    }

    #[test]
    fn a_smallest_offset_above_the_next_one_is_seen() {
        let found = violations(|lane| {
            lane.lowest(lane.now(), AT, 6);
            lane.highest(lane.now(), AT, 5);
        });
        assert_eq!(found, [Violation::Crossed { at: AT, lowest: 6, highest: 5 }]);
    }
}
