//! Opening after cuts, flips and lost files: never a wrong byte, never healthy data cut.

use std::{fs, ops::Range, os::unix::fs::FileExt, path::Path};

use rocketkube_log::{Damage, FRAME_HEADER, Fault, Faults, Log, LogError, Options, Recovery};

use crate::support::*;

/// Small enough that thousands of openings are quick.
const SMALL: u64 = Options::MIN_SEGMENT_SIZE;

fn small(dir: &Path) -> Options {
    Options { segment_size: SMALL, ..Options::new(dir) }
}

/// Frames of one item each, in one or two segments, closed in order.
struct Written {
    dir: tempfile::TempDir,
    image: Image,
    frames: Vec<Range<u64>>,
    end: u64,
}

fn written(sizes: &[usize]) -> Written {
    let dir = fast_dir();
    let (log, _) = open(small(dir.path()));
    let frames: Vec<_> =
        (0..).zip(sizes).map(|(tag, &size)| frame_of(&append(&log, tag, size))).collect();
    log.close().unwrap();
    let end = log.appended();
    drop(log);
    let image = Image::of(dir.path());
    Written { dir, image, frames, end }
}

impl Written {
    /// The image as a run leaves it whose progress file never reached the disk.
    fn without_progress(mut self) -> Self {
        self.image.remove("progress");
        self
    }

    fn open(&self, image: &Image) -> (std::sync::Arc<Log<Memory>>, Recovery) {
        image.restore(self.dir.path());
        open(small(self.dir.path()))
    }

    /// Flips one bit of the log on disk.
    fn flip(&mut self, bit: u64) {
        let (offset, mask) = (bit / 8, 1 << (bit % 8));
        let start = offset / SMALL * SMALL;
        let byte = &mut self.image.segment(start)[(offset - start) as usize];
        *byte ^= mask;
        let bytes = [*byte];
        let path = segment_path(self.dir.path(), start);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&bytes, offset - start).unwrap();
    }

    /// Opens the log as it is on disk.
    fn open_again(&self) -> (std::sync::Arc<Log<Memory>>, Recovery) {
        open(small(self.dir.path()))
    }

    /// Tags of all frames but those at these places.
    fn tags_without(&self, lost: &[usize]) -> Vec<u64> {
        (0..self.frames.len()).filter(|i| !lost.contains(i)).map(|i| i as u64).collect()
    }
}

#[test]
fn a_log_cut_at_every_byte_of_its_last_frame_ends_before_it() {
    let log = written(&[100, 200, 300]).without_progress();
    let last = log.frames[2].clone();
    // Padding is no part of what has to survive.
    for cut in last.start..last.start + FRAME_HEADER + 300 {
        for truncate in [false, true] {
            let mut image = log.image.clone();
            image.segment(0)[cut as usize..].fill(0);
            if truncate {
                image.segment(0).truncate(cut as usize);
            }
            let (opened, recovery) = log.open(&image);
            assert_eq!((recovery.end, recovery.damage), (last.start, vec![]), "cut at {cut}");
            assert_eq!(tags(&opened), [0, 1], "cut at {cut}");
            append(&opened, 7, 250);
            assert_eq!(walk_all(&opened).0.len(), 3, "cut at {cut}");
            drop(opened);
            assert_eq!(tags(&open(small(log.dir.path())).0), [0, 1, 7], "cut at {cut}");
        }
    }
}

#[test]
fn a_cut_frame_that_had_been_durable_is_damage_and_is_not_written_over() {
    let log = written(&[100, 200, 300]);
    let last = log.frames[2].clone();
    for cut in (last.start..last.start + FRAME_HEADER + 300).step_by(17) {
        let mut image = log.image.clone();
        image.segment(0)[cut as usize..].fill(0);
        let (opened, recovery) = log.open(&image);
        assert_eq!(recovery.end, log.end, "cut at {cut}");
        assert_eq!(recovery.damage[0].range, last, "cut at {cut}");
        assert!(append(&opened, 7, 250).start > last.end);
        drop(opened);
        let (opened, recovery) = open(small(log.dir.path()));
        assert_eq!(
            (tags(&opened), recovery.damage[0].range.clone()),
            (vec![0, 1, 7], last.clone())
        );
    }
}

