//! Reading frames in order from one segment, in large pieces, through one buffer.

use std::ops::Range;

use crate::{
    frame::{FrameHeader, HEADER_BYTES, Seal},
    segment::Segment,
};

/// Bytes read at a time: large enough to hide the system call, small enough to stay in cache.
const PIECE: usize = 1 << 20;
/// After a read error, the unit in which the rest of the piece is tried.
const BLOCK: usize = 4096;

/// A frame whose header and payload pass their checks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) header: FrameHeader,
    /// The frame after this one has to name it.
    pub(crate) header_crc: u32,
    pub(crate) payload: &'a [u8],
}

/// A buffer over a window of one segment at a time.
#[derive(Debug)]
pub(crate) struct Reader {
    seal: Seal,
    buffer: Vec<u8>,
    /// Physical offsets that `buffer` holds, all of one segment.
    window: Range<u64>,
}

impl Reader {
    pub(crate) fn new(seal: Seal) -> Self {
        Self { seal, buffer: Vec::new(), window: 0..0 }
    }

    /// The header at `offset`, whatever its payload.
    pub(crate) fn header(&mut self, segment: &Segment, offset: u64) -> Option<(FrameHeader, u32)> {
        let seal = self.seal;
        FrameHeader::decode(self.bytes(segment, offset, HEADER_BYTES)?, seal, offset)
    }

    /// The frame at `offset`, if it is whole.
    pub(crate) fn frame(&mut self, segment: &Segment, offset: u64) -> Option<Frame<'_>> {
        let (header, header_crc) = self.verified(segment, offset)?;
        let payload = self.payload(segment, &header)?;
        Some(Frame { header, header_crc, payload })
    }

    /// The header at `offset`, if the frame is whole, and its CRC.
    pub(crate) fn verified(
        &mut self,
        segment: &Segment,
        offset: u64,
    ) -> Option<(FrameHeader, u32)> {
        let (header, header_crc) = self.header(segment, offset)?;
        let seal = self.seal;
        let payload = self.payload(segment, &header)?;
        (seal.checksum([payload]) == header.payload_crc).then_some((header, header_crc))
    }

    /// The payload of a frame, not verified.
    pub(crate) fn payload(&mut self, segment: &Segment, header: &FrameHeader) -> Option<&[u8]> {
        let length = usize::try_from(header.payload_len).ok()?;
        self.bytes(segment, header.payload_start(), length)
    }

    /// Bytes of the segment; `None` where the file ends before them.
    pub(crate) fn bytes(&mut self, segment: &Segment, offset: u64, length: usize) -> Option<&[u8]> {
        let end = offset + length as u64;
        if end > segment.end() {
            return None;
        }
        if offset < self.window.start || end > self.window.end {
            self.load(segment, offset, length);
        }
        let from = usize::try_from(offset.checked_sub(self.window.start)?).ok()?;
        self.buffer.get(from..from + length).filter(|_| end <= self.window.end)
    }

    /// Moves the window to start at `offset`, keeping what is already in the buffer.
    fn load(&mut self, segment: &Segment, offset: u64, length: usize) {
        let room = usize::try_from(segment.end() - offset).unwrap_or(usize::MAX);
        let wanted = length.max(PIECE).min(room);
        let mut kept = 0;
        if self.window.contains(&offset) {
            let from = usize::try_from(offset - self.window.start).unwrap_or(usize::MAX);
            kept = usize::try_from(self.window.end - offset).unwrap_or(0);
            self.buffer.copy_within(from..from + kept, 0);
        }
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let fresh = &mut self.buffer[kept..wanted];
        let read = read_around_errors(segment, offset + kept as u64, fresh);
        self.window = offset..offset + (kept + read) as u64;
    }
}

/// Fills the buffer as far as the file goes. Blocks that the disk cannot give are left zero: their
/// frames fail their checksum, and the rest of the segment can still be read.
fn read_around_errors(segment: &Segment, offset: u64, buffer: &mut [u8]) -> usize {
    if let Ok(read) = segment.read(offset, buffer) {
        return read;
    }
    let mut done = 0;
    for block in buffer.chunks_mut(BLOCK) {
        match segment.read(offset + done as u64, block) {
            Ok(read) if read < block.len() => return done + read,
            Ok(read) => done += read,
            Err(_) => {
                block.fill(0);
                done += block.len();
            }
        }
    }
    done
}
