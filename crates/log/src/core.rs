//! What the log and its threads share; knows neither machine nor batches.

use std::{fmt, time::Duration};

use crate::{
    damage::DamageList,
    directory::Directory,
    error::LogError,
    fault::Faults,
    flush::Flusher,
    frame::{Seal, StoreId},
    options::{Flush, OnConfirmed, OnFailure},
    positions::Positions,
    segment::Segments,
    space::Space,
};

/// The machine-independent part of a log.
pub(crate) struct Core {
    pub(crate) directory: Directory,
    pub(crate) id: StoreId,
    pub(crate) seal: Seal,
    /// The epoch of this opening.
    pub(crate) epoch: u64,
    pub(crate) segment_size: u64,
    pub(crate) flush_mode: Flush,
    pub(crate) flush_interval: Duration,
    pub(crate) faults: Faults,
    pub(crate) segments: Segments,
    pub(crate) positions: Positions,
    pub(crate) damage: DamageList,
    pub(crate) flusher: Flusher,
    pub(crate) space: Space,
    pub(crate) on_confirmed: OnConfirmed,
    pub(crate) on_failure: OnFailure,
}

impl Core {
    /// Makes everything below `target` durable; does not move `durable` itself.
    pub(crate) fn flush(&self, target: u64) -> Result<(), LogError> {
        for segment in self.segments.overlapping(&(self.positions.durable()..target)) {
            segment.flush(&self.faults)?;
        }
        Ok(())
    }

    /// Moves `confirmed` and tells so. Must not be called under a lock.
    pub(crate) fn confirm(&self, end: u64) {
        if self.positions.confirm(end) {
            (self.on_confirmed)(end);
        }
    }

    /// The first failure stops the log for good. Must not be called under a lock.
    pub(crate) fn fail(&self, error: &LogError) {
        if self.positions.fail() {
            self.space.stop();
            self.flusher.failed();
            (self.on_failure)(error);
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("directory", &self.directory)
            .field("epoch", &self.epoch)
            .field("positions", &self.positions)
            .finish_non_exhaustive()
    }
}
