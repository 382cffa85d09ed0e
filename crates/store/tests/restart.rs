//! What is there after a stop: clean, killed, with damaged files, with a failed disk.

#![allow(clippy::unwrap_used, reason = "clippy knows tests, not their helpers")]

mod support;

use std::{
    cell::Cell,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rocketkube_log::{FRAME_HEADER, Fault, Faults};
use rocketkube_store::{
    AppendError, Batch, FileError, KeyQuery, Options, QueueOffset, ReadError, Retention, Store,
    StoreError, Volume,
};
use support::{bodies, open, open_with, options, parts, queue, send, topic, used};

/// Messages of about 1 KiB until some segments are sealed.
fn fill(store: &Store, messages: u64) {
    topic(store, "t", 1);
    fill_queue(store, messages);
}

fn fill_queue(store: &Store, messages: u64) {
    let queue = queue(store, "t", 0);
    for n in 0..messages {
        send(store, &queue, &[n.to_le_bytes()[0]; 1_000], &format!("KEYS\u{1}k{n}\u{2}"), 1);
    }
}

fn check(store: &Store, messages: u64) {
    let found = bodies(store, &queue(store, "t", 0), 0);
    let expected: Vec<_> = (0..messages).map(|n| (n, vec![n.to_le_bytes()[0]; 1_000])).collect();
    assert!(found == expected, "{} of {messages}", found.len());
    for n in [0, messages / 2, messages - 1] {
        let key = format!("k{n}");
        let query = KeyQuery {
            topic: "t",
            key: &key,
            unique_only: false,
            stored: 0..=i64::MAX,
            max_messages: 9,
        };
        assert_eq!(store.find_by_key(&query).unwrap().messages, 1, "{key}");
    }
}

fn derived(dir: &Path, folder: &str, ending: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        entries.filter(|p| p.extension().is_some_and(|e| e == ending)).collect();
    paths.sort();
    paths
}

#[test]
fn after_a_clean_stop_nothing_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 300);
    store.close(2).unwrap();
    drop(store);
    let (store, opening) = open_with(options(dir.path()));
    assert_eq!(opening.log.items, 0);
    assert!(opening.log.clean);
    check(&store, 300);
}

#[test]
fn after_a_kill_only_what_no_snapshot_holds_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 300);
    drop(store);
    let (store, opening) = open_with(options(dir.path()));
    assert!(opening.resumed_at > 0 && opening.log.items < 100, "{opening:?}");
    check(&store, 300);
}

#[test]
fn a_damaged_snapshot_is_passed_over_for_the_one_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 300);
    drop(store);
    let snapshots = derived(dir.path(), "snapshot", "snap");
    assert_eq!(snapshots.len(), 2);
    fs::write(&snapshots[1], b"damage").unwrap();
    let (store, opening) = open_with(options(dir.path()));
    assert!(opening.resumed_at > 0);
    check(&store, 300);
}

#[test]
fn damaged_or_missing_derived_files_only_cost_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 300);
    store.close(2).unwrap();
    drop(store);
    for (folder, ending) in [("snapshot", "snap"), ("index", "tail"), ("index", "idx")] {
        for damage in [true, false] {
            for path in derived(dir.path(), folder, ending) {
                if damage {
                    fs::write(&path, b"damage").unwrap();
                } else {
                    fs::remove_file(&path).unwrap();
                }
            }
            let store = open(dir.path());
            check(&store, 300);
            store.close(2).unwrap();
        }
    }
}

/// Fills the segment being written to its last byte.
fn fill_up(store: &Store) {
    let held = queue(store, "t", 0);
    let probe = send(store, &held, b"", "", 1);
    let overhead = u64::from(read_one(store, &held, probe.queue_offset.0).size) + FRAME_HEADER;
    let mut rest = support::SMALL_SEGMENT - store.end().0 % support::SMALL_SEGMENT;
    while rest > 0 {
        let frame = if rest > 8_192 { 4_096 } else { rest };
        send(store, &held, &vec![1; usize::try_from(frame - overhead).unwrap()], "", 1);
        rest -= frame;
    }
    assert_eq!(store.end().0 % support::SMALL_SEGMENT, 0);
}

