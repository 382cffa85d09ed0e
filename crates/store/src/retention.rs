//! What may be deleted, and when messages are refused to keep room for everything else.
//!
//! The log alone must always rebuild everything, so before its oldest segment goes, what is still
//! live in it is written again at the tail, and a record says where the log starts now.

use std::{sync::atomic::Ordering, time::Duration};

use crate::{error::StoreError, keeper::Work, store::Store, volume::Volume};

/// Segments deleted in one call, so that a full disk does not keep the caller for long.
const PASS: usize = 10;

/// Messages are taken again when the disk is so many percent less full than when they were refused,
/// so that a disk at the limit does not refuse and take them in turn.
const REFUSE_MARGIN: u8 = 2;

/// How long messages are kept, and how full the disk may get. Shares are of the whole volume; what
/// the log has set aside for messages to come counts as free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// After its newest message is this old, a segment goes.
    pub age: Duration,
    /// From here on the oldest segments go regardless of age.
    pub trim_percent: u8,
    /// From here on new messages are refused; offsets and settings still have room.
    pub refuse_percent: u8,
}

impl Default for Retention {
    /// Apache's: 72 hours, 85 %, 90 %.
    fn default() -> Self {
        Self { age: Duration::from_hours(72), trim_percent: 85, refuse_percent: 90 }
    }
}

/// What a pass of retention did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retained {
    pub segments_deleted: usize,
    /// Deleted although they were younger than the retention.
    pub forced: usize,
    /// As last measured, without what the log has set aside for itself.
    pub used_percent: u8,
}

impl Store {
    /// Deletes what is older than the retention or what a full disk asks for, and decides whether
    /// messages are taken. Waits for flushes: call it from a thread that may block. The segment
    /// being written is never deleted. `volume` measures the volume. Also writes derived files that
    /// could not be written before; if they still cannot, that is the error.
    pub fn retain(&self, now_ms: i64, volume: &dyn Fn() -> Volume) -> Result<Retained, StoreError> {
        // Without what the log has set aside, an empty broker would be too full for a message.
        let used_percent = || volume().with_free(self.log.set_aside()).used_percent();
        let policy = self.retention;
        let age_ms = i64::try_from(policy.age.as_millis()).unwrap_or(i64::MAX);
        let mut done = Retained { used_percent: used_percent(), ..Retained::default() };
        while done.segments_deleted < PASS {
            // Meanwhile nothing is filed, so that no index comes to be of what has just gone.
            let mut work = self.keeper.work();
            let oldest = self.tables.indexes.oldest();
            // A segment without messages, which has no time, holds nothing but state: it goes at
            // once, because what is live of it is carried.
            let expired =
                oldest.as_ref().is_some_and(|it| it.last_ms.saturating_add(age_ms) < now_ms);
            let forced = done.used_percent >= policy.trim_percent;
            if !expired && !forced {
                break;
            }
            // On a full volume there may be no room for an index, and what goes away needs none.
            let unfiled = || work.oldest_from(self.tables.shore.floor.start());
            let Some(end) = oldest.map(|it| it.range.end).or_else(unfiled) else { break };
            self.trim(end, now_ms, &mut work)?;
            drop(work);
            done.segments_deleted += 1;
            done.forced += usize::from(!expired);
            done.used_percent = used_percent();
        }
        self.judge(done.used_percent);
        // After deleting, which may have made the room that was missing.
        self.keeper.catch_up(&self.log)?;
        Ok(done)
    }

    /// Decides whether messages are taken, and deletes nothing.
    pub fn measure(&self, volume: Volume) {
        self.judge(volume.with_free(self.log.set_aside()).used_percent());
    }

    fn judge(&self, used_percent: u8) {
        let margin = if self.full_percent().is_some() { REFUSE_MARGIN } else { 0 };
        let is_full = used_percent >= self.retention.refuse_percent.saturating_sub(margin);
        self.full_percent.store(if is_full { used_percent } else { 0 }, Ordering::Relaxed);
    }

    /// Makes `new_start`, the end of a sealed segment, the start of the log.
    fn trim(&self, new_start: u64, now_ms: i64, work: &mut Work) -> Result<(), StoreError> {
        let end = self.carry(new_start, now_ms)?;
        self.log.flush_to(end)?;
        // First, so that no usable snapshot names an index file that is gone.
        self.keeper.snapshot_or_none(work, &self.log)?;
        self.log.trim(new_start)?;
        self.tables.indexes.remove_below(new_start)?;
        Ok(())
    }

    /// Refuses a message while the disk is too full.
    pub(crate) fn check_space(&self) -> Result<(), StoreError> {
        match self.full_percent() {
            None => Ok(()),
            Some(used_percent) => Err(StoreError::DiskFull { used_percent }),
        }
    }

    /// How full the disk is, while messages are refused because of it.
    pub fn full_percent(&self) -> Option<u8> {
        Some(self.full_percent.load(Ordering::Relaxed)).filter(|used| *used > 0)
    }
}
