//! Failed writes, flushes, allocations and directory syncs: sticky, told once, nothing confirmed.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rocketkube_log::{AppendError, Fault, Faults, Flush, Log, LogError, Options};

use crate::support::*;

const SMALL: u64 = Options::MIN_SEGMENT_SIZE;
const ITEMS: u64 = 25;

/// What a run had confirmed, how often it was told of a failure, and whether appending stopped.
#[derive(Debug, Default)]
struct Ran {
    confirmed: Vec<(u64, u64)>,
    failures: u64,
    stopped: bool,
}

/// Appends items through several segments, waiting for each to be flushed.
fn run(dir: &Path, flush: Flush, faults: &Faults) -> Result<Ran, LogError> {
    let failures = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&failures);
    let options = Options {
        flush,
        faults: faults.clone(),
        on_failure: Box::new(move |_| {
            told.fetch_add(1, Ordering::SeqCst);
        }),
        segment_size: SMALL,
        ..Options::new(dir)
    };
    let (log, _) = Log::open(options, Memory::default(), 0)?;
    let mut ran = Ran::default();
    for tag in 0..ITEMS {
        let Ok(appended) = log.append(Batch::of([item(tag, 2500)]), 0) else { break };
        let confirmed = log.confirmed();
        assert!(flush == Flush::Async || confirmed <= log.durable(), "confirmed before durable");
        if log.flush_to(appended.end).is_err() {
            break;
        }
        assert!(log.confirmed() >= appended.end);
        ran.confirmed.push((appended.start, tag));
    }
    ran.stopped = log.failed();
    if ran.stopped {
        let (flushes, confirmed) = (faults.writes_and_flushes().1, log.confirmed());
        let again = log.append(Batch::of([item(99, 100)]), 0);
        assert!(matches!(again, Err(AppendError::Failed)), "{again:?}");
        assert!(log.flush_to(u64::MAX).is_err() && log.close().is_err());
        assert_eq!((faults.writes_and_flushes().1, log.confirmed()), (flushes, confirmed));
        for &(offset, _) in &ran.confirmed {
            log.read_at(offset, &mut [0; 2500]).unwrap();
        }
    }
    drop(log);
    ran.failures = failures.load(Ordering::SeqCst);
    Ok(ran)
}

/// Everything confirmed is there after a restart without faults.
fn check(dir: &Path, ran: &Ran, fault: Fault) {
    let (log, recovery) = open(Options { segment_size: SMALL, ..Options::new(dir) });
    let found = items(&log);
    assert_eq!(found[..ran.confirmed.len()], ran.confirmed, "{fault:?}");
    assert!(found.len() <= ran.confirmed.len() + 1, "{fault:?}");
    assert_eq!(recovery.damage, [], "{fault:?}");
}

fn each_stops_the_log(flush: Flush, faults: impl IntoIterator<Item = Fault>) {
    for fault in faults {
        let dir = fast_dir();
        let ran = run(dir.path(), flush, &Faults::plan([fault])).unwrap_or_default();
        if !ran.confirmed.is_empty() {
            assert!(ran.stopped && ran.failures == 1, "{fault:?}: {ran:?}");
        }
        check(dir.path(), &ran, fault);
    }
}

fn counts(flush: Flush) -> (u64, u64) {
    let (dir, faults) = (fast_dir(), Faults::plan([]));
    let ran = run(dir.path(), flush, &faults).unwrap();
    assert_eq!((ran.confirmed.len() as u64, ran.failures), (ITEMS, 0));
    faults.writes_and_flushes()
}

#[test]
fn each_failed_write_stops_the_log_and_loses_nothing_confirmed() {
    for flush in [Flush::Sync, Flush::Async] {
        let (writes, _) = counts(flush);
        assert_eq!(writes, ITEMS);
        each_stops_the_log(flush, (0..writes).map(Fault::Write));
    }
}

#[test]
fn each_torn_write_stops_the_log_and_is_cut() {
    for bytes in [1, 95, 96, 97, 2000, 2595] {
        let faults = (0..ITEMS).map(|write| Fault::TornWrite { write, bytes });
        each_stops_the_log(Flush::Sync, faults);
    }
}

#[test]
fn each_failed_flush_stops_the_log_and_loses_nothing_confirmed() {
    let (_, flushes) = counts(Flush::Sync);
    assert!(flushes >= ITEMS);
    each_stops_the_log(Flush::Sync, (0..flushes).map(Fault::Flush));
}

#[test]
fn every_segment_with_unflushed_frames_is_flushed_before_durable_moves() {
    let (dir, faults) = (fast_dir(), Faults::plan([]));
    let flush_interval = Duration::from_hours(1);
    let options = Options { segment_size: SMALL, flush_interval, ..Options::new(dir.path()) };
    let (log, _) = open(Options { faults: faults.clone(), ..options });
    let before = faults.writes_and_flushes().1;
    (0..10).for_each(|tag| drop(append(&log, tag, 3000)));
    assert_eq!((log.segments().len(), log.durable()), (4, 4096));
    log.flush_to(log.appended()).unwrap();
    assert_eq!(faults.writes_and_flushes().1 - before, 4);
    assert_eq!(log.durable(), log.appended());
}

#[test]
fn short_writes_are_completed() {
    let dir = fast_dir();
    let faults = (0..ITEMS).map(|write| Fault::ShortWrite { write, bytes: write as usize * 100 });
    let ran = run(dir.path(), Flush::Sync, &Faults::plan(faults)).unwrap();
    assert_eq!((ran.confirmed.len() as u64, ran.stopped), (ITEMS, false));
    check(dir.path(), &ran, Fault::Write(0));
}

#[test]
fn each_failed_directory_sync_fails_the_opening_or_stops_the_log() {
    each_stops_the_log(Flush::Sync, (0..6).map(Fault::DirectorySync));
    let dir = fast_dir();
    let opened = run(dir.path(), Flush::Sync, &Faults::plan([Fault::DirectorySync(0)]));
    assert!(matches!(opened, Err(LogError::Io { .. })));
}

#[test]
fn a_full_disk_refuses_messages_keeps_reserved_space_and_is_tried_again() {
    let dir = fast_dir();
    let faults = Faults::plan([Fault::Preallocation { first: 1, count: u64::MAX }]);
    let (log, _) = open(Options { faults: faults.clone(), ..options(dir.path()) });
    let mut written = Vec::new();
    let refused = loop {
        match log.append(Batch::of([item(written.len() as u64, 1000)]), 0) {
            Ok(appended) => written.push(appended.start),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::NoSpace { size: 1000 }), "{refused}");
    let kept = SEGMENT - log.appended();
    assert!((SEGMENT / 16..SEGMENT / 16 + 2000).contains(&kept), "{kept} bytes are kept");
    let small = log.append(Batch::of([item(0, 40)]), 0);
    assert!(matches!(small, Err(AppendError::NoSpace { size: 40 })), "one that would fit");
    for tag in 1000..1010 {
        log.append_reserved(Batch::of([item(tag, 100)]), 0).unwrap();
    }
    assert!(!log.failed() && log.append(Batch::of([item(0, 1000)]), 0).is_err());
    for &offset in &written {
        log.read_at(offset, &mut [0; 1000]).unwrap();
    }

    faults.clear();
    let patience = Instant::now() + Duration::from_secs(5);
    while log.append(Batch::of([item(2000, 1000)]), 0).is_err() {
        assert!(Instant::now() < patience, "appending did not resume");
        std::thread::yield_now();
    }
    assert_eq!(tags(&log).len(), written.len() + 11);
}