#[test]
fn a_segment_that_is_full_at_a_clean_stop_has_its_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    topic(&store, "t", 1);
    fill_up(&store);
    store.close(2).unwrap();
    drop(store);
    let store = open(dir.path());
    fill_queue(&store, 150);
    let all = bodies(&store, &queue(&store, "t", 0), 0);
    store.close(2).unwrap();
    drop(store);
    let files = derived(dir.path(), "index", "idx");
    assert!(files[0].ends_with(format!("{:020}.idx", 0)), "{files:?}");
    for file in &files {
        flip(file, 88);
    }
    let store = open(dir.path());
    for n in 0..all.len() as u64 {
        let _ = store.read(&queue(&store, "t", 0), QueueOffset(n), support::ANY, &|_| true);
    }
    store.retain(1, &|| used(10)).unwrap();
    assert!(bodies(&store, &queue(&store, "t", 0), 0) == all);
}

/// Flips a bit in the section whose place is at byte `word` of the header.
fn flip(path: &Path, word: usize) -> Vec<u8> {
    let sound = fs::read(path).unwrap();
    let at = u64::from_le_bytes(sound[word..word + 8].try_into().unwrap());
    let mut damaged = sound.clone();
    damaged[usize::try_from(at).unwrap() + 5] ^= 4;
    fs::write(path, damaged).unwrap();
    sound
}

#[test]
fn an_index_that_is_found_damaged_is_made_again_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 300);
    store.close(2).unwrap();
    drop(store);
    let files = derived(dir.path(), "index", "idx");
    let entries = flip(&files[0], 88);
    let keys = flip(&files[1], 112);
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let on_index_damage: rocketkube_store::OnIndexDamage = Box::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let (store, opening) = open_with(Options { on_index_damage, ..options(dir.path()) });
    assert_eq!(opening.log.items, 0, "opening reads neither section");
    let failed = store.read(&queue(&store, "t", 0), QueueOffset(0), support::ANY, &|_| true);
    assert!(matches!(failed, Err(ReadError::Index(FileError::Damaged { .. }))), "{failed:?}");
    let stored = 0..=i64::MAX;
    let query = KeyQuery { topic: "t", key: "k0", unique_only: false, stored, max_messages: 9 };
    store.find_by_key(&query).unwrap_err();
    store.retain(1, &|| used(10)).unwrap();
    check(&store, 300);
    assert_eq!((store.trouble(), store.damaged_indexes()), (None, 2));
    assert_eq!(told.load(Ordering::Relaxed), 2, "once for each file");
    assert!(fs::read(&files[0]).unwrap() == entries && fs::read(&files[1]).unwrap() == keys);
}

/// The key leads to the message, but the queue's entries are what says that it is shown.
#[test]
fn a_message_is_never_said_to_be_missing_because_its_index_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 300);
    store.close(2).unwrap();
    drop(store);
    flip(&derived(dir.path(), "index", "idx")[0], 88);
    let store = open(dir.path());
    let stored = 0..=i64::MAX;
    let query = KeyQuery { topic: "t", key: "k0", unique_only: false, stored, max_messages: 9 };
    let failed = store.find_by_key(&query);
    assert!(matches!(failed, Err(ReadError::Index(_))), "{failed:?}");
    store.retain(1, &|| used(10)).unwrap();
    assert_eq!(store.find_by_key(&query).unwrap().messages, 1);
}

#[test]
fn the_keeper_repairs_without_being_asked_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 300);
    store.close(2).unwrap();
    drop(store);
    let file = derived(dir.path(), "index", "idx").remove(0);
    let sound = flip(&file, 88);
    let store = open(dir.path());
    store.read(&queue(&store, "t", 0), QueueOffset(0), support::ANY, &|_| true).unwrap_err();
    // Waits for what the keeper's thread was told.
    store.close(2).unwrap();
    drop(store);
    assert!(fs::read(&file).unwrap() == sound);
    check(&open(dir.path()), 300);
}

/// Nothing can be written to `path` until the returned directory is removed.
fn obstruct(path: &Path) -> std::path::PathBuf {
    let unfinished = path.with_extension("tmp");
    fs::create_dir(&unfinished).unwrap();
    unfinished
}

