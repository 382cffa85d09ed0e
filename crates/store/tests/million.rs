//! What a million committed offsets may cost those who have nothing to do with them.
//!
//! The bounds are for a build without optimisation on a machine with other work; what they exclude
//! is a lock held for as long as all the offsets take. The promise, 5 ms, is for a release build:
//! `cargo test --release -p rocketkube-store --test million -- --nocapture`.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "measured values are printed; clippy knows tests, not their helpers"
)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rocketkube_store::{Batch, Options, Queue, QueueOffset, Store, TopicConfig};
use support::{open_with, options, parts, topic, used};

/// All of one group: the worst case, because a group is never divided between locks.
const TOPICS: u32 = 1_000;
const QUEUES: u32 = 1_000;
const SEGMENT: u64 = 16 << 20;
/// A release build keeps 5 ms.
const LONGEST_PAUSE: Duration = Duration::from_millis(60);
/// Of a segment of default size: what carrying may add to what is written.
const MOST_CARRIED: u64 = (256 << 20) / 20;
const ATTEMPTS: u32 = 5;
const PATIENCE: Duration = Duration::from_mins(1);

/// In memory where there is one: a disk has pauses of its own.
fn fast_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The store takes commits in any queue of a topic, so its topics need not be large.
fn commit_a_million(store: &Store) {
    for number in 0..TOPICS {
        let topic = format!("topic-{number}");
        store.create_topic(&topic, &TopicConfig::with_queues(1), 1).unwrap();
        for queue in 0..QUEUES {
            store.commit("group", &topic, queue, QueueOffset(1_000_000 + u64::from(queue)));
        }
    }
    store.flush_commits(1_000).unwrap();
}

fn newest_snapshot(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir.join("snapshot")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "snap")).max()
}

/// Appends messages and commits of the same group; gives the longest time that one pair took.
fn append_until(store: &Store, queue: &Arc<Queue>, done: impl Fn() -> bool) -> Duration {
    let (started, mut longest, mut now_ms) = (Instant::now(), Duration::ZERO, 2_000);
    while !done() {
        assert!(started.elapsed() < PATIENCE, "still not done");
        for _ in 0..100 {
            now_ms += 1;
            let mut batch = Batch::default();
            batch.push_message(queue, &parts(&[7; 1_024], "")).unwrap();
            let begun = Instant::now();
            store.append(batch, now_ms).unwrap();
            let offset = QueueOffset(now_ms.cast_unsigned());
            store.commit_now("group", "topic-7", 7, offset, now_ms).unwrap();
            longest = longest.max(begun.elapsed());
        }
    }
    longest
}

/// Fills the segment being written, so that there is one to index, and one to trim.
fn seal(store: &Store, queue: &Arc<Queue>) {
    let end = store.end().0.next_multiple_of(SEGMENT);
    append_until(store, queue, || store.end().0 > end);
}

/// The longest append while a snapshot is taken.
fn pause_of_a_snapshot(dir: &Path, store: &Store, queue: &Arc<Queue>) -> Duration {
    let before = newest_snapshot(dir);
    seal(store, queue);
    let started = Instant::now();
    let longest = append_until(store, queue, || newest_snapshot(dir) != before);
    println!("snapshot within {:?}, longest append {longest:?}", started.elapsed());
    longest
}

#[test]
fn a_snapshot_of_a_million_offsets_and_carrying_them_hold_nobody_up() {
    let dir = fast_dir();
    let (store, _) = open_with(Options { segment_size: SEGMENT, ..options(dir.path()) });
    let queue = topic(&store, "messages", 1);
    let started = Instant::now();
    commit_a_million(&store);
    println!("a million offsets committed in {:?}", started.elapsed());

    // Other work on the machine also makes appends wait, but not at every snapshot.
    let pauses = (0..ATTEMPTS).map(|_| pause_of_a_snapshot(dir.path(), &store, &queue));
    assert!(pauses.into_iter().any(|pause| pause <= LONGEST_PAUSE));

    let (end, measured) = (store.end().0, AtomicU8::new(0));
    // Too full for the first segment only.
    let volume = || used(if measured.fetch_add(1, Ordering::Relaxed) == 0 { 86 } else { 10 });
    thread::scope(|scope| {
        let (done, is_done) = mpsc::channel();
        let (store, volume) = (&store, &volume);
        scope.spawn(move || {
            let started = Instant::now();
            let retained = store.retain(10_000, volume);
            done.send((retained, started.elapsed())).unwrap();
        });
        let (mut longest, mut number) = (Duration::ZERO, 0);
        let (retained, took) = loop {
            if let Ok(done) = is_done.recv_timeout(Duration::from_millis(1)) {
                break done;
            }
            let begun = Instant::now();
            let config = TopicConfig::with_queues(1);
            store.create_topic(&format!("made-{number}"), &config, 10_000).unwrap();
            longest = longest.max(begun.elapsed());
            number += 1;
        };
        assert_eq!(retained.unwrap().segments_deleted, 1);
        println!("carried in {took:?}, {number} topics made, longest {longest:?}");
        assert!(longest <= LONGEST_PAUSE.max(took / 4), "a topic took {longest:?} of {took:?}");
        let carried = store.end().0 - end - number * 192;
        println!("{carried} bytes carried");
        assert!(carried <= MOST_CARRIED, "{carried} bytes");
    });
    assert!(store.start().0 > 0);
    drop(store);
    let (store, opening) = open_with(options(dir.path()));
    assert_eq!(opening.log.damage, []);
    let offset = store.committed("group", "topic-999", 999);
    assert_eq!(offset, Some(QueueOffset(1_000_999)));
    assert_eq!(store.committed_by("group").len(), (TOPICS * QUEUES) as usize);
}

/// All that happens between taking the tail's lock and letting it go, and encoding.
#[test]
fn a_message_of_a_batch_occupies_the_tail_for_microseconds() {
    const BATCHES: u32 = 200;
    const MESSAGES: u32 = 64;
    let dir = fast_dir();
    let (store, _) = open_with(Options { segment_size: SEGMENT, ..options(dir.path()) });
    let queue = topic(&store, "messages", 1);
    let mut fastest = Duration::MAX;
    for _ in 0..BATCHES {
        let mut batch = Batch::default();
        for _ in 0..MESSAGES {
            batch.push_message(&queue, &parts(&[7; 1_024], "KEYS\u{1}key\u{2}")).unwrap();
        }
        let begun = Instant::now();
        store.append(batch, 1).unwrap();
        fastest = fastest.min(begun.elapsed());
    }
    let each = fastest / MESSAGES;
    println!("{each:?} per message of 1 KiB in batches of {MESSAGES}");
    assert!(each <= Duration::from_micros(20), "{each:?}");
}
