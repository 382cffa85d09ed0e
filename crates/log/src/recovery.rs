//! Opening after any stop: where the log ends, what of it is lost, and feeding the machine.
//!
//! The first invalid frame is a torn tail only if nothing shows that the log went on: no valid
//! frame further on, nothing that says it had been durable. Otherwise it is damage inside: the
//! range is reported, kept as it is, and everything behind it counts. Nothing is written before
//! that is decided, and what is written then (zeros behind the end) changes no decision, so a
//! kill at any point leads to the same end again.

use std::{ops::Range, sync::Arc};

use crate::{
    damage::Damage,
    epochs::Epochs,
    error::LogError,
    frame::{FRAME_HEADER, FrameHeader, Seal, align_up},
    machine::{Items, Machine},
    missing,
    progress::Progress,
    reader::{Frame, Reader},
    scan,
    segment::{Segment, path_of},
};

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// First retained physical offset.
    pub start: u64,
    /// End of the log.
    pub end: u64,
    /// What was verified and fed to the machine.
    pub walked: Range<u64>,
    /// Items fed to the machine.
    pub items: u64,
    /// Behind the end: the remains of a write that was never durable, zeroed now.
    pub torn: Option<Range<u64>>,
    /// Ranges of the walked part, and segment headers, that are lost, and what is missing of the
    /// files below the walked part.
    pub damage: Vec<Damage>,
    /// The run before ended with `close`.
    pub clean: bool,
    /// The machine has not been restarted since, so no page of the log was lost by power.
    pub same_boot: bool,
    /// The epoch that this opening began.
    pub epoch: u64,
}

/// What the next frame has to say to follow the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) number: u64,
    pub(crate) previous: u32,
    pub(crate) epoch: u64,
}

impl Chain {
    /// In front of the first frame ever written.
    const GENESIS: Self = Self { number: 0, previous: 0, epoch: 0 };

    fn after(header: &FrameHeader, header_crc: u32) -> Self {
        Self { number: header.number + 1, previous: header_crc, epoch: header.epoch }
    }

    fn continues_with(&self, header: &FrameHeader) -> bool {
        header.number == self.number && header.previous == self.previous
    }
}

/// Where the walk ended.
#[derive(Debug)]
pub(crate) struct End {
    /// Index of the segment in which the log goes on; `None`: all segments end below `offset`.
    pub(crate) segment: Option<usize>,
    pub(crate) offset: u64,
    /// `None`: no frame is left that could tell.
    pub(crate) chain: Option<Chain>,
    pub(crate) items: u64,
    pub(crate) damage: Vec<Damage>,
    /// The run before closed the log here: there is nothing behind to be cleared.
    pub(crate) closed: bool,
}

/// One pass over the frames from a resume point to the end.
pub(crate) struct Walk<'a, M> {
    segments: &'a [Arc<Segment>],
    machine: &'a mut M,
    epochs: &'a mut Epochs,
    reader: Reader,
    chain: Option<Chain>,
    /// Highest position that is known to have been durable.
    durable: u64,
    /// Where the run before closed the log. Nothing was written since.
    closed_at: Option<u64>,
    items: u64,
    damage: Vec<Damage>,
}

impl<'a, M: Machine> Walk<'a, M> {
    /// `before`: what the run before is known to have flushed, and whether it ended there.
    pub(crate) fn new(
        segments: &'a [Arc<Segment>],
        machine: &'a mut M,
        epochs: &'a mut Epochs,
        seal: Seal,
        before: Option<Progress>,
    ) -> Self {
        let reader = Reader::new(seal);
        let durable = before.map_or(0, |progress| progress.durable);
        let closed_at = before.filter(|progress| progress.clean).map(|progress| progress.durable);
        Self {
            segments,
            machine,
            epochs,
            reader,
            chain: None,
            durable,
            closed_at,
            items: 0,
            damage: Vec::new(),
        }
    }