#[test]
fn retention_frees_space_even_if_no_snapshot_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 300);
    store.close(2).unwrap();
    drop(store);
    let store = open(dir.path());
    let files = derived(dir.path(), "index", "idx");
    let newest = fs::read(files.last().unwrap()).unwrap();
    let end = u64::from_le_bytes(newest[16..24].try_into().unwrap());
    let in_the_way = obstruct(&dir.path().join(format!("snapshot/{end:020}.snap")));
    let used_percent = Cell::new(86);
    store.retain(1, &|| used(used_percent.replace(10))).unwrap_err();
    assert!(!files[0].exists() && files[1].exists());
    let bounds = queue(&store, "t", 0).bounds();
    assert!(bounds.min.0 > 0);
    fs::remove_dir(&in_the_way).unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(queue(&store, "t", 0).bounds(), bounds);
}

#[test]
fn retention_tries_again_to_write_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    topic(&store, "t", 1);
    let in_the_way = obstruct(&dir.path().join(format!("index/{:020}.idx", 0)));
    fill_queue(&store, 300);
    // The keeper's thread has it once this fails.
    while store.retain(1, &|| used(10)).is_ok() {
        std::thread::yield_now();
    }
    assert!(store.trouble().unwrap().contains(".tmp"));
    fs::remove_dir(&in_the_way).unwrap();
    store.retain(1, &|| used(10)).unwrap();
    assert_eq!(store.trouble(), None);
    assert!(!derived(dir.path(), "index", "idx").is_empty());
    check(&store, 300);
}

/// A volume without a free byte takes no index, and nobody needs one of what goes away.
#[test]
fn a_full_disk_takes_segments_that_it_had_no_room_to_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    topic(&store, "idle", 1);
    send(&store, &queue(&store, "idle", 0), b"old", "", 1);
    topic(&store, "t", 1);
    let (index, away) = (dir.path().join("index"), dir.path().join("away"));
    fs::rename(&index, &away).unwrap();
    fill_queue(&store, 300);
    while store.retain(1, &|| used(10)).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(store.start().0, 0, "there is room");
    // Full until two segments are gone.
    let measured = Cell::new(0);
    let volume = || used(if measured.replace(measured.get() + 1) < 2 { 86 } else { 10 });
    store.retain(1, &volume).unwrap_err();
    assert!(!support::segment(dir.path(), 0).exists());
    assert!(store.trouble().unwrap().contains(".tmp"));
    let (held, start) = (queue(&store, "t", 0), store.start());
    let (bounds, left) = (held.bounds(), bodies(&store, &held, held.bounds().min.0));
    assert!(start.0 > support::SMALL_SEGMENT && bounds.min.0 > 0 && bounds.max.0 == 300);
    assert_eq!(left.len() as u64, 300 - bounds.min.0);

    fs::rename(&away, &index).unwrap();
    store.retain(1, &|| used(10)).unwrap();
    assert_eq!((store.trouble(), store.start()), (None, start));
    let verify = |store: &Store| {
        let held = queue(store, "t", 0);
        assert_eq!((store.start(), held.bounds()), (start, bounds));
        assert!(bodies(store, &held, bounds.min.0) == left);
        let idle = queue(store, "idle", 0).bounds();
        assert_eq!((idle.min.0, idle.max.0), (1, 1));
    };
    verify(&store);
    drop(store);
    verify(&open(dir.path()));
}

#[test]
fn a_batch_torn_by_a_failing_disk_is_there_whole_or_not_at_all() {
    for bytes in [0, 50, 100, 1_500, 4_000] {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::plan([Fault::TornWrite { write: 5, bytes }]);
        let (store, _) = open_with(Options { faults, ..options(dir.path()) });
        let held = topic(&store, "t", 1);
        let mut acknowledged = 0;
        let error = loop {
            let mut batch = Batch::default();
            for _ in 0..4 {
                batch.push_message(&held, &parts(&[1; 1_000], "")).unwrap();
            }
            match store.append(batch, 1) {
                Ok(_) => acknowledged += 4,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Append(AppendError::Failed)));
        assert!(store.has_failed());
        drop(store);
        let store = open(dir.path());
        let held = queue(&store, "t", 0);
        assert_eq!(bodies(&store, &held, 0).len(), acknowledged);
        assert_eq!(send(&store, &held, b"next", "", 1).queue_offset.0, acknowledged as u64);
    }
}

