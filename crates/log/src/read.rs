//! Reading any retained part of the log: bytes, file ranges, items.
//!
//! Nothing that fails its checksum leaves here. What this process wrote or walked is trusted to
//! the page cache; anything else is verified, a chunk at a time, when it is first touched.

use std::{fs::File, ops::Range, sync::Arc};

use crate::{
    core::Core,
    damage::Damage,
    error::ReadError,
    frame::{FRAME_ALIGN, FrameHeader, HEADER_BYTES},
    machine::{Item, Items},
    reader::Reader,
    scan,
    segment::Segment,
    verify::CHUNK,
};

/// Bytes of a segment file; deleting the segment does not end it.
#[derive(Debug, Clone)]
pub struct FileRange {
    pub file: Arc<File>,
    /// Byte position in the file.
    pub position: u64,
    pub length: u32,
}

impl Core {
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = offset..offset.saturating_add(buffer.len() as u64);
        let segment = self.readable(&range)?;
        match segment.read(offset, buffer) {
            Ok(read) if read == buffer.len() => Ok(()),
            Ok(_) => Err(damaged(Damage::new(&segment, range))),
            Err(source) => Err(ReadError::Io { path: segment.path.clone(), source }),
        }
    }

    pub(crate) fn file_range(&self, offset: u64, length: u32) -> Result<FileRange, ReadError> {
        let segment = self.readable(&(offset..offset.saturating_add(length.into())))?;
        let position = offset - segment.start;
        Ok(FileRange { file: Arc::clone(&segment.file), position, length })
    }

    /// As [`Core::read_at`], but false instead of waiting for the disk or verifying what is cold.
    pub(crate) fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool, ReadError> {
        let range = offset..offset.saturating_add(buffer.len() as u64);
        let Some(segment) = self.verified_segment(&range) else { return Ok(false) };
        self.damage.inside(&range).map_or(Ok(()), |damage| Err(damaged(damage)))?;
        let read = segment.read_cached(offset, buffer);
        read.map_err(|source| ReadError::Io { path: segment.path.clone(), source })
    }

    /// Whether the range can be sent without waiting for the disk or verifying anything first. Looks
    /// at its ends, where reading ahead and writing back begin and stop.
    pub(crate) fn is_cached(&self, offset: u64, length: u32) -> bool {
        let Some(last) = u64::from(length).checked_sub(1) else { return true };
        let (range, last) = (offset..offset.saturating_add(length.into()), offset + last);
        let Some(segment) = self.verified_segment(&range) else { return false };
        let probe = |at| segment.read_cached(at, &mut [0]).unwrap_or(true);
        probe(offset) && probe(last)
    }

    /// The segment of a range that is there and needs no verification any more.
    fn verified_segment(&self, range: &Range<u64>) -> Option<Arc<Segment>> {
        let segment = self.segments.find(range.start).filter(|it| range.end <= it.end())?;
        let positions = range.start - segment.start..range.end - segment.start;
        segment.chunks.unverified(&positions).is_none().then_some(segment)
    }

    /// The segment that holds the whole range, once all of it may be served.
    fn readable(&self, range: &Range<u64>) -> Result<Arc<Segment>, ReadError> {
        let out_of_range = || ReadError::OutOfRange {
            offset: range.start,
            length: range.end - range.start,
            start: self.positions.start(),
            end: self.positions.appended(),
        };
        if range.end > self.positions.appended() {
            return Err(out_of_range());
        }
        let Some(segment) = self.segments.find(range.start) else {
            // Of a file that is missing.
            return Err(self.damage.inside(range).map_or_else(out_of_range, damaged));
        };
        if range.end > segment.end() {
            return Err(out_of_range());
        }
        self.verify(&segment, range);
        self.damage.inside(range).map_or(Ok(segment), |damage| Err(damaged(damage)))
    }

    /// Verifies the chunks of a range that nobody has looked at since the start.
    fn verify(&self, segment: &Segment, range: &Range<u64>) {
        let positions = range.start - segment.start..range.end - segment.start;
        let mut reader = None;
        while let Some(chunk) = segment.chunks.unverified(&positions) {
            let reader = reader.get_or_insert_with(|| Reader::new(self.seal));
            let from = segment.start + chunk * CHUNK;
            self.verify_frames(segment, reader, from..(from + CHUNK).min(segment.end()));
            segment.chunks.set(chunk);
        }
    }

    /// Notes the damage among the frames that touch the range.
    fn verify_frames(&self, segment: &Segment, reader: &mut Reader, range: Range<u64>) {
        let end = range.end.min(self.positions.appended());
        let mut at = frame_start(segment, reader, range.start);
        while at < end {
            match self.frame_or_damage(segment, reader, at) {
                Step::Frame(header) => at = header.end(),
                Step::Rest => break,
                Step::Damage(damage) => {
                    at = damage.range.end;
                    self.damage.add(damage);
                }
            }
        }
    }

    /// Visits the items that start in the range.
    pub(crate) fn walk(
        &self,
        range: Range<u64>,
        f: &mut dyn FnMut(Item<'_>),
    ) -> Result<(), ReadError> {
        let range = range.start..range.end.min(self.positions.appended());
        let mut reader = Reader::new(self.seal);
        for segment in self.segments.overlapping(&range) {
            let mut at = frame_start(&segment, &mut reader, range.start);
            while at < range.end.min(segment.end()) {
                match self.frame_or_damage(&segment, &mut reader, at) {
                    Step::Frame(header) => {
                        let payload = reader.payload(&segment, &header).unwrap_or_default();
                        Items::new(payload, header.payload_start())
                            .filter(|item| range.contains(&item.offset))
                            .for_each(&mut *f);
                        at = header.end();
                    }
                    Step::Rest => break,
                    // Found on the way to the first frame of the range.
                    Step::Damage(damage) if damage.range.end <= range.start => {
                        at = damage.range.end;
                    }
                    Step::Damage(damage) => {
                        self.damage.add(damage.clone());
                        return Err(damaged(damage));
                    }
                }
            }
        }
        Ok(())
    }

    /// What is at the end of a frame.
    fn frame_or_damage(&self, segment: &Segment, reader: &mut Reader, at: u64) -> Step {
        if let Some((header, _)) = reader.verified(segment, at) {
            return Step::Frame(header);
        }
        let appended = self.positions.appended();
        let rest = at + FRAME_ALIGN..segment.end().min(appended);
        let whole = |r: &mut Reader, h: FrameHeader| r.verified(segment, h.start).is_some();
        let lost = match scan::headers(segment, reader, rest, whole) {
            Some(next) => at..next.start,
            None if appended <= segment.end() => at..appended,
            None if self.ends_at(segment, reader, at) => return Step::Rest,
            None => at..segment.end(),
        };
        Step::Damage(Damage::new(segment, lost))
    }

    /// Whether the last frame of a full segment ends at `at`. Zeros prove nothing: blocks that were
    /// set aside and never reached the disk read like that. What proves it is the header of the
    /// next frame, which names the last one, also if another part of it is lost.
    fn ends_at(&self, segment: &Segment, reader: &mut Reader, at: u64) -> bool {
        let Some((last, crc)) = self.last_before(segment, reader, at) else { return false };
        let Some(next) = self.segments.find(segment.end()) else { return false };
        if let Some((first, _)) = reader.header(&next, next.first_frame()) {
            return (first.number, first.previous) == (last.number + 1, crc);
        }
        let claim = reader.bytes(&next, next.first_frame(), HEADER_BYTES);
        let claim = claim.and_then(FrameHeader::claim);
        claim.is_some_and(|(number, previous)| number == last.number + 1 || previous == crc)
    }

    /// The frame that ends at `at`; at the first frame of a segment, the last one before that.
    fn last_before(
        &self,
        segment: &Segment,
        reader: &mut Reader,
        at: u64,
    ) -> Option<(FrameHeader, u32)> {
        if at > segment.first_frame() {
            return scan::last_header(segment, reader, at, |header| header.end() == at);
        }
        let before = self.segments.find(segment.start.checked_sub(1)?)?;
        scan::last_header(&before, reader, before.end(), |_| true)
    }
}

/// What a walk meets.
enum Step {
    Frame(FrameHeader),
    /// Nothing more in this segment.
    Rest,
    Damage(Damage),
}

/// Start of the frame that covers `offset`; where that is lost, end of the last one before it.
fn frame_start(segment: &Segment, reader: &mut Reader, offset: u64) -> u64 {
    let first = segment.first_frame();
    if offset <= first {
        return first;
    }
    let last = scan::last_header(segment, reader, offset + 1, |_| true);
    last.map_or(first, |(last, _)| if last.end() > offset { last.start } else { last.end() })
}

fn damaged(damage: Damage) -> ReadError {
    ReadError::Damaged { path: damage.path, range: damage.range }
}