#[test]
fn every_flipped_bit_of_the_last_4_kib_costs_at_most_its_frame() {
    let mut log = written(&[900, 150, 700, 64, 1000, 333, 500, 40, 500]);
    assert!(log.end - log.frames[0].start > 4096);
    for bit in (log.end - 4096) * 8..log.end * 8 {
        let offset = bit / 8;
        let hit = log.frames.iter().position(|frame| frame.contains(&offset)).unwrap();
        log.flip(bit);
        let (opened, recovery) = log.open_again();
        assert_eq!(recovery.end, log.end, "bit {bit}");
        let (walked, lost) = walk_all(&opened);
        if tags(&opened).len() == log.frames.len() {
            let size = [900, 150, 700, 64, 1000, 333, 500, 40, 500][hit];
            let payload_end = log.frames[hit].start + FRAME_HEADER + size;
            assert!(offset >= payload_end, "bit {bit} was served");
            assert_eq!((recovery.damage, lost), (vec![], vec![]), "bit {bit}");
        } else {
            assert_eq!(tags(&opened), log.tags_without(&[hit]), "bit {bit}");
            let lost_ranges: Vec<_> = recovery.damage.into_iter().map(|d| d.range).collect();
            assert_eq!(lost_ranges, [log.frames[hit].clone()], "bit {bit}");
            assert_eq!(lost, lost_ranges, "bit {bit}");
        }
        assert_eq!(walked, items(&opened), "bit {bit}");
        log.flip(bit);
    }
}

#[test]
fn a_flip_without_any_hint_loses_at_most_the_last_frame() {
    let mut log = written(&[900, 150, 700, 64, 1000, 333, 500, 40, 500]).without_progress();
    for bit in ((log.end - 4096) * 8..log.end * 8).step_by(13) {
        let hit = log.frames.iter().position(|frame| frame.contains(&(bit / 8))).unwrap();
        log.flip(bit);
        log.image.restore(log.dir.path());
        let (opened, recovery) = log.open_again();
        let found = tags(&opened);
        let whole = found.len() == log.frames.len();
        assert!(whole || found == log.tags_without(&[hit]), "bit {bit}: {found:?}");
        assert_eq!(recovery.damage.is_empty(), whole || hit == 8, "bit {bit}");
        log.flip(bit);
    }
}

#[test]
fn damage_in_the_middle_is_named_exactly_and_everything_behind_it_is_served() {
    let mut log = written(&[3000; 12]);
    assert!(log.frames[11].start > 2 * SMALL);
    for hit in 0..12 {
        let frame = log.frames[hit].clone();
        log.flip((frame.start + 1000) * 8);
        let (opened, recovery) = log.open_again();
        assert_eq!(tags(&opened), log.tags_without(&[hit]));
        let start = frame.start / SMALL * SMALL;
        let expected = Damage {
            path: segment_path(log.dir.path(), start),
            range: frame.clone(),
            positions: frame.start - start..frame.end - start,
        };
        assert_eq!(recovery.damage, [expected]);
        let read = opened.read_at(frame.start + FRAME_HEADER, &mut [0; 3000]);
        assert!(read.is_err(), "frame {hit} was served");
        log.flip((frame.start + 1000) * 8);
    }
}

#[test]
fn a_lost_header_costs_its_frame_and_at_most_the_rest_of_the_segment() {
    let mut log = written(&[3000; 12]);
    for hit in 0..12 {
        let frame = log.frames[hit].clone();
        log.flip((frame.start + 20) * 8);
        let (opened, recovery) = log.open_again();
        assert_eq!(tags(&opened), log.tags_without(&[hit]));
        let segment_end = (frame.start / SMALL + 1) * SMALL;
        if log.frames.get(hit + 1).is_some_and(|next| next.start >= segment_end) {
            // Nothing tells where the last frame of a segment ended.
            let ranges: Vec<_> = recovery.damage.iter().map(|d| d.range.clone()).collect();
            assert_eq!(ranges, [frame.start..segment_end, segment_end..segment_end + 4096]);
        } else {
            assert_eq!(recovery.damage[0].range, frame);
            assert_eq!(recovery.damage.len(), 1);
        }
        let (walked, _) = walk_all(&opened);
        assert_eq!(walked, items(&opened));
        log.flip((frame.start + 20) * 8);
    }
}