#[test]
fn commits_survive_a_kill_once_they_were_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    topic(&store, "t", 1);
    store.commit("g", "t", 0, QueueOffset(5));
    store.flush_commits(1_000).unwrap();
    store.commit("g", "t", 0, QueueOffset(6));
    // Too soon after the last time: waits for more to come.
    assert_eq!(store.flush_commits(1_050).unwrap(), 0);
    assert_eq!(store.committed("g", "t", 0), Some(QueueOffset(6)));
    store.commit_now("h", "t", 0, QueueOffset(7), 1_060).unwrap();
    store.commit("g", "t", 0, QueueOffset(8));
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.committed("g", "t", 0), Some(QueueOffset(6)));
    assert_eq!(store.committed("h", "t", 0), Some(QueueOffset(7)));
    store.delete_topic("t", 2_000).unwrap();
    assert_eq!(store.committed("g", "t", 0), None);
    drop(store);
    assert_eq!(open(dir.path()).committed("h", "t", 0), None);
}

/// Whoever commits looks the topic up before, and it can be deleted in between.
#[test]
fn a_commit_that_comes_after_its_topic_was_deleted_does_not_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    topic(&store, "t", 1);
    topic(&store, "u", 1);
    store.delete_topic("t", 1).unwrap();
    store.commit("g", "t", 0, QueueOffset(5));
    store.commit("g", "u", 0, QueueOffset(6));
    store.flush_commits(1_000).unwrap();
    assert_eq!(store.committed_by("g").len(), 1);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.committed_by("g").len(), 1);
    assert_eq!(store.committed("g", "u", 0), Some(QueueOffset(6)));
    topic(&store, "t", 1);
    assert_eq!(store.committed("g", "t", 0), None);
}

/// Of three records the second meets a full disk.
#[test]
fn commits_that_a_full_disk_stopped_are_written_once_there_is_room() {
    const GROUPS: u32 = 50;
    const QUEUES: u32 = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::plan([Fault::Preallocation { first: 1, count: u64::MAX }]);
    let segment_size = 3 * support::SMALL_SEGMENT / 2;
    let (store, _) =
        open_with(Options { segment_size, faults: faults.clone(), ..options(dir.path()) });
    topic(&store, "t", QUEUES);
    let group = |n: u32| format!("g{n}");
    for n in 0..GROUPS {
        for queue in 0..QUEUES {
            store.commit(&group(n), "t", queue, QueueOffset(5));
        }
    }
    let commit_again = || store.commit_now(&group(7), "t", 7, QueueOffset(5), 1_000);
    let begun = store.end();
    let refused = commit_again().unwrap_err();
    assert!(matches!(refused, StoreError::Append(AppendError::NoSpace { .. })), "{refused}");
    let written = store.end().0 - begun.0;
    assert!((1..support::SMALL_SEGMENT).contains(&written), "{written} bytes, not one record");

    faults.clear();
    let deadline = Instant::now() + Duration::from_secs(10);
    while commit_again().is_err() {
        assert!(Instant::now() < deadline, "the disk stays full");
        std::thread::yield_now();
    }
    drop(store);
    let store = open_with(Options { segment_size, ..options(dir.path()) }).0;
    assert_eq!(store.committed_in("t").len(), (GROUPS * QUEUES) as usize);
}

fn short_retention(dir: &Path) -> Options {
    let retention = Retention { age: Duration::from_secs(1), ..Retention::default() };
    Options { retention, ..options(dir) }
}

