//! Finding a place in a queue by time. Store time never goes back, so this is a binary search.

use crate::{
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
        let (mut low, mut high) = (bounds.min.0, bounds.max.0);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.store_ms(queue, QueueOffset(middle))? {
                Some(stored) if passes(stored) => high = middle,
                // Trimmed since the bounds were taken: what is left is above.
                Some(_) | None => low = middle + 1,
            }
        }
        Ok(low)
    }

    pub(crate) fn store_ms(
        &self,
        queue: &Queue,
        at: QueueOffset,
    ) -> Result<Option<i64>, ReadError> {
        let mut entry = [Entry::default()];
        let count = self.entries_at(queue, at.0, &mut entry)?;
        Ok((count > 0).then_some(entry[0].store_ms))
    }
}
