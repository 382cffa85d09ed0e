//! Appending by flat combining: whoever finds the tail free writes for everybody queued.
//!
//! Callers queue their batch, then lock the tail. The first one in takes all queued batches,
//! stamps them, writes them as one frame and applies them; the others find their result.

use std::{io::IoSlice, mem, sync::Arc};

use crate::{
    core::Core,
    error::{AppendError, LogError},
    frame::{ALIGN_BYTES, FRAME_HEADER, FRAME_TARGET, FrameHeader, align_up},
    machine::{Items, Machine, Shape},
    segment::{SEGMENT_HEADER, Segment},
};

/// Most batches of one frame: bounds the stack array of slices and the length of one `pwritev`.
const MAX_BATCHES: usize = 126;
/// Kept free in the last segment for `append_reserved` while the disk is full: 1/16 of the
/// segment, at most this.
const MAX_RESERVE: u64 = 4 << 20;

/// A batch in its place.
#[derive(Debug)]
pub struct Appended<B> {
    /// The batch as stamped.
    pub batch: B,
    /// Physical offset of the batch's first byte.
    pub start: u64,
    /// Position to wait for: the batch is confirmed, or durable, when that reaches it.
    pub end: u64,
}

/// A batch that waits to be appended: [`Log::complete`](crate::Log::complete) has to be called with
/// it, or the outcome stays in memory.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a batch that is not completed may never be appended"]
pub struct Ticket(u64);

impl Ticket {
    pub(crate) fn redeem(self) -> u64 {
        self.0
    }
}

type Outcome<B> = Result<Appended<B>, AppendError>;

/// A batch that waits for the tail.
struct Staged<B> {
    ticket: u64,
    batch: B,
    now_ms: i64,
    reserved: bool,
}

/// Batches in the order in which they came.
pub(crate) struct Queue<B> {
    next_ticket: u64,
    staged: Vec<Staged<B>>,
}

impl<B> Queue<B> {
    pub(crate) fn new() -> Self {
        Self { next_ticket: 0, staged: Vec::new() }
    }

    /// The ticket under which the outcome will be found.
    pub(crate) fn push(&mut self, batch: B, now_ms: i64, reserved: bool) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.staged.push(Staged { ticket, batch, now_ms, reserved });
        Ticket(ticket)
    }
}

/// The end of the log and the machine that follows it; behind one lock.
pub(crate) struct Tail<M: Machine> {
    pub(crate) machine: M,
    pub(crate) closed: bool,
    segment: Arc<Segment>,
    /// Where the next frame starts.
    end: u64,
    /// Number of the next frame.
    number: u64,
    /// Header CRC of the last frame.
    previous: u32,
    /// A write failed: what is behind `end` is unknown.
    broken: bool,
    /// A batch was refused for lack of space: so are smaller ones that would still fit, until there
    /// is a next segment. Otherwise the log would refuse and take messages in turn.
    starved: bool,
    /// Swapped with the queue's vector, so that neither is ever allocated anew.
    taken: Vec<Staged<M::Batch>>,
    /// The batches of the frame being built, with their shapes.
    group: Vec<(Staged<M::Batch>, Shape)>,
    /// Payload bytes of `group`.
    group_bytes: u64,
    /// Outcomes not fetched yet: at most one per ticket.
    done: Vec<(u64, Outcome<M::Batch>)>,
}

/// Where the log goes on.
#[derive(Debug)]
pub(crate) struct Position {
    pub(crate) segment: Arc<Segment>,
    pub(crate) end: u64,
    pub(crate) number: u64,
    pub(crate) previous: u32,
}

impl<M: Machine> Tail<M> {
    pub(crate) fn new(machine: M, at: Position) -> Self {
        Self {
            machine,
            closed: false,
            segment: at.segment,
            end: at.end,
            number: at.number,
            previous: at.previous,
            broken: false,
            starved: false,
            taken: Vec::new(),
            group: Vec::new(),
            group_bytes: 0,
            done: Vec::new(),
        }
    }

    /// The outcome of a batch that somebody took along.
    pub(crate) fn fetch(&mut self, ticket: u64) -> Option<Outcome<M::Batch>> {
        let at = self.done.iter().position(|(done, _)| *done == ticket)?;
        Some(self.done.swap_remove(at).1)
    }

    /// Appends everything queued. An error has to stop the log.
    pub(crate) fn combine(
        &mut self,
        core: &Core,
        queue: &parking_lot::Mutex<Queue<M::Batch>>,
    ) -> Result<(), LogError> {
        let mut taken = mem::take(&mut self.taken);
        mem::swap(&mut taken, &mut queue.lock().staged);
        let mut result = Ok(());
        for staged in taken.drain(..) {
            match self.admit(core, &staged, &mut result) {
                Ok(shape) => {
                    self.group_bytes += self.machine.bytes(&staged.batch).len() as u64;
                    self.group.push((staged, shape));
                }
                Err(error) => self.done.push((staged.ticket, Err(error))),
            }
        }
        self.taken = taken;
        if result.is_ok() {
            result = self.write(core);
        }
        result
    }