#[test]
fn retention_takes_old_segments_and_keeps_what_is_live_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(short_retention(dir.path()));
    store.put_group("g", "{}", 1).unwrap();
    topic(&store, "idle", 2);
    send(&store, &queue(&store, "idle", 1), b"old", "", 1);
    topic(&store, "t", 1);
    store.commit_now("g", "t", 0, QueueOffset(3), 1).unwrap();
    let held = queue(&store, "t", 0);
    for n in 0..300 {
        send(&store, &held, &[1; 1_000], "", n);
    }
    while store.start().0 < 3 * support::SMALL_SEGMENT {
        store.retain(10_000, &|| used(10)).unwrap();
    }
    let (bounds, start) = (held.bounds(), store.start());
    assert!(bounds.min.0 > 100 && bounds.max.0 == 300);
    let verify = |store: &Store| {
        assert_eq!(store.start(), start);
        assert_eq!(queue(store, "t", 0).bounds(), bounds);
        let idle = queue(store, "idle", 1).bounds();
        assert_eq!((idle.min.0, idle.max.0), (1, 1));
        assert_eq!(store.group("g").unwrap().config(), "{}");
        assert_eq!(store.committed("g", "t", 0), Some(QueueOffset(3)));
    };
    verify(&store);
    drop(store);
    let store = open_with(short_retention(dir.path())).0;
    verify(&store);
    drop(store);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    fs::remove_dir_all(dir.path().join("snapshot")).unwrap();
    let store = open_with(short_retention(dir.path())).0;
    verify(&store);
    assert_eq!(send(&store, &queue(&store, "idle", 1), b"new", "", 1).queue_offset.0, 1);
}

#[test]
fn a_full_disk_takes_the_oldest_segments_and_then_refuses_messages_but_not_commits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 300);
    drop(store);
    let store = open(dir.path());
    let forced = store.retain(1, &|| used(86)).unwrap();
    assert!(forced.forced >= 3 && store.start().0 > 0, "{forced:?}");
    store.retain(1, &|| used(95)).unwrap();
    let held = queue(&store, "t", 0);
    let mut batch = Batch::default();
    batch.push_message(&held, &parts(b"x", "")).unwrap();
    let refused = store.append(batch, 1);
    assert!(matches!(refused, Err(StoreError::DiskFull { used_percent: 95 })));
    store.commit_now("g", "t", 0, QueueOffset(1), 1).unwrap();
    // Little less than where refusing began is still too much.
    for (percent, is_full) in [(89, true), (88, true), (87, false), (89, false), (90, true)] {
        store.measure(used(percent));
        assert_eq!(store.full_percent().is_some(), is_full, "{percent}");
    }
    store.retain(1, &|| used(50)).unwrap();
    send(&store, &held, b"x", "", 1);
}

/// A broker that has just begun is not full of the files it has made for itself.
#[test]
fn what_the_log_sets_aside_counts_as_free_until_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let held = topic(&store, "t", 1);
    // As the kernel counts them: two whole files and something else, however little is in them.
    let volume = || Volume { total: 3 * support::SMALL_SEGMENT, free: 4_096 };
    let used = || store.retain(1, &volume).unwrap().used_percent;
    let deadline = Instant::now() + Duration::from_secs(10);
    while used() > 40 {
        assert!(Instant::now() < deadline, "the second file was not made, or counts as used");
        std::thread::yield_now();
    }
    let before = used();
    send(&store, &held, &vec![1; 40_000], "", 1);
    let written = u8::try_from(100 * 40_000 / (3 * support::SMALL_SEGMENT)).unwrap();
    assert!((written..=written + 1).contains(&(used() - before)), "{before}");
}

/// Nothing behind the damage says how far the queue was, but consumers have seen its end.
#[test]
fn offsets_of_messages_that_damage_took_are_not_given_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let sync = || Options { flush: rocketkube_store::Flush::Sync, ..options(dir.path()) };
    let (store, _) = open_with(sync());
    let queue0 = topic(&store, "t", 1);
    for n in 0..11_u8 {
        send(&store, &queue0, format!("MARK{n:02}").as_bytes(), "", 1);
    }
    while store.confirmed() < store.end().0 {
        std::thread::yield_now();
    }
    assert_eq!(queue0.max(), QueueOffset(11));
    drop(store);
    let [segment] = &derived(dir.path(), "log", "seg")[..1] else { panic!("no segment") };
    let mut bytes = fs::read(segment).unwrap();
    let at = bytes.windows(6).position(|window| window == b"MARK10").unwrap();
    bytes[at] ^= 1;
    fs::write(segment, bytes).unwrap();

    let (store, opening) = open_with(sync());
    assert_eq!(opening.log.damage.len(), 1, "{opening:?}");
    let queue0 = queue(&store, "t", 0);
    assert!(queue0.max() >= QueueOffset(11), "{:?}", queue0.max());
    let placed = send(&store, &queue0, b"next", "", 2);
    assert!(placed.queue_offset >= QueueOffset(11), "{placed:?}");
    while store.confirmed() < store.end().0 {
        std::thread::yield_now();
    }
    let found = bodies(&store, &queue0, 0);
    assert_eq!((found.len(), &found[10].1[..]), (11, &b"next"[..]));
}