#[test]
fn a_lost_segment_in_the_middle_is_damage() {
    let log = written(&[3000; 12]);
    let mut image = log.image.clone();
    image.remove(&format!("log/{SMALL:020}.seg"));
    let (opened, recovery) = log.open(&image);
    let kept: Vec<_> = (0..12).filter(|&i| log.frames[i as usize].start / SMALL != 1).collect();
    assert_eq!(tags(&opened), kept);
    assert!(recovery.damage.iter().any(|d| d.range == (SMALL..2 * SMALL)), "{recovery:?}");
    assert_eq!(recovery.end, log.end);
}

#[test]
fn lost_last_segments_are_damage_and_their_offsets_are_not_used_again() {
    let log = written(&[3000; 12]);
    let mut image = log.image.clone();
    for start in [1, 2, 3, 4] {
        let name = format!("log/{:020}.seg", start * SMALL);
        if image.get(Path::new(&name)).is_some() {
            image.remove(&name);
        }
    }
    let (opened, recovery) = log.open(&image);
    assert_eq!(tags(&opened).len(), 3);
    assert!(recovery.end > log.end);
    assert!(append(&opened, 7, 100).start > log.end);
    drop(opened);
    assert_eq!(tags(&open(small(log.dir.path())).0), [0, 1, 2, 7]);
}

/// Some frames in three segments, with the segment behind them that is made in advance.
fn written_with_the_next() -> Written {
    let dir = fast_dir();
    let (log, _) = open(small(dir.path()));
    let frames: Vec<_> = (0..12).map(|tag| frame_of(&append(&log, tag, 3000))).collect();
    let end = log.appended();
    let next = segment_path(dir.path(), (end / SMALL + 1) * SMALL);
    while !next.exists() {
        std::thread::yield_now();
    }
    log.close().unwrap();
    drop(log);
    let image = Image::of(dir.path());
    Written { dir, image, frames, end }
}

#[test]
fn a_lost_last_segment_in_front_of_an_unused_one_is_damage_and_the_log_goes_on_behind_it() {
    for (hinted, length) in [true, false]
        .into_iter()
        .flat_map(|hinted| [None, Some(0), Some(100), Some(4096)].map(|length| (hinted, length)))
    {
        let log = written_with_the_next();
        let log = if hinted { log } else { log.without_progress() };
        let (mut image, start) = (log.image.clone(), log.end / SMALL * SMALL);
        match length {
            None => image.remove(&format!("log/{start:020}.seg")),
            Some(length) => image.segment(start).truncate(length),
        }
        let case = format!("{length:?} bytes left, progress {hinted}");
        let kept: Vec<_> = (0..12).filter(|&i| log.frames[i as usize].start < start).collect();
        let (opened, recovery) = log.open(&image);
        assert_eq!(tags(&opened), kept, "{case}");
        assert!(recovery.damage.iter().any(|d| d.range.end >= log.end), "{case}: {recovery:?}");
        assert!(opened.read_at(log.end - 200, &mut [0; 8]).is_err(), "{case}");
        assert!(append(&opened, 70, 100).start > log.end, "{case}");
        let more: Vec<_> = (71..80).chain(kept.iter().copied()).collect();
        (71..80).for_each(|tag| drop(append(&opened, tag, 3000)));
        drop(opened);
        for clean in [false, true] {
            let (opened, _) = log.open_again();
            assert_eq!(tags(&opened).len(), more.len() + 1, "{case}, {clean}");
            assert_eq!(walk_all(&opened).0, items(&opened), "{case}, {clean}");
            opened.close().unwrap();
        }
    }
}

#[test]
fn damage_in_a_segment_that_is_not_used_yet_is_none() {
    let log = written_with_the_next();
    let next = (log.end / SMALL + 1) * SMALL;
    for damage in 0..3 {
        let mut image = log.image.clone();
        match damage {
            0 => image.segment(next).clear(),
            1 => image.segment(next)[33] ^= 1,
            _ => image.segment(next)[9_000..].fill(7),
        }
        let (opened, recovery) = log.open(&image);
        assert_eq!((recovery.end, &recovery.damage[..]), (log.end, &[][..]), "{damage}");
        assert_eq!(tags(&opened).len(), 12);
    }
}

