//! What opening can see missing below the point from which it walks, without reading every frame:
//! whole files, the ends of files, and the frames right before that point. Damage inside a file
//! shows when it is read.

use std::{ops::Range, sync::Arc};

use crate::{
    damage::Damage,
    error::LogError,
    frame::{FrameHeader, align_up},
    reader::Reader,
    scan,
    segment::{Segment, path_of},
};

/// What of the files is missing below `resume`, up to which the caller has seen all of it.
pub(crate) fn below(
    segments: &[Arc<Segment>],
    reader: &mut Reader,
    resume: u64,
) -> Result<Vec<Damage>, LogError> {
    let mut missing = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        if segment.start >= resume {
            break;
        }
        let next = segments.get(index + 1).map(|next| &**next);
        let length = segment.file.metadata().map_err(LogError::io("look at", &segment.path))?.len();
        let there = segment.start + length.min(segment.size);
        let lost = if segment.end() > resume {
            before_resume(segment, reader, there, align_up(resume))
        } else {
            end_of(segment, next, reader, there, resume)
        };
        missing.extend(lost.map(|lost| Damage::new(segment, lost)));
        // A gap that `resume` lies in is met by the walk, which then begins before it.
        if let Some(next) = next.filter(|next| next.start <= resume && segment.end() < next.start) {
            let directory = segment.path.parent().unwrap_or(&segment.path);
            let gap = segment.end()..next.start;
            missing.push(Damage::at(&path_of(directory, gap.start), gap.start, gap));
        }
    }
    Ok(missing)
}

/// Lost frames at the end of a segment that lies wholly below `resume`: where the file ends too
/// soon, at `there`, or where the walk begins right behind the segment.
fn end_of(
    segment: &Segment,
    next: Option<&Segment>,
    reader: &mut Reader,
    there: u64,
    resume: u64,
) -> Option<Range<u64>> {
    let next = next.filter(|next| next.start == segment.end());
    let first = next.and_then(|next| reader.header(next, next.first_frame()));
    let is_before_walk = first.is_some() && next.is_some_and(|next| resume <= next.first_frame());
    if there == segment.end() && !is_before_walk {
        return None;
    }
    let last = scan::last_header(segment, reader, segment.end(), |_| true);
    let end = end_of_frames(segment, last, there);
    let is_followed = last.zip(first).is_some_and(|((last, crc), (first, _))| {
        (first.number, first.previous, end) == (last.number + 1, crc, last.end())
    });
    (!is_followed && end < segment.end()).then_some(end..segment.end())
}

/// Lost frames right before `resume`, inside one segment.
fn before_resume(
    segment: &Segment,
    reader: &mut Reader,
    there: u64,
    resume: u64,
) -> Option<Range<u64>> {
    let last = scan::last_header(segment, reader, resume, |_| true);
    let end = end_of_frames(segment, last, there);
    (end < resume).then_some(end..resume)
}

/// The end of the last frame of which everything is there.
fn end_of_frames(segment: &Segment, last: Option<(FrameHeader, u32)>, there: u64) -> u64 {
    let Some((last, _)) = last else { return segment.first_frame() };
    let payload_end = last.payload_start() + u64::from(last.payload_len);
    if payload_end <= there { last.end() } else { last.start }
}
