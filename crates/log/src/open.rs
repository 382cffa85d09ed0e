//! The steps of opening, in the order that makes each safe to be killed in.

use std::{fs, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use crate::{
    append::Position,
    core::Core,
    damage::{Damage, DamageList},
    directory::Directory,
    epochs::Epochs,
    error::LogError,
    files,
    flush::Flusher,
    frame::{FRAME_ALIGN, Seal, StoreId},
    identity,
    machine::Machine,
    options::Options,
    positions::Positions,
    progress::{Progress, ProgressFile},
    recovery::{End, Recovery, Walk},
    scan,
    segment::{SEGMENT_HEADER, Segment, SegmentHeader, Segments, allocate},
    space::Space,
};

/// Everything a log is made of, before its threads run.
pub(crate) struct Opened<M> {
    pub(crate) core: Core,
    pub(crate) machine: M,
    pub(crate) position: Position,
    pub(crate) progress: ProgressFile,
    pub(crate) recovery: Recovery,
}

/// The files of one log while it is being opened.
struct Opening {
    options: Options,
    directory: Directory,
    id: StoreId,
    seal: Seal,
    epochs: Epochs,
    segments: Vec<Arc<Segment>>,
    /// Segment headers that are lost.
    damage: Vec<Damage>,
}

pub(crate) fn open<M: Machine>(
    options: Options,
    mut machine: M,
    resume: u64,
) -> Result<Opened<M>, LogError> {
    let (mut opening, mut progress, before) = Opening::read(options, resume)?;
    let durable = before.map_or(0, |progress| progress.durable);
    if opening.segments.is_empty() {
        // Retention always leaves one: whatever took the last one was no part of this log.
        let known = resume.max(durable);
        if known > SEGMENT_HEADER {
            return Err(LogError::NoSegments { path: opening.options.dir.join("log"), known });
        }
        opening.add_segment(0)?;
    }
    let Opening { segments, epochs, seal, .. } = &mut opening;
    let mut end = Walk::new(segments, &mut machine, epochs, *seal, before).run(resume)?;

    let active = opening.enter(&mut end)?;
    let torn = opening.clear_behind(active, &end)?;
    // Nothing was lost with the header of a segment in which there was nothing yet.
    let log_end = opening.segments[active].end();
    opening.damage.retain(|damage| damage.range.start < log_end);
    end.damage.append(&mut opening.damage);
    opening.flush_from(durable.min(end.offset))?;
    let epoch = opening.begin_epoch(&end)?;
    progress.reopen(end.offset)?;

    let first = &opening.segments[0];
    let recovery = Recovery {
        start: first.start,
        end: end.offset,
        walked: resume.max(first.first_frame()).min(end.offset)..end.offset,
        items: end.items,
        torn,
        damage: end.damage.clone(),
        clean: before.is_some_and(|progress| progress.clean),
        same_boot: before.is_some_and(|progress| progress.same_boot()),
        epoch,
    };
    let position = opening.position(active, &end);
    let core = opening.into_core(epoch, end);
    Ok(Opened { core, machine, position, progress, recovery })
}

impl Opening {
    /// Locks the directory and reads everything but the frames. Changes nothing of a log that
    /// exists. Also gives what the run before left as a hint.
    fn read(
        mut options: Options,
        resume: u64,
    ) -> Result<(Self, ProgressFile, Option<Progress>), LogError> {
        options.check()?;
        let directory = match options.directory.take() {
            Some(locked) => locked,
            None => Directory::lock(&options.dir, options.faults.clone())?,
        };
        let found = files::list(&directory)?;
        let id = identity::open(&directory, !found.is_empty())?;
        let seal = Seal::new(id);
        let epochs = Epochs::load(&directory, seal)?;
        let (progress, before) = ProgressFile::open(&directory, seal)?;
        let (segments, headless) = files::open(&found, id, resume, options.segment_size)?;
        let headers = headless.into_iter().map(|index| &segments[index]);
        let damage = headers.map(|s| Damage::new(s, s.start..s.first_frame())).collect();
        let opening = Self { options, directory, id, seal, epochs, segments, damage };
        Ok((opening, progress, before))
    }

    /// Where the next frame goes, and what it has to say.
    fn position(&self, active: usize, end: &End) -> Position {
        let chain = end.chain.map(|chain| (chain.number, chain.previous));
        // Where no frame is left to tell, a number that no frame below can have reached.
        let (number, previous) = chain.unwrap_or((end.offset / FRAME_ALIGN, 0));
        let segment = Arc::clone(&self.segments[active]);
        Position { segment, end: end.offset, number, previous }
    }

    /// Makes a segment of zeros at the end of the list.
    fn add_segment(&mut self, start: u64) -> Result<(), LogError> {
        let header = SegmentHeader {
            id: self.id,
            start: start.next_multiple_of(SEGMENT_HEADER),
            size: self.options.segment_size,
            epoch: self.epochs.newest(),
        };
        let segment = Segment::create(&self.directory, header, &self.options.faults)?;
        self.segments.push(Arc::new(segment));
        Ok(())
    }

    /// The segment in which the log goes on, whole again; made where the file is lost.
    fn enter(&mut self, end: &mut End) -> Result<usize, LogError> {
        let active = if let Some(active) = end.segment {
            active
        } else {
            self.add_segment(end.offset)?;
            let last = self.segments.len() - 1;
            end.offset = self.segments[last].first_frame();
            last
        };
        let segment = &self.segments[active];
        let length = segment.file.metadata().map_err(LogError::io("look at", &segment.path))?.len();
        if length < segment.size {
            allocate(&segment.file, segment.size)
                .and_then(|()| self.restore_header(segment))
                .and_then(|()| segment.file.sync_all())
                .map_err(LogError::io("allocate", &segment.path))?;
        }
        Ok(active)
    }

    /// Writes the header of a segment whose file was cut before it.
    fn restore_header(&self, segment: &Segment) -> io::Result<()> {
        if SegmentHeader::read(&segment.file, &segment.path).is_ok_and(|header| header.is_some()) {
            return Ok(());
        }
        let (start, size) = (segment.start, segment.size);
        let header = SegmentHeader { id: self.id, start, size, epoch: self.epochs.newest() };
        segment.file.write_all_at(&header.encode(), 0)
    }

    /// Zeroes what a torn write left behind the end, and deletes the segments behind it, in which
    /// there is no valid frame. Gives the range that held anything.
    fn clear_behind(&mut self, active: usize, end: &End) -> Result<Option<Range<u64>>, LogError> {
        let segment = &self.segments[active];
        let torn = if end.closed {
            None
        } else {
            scan::clear(segment, end.offset).map_err(LogError::io("clear", &segment.path))?
        };
        if torn.is_some() {
            segment.flush(&self.options.faults)?;
        }
        let later = self.segments.split_off(active + 1);
        // Newest first: a kill in between must not leave a hole, which would speak of a lost file.
        for segment in later.iter().rev() {
            fs::remove_file(&segment.path).map_err(LogError::io("delete", &segment.path))?;
        }
        if !later.is_empty() {
            self.directory.sync(&self.directory.segments())?;
        }
        Ok(torn.map(|last| end.offset..last))
    }

    /// What a killed process left to the kernel counts only once it is on disk.
    fn flush_from(&self, durable: u64) -> Result<(), LogError> {
        let from = self.segments.partition_point(|segment| segment.end() < durable);
        self.segments[from..].iter().try_for_each(|segment| segment.flush(&self.options.faults))
    }

    /// Notes the new epoch before any frame of it can exist.
    fn begin_epoch(&mut self, end: &End) -> Result<u64, LogError> {
        let last = end.chain.map_or(0, |chain| chain.epoch);
        let epoch = self.epochs.newest().max(last) + 1;
        self.epochs.begin(epoch, end.offset);
        self.epochs.trim(self.segments[0].start);
        self.epochs.save(&self.directory, self.seal)?;
        Ok(epoch)
    }

    fn into_core(self, epoch: u64, end: End) -> Core {
        let start = self.segments[0].start;
        let next = self.segments.last().map_or(0, |segment| segment.end());
        Core {
            directory: self.directory,
            id: self.id,
            seal: self.seal,
            epoch,
            segment_size: self.options.segment_size,
            flush_mode: self.options.flush,
            flush_interval: self.options.flush_interval,
            faults: self.options.faults,
            segments: Segments::new(self.segments),
            positions: Positions::new(start, end.offset),
            damage: DamageList::new(end.damage),
            flusher: Flusher::default(),
            space: Space::new(next),
            on_confirmed: self.options.on_confirmed,
            on_failure: self.options.on_failure,
        }
    }
}