/// As blocks read that were set aside and whose content never reached the disk.
#[test]
fn a_segment_of_zeros_is_damage_unless_the_next_one_goes_on_before_it() {
    let log = written(&[3000; 12]);
    for (start, from) in [(0, 0), (0, 4096), (SMALL, 0), (SMALL, 4096), (0, 4096 + 3136)] {
        let mut image = log.image.clone();
        image.segment(start)[from..].fill(0);
        let (opened, _) = resumed(&log, &image, log.end);
        let gone: Vec<_> = log.frames.iter().filter(|f| f.start / SMALL * SMALL == start).collect();
        for frame in gone.iter().filter(|frame| frame.start >= start + from as u64) {
            let read = opened.read_at(frame.start + FRAME_HEADER, &mut [0; 3000]);
            assert!(read.is_err(), "{start} {from}: {frame:?} was served");
        }
        let (walked, lost) = walk_all(&opened);
        let kept = gone.iter().filter(|frame| frame.start < start + from as u64).count();
        assert_eq!(walked.len(), 12 - gone.len() + kept, "{start} {from}");
        // The end of the segment before is not proved any more either.
        assert_eq!(lost.len(), 1 + usize::from(start > 0), "{start} {from}: {lost:?}");
    }
}

#[test]
fn a_damaged_segment_header_costs_no_frame() {
    let mut log = written(&[3000; 12]);
    log.flip((SMALL + 33) * 8);
    let (opened, recovery) = log.open_again();
    assert_eq!(tags(&opened).len(), 12);
    assert_eq!(recovery.damage[0].range, SMALL..SMALL + 4096);
}

#[test]
fn segments_of_another_store_or_under_another_name_are_refused() {
    let (log, other) = (written(&[3000; 6]), written(&[3000; 6]));
    let refuse = |image: &Image| {
        image.restore(log.dir.path());
        Log::open(small(log.dir.path()), Memory::default(), 0).map(|_| ()).unwrap_err()
    };
    let name = segment_path(Path::new(""), SMALL);
    let mut image = log.image.clone();
    image.set(&name, other.image.get(&name).unwrap().clone());
    assert!(matches!(refuse(&image), LogError::ForeignSegment { .. }));
    let mut image = log.image.clone();
    let first = image.segment(0).clone();
    image.set(&name, first.clone());
    assert!(matches!(refuse(&image), LogError::MisnamedSegment { holds: 0, .. }));
    let mut image = log.image.clone();
    image.remove("identity");
    image.remove("identity.copy");
    assert!(matches!(refuse(&image), LogError::Missing { .. }));
}

#[test]
fn frames_of_an_earlier_run_behind_the_end_are_never_accepted() {
    let log = written(&[500, 500, 500]).without_progress();
    let (kept, stale) = (log.frames[1].start as usize, log.frames[2].clone());
    let mut image = log.image.clone();
    let stale_bytes = image.segment(0)[stale.start as usize..stale.end as usize].to_vec();
    image.segment(0)[kept..].fill(0);
    let (opened, recovery) = log.open(&image);
    assert_eq!((recovery.end, recovery.epoch), (kept as u64, 2));
    let second = append(&opened, 8, 500);
    assert_eq!(second.end, stale.start);
    drop(opened);

    let mut image = Image::of(log.dir.path());
    image.segment(0)[stale.start as usize..stale.end as usize].copy_from_slice(&stale_bytes);
    let (opened, recovery) = log.open(&image);
    assert_eq!(tags(&opened), [0, 8]);
    assert_eq!((recovery.end, recovery.torn), (stale.start, Some(stale.start..stale.start + 596)));
    drop(opened);

    // The same with the frame in between lost: the stale one is no proof that the log went on.
    image.segment(0)[kept..stale.start as usize].fill(0);
    let mut hintless = image.clone();
    hintless.remove("progress");
    let (opened, recovery) = log.open(&hintless);
    assert_eq!((tags(&opened), recovery.end), (vec![0], kept as u64));
}

#[test]
fn every_opening_begins_an_epoch_and_killed_openings_change_nothing() {
    let log = written(&[500; 40]);
    let mut image = log.image.clone();
    let end = log.frames[39].start;
    image.remove("progress");
    let start = end / SMALL * SMALL;
    image.segment(start)[(end - start) as usize + 200] ^= 1;
    image.restore(log.dir.path());
    for epoch in 2..12 {
        let (opened, recovery) = open(small(log.dir.path()));
        assert_eq!((recovery.epoch, recovery.end, recovery.clean), (epoch, end, false));
        assert_eq!(tags(&opened), log.tags_without(&[39]));
        assert_eq!(recovery.torn.is_some(), epoch == 2);
    }
}