/// Zeroes the last `bytes` bytes of a log that was flushed to its end.
fn lose_tail(dir: &Path, end: u64, bytes: u64) {
    let segments = derived(dir, "log", "seg");
    for (start, path) in (0..).step_by(64 << 10).zip(&segments) {
        let mut content = fs::read(path).unwrap();
        let from = usize::try_from((end - bytes).saturating_sub(start)).unwrap();
        if from < content.len() {
            content[from.max(4096)..].fill(0);
            fs::write(path, content).unwrap();
        }
    }
}

/// However many queues there are, and whether or not they have messages.
#[test]
fn the_end_of_a_queue_after_damage_is_the_offset_of_its_next_message_from_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    topic(&store, "idle", 3_000);
    fill(&store, 100);
    store.close(2).unwrap();
    let end = store.end().0;
    drop(store);
    for folder in ["snapshot", "index"] {
        fs::remove_dir_all(dir.path().join(folder)).unwrap();
    }
    lose_tail(dir.path(), end, 50_000);
    let bounds = |store: &Store| {
        let of = |topic: &str, id: u32| queue(store, topic, id).bounds();
        [of("t", 0), of("idle", 0), of("idle", 2_999)]
    };
    let (store, opening) = open_with(options(dir.path()));
    assert!(!opening.log.damage.is_empty());
    let known = bounds(&store);
    let left = bodies(&store, &queue(&store, "t", 0), 0);
    let kept = left.len();
    assert!(known[0].min.0 == 0 && (10..60).contains(&kept), "{known:?}, {kept}, end {end}");
    assert!(known[0].max.0 >= 100, "{known:?}, {kept}, end {end}");
    assert!(known[1].min == known[1].max && known[1].max.0 > 400, "{known:?}");
    // Killed, then stopped in order: the next two starts read the damage again, the third does not.
    drop(store);
    for clean in [false, true, true] {
        let store = open(dir.path());
        assert_eq!(bounds(&store), known, "{clean}");
        if clean {
            store.close(3).unwrap();
        }
    }
    let store = open(dir.path());
    let held = queue(&store, "t", 0);
    topic(&store, "later", 1);
    let next = send(&store, &held, b"next", "", 100).queue_offset;
    assert_eq!(next, known[0].max);
    assert_eq!(send(&store, &queue(&store, "idle", 7), b"", "", 100).queue_offset, known[1].max);
    let times = [1, 2, 100, 101].map(|time| {
        let boundary = rocketkube_store::Boundary::Lower;
        store.offset_by_time(&held, time, boundary).unwrap().0
    });
    assert_eq!(times, [0, next.0, next.0, next.0 + 1]);
    fill_queue(&store, 100);
    let all = bodies(&store, &held, 0);
    assert!(all[..left.len()] == left && all[left.len()] == (next.0, b"next".to_vec()));
    store.close(200).unwrap();
    drop(store);
    let store = open(dir.path());
    assert!(bodies(&store, &queue(&store, "t", 0), 0) == all);
    for file in derived(dir.path(), "index", "idx") {
        flip(&file, 88);
    }
    drop(store);
    let store = open(dir.path());
    for (n, _) in &all {
        let _ = store.read(&queue(&store, "t", 0), QueueOffset(*n), support::ANY, &|_| true);
    }
    store.retain(1, &|| used(10)).unwrap();
    assert!(bodies(&store, &queue(&store, "t", 0), 0) == all);
}

/// With or without what was derived from it: an empty store in its place would start all over.
#[test]
fn a_log_whose_segments_are_gone_is_not_taken_for_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 30);
    store.close(2).unwrap();
    drop(store);
    fs::remove_dir_all(dir.path().join("log")).unwrap();
    for folder in ["snapshot", "index"] {
        let error = Store::open(options(dir.path())).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("no segment is left"), "{cause}");
        fs::remove_dir_all(dir.path().join(folder)).unwrap();
    }
    assert!(Store::open(options(dir.path())).is_err());
}

