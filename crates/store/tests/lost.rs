//! What damage takes with it besides messages: topics, offsets, commits.

#![allow(clippy::unwrap_used, reason = "clippy knows tests, not their helpers")]

mod support;

use std::{fs, path::Path};

use rocketkube_store::{FileError, Opening, QueueOffset, Store};
use support::{bodies, open_with, options, queue, send, topic};

/// Messages of three topics, all of them in several segments, the last of them without its own
/// messages there; committed offsets in each.
fn filled(dir: &Path) -> Store {
    let (store, _) = open_with(options(dir));
    let held = ["a", "b", "gone"].map(|name| topic(&store, name, 2));
    for n in 0..200_u64 {
        for queue in &held[..2] {
            send(&store, queue, &[n.to_le_bytes()[0]; 1_000], "", 1);
        }
        if n < 20 {
            send(&store, &held[2], b"early", "", 1);
            store.commit("g", "gone", 0, QueueOffset(n));
            store.commit("g", "a", 0, QueueOffset(n));
            store.flush_commits(n.cast_signed() * 1_000).unwrap();
        }
    }
    store
}

fn files(dir: &Path, folder: &str, ending: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        entries.filter(|p| p.extension().is_some_and(|e| e == ending)).collect();
    paths.sort();
    paths
}

fn remove_derived(dir: &Path) {
    for folder in ["snapshot", "index"] {
        fs::remove_dir_all(dir.join(folder)).unwrap();
    }
}

fn reopened(dir: &Path) -> (Store, Opening) {
    open_with(options(dir))
}

fn names(store: &Store) -> Vec<String> {
    store.topics().iter().map(|topic| topic.name().to_owned()).collect()
}

#[test]
fn a_snapshot_outlives_the_oldest_segment_and_its_index() {
    for clean in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path());
        let all = bodies(&store, &queue(&store, "a", 0), 0);
        if clean {
            store.close(2).unwrap();
        }
        drop(store);
        let aside = dir.path().join("aside");
        fs::rename(&files(dir.path(), "log", "seg")[0], &aside).unwrap();
        fs::remove_file(&files(dir.path(), "index", "idx")[0]).unwrap();
        for start in 0..2 {
            let (store, opening) = reopened(dir.path());
            assert!(opening.resumed_at > 0 && opening.brought_back.is_empty(), "{start}");
            assert_eq!(opening.log.damage.len(), 1);
            assert_eq!(names(&store), ["a", "b", "gone"]);
            let bounds = queue(&store, "a", 0).bounds();
            assert!(bounds.min.0 > 0 && bounds.max.0 == 200, "{bounds:?}");
            assert_eq!(queue(&store, "gone", 0).bounds().max, QueueOffset(20));
            assert_eq!(store.committed("g", "gone", 0), Some(QueueOffset(19)));
            store.close(3).unwrap();
        }
        // Put back without its index, which is made again from it.
        fs::rename(&aside, support::segment(dir.path(), 0)).unwrap();
        let (store, opening) = reopened(dir.path());
        assert_eq!(opening.log.damage, []);
        assert!(bodies(&store, &queue(&store, "a", 0), 0) == all);
    }
}

#[test]
fn topics_whose_records_are_lost_come_back_with_their_messages() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let all = bodies(&store, &queue(&store, "a", 0), 0);
    drop(store);
    let segments = files(dir.path(), "log", "seg");
    let whole = fs::read(&segments[0]).unwrap();
    let record = whole.windows(8).position(|bytes| bytes == b"RKST\x00\x01\x00\x01").unwrap();
    for flip in [true, false] {
        remove_derived(dir.path());
        if flip {
            let mut damaged = whole.clone();
            damaged[record + 10] ^= 1;
            fs::write(&segments[0], damaged).unwrap();
        } else {
            fs::remove_file(&segments[0]).unwrap();
        }
        let (store, opening) = reopened(dir.path());
        let expected: &[&str] = if flip { &["a"] } else { &["a", "b"] };
        assert_eq!(opening.brought_back, expected);
        let held = queue(&store, "a", 0);
        let (min, config) = (held.bounds().min.0, store.topic("a").unwrap().config().clone());
        assert_eq!((min == 0, config.perm, held.bounds().max), (flip, 6, QueueOffset(200)));
        let left = &all[usize::try_from(min).unwrap()..];
        assert!(bodies(&store, &held, min) == left);
        drop(store);
        // The same from a snapshot, and after changing it.
        let (store, _) = reopened(dir.path());
        assert!(bodies(&store, &queue(&store, "a", 0), min) == left);
        store.close(3).unwrap();
        drop(store);
        let (store, opening) = reopened(dir.path());
        assert_eq!(opening.log.items, 0);
        assert!(bodies(&store, &queue(&store, "a", 0), min) == left);
        assert_eq!(send(&store, &queue(&store, "a", 0), b"x", "", 9).queue_offset.0, 200);
        store.delete_topic("a", 10).unwrap();
        drop(store);
        remove_derived(dir.path());
        let (store, opening) = reopened(dir.path());
        assert!(store.topic("a").is_none() && !opening.log.damage.is_empty());
        drop(store);
        return_to(dir.path(), &all);
    }
}

