//! K7: a group's progress never falls below an acknowledged commit and never passes the highest
//! one that was tried.
//!
//! Holds for groups that commit each queue upwards and one commit at a time, as our load does; a
//! group that is reset on purpose must not share a history with them.

use super::{Seen, Violation, Violations};
use crate::event::{Event, Kind};

/// Progress that was asked for and not found.
const NONE: i64 = -1;

pub(super) fn check(seen: &mut Seen, found: &mut Violations) {
    seen.progress.sort_unstable_by_key(|event| (event.group, event.position(), event.time));
    let same = |left: &Event, right: &Event| {
        (left.group, left.position()) == (right.group, right.position())
    };
    for queue in seen.progress.chunk_by(same) {
        for (index, event) in queue.iter().enumerate() {
            if event.kind == Kind::Progress {
                judge(&queue[..index], event, found);
            }
        }
    }
}

fn judge(before: &[Event], event: &Event, found: &mut Violations) {
    let highest = |kind: Kind, until: u64| {
        let offsets = before.iter().filter(|e| e.kind == kind && e.time <= until);
        offsets.map(|e| e.offset).max().unwrap_or(NONE)
    };
    let (group, at) = (event.group, event.position());
    let committed = highest(Kind::Committed, event.since);
    if event.offset < committed {
        found.add(Violation::ProgressFell { group, at, committed, found: event.offset });
    }
    let tried = highest(Kind::Commit, event.time);
    if event.offset > tried {
        found.add(Violation::ProgressAhead { group, at, highest: tried, found: event.offset });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{AT, violations};
    use super::*;
    use crate::{event::Group, recorder::Lane};

    const GROUP: Group = Group(4);

    fn commit(lane: &mut Lane, offset: i64) {
        let op = lane.commit(GROUP, AT, offset);
        lane.committed(op);
    }

    fn found(lane: &mut Lane, offset: Option<i64>) {
        lane.progress(lane.now(), GROUP, AT, offset);
    }

    #[test]
    fn progress_between_the_last_answered_and_the_last_tried_commit_is_green() {
        for progress in [10, 12] {
            let violations = violations(|lane| {
                commit(lane, 10);
                lane.commit(GROUP, AT, 12);
                lane.fault();
                found(lane, Some(progress));
            });
            assert_eq!(violations, []);
        }
    }

    #[test]
    fn progress_below_an_answered_commit_is_seen() {
        for (offset, told) in [(9, Some(9)), (NONE, None)] {
            let violations = violations(|lane| {
                commit(lane, 10);
                found(lane, told);
            });
            let (group, at, committed) = (GROUP, AT, 10);
            assert_eq!(
                violations,
                [Violation::ProgressFell { group, at, committed, found: offset }]
            );
        }
    }

    #[test]
    fn progress_that_nobody_committed_is_seen() {
        let violations = violations(|lane| {
            commit(lane, 10);
            found(lane, Some(11));
        });
        let (group, at, highest) = (GROUP, AT, 10);
        assert_eq!(violations, [Violation::ProgressAhead { group, at, highest, found: 11 }]);
    }
}
