//! Searching a segment for frames where the order of frames is lost.

use std::{io, ops::Range, os::unix::fs::FileExt};

use rustix::{fs::SeekFrom, io::Errno};

use crate::{
    frame::{ALIGN_BYTES, FRAME_ALIGN, FrameHeader, MAGIC, align_up},
    reader::Reader,
    segment::Segment,
};

/// Bytes looked at as one.
const PIECE: u64 = 1 << 20;
/// Bytes zeroed as one.
const BLOCK: usize = 16 << 10;
static ZEROS: [u8; BLOCK] = [0; BLOCK];
const STEP: usize = ALIGN_BYTES;

/// Parts of the range that may hold anything but zeros. What was preallocated and never written
/// is skipped without being read.
pub(crate) fn data(segment: &Segment, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        if at >= range.end {
            return None;
        }
        let from = match seek(segment, SeekFrom::Data(at - segment.start)) {
            Ok(from) => segment.start + from,
            Err(Errno::NXIO) => return None,
            Err(_) => at,
        };
        let to = match seek(segment, SeekFrom::Hole(from - segment.start)) {
            Ok(to) => segment.start + to,
            Err(_) => range.end,
        };
        at = to.max(from + 1);
        (from < range.end).then(|| from.max(range.start)..to.min(range.end))
    })
}

/// Moves the file's own position, which nothing else uses.
fn seek(segment: &Segment, to: SeekFrom) -> Result<u64, Errno> {
    rustix::fs::seek(&*segment.file, to)
}

/// The headers between two offsets, in order. Their payloads are not looked at.
pub(crate) fn headers(
    segment: &Segment,
    reader: &mut Reader,
    range: Range<u64>,
    mut visit: impl FnMut(&mut Reader, FrameHeader) -> bool,
) -> Option<FrameHeader> {
    let from = range.start.max(segment.first_frame());
    for data in data(segment, from..range.end) {
        let mut at = data.start.next_multiple_of(FRAME_ALIGN);
        while let Some(found) = next_magic(segment, reader, at..data.end) {
            if let Some((header, _)) = reader.header(segment, found)
                && visit(reader, header)
            {
                return Some(header);
            }
            at = found + FRAME_ALIGN;
        }
    }
    None
}

/// The first aligned offset in the range that starts like a frame.
fn next_magic(segment: &Segment, reader: &mut Reader, range: Range<u64>) -> Option<u64> {
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from((range.end - at).min(PIECE)).unwrap_or(STEP);
        let Some(piece) = reader.bytes(segment, at, length) else {
            // The file is shorter than the segment: look at what there is, step by step.
            reader.bytes(segment, at, MAGIC.len())?;
            at += FRAME_ALIGN;
            continue;
        };
        if let Some(step) = piece.chunks(STEP).position(|step| step.starts_with(&MAGIC)) {
            return Some(at + (step * STEP) as u64);
        }
        at += align_up(length as u64);
    }
    None
}

/// The last frame header that starts below `before` and satisfies `wanted`.
pub(crate) fn last_header(
    segment: &Segment,
    reader: &mut Reader,
    before: u64,
    wanted: impl Fn(&FrameHeader) -> bool,
) -> Option<(FrameHeader, u32)> {
    let first = segment.first_frame();
    let mut end = before.min(segment.end());
    while end > first {
        let start = end.saturating_sub(PIECE).max(first);
        let mut found = None;
        headers(segment, reader, start..end, |_, header| {
            if wanted(&header) {
                found = Some(header.start);
            }
            false
        });
        if let Some(found) = found {
            return reader.header(segment, found);
        }
        end = start;
    }
    None
}

/// Whether the range holds nothing but zeros.
pub(crate) fn is_zero(segment: &Segment, reader: &mut Reader, range: Range<u64>) -> bool {
    data(segment, range).all(|data| {
        (data.start..data.end).step_by(BLOCK).all(|at| {
            let length = usize::try_from((data.end - at).min(BLOCK as u64)).unwrap_or(BLOCK);
            reader.bytes(segment, at, length).is_some_and(|block| block.iter().all(|b| *b == 0))
        })
    })
}

/// Zeroes everything from `from` to the end of the segment, writing only where it is not zero.
/// Gives the end of what was not.
pub(crate) fn clear(segment: &Segment, from: u64) -> io::Result<Option<u64>> {
    let mut last = None;
    let mut block = [0; BLOCK];
    let parts: Vec<_> = data(segment, from..segment.end()).collect();
    for data in parts {
        for at in (data.start..data.end).step_by(BLOCK) {
            let length = usize::try_from((data.end - at).min(BLOCK as u64)).unwrap_or(BLOCK);
            // A block that cannot be read may hold anything.
            let used = match segment.read(at, &mut block[..length]) {
                Ok(read) => block[..read].iter().rposition(|byte| *byte != 0),
                Err(_) => Some(length - 1),
            };
            if let Some(used) = used {
                segment.file.write_all_at(&ZEROS[..length], at - segment.start)?;
                last = Some(at + used as u64 + 1);
            }
        }
    }
    Ok(last)
}