/// Writes the store anew.
fn return_to(dir: &Path, all: &[(u64, Vec<u8>)]) {
    fs::remove_dir_all(dir).unwrap();
    let store = filled(dir);
    assert!(bodies(&store, &queue(&store, "a", 0), 0) == all);
}

#[test]
fn a_topic_of_which_nothing_is_left_does_not_start_again_at_0() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    fs::remove_file(&files(dir.path(), "log", "seg")[0]).unwrap();
    remove_derived(dir.path());
    let (store, _) = reopened(dir.path());
    assert!(store.topic("gone").is_none());
    assert_eq!(store.committed("g", "gone", 0), None);
    store.close(3).unwrap();
    drop(store);
    // Also if it is made at a later start, and whatever is lost of what was derived.
    let (store, _) = reopened(dir.path());
    let first = send(&store, &topic(&store, "gone", 2), b"anew", "", 9).queue_offset;
    assert!(first.0 >= 20, "{first}");
    let bounds = queue(&store, "gone", 1).bounds();
    assert_eq!((bounds.min, bounds.max), (first, first));
    store.commit_now("h", "gone", 0, first, 10).unwrap();
    drop(store);
    for derived in [true, false] {
        if !derived {
            remove_derived(dir.path());
        }
        let (store, _) = reopened(dir.path());
        assert_eq!(queue(&store, "gone", 1).bounds(), bounds);
        assert_eq!(bodies(&store, &queue(&store, "gone", 0), 0), [(first.0, b"anew".to_vec())]);
        assert_eq!(store.committed("g", "gone", 0), None);
        assert_eq!(store.committed("h", "gone", 0), Some(first));
    }
}

/// Under the same names, as after a mix-up of backups.
#[test]
fn derived_files_of_another_store_are_refused_and_made_again() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let all = {
        let store = filled(dir.path());
        bodies(&store, &queue(&store, "a", 0), 0)
    };
    let (store, _) = reopened(other.path());
    let held = topic(&store, "a", 2);
    for n in 0..300 {
        send(&store, &held, &[1; 1_000], "", n);
    }
    drop(store);
    for folder in ["index", "snapshot"] {
        let ending = if folder == "index" { "idx" } else { "snap" };
        for path in files(other.path(), folder, ending) {
            fs::copy(&path, dir.path().join(folder).join(path.file_name().unwrap())).unwrap();
        }
        let (store, opening) = reopened(dir.path());
        let is_foreign = |error: &FileError| matches!(error, FileError::Foreign { .. });
        assert!(opening.unused.iter().any(is_foreign), "{folder}: {:?}", opening.unused);
        assert!(bodies(&store, &queue(&store, "a", 0), 0) == all, "{folder}");
        store.close(3).unwrap();
        drop(store);
        assert!(reopened(dir.path()).1.unused.is_empty(), "{folder}");
    }
}

#[test]
fn a_directory_with_the_name_of_an_index_costs_only_time() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let path = files(dir.path(), "index", "idx").remove(0);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let (store, opening) = reopened(dir.path());
    assert!(!opening.unused.is_empty());
    assert_eq!(bodies(&store, &queue(&store, "a", 0), 0).len(), 200);
}