    /// Feeds the machine with everything from `resume` on. There is at least one segment.
    pub(crate) fn run(mut self, resume: u64) -> Result<End, LogError> {
        self.damage = missing::below(self.segments, &mut self.reader, resume)?;
        self.durable = self.durable.max(resume);
        let (mut index, mut at) = self.anchor(resume);
        loop {
            at = self.follow(index, at);
            let Some((next, offset)) = self.further(index, at) else { break };
            if let Some(end) = self.skip_payload(index, at) {
                at = end;
                continue;
            }
            let (to, start) = match self.rolls_over(index) {
                Some(first) if next > index => (index + 1, first),
                _ => {
                    let from = self.lost_from(index, at, next, offset);
                    self.lose(from..offset);
                    self.chain = None;
                    (next, offset)
                }
            };
            for passed in index..to {
                self.machine.sealed(self.segments[passed].range());
            }
            (index, at) = (to, start);
        }
        Ok(self.end(index, at))
    }

    /// Where the walk begins, and the chain up to there.
    fn anchor(&mut self, resume: u64) -> (usize, u64) {
        let after = self.segments.partition_point(|segment| segment.start <= resume);
        let index = after.saturating_sub(1);
        let segment = &self.segments[index];
        if resume > segment.first_frame() {
            let at = align_up(resume).min(segment.end());
            let ends_here = |header: &FrameHeader| header.end() == at || at == segment.end();
            self.chain = scan::last_header(segment, &mut self.reader, at, ends_here)
                .map(|(header, crc)| Chain::after(&header, crc));
            return (index, at);
        }
        let before = index.checked_sub(1).map(|before| &self.segments[before]);
        self.chain = match before {
            None => (segment.start == 0).then_some(Chain::GENESIS),
            Some(before) => scan::last_header(before, &mut self.reader, before.end(), |_| true)
                .map(|(header, crc)| Chain::after(&header, crc)),
        };
        (index, segment.first_frame())
    }

    /// Applies frames as long as each follows the one before; gives the end of the last.
    fn follow(&mut self, index: usize, mut at: u64) -> u64 {
        let segment = &self.segments[index];
        while let Some(frame) = self.reader.frame(segment, at) {
            let header = frame.header;
            let follows = self.chain.is_none_or(|chain| chain.continues_with(&header));
            if !follows || !self.epochs.accept(header.epoch, at) {
                break;
            }
            self.items += feed(self.machine, &frame);
            self.chain = Some(Chain::after(&header, frame.header_crc));
            if header.epoch > self.epochs.newest() {
                self.epochs.begin(header.epoch, at);
            }
            at = header.end();
        }
        at
    }

    /// The next valid frame where the order is lost: index of its segment and its offset. At `at`
    /// itself there may be one that does not name the frame before it, because that was lost
    /// already when this one was written.
    fn further(&mut self, index: usize, at: u64) -> Option<(usize, u64)> {
        if self.is_closed_at(at) {
            return None;
        }
        let least = self.chain.unwrap_or(Chain::GENESIS);
        for (next, segment) in self.segments.iter().enumerate().skip(index) {
            let from = if next == index { at } else { segment.first_frame() };
            let (epochs, durable) = (&*self.epochs, &mut self.durable);
            let wanted = |reader: &mut Reader, header: FrameHeader| {
                let ours = header.number >= least.number
                    && header.epoch >= least.epoch
                    && epochs.accept(header.epoch, header.start);
                if ours {
                    *durable = header.durable.max(*durable);
                }
                ours && reader.verified(segment, header.start).is_some()
            };
            let range = from..segment.end();
            if let Some(header) = scan::headers(segment, &mut self.reader, range, wanted) {
                return Some((next, header.start));
            }
        }
        None
    }

    /// Whether the log was closed at the end of the last frame: what is behind was never written, and
    /// reading it, as the space is set aside in large pieces, would take most of the time of a start.
    fn is_closed_at(&self, at: u64) -> bool {
        self.closed_at == Some(at) && self.chain.is_some()
    }

    /// Where only the payload is lost, the header still says where the next frame starts.
    fn skip_payload(&mut self, index: usize, at: u64) -> Option<u64> {
        let segment = &self.segments[index];
        let (header, crc) = self.reader.header(segment, at)?;
        let ours = self.chain.is_none_or(|chain| chain.continues_with(&header))
            && self.epochs.accept(header.epoch, at)
            && header.end() <= segment.end();
        if !ours {
            return None;
        }
        self.lose(at..header.end());
        self.chain = Some(Chain::after(&header, crc));
        Some(header.end())
    }

