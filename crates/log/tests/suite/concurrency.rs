//! Many threads appending at once: nothing lost, each thread's order kept, frames combined.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rocketkube_log::{Faults, Flush, Options};

use crate::support::*;

const THREADS: u64 = 8;
const EACH: u64 = 300;

fn appending_from_many_threads(flush: Flush) {
    let dir = fast_dir();
    let told = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&told);
    let on_confirmed = Box::new(move |end| drop_max(&seen, end));
    let (log, _) = open(Options { flush, on_confirmed, ..options(dir.path()) });
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                let mut last = 0;
                for i in 0..EACH {
                    let tag = thread << 32 | i;
                    let items = (0..=i % 3).map(|_| item(tag, 40 + (tag % 500) as usize));
                    let appended = log.append(Batch::of(items), 0).unwrap();
                    assert!(appended.start >= last && log.appended() >= appended.end);
                    last = appended.end;
                    if i % 50 == 0 {
                        log.flush_to(appended.end).unwrap();
                    }
                }
            });
        }
    });
    log.flush_to(log.appended()).unwrap();
    let found = items(&log);
    assert!(found.is_sorted());
    for thread in 0..THREADS {
        let mine: Vec<_> = found
            .iter()
            .filter(|(_, tag)| tag >> 32 == thread)
            .map(|(_, tag)| tag & 0xFFFF)
            .collect();
        let expected: Vec<_> = (0..EACH).flat_map(|i| (0..=i % 3).map(move |_| i)).collect();
        assert_eq!(mine, expected, "thread {thread}");
    }
    let numbers = log.with_machine(|memory| memory.next_number);
    assert_eq!(numbers, found.len() as u64);
    log.close().unwrap();
    assert_eq!(told.load(Ordering::SeqCst), log.confirmed());
    drop(log);
    assert_eq!(items(&open(options(dir.path())).0), found);
}

fn drop_max(seen: &AtomicU64, end: u64) {
    seen.fetch_max(end, Ordering::SeqCst);
}

#[test]
fn nothing_is_lost_or_reordered_with_asynchronous_flush() {
    appending_from_many_threads(Flush::Async);
}

#[test]
fn nothing_is_lost_or_reordered_with_synchronous_flush() {
    appending_from_many_threads(Flush::Sync);
}

#[test]
fn batches_that_wait_for_the_tail_go_into_one_frame() {
    let dir = fast_dir();
    let faults = Faults::plan([]);
    let (log, _) = open(Options { faults: faults.clone(), ..options(dir.path()) });
    let patience = Instant::now() + Duration::from_secs(20);
    let mut batches = 0;
    // When a thread has queued its batch cannot be seen from outside, so it is tried again.
    while faults.writes_and_flushes().0 + 3 > batches {
        assert!(Instant::now() < patience, "{batches} batches were never combined");
        let barrier = Barrier::new(THREADS as usize + 1);
        thread::scope(|scope| {
            for tag in 0..THREADS {
                scope.spawn(|| {
                    barrier.wait();
                    append(&log, 7, 100);
                });
                batches += u64::from(tag < THREADS);
            }
            log.with_machine(|_| {
                barrier.wait();
                (0..1000).for_each(|_| thread::yield_now());
            });
        });
    }
    assert_eq!(tags(&log).len() as u64, batches);
    drop(log);
    assert_eq!(tags(&open(options(dir.path())).0).len() as u64, batches);
}
