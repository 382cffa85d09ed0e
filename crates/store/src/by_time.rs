//! Finding a place in a queue by time. Store time never goes back, so this is a binary search.

use crate::{
    active::Copied,
    error::ReadError,
    position::QueueOffset,
    queue::{Bounds, Queue},
    queue_index::Entry,
    tables::Tables,
};

/// Which side of a time is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Boundary {
    /// The first message stored at or after the time; the end if there is none.
    #[default]
    Lower,
    /// The last message stored at or before the time; the first one if all are younger.
    Upper,
}

impl Tables {
    pub(crate) fn offset_by_time(
        &self,
        queue: &Queue,
        time_ms: i64,
        boundary: Boundary,
    ) -> Result<QueueOffset, ReadError> {
        let bounds = queue.bounds();
        let offset = match boundary {
            Boundary::Lower => self.first_where(queue, bounds, |stored| stored >= time_ms)?,
            Boundary::Upper => {
                let after = self.first_where(queue, bounds, |stored| stored > time_ms)?;
                after.saturating_sub(1).max(bounds.min.0)
            }
        };
        Ok(QueueOffset(offset))
    }

    /// The first queue offset whose store time passes; the end if none does.
    fn first_where(
        &self,
        queue: &Queue,
        bounds: Bounds,
        passes: impl Fn(i64) -> bool,
    ) -> Result<u64, ReadError> {
        let (mut low, mut high, mut found) = (bounds.min.0, bounds.max.0, bounds.max.0);
        let mut entry = [Entry::default()];
        while low < high {
            let middle = low + (high - low) / 2;
            // A hole has the time of the message behind it.
            let at = match self.entries_at(queue, middle, &mut entry)? {
                Copied::Hole { until } => until,
                Copied::Entries(_) | Copied::Nothing => middle,
            };
            if at >= high {
                high = middle;
                continue;
            }
            match self.store_ms(queue, QueueOffset(at))? {
                Some(stored) if passes(stored) => (high, found) = (middle, at),
                // Trimmed since the bounds were taken: what is left is above.
                Some(_) | None => low = at + 1,
            }
        }
        Ok(found)
    }

    pub(crate) fn store_ms(
        &self,
        queue: &Queue,
        at: QueueOffset,
    ) -> Result<Option<i64>, ReadError> {
        let mut entry = [Entry::default()];
        let copied = self.entries_at(queue, at.0, &mut entry)?;
        Ok(matches!(copied, Copied::Entries(1)).then_some(entry[0].store_ms))
    }
}
