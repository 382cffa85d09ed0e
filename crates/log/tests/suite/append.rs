//! Appending, reading back, rolling over segments, closing and opening again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::support::*;
use rocketkube_log::{AppendError, FRAME_ALIGN, FRAME_HEADER, Flush, Options, ReadError};

#[test]
fn items_are_where_append_says_in_every_segment_and_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let (log, recovery) = open(options(dir.path()));
    assert_eq!((recovery.end, recovery.items, log.start()), (4096, 0, 0));
    let mut expected = Vec::new();
    for tag in 0..500 {
        let appended = append(&log, tag, 40 + tag as usize * 3);
        assert_eq!(appended.end % FRAME_ALIGN, 0);
        expected.push((appended.start, tag));
        let mut bytes = vec![0; appended.batch.bytes.len()];
        log.read_at(appended.start, &mut bytes).unwrap();
        assert_eq!(bytes, appended.batch.bytes);
    }
    assert_eq!(expected[0].0, 4096 + FRAME_HEADER);
    assert!(log.segments().len() > 5);
    assert_eq!(items(&log), expected);
    assert_eq!(walk_all(&log), (expected.clone(), vec![]));
    let (end, sealed) = (log.appended(), log.with_machine(|m| m.sealed.clone()));
    assert_eq!(sealed, log.segments()[..log.segments().len() - 1]);
    log.close().unwrap();

    let (log, recovery) = open(options(dir.path()));
    assert_eq!((recovery.end, recovery.items, recovery.torn), (end, 500, None));
    assert!(recovery.clean && recovery.same_boot && recovery.damage.is_empty());
    assert_eq!(items(&log), expected);
    assert_eq!(log.with_machine(|m| m.sealed.clone()), sealed);
    assert_eq!((log.durable(), log.confirmed()), (end, end));
}

#[test]
fn sync_confirms_what_is_durable_and_tells_so() {
    let dir = tempfile::tempdir().unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&seen);
    let on_confirmed = Box::new(move |end| {
        assert!(told.swap(end, Ordering::SeqCst) < end, "went back to {end}");
    });
    let (log, _) = open(Options { on_confirmed, ..sync_options(dir.path()) });
    for tag in 0..100 {
        let end = append(&log, tag, 1000).end;
        log.flush_to(end).unwrap();
        assert!(log.durable() >= end);
    }
    log.close().unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), log.appended());
}

#[test]
fn async_confirms_what_is_appended_before_append_returns() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(Options { flush: Flush::Async, ..options(dir.path()) });
    let end = append(&log, 1, 100).end;
    assert_eq!(log.confirmed(), end);
}

#[test]
fn batches_that_are_submitted_before_one_is_completed_share_a_frame() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(options(dir.path()));
    let tickets = [1, 2, 3].map(|tag| log.submit(Batch::of([item(tag, 100)]), 0));
    let other = log.submit(Batch::of([]), 0);
    assert_eq!(log.appended(), log.start() + 4096);
    let [first, second, third] = tickets;
    let last = log.complete(third).unwrap();
    assert_eq!(tags(&log), [1, 2, 3]);
    // In the order of submission, whoever completes first; what is refused is refused alone.
    let [first, second] = [first, second].map(|ticket| log.complete(ticket).unwrap());
    assert_eq!([first.start, second.start], [4096 + FRAME_HEADER, first.start + 100]);
    assert_eq!([first.end, second.end, log.appended()], [last.end; 3]);
    assert!(matches!(log.complete(other), Err(AppendError::Empty)));
}

#[test]
fn what_was_submitted_before_closing_is_refused_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(options(dir.path()));
    let ticket = log.submit(Batch::of([item(1, 100)]), 0);
    log.close().unwrap();
    assert!(matches!(log.complete(ticket), Err(AppendError::Closed)));
    assert!(tags(&log).is_empty());
}

#[test]
fn batches_that_cannot_be_a_frame_are_refused_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(options(dir.path()));
    let refuse = |batch| log.append(batch, 0).map(|_| ()).unwrap_err();
    assert!(matches!(refuse(Batch::of([])), AppendError::Empty));
    let mut malformed = Batch::of([item(1, 100)]);
    malformed.bytes[0] = 0xFF;
    assert!(matches!(refuse(malformed), AppendError::Malformed { size: 100, at: 0 }));
    let room = SEGMENT as usize - 4096 - 96;
    let large = refuse(Batch::of([item(1, room + 1)]));
    assert!(matches!(large, AppendError::TooLarge { .. }), "{large}");
    assert_eq!(append(&log, 2, room).start, 4096 + FRAME_HEADER);
    assert_eq!(tags(&log), [2]);
    log.close().unwrap();
    let closed = log.append(Batch::of([item(1, 100)]), 0);
    assert!(matches!(closed, Err(AppendError::Closed)));
}

#[test]
fn reading_outside_the_log_or_across_segments_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(options(dir.path()));
    (0..100).for_each(|tag| drop(append(&log, tag, 2000)));
    let end = log.appended();
    for (offset, length) in
        [(end - 1, 2), (end, 1), (SEGMENT - 1, 2), (u64::MAX, 9), (u64::MAX - 1, 1)]
    {
        let read = log.read_at(offset, &mut vec![0; length]);
        assert!(
            matches!(read, Err(ReadError::OutOfRange { .. })),
            "{length} at {offset}: {read:?}"
        );
    }
}

#[test]
fn closing_lets_the_next_one_in_and_reading_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(options(dir.path()));
    let first = append(&log, 1, 100);
    log.close().unwrap();
    let (next, _) = open(options(dir.path()));
    append(&next, 2, 100);
    log.read_at(first.start, &mut [0; 100]).unwrap();
    assert_eq!(tags(&next), [1, 2]);
}