fn lost(opening: &rocketkube_store::Opening) -> Vec<std::ops::Range<u64>> {
    opening.log.damage.iter().map(|damage| damage.range.clone()).collect()
}

#[test]
fn segments_missing_in_front_are_reported_at_every_start_and_can_be_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 300);
    let all = bodies(&store, &queue(&store, "t", 0), 0);
    store.close(2).unwrap();
    drop(store);
    let segments = derived(dir.path(), "log", "seg");
    let aside = dir.path().join("aside");
    fs::rename(&segments[0], &aside).unwrap();
    for _ in 0..2 {
        let (store, opening) = open_with(options(dir.path()));
        let first = 0..support::SMALL_SEGMENT;
        assert_eq!(lost(&opening), [first]);
        assert_eq!(store.start().0, support::SMALL_SEGMENT);
        let held = queue(&store, "t", 0);
        let (min, max) = (held.bounds().min.0, held.bounds().max.0);
        assert!(min > 0 && max == 300, "{min} to {max}");
        assert!(bodies(&store, &held, min) == all[usize::try_from(min).unwrap()..]);
        assert_eq!(
            store.offset_by_time(&held, 0, rocketkube_store::Boundary::Lower).unwrap().0,
            min
        );
        store.close(2).unwrap();
    }
    fs::rename(&aside, &segments[0]).unwrap();
    let (store, opening) = open_with(options(dir.path()));
    assert_eq!(lost(&opening), []);
    check(&store, 300);
}

/// Nothing is left that says how far the queue was, but consumers have seen its end.
#[test]
fn offsets_of_messages_lost_in_front_are_not_given_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let quiet = topic(&store, "quiet", 1);
    for _ in 0..9 {
        send(&store, &quiet, b"early", "", 1);
    }
    fill(&store, 300);
    // Written again behind what will be lost, as carrying does.
    store.update_topic("quiet", &rocketkube_store::TopicConfig::with_queues(2), 1).unwrap();
    drop(store);
    fs::remove_file(&derived(dir.path(), "log", "seg")[0]).unwrap();
    for folder in ["snapshot", "index"] {
        fs::remove_dir_all(dir.path().join(folder)).unwrap();
    }
    let (store, opening) = open_with(options(dir.path()));
    let first = 0..support::SMALL_SEGMENT;
    assert_eq!(lost(&opening), [first]);
    let placed = send(&store, &queue(&store, "quiet", 0), b"late", "", 2);
    assert!(placed.queue_offset >= QueueOffset(9), "{placed:?}");
}

#[test]
fn a_log_cut_below_its_snapshot_is_reported_when_it_is_opened() {
    for in_the_middle in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        fill(&store, 300);
        store.close(2).unwrap();
        let end = store.end().0;
        drop(store);
        let newest = end / support::SMALL_SEGMENT;
        let cut = if in_the_middle { 1 } else { newest };
        let path = &derived(dir.path(), "log", "seg")[usize::try_from(cut).unwrap()];
        let whole = fs::read(path).unwrap();
        fs::write(path, &whole[..9_000]).unwrap();
        let (store, opening) = open_with(options(dir.path()));
        let [lost] = &lost(&opening)[..] else { panic!("{opening:?}") };
        let start = cut * support::SMALL_SEGMENT;
        assert!(lost.start > start && lost.start <= start + 9_000, "{lost:?}");
        assert_eq!(lost.end, end.min(start + support::SMALL_SEGMENT));
        let held = queue(&store, "t", 0);
        assert_eq!((held.min(), held.max()), (QueueOffset(0), QueueOffset(300)));
        let mut out = Vec::new();
        let extents = read_one(&store, &held, 299);
        assert_eq!(store.read_bytes(extents, &mut out).is_ok(), in_the_middle);
        assert_eq!(send(&store, &held, b"next", "", 3).queue_offset, QueueOffset(300));
    }
}

/// Where one message is.
fn read_one(store: &Store, queue: &rocketkube_store::Queue, at: u64) -> rocketkube_store::Extent {
    let limits = rocketkube_store::Limits { max_messages: 1, ..support::ANY };
    store.read(queue, QueueOffset(at), limits, &|_| true).unwrap().extents[0]
}