#[test]
fn an_opening_stopped_at_any_step_is_repeated_with_the_same_result() {
    let log = written(&[3000; 12]);
    let mut image = log.image.clone();
    // The last four frames are torn, three of them in a segment of their own.
    let (first, end) = (log.frames[8].start, log.end);
    for at in first..end {
        let start = at / SMALL * SMALL;
        if at - start >= 4096 && at % 512 < 200 {
            image.segment(start)[(at - start) as usize] = 0xAB;
        }
    }
    image.remove("progress");
    let steps = (0..20).flat_map(|n| [Fault::Flush(n), Fault::DirectorySync(n)]);
    let mut stopped = 0;
    for fault in steps {
        image.restore(log.dir.path());
        let options = Options { faults: Faults::plan([fault]), ..small(log.dir.path()) };
        stopped += u32::from(Log::open(options, Memory::default(), 0).is_err());
        let (opened, recovery) = log.open_again();
        assert_eq!((recovery.end, recovery.damage), (first, vec![]), "{fault:?}");
        assert_eq!(tags(&opened), log.tags_without(&[8, 9, 10, 11]), "{fault:?}");
    }
    assert!(stopped >= 5, "only {stopped} steps were stopped");
}

#[test]
fn flipped_and_lost_side_files_never_change_what_the_log_gives() {
    let log = written(&[500; 30]);
    let side = |name: &&std::path::PathBuf| name.components().count() == 1;
    for name in log.image.names().iter().filter(side) {
        let original = log.image.get(name).unwrap();
        let bits = (original.len() * 8).min(600);
        for bit in 0..bits {
            let (mut image, mut bytes) = (log.image.clone(), original.clone());
            bytes[bit / 8] ^= 1 << (bit % 8);
            image.set(name, bytes);
            let (opened, recovery) = log.open(&image);
            assert_eq!((tags(&opened).len(), recovery.end), (30, log.end), "{name:?} bit {bit}");
        }
        let mut image = log.image.clone();
        image.remove(name.to_str().unwrap());
        let (opened, recovery) = log.open(&image);
        assert_eq!((tags(&opened).len(), recovery.end), (30, log.end), "without {name:?}");
    }
}

#[test]
fn resuming_at_any_frame_applies_exactly_the_rest() {
    let log = written(&[3000; 12]);
    for (done, frame) in log.frames.iter().enumerate() {
        for resume in [frame.start, frame.end] {
            log.image.restore(log.dir.path());
            let (opened, recovery) =
                Log::open(small(log.dir.path()), Memory::default(), resume).unwrap();
            let first = if resume == frame.start { done } else { done + 1 };
            assert_eq!(tags(&opened), log.tags_without(&(0..first).collect::<Vec<_>>()));
            assert_eq!((recovery.end, recovery.damage), (log.end, vec![]), "resume at {resume}");
            let (walked, lost) = walk_all(&opened);
            assert_eq!((walked.len(), lost), (12, vec![]), "resume at {resume}");
            assert!(append(&opened, 99, 100).start >= log.end);
            drop(opened);
            assert_eq!(tags(&open(small(log.dir.path())).0).last(), Some(&99));
        }
    }
    // The end of a sealed segment, where a snapshot is taken.
    let (_, recovery) = Log::open(small(log.dir.path()), Memory::default(), SMALL).unwrap();
    assert_eq!((recovery.items, recovery.damage), (13 - 3, vec![]));
}

/// Opens the image as somebody does who has seen everything up to `resume`.
fn resumed(log: &Written, image: &Image, resume: u64) -> (std::sync::Arc<Log<Memory>>, Recovery) {
    image.restore(log.dir.path());
    Log::open(small(log.dir.path()), Memory::default(), resume).unwrap()
}

fn lost(recovery: &Recovery) -> Vec<Range<u64>> {
    recovery.damage.iter().map(|damage| damage.range.clone()).collect()
}