    /// Start of what is lost before the frame at `offset`. The rest of a full segment is not part
    /// of it if the one frame missing in the count has left its traces in the next segment.
    fn lost_from(&mut self, index: usize, at: u64, next: usize, offset: u64) -> u64 {
        let Some(behind) = self.segments.get(index + 1).filter(|_| next > index) else { return at };
        let first = behind.first_frame();
        let found = self.reader.header(&self.segments[next], offset);
        let one_is_missing = found.is_some_and(|(header, _)| {
            self.chain.is_some_and(|chain| header.number == chain.number + 1)
        });
        let rest = at..self.segments[index].end();
        let traces = !scan::is_zero(behind, &mut self.reader, first..first + FRAME_HEADER);
        if one_is_missing && traces && scan::is_zero(&self.segments[index], &mut self.reader, rest)
        {
            first
        } else {
            at
        }
    }

    /// The first frame of the next segment, if its header follows the last frame of this one.
    fn rolls_over(&mut self, index: usize) -> Option<u64> {
        let next = self.segments.get(index + 1)?;
        let (header, _) = self.reader.header(next, next.first_frame())?;
        let follows = self.chain.is_some_and(|chain| chain.continues_with(&header));
        (follows && self.epochs.accept(header.epoch, header.start)).then_some(header.start)
    }

    /// Notes a lost range, cut at the ends of segments.
    fn lose(&mut self, lost: Range<u64>) {
        let mut at = lost.start;
        for segment in self.segments.iter().filter(|s| s.end() > lost.start) {
            if at < segment.start.min(lost.end) {
                self.lose_missing(at..segment.start.min(lost.end));
            }
            let part = at.max(segment.start)..lost.end.min(segment.end());
            if part.start < part.end {
                self.damage.push(Damage::new(segment, part));
            }
            at = at.max(segment.end());
        }
        if at < lost.end {
            self.lose_missing(at..lost.end);
        }
    }

    /// Notes a range for which there is no file.
    fn lose_missing(&mut self, lost: Range<u64>) {
        let directory = self.segments[0].path.parent().unwrap_or(&self.segments[0].path);
        self.damage.push(Damage::at(&path_of(directory, lost.start), lost.start, lost));
    }

    /// The end, behind everything that is known to have been durable.
    fn end(mut self, index: usize, at: u64) -> End {
        let durable = align_up(self.durable).max(self.behind_gaps(index));
        let mut end = End {
            segment: Some(index),
            offset: at,
            chain: self.chain,
            items: self.items,
            damage: Vec::new(),
            closed: self.is_closed_at(at),
        };
        if durable > at {
            self.lose(at..durable);
            end.segment = self.segments.iter().position(|segment| segment.end() >= durable);
            let first = end.segment.map_or(durable, |segment| self.segments[segment].first_frame());
            end.offset = durable.max(first);
            // A gap in the numbers, so that no later opening takes the damage for a roll.
            end.chain = end.chain.map(|chain| Chain { number: chain.number + 1, ..chain });
        }
        for passed in &self.segments[index..end.segment.unwrap_or(self.segments.len())] {
            self.machine.sealed(passed.range());
        }
        end.damage = self.damage;
        end
    }

    /// Start of the last segment in front of which a file is missing or cut. A segment is made when
    /// the one before it is begun, so what is missing was part of the log.
    fn behind_gaps(&self, index: usize) -> u64 {
        let pairs = self.segments[index..].windows(2).enumerate();
        let mut behind = pairs.filter(|(passed, pair)| {
            // Where the walk ended, the end of the file is the end of the log like any other.
            pair[0].end() < pair[1].start || (*passed > 0 && pair[0].is_cut())
        });
        behind.next_back().map_or(0, |(_, pair)| pair[1].start)
    }
}

/// Applies the items of a frame; gives their number.
fn feed<M: Machine>(machine: &mut M, frame: &Frame<'_>) -> u64 {
    let items = Items::new(frame.payload, frame.header.payload_start());
    items.map(|item| machine.apply(item)).count() as u64
}