    /// Makes room for one more batch in the frame being built, writing out what is there and
    /// going on to the next segment where needed.
    fn admit(
        &mut self,
        core: &Core,
        staged: &Staged<M::Batch>,
        result: &mut Result<(), LogError>,
    ) -> Result<Shape, AppendError> {
        if self.closed {
            return Err(AppendError::Closed);
        }
        if self.broken || core.positions.failed() {
            return Err(AppendError::Failed);
        }
        let bytes = self.machine.bytes(&staged.batch);
        let (size, shape) = (bytes.len(), check(bytes, core.segment_size)?);
        if self.starved && !staged.reserved {
            self.starved = !core.space.is_ready();
            if self.starved {
                return Err(AppendError::NoSpace { size });
            }
        }
        let joined = self.group_bytes + size as u64;
        let full = joined > FRAME_TARGET || self.group.len() == MAX_BATCHES;
        if !self.group.is_empty() && (full || !self.fits_here(joined, staged.reserved)) {
            *result = self.write(core);
            if result.is_err() {
                return Err(AppendError::Failed);
            }
        }
        if self.group.is_empty() && !self.make_room(core, size as u64, staged.reserved) {
            let failed = core.positions.failed();
            self.starved = !failed && !staged.reserved;
            return Err(if failed { AppendError::Failed } else { AppendError::NoSpace { size } });
        }
        Ok(shape)
    }

    /// Whether a frame of so many payload bytes fits into the segment without its reserve.
    fn fits_here(&self, payload: u64, reserved: bool) -> bool {
        let reserve = if reserved { 0 } else { (self.segment.size / 16).min(MAX_RESERVE) };
        align_up(self.end + FRAME_HEADER + payload) + reserve <= self.segment.end()
    }

    /// False if that takes a segment for which there is no space.
    fn make_room(&mut self, core: &Core, payload: u64, reserved: bool) -> bool {
        if self.fits_here(payload, reserved) {
            return true;
        }
        if !core.space.is_ready() {
            return false;
        }
        // The next segment is there, so the reserve need not be kept any longer.
        if self.fits_here(payload, true) {
            return true;
        }
        let Some(next) = core.space.take() else { return false };
        core.segments.push(Arc::clone(&next));
        let sealed = mem::replace(&mut self.segment, next);
        self.end = self.segment.first_frame();
        self.machine.sealed(sealed.range());
        true
    }

    /// Stamps, writes and applies the frame being built.
    fn write(&mut self, core: &Core) -> Result<(), LogError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let payload_start = self.end + FRAME_HEADER;
        let mut at = payload_start;
        for (staged, _) in &mut self.group {
            self.machine.stamp(&mut staged.batch, at, staged.now_ms);
            at += self.machine.bytes(&staged.batch).len() as u64;
        }
        debug_assert_eq!(at - payload_start, self.group_bytes, "stamping must not change lengths");
        let end = align_up(at);
        match self.write_frame(core, at, end) {
            Ok(header_crc) => self.previous = header_crc,
            Err(error) => {
                self.broken = true;
                let failed =
                    self.group.drain(..).map(|(s, _)| (s.ticket, Err(AppendError::Failed)));
                self.done.extend(failed);
                return Err(error);
            }
        }
        self.end = end;
        self.number += 1;
        self.apply(payload_start, end);
        core.positions.set_appended(end);
        Ok(())
    }

    /// One frame, one `pwritev`, no copy of the payload. Gives the header's CRC.
    fn write_frame(&self, core: &Core, payload_end: u64, end: u64) -> Result<u32, LogError> {
        let payload = self.group.iter().map(|(staged, _)| self.machine.bytes(&staged.batch));
        let header = FrameHeader {
            payload_len: u32::try_from(self.group_bytes).expect("a frame fits a segment of 4 GiB"),
            items: self.group.iter().map(|(_, shape)| shape.items).sum(),
            epoch: core.epoch,
            number: self.number,
            start: self.end,
            durable: core.positions.durable(),
            previous: self.previous,
            payload_crc: core.seal.checksum(payload.clone()),
            flags: 0,
        };
        let (head, header_crc) = header.encode(core.seal);
        let padding = [0; ALIGN_BYTES];
        let padding = &padding[..usize::try_from(end - payload_end).unwrap_or(0)];
        let mut slices = [IoSlice::new(&[]); MAX_BATCHES + 2];
        let mut used = 0;
        for part in [&head[..]].into_iter().chain(payload).chain([padding]) {
            slices[used] = IoSlice::new(part);
            used += 1;
        }
        self.segment.write(self.end, &mut slices[..used], &core.faults)?;
        Ok(header_crc)
    }

    fn apply(&mut self, payload_start: u64, end: u64) {
        let mut start = payload_start;
        for (staged, _) in self.group.drain(..) {
            let bytes = self.machine.bytes(&staged.batch);
            let next = start + bytes.len() as u64;
            for item in Items::new(bytes, start) {
                self.machine.apply(item);
            }
            let appended = Appended { batch: staged.batch, start, end };
            self.done.push((staged.ticket, Ok(appended)));
            start = next;
        }
        self.group_bytes = 0;
    }
}

/// Whether a batch can be a frame: whole items, of which only the last may go over the target.
fn check(bytes: &[u8], segment_size: u64) -> Result<Shape, AppendError> {
    let size = bytes.len();
    let shape = Shape::of(bytes).map_err(|at| AppendError::Malformed { size, at })?;
    let room = segment_size - SEGMENT_HEADER - FRAME_HEADER;
    if shape.items == 0 {
        Err(AppendError::Empty)
    } else if size as u64 > room {
        Err(AppendError::TooLarge { size, max: room })
    } else if (size - shape.last) as u64 > FRAME_TARGET {
        Err(AppendError::TooLarge { size, max: FRAME_TARGET })
    } else {
        Ok(shape)
    }
}
