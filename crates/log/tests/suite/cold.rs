//! Frames that this process neither wrote nor walked: verified when they are first read.

use std::{os::unix::fs::FileExt, path::Path, sync::Arc};

use rocketkube_log::{FRAME_HEADER, Log, Options, ReadError, Recovery};

use crate::support::*;

const LARGE: u64 = 3 << 20;
const SIZE: usize = 50_000;

fn large(dir: &Path) -> Options {
    Options { segment_size: LARGE, ..Options::new(dir) }
}

/// Two full segments and a begun one; offsets of the items.
fn written(dir: &Path) -> (Vec<u64>, u64) {
    let (log, _) = open(large(dir));
    let mut offsets = Vec::new();
    while log.segments().len() < 3 {
        offsets.push(append(&log, offsets.len() as u64, SIZE).start);
    }
    log.close().unwrap();
    (offsets, log.appended())
}

fn open_cold(dir: &Path, end: u64) -> (Arc<Log<Memory>>, Recovery) {
    let (log, recovery) = Log::open(large(dir), Memory::default(), end).unwrap();
    assert_eq!((recovery.items, recovery.end), (0, end));
    (log, recovery)
}

/// Gives the bytes that were there.
fn overwrite(dir: &Path, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let start = offset / LARGE * LARGE;
    let file =
        std::fs::OpenOptions::new().read(true).write(true).open(segment_path(dir, start)).unwrap();
    let mut before = vec![0; bytes.len()];
    file.read_exact_at(&mut before, offset - start).unwrap();
    file.write_all_at(bytes, offset - start).unwrap();
    before
}

/// Places of the items that cannot be read.
fn refused(log: &Log<Memory>, offsets: &[u64]) -> Vec<usize> {
    let read = |offset: u64| {
        let mut bytes = vec![0; SIZE];
        match log.read_at(offset, &mut bytes) {
            Ok(()) => {
                assert!(is_genuine(rocketkube_log::Item { offset, bytes: &bytes }));
                assert!(log.file_range(offset, 100).is_ok());
                false
            }
            Err(ReadError::Damaged { range, .. }) => {
                assert!(range.contains(&offset), "{range:?} for {offset}");
                assert!(log.file_range(offset, 100).is_err());
                true
            }
            Err(error) => panic!("{error}"),
        }
    };
    (0..offsets.len()).filter(|&i| read(offsets[i])).collect()
}

#[test]
fn a_flip_in_a_cold_frame_is_found_at_the_first_read_and_costs_only_that_frame() {
    let dir = fast_dir();
    let (offsets, end) = written(dir.path());
    for hit in [0, 20, 40, 61, 62, offsets.len() - 1] {
        for at in [offsets[hit] - FRAME_HEADER + 20, offsets[hit] + SIZE as u64 - 1] {
            let good = overwrite(dir.path(), at, &[0xEE]);
            let (log, _) = open_cold(dir.path(), end);
            let first = [&offsets[hit..=hit], &offsets[..]].concat();
            let bad: Vec<_> = refused(&log, &first).into_iter().skip(1).map(|i| i - 1).collect();
            assert_eq!(bad, [hit], "flip at {at}");
            let (walked, lost) = walk_all(&log);
            assert_eq!((walked.len(), lost.len()), (offsets.len() - 1, 1), "flip at {at}");
            assert_eq!(lost[0].start, offsets[hit] - FRAME_HEADER);
            drop(log);
            overwrite(dir.path(), at, &good);
        }
    }
}

#[test]
fn a_cold_frame_that_became_zeros_is_not_taken_for_the_rest_of_its_segment() {
    let dir = fast_dir();
    let (offsets, end) = written(dir.path());
    let hit = offsets.iter().rposition(|&offset| offset < LARGE).unwrap();
    overwrite(dir.path(), offsets[hit] - FRAME_HEADER, &vec![0; SIZE + FRAME_HEADER as usize]);
    let (log, _) = open_cold(dir.path(), end);
    assert_eq!(refused(&log, &offsets), [hit]);
    let lost = walk_all(&log).1;
    assert_eq!(lost, vec![offsets[hit] - FRAME_HEADER..LARGE]);
}

#[test]
fn a_shortened_cold_segment_loses_only_what_is_gone() {
    let dir = fast_dir();
    let (offsets, end) = written(dir.path());
    let cut = offsets[10] + 5;
    let path = segment_path(dir.path(), 0);
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(cut).unwrap();
    let (log, recovery) = open_cold(dir.path(), end);
    assert_eq!(recovery.damage[0].range, offsets[10] - FRAME_HEADER..LARGE);
    let gone: Vec<_> = (10..offsets.len()).filter(|&i| offsets[i] < LARGE).collect();
    assert_eq!(refused(&log, &offsets), gone);
}

#[test]
fn trimming_deletes_whole_segments_and_leaves_open_ranges_readable() {
    let dir = fast_dir();
    let (offsets, end) = written(dir.path());
    let (log, _) = open_cold(dir.path(), end);
    let held = log.file_range(offsets[0], 100).unwrap();
    log.trim(LARGE - 1).unwrap();
    assert_eq!((log.start(), log.segments().len()), (0, 3));
    log.trim(LARGE + 5).unwrap();
    assert_eq!((log.start(), log.segments().len()), (LARGE, 2));
    assert!(!segment_path(dir.path(), 0).exists());
    assert!(matches!(log.read_at(offsets[0], &mut [0]), Err(ReadError::OutOfRange { .. })));
    held.file.read_exact_at(&mut [0; 100], held.position).unwrap();
    log.trim(u64::MAX).unwrap();
    assert_eq!((log.start(), log.segments().len()), (2 * LARGE, 1));
    append(&log, 1000, 100);
    drop(log);
    let (log, recovery) = open(large(dir.path()));
    assert_eq!((recovery.start, recovery.damage), (2 * LARGE, vec![]));
    assert_eq!(tags(&log).last(), Some(&1000));
}

/// Cold twice over: nobody verified it, and nobody has it in the page cache.
#[test]
fn reading_without_waiting_gives_nothing_of_a_cold_part_until_it_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let (offsets, end) = written(dir.path());
    let (log, _) = open_cold(dir.path(), end);
    let (offset, length) = (offsets[0], u32::try_from(SIZE).unwrap());
    let mut bytes = vec![0; SIZE];
    assert!(!log.read_cached(offset, &mut bytes).unwrap());
    assert!(!log.is_cached(offset, length));

    log.read_at(offset, &mut vec![0; SIZE]).unwrap();
    assert!(log.is_cached(offset, length));
    assert!(log.read_cached(offset, &mut bytes).unwrap());
    assert!(is_genuine(rocketkube_log::Item { offset, bytes: &bytes }));

    let file = log.file_range(offset, length).unwrap().file;
    rustix::fs::fadvise(&*file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    assert!(!log.read_cached(offset, &mut bytes).unwrap(), "verified, but not in memory");
}