#[test]
fn a_log_cut_below_the_point_of_resuming_is_reported_when_it_is_opened() {
    let log = written(&[3000; 12]);
    let end = log.end;
    for (hit, frame) in log.frames.iter().enumerate() {
        let start = frame.start / SMALL * SMALL;
        for (cut, truncate) in
            [(frame.start, true), (frame.start, false), (frame.start + 500, true)]
        {
            let mut image = log.image.clone();
            image.segment(start)[(cut - start) as usize..].fill(0);
            if truncate {
                image.segment(start).truncate((cut - start) as usize);
            }
            let segment_end = start + SMALL;
            // Zeros in a file of the right length show only right before the point of resuming.
            let resume = if truncate { end } else { end.min(segment_end) };
            let (opened, recovery) = resumed(&log, &image, resume);
            let expected = frame.start..end.min(segment_end);
            assert_eq!(lost(&recovery), [expected], "frame {hit} cut at {cut}, {truncate}");
            assert_eq!(recovery.end, end, "frame {hit}");
            let read = opened.read_at(frame.start + FRAME_HEADER, &mut [0; 3000]);
            assert!(read.is_err(), "frame {hit} was served");
            assert!(append(&opened, 99, 100).start > end);
        }
    }
}

#[test]
fn a_missing_segment_below_the_point_of_resuming_is_reported_when_it_is_opened() {
    let log = written(&[3000; 12]);
    let mut image = log.image.clone();
    image.remove(&format!("log/{SMALL:020}.seg"));
    for resume in [2 * SMALL, log.end] {
        let (opened, recovery) = resumed(&log, &image, resume);
        let missing = SMALL..2 * SMALL;
        assert_eq!(lost(&recovery), [missing], "resume at {resume}");
        assert_eq!(recovery.damage[0].path, segment_path(log.dir.path(), SMALL));
        assert_eq!(opened.damage(), recovery.damage);
    }
}

#[test]
fn a_file_cut_behind_its_last_frame_has_lost_nothing() {
    let log = written(&[3000; 12]);
    let last = log.frames.iter().rfind(|frame| frame.end <= SMALL).unwrap();
    let mut image = log.image.clone();
    image.segment(0).truncate(last.end as usize);
    for resume in [SMALL, log.end] {
        let (_, recovery) = resumed(&log, &image, resume);
        assert_eq!(recovery.damage, [], "resume at {resume}");
    }
}

#[test]
fn segments_missing_in_front_are_damage_where_the_caller_knows_of_them() {
    let log = written(&[3000; 12]);
    let mut image = log.image.clone();
    image.remove(&format!("log/{:020}.seg", 0));
    let (opened, recovery) = resumed(&log, &image, log.end);
    assert_eq!((recovery.start, &recovery.damage[..]), (SMALL, &[][..]));
    assert_eq!(opened.note_missing_front(SMALL), None);
    let missing = opened.note_missing_front(0).unwrap();
    assert_eq!((&missing.path, &missing.range), (&segment_path(log.dir.path(), 0), &(0..SMALL)));
    assert_eq!(opened.damage(), [missing]);
}

#[test]
fn a_closed_log_is_not_searched_behind_its_end() {
    let mut written = written(&[100, 100]);
    let end = written.end;
    written.image.segment(0)[end as usize + 512] = 7;
    let (log, recovery) = written.open(&written.image);
    assert_eq!((tags(&log), recovery.end, recovery.torn), (vec![0, 1], end, None));
    drop(log);
    // Without that knowledge it is.
    let written = written.without_progress();
    let (_, recovery) = written.open(&written.image);
    assert_eq!(recovery.torn, Some(end..end + 513));
}

#[test]
fn that_a_log_was_closed_is_forgotten_as_soon_as_it_is_opened() {
    let before = written(&[100, 100]);
    let (log, _) = before.open(&before.image);
    let lost = frame_of(&append(&log, 2, 100));
    append(&log, 3, 100);
    let mut image = Image::of(before.dir.path());
    drop(log);
    image.segment(0)[lost.start as usize + 1] ^= 1;
    let progress = image.get(Path::new("progress")).unwrap().clone();
    for slot in [0, 4096] {
        let mut damaged = progress.clone();
        damaged[slot + 20] ^= 1;
        image.set(Path::new("progress"), damaged);
        let (log, recovery) = before.open(&image);
        assert_eq!(tags(&log), [0, 1, 3], "without the slot at {slot}");
        assert_eq!(recovery.damage.len(), 1);
    }
}
