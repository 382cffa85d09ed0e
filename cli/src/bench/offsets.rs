//! Which queue offsets were handed out: finds offsets given twice and offsets given to nobody.
//!
//! Knows nothing of responses; one value per queue, fed in any order.

use std::collections::BTreeMap;

/// The offsets of one queue, as told by send responses.
#[derive(Debug)]
pub(crate) struct QueueOffsets {
    /// Everything from the base up to here was handed out.
    next: u64,
    /// Ranges above `next`, start to end, never touching each other: as many as there are holes.
    ahead: BTreeMap<u64, u64>,
    reused: u64,
}

impl QueueOffsets {
    /// `base` is the first offset that is still free.
    pub(crate) fn new(base: u64) -> Self {
        Self { next: base, ahead: BTreeMap::new(), reused: 0 }
    }

    /// Notes that `count` messages got the offsets from `first` on.
    pub(crate) fn accept(&mut self, first: u64, count: u64) {
        let end = first.saturating_add(count);
        if first == self.next {
            self.next = end;
            self.absorb();
        } else if first < self.next || self.overlaps(first, end) {
            self.reused += count;
        } else {
            self.insert(first, end);
        }
    }

    /// Offsets that lie below one handed out and were handed out to nobody.
    pub(crate) fn missing(&self) -> u64 {
        let mut missing = 0;
        let mut end = self.next;
        for (&start, &range_end) in &self.ahead {
            missing += start - end;
            end = range_end;
        }
        missing
    }

    /// Messages that got an offset which another one, or one before the run, already had.
    pub(crate) fn reused(&self) -> u64 {
        self.reused
    }

    fn overlaps(&self, first: u64, end: u64) -> bool {
        self.ahead.range(..end).next_back().is_some_and(|(_, &range_end)| range_end > first)
    }

    fn insert(&mut self, first: u64, end: u64) {
        let end = self.ahead.remove(&end).unwrap_or(end);
        match self.ahead.range_mut(..first).next_back() {
            Some((_, before)) if *before == first => *before = end,
            _ => {
                self.ahead.insert(first, end);
            }
        }
    }

    fn absorb(&mut self) {
        while let Some(entry) = self.ahead.first_entry() {
            if *entry.key() > self.next {
                break;
            }
            if *entry.key() < self.next {
                self.reused += self.next.min(*entry.get()) - *entry.key();
            }
            self.next = self.next.max(entry.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(base: u64, ranges: &[(u64, u64)]) -> QueueOffsets {
        let mut offsets = QueueOffsets::new(base);
        for &(first, count) in ranges {
            offsets.accept(first, count);
        }
        offsets
    }

    #[test]
    fn answers_in_any_order_leave_nothing_missing() {
        let offsets = fed(5, &[(7, 1), (9, 2), (5, 1), (8, 1), (6, 1)]);
        assert_eq!((offsets.missing(), offsets.reused(), offsets.next), (0, 0, 11));
        assert!(offsets.ahead.is_empty());
    }

    #[test]
    fn a_hole_is_counted_and_costs_one_range_however_many_follow() {
        let mut offsets = fed(0, &[(0, 1)]);
        for offset in 3..1_000 {
            offsets.accept(offset, 1);
        }
        assert_eq!((offsets.missing(), offsets.ahead.len()), (2, 1));
    }

    #[test]
    fn an_offset_given_twice_is_reused_wherever_it_lies() {
        assert_eq!(fed(0, &[(0, 4), (2, 1)]).reused(), 1);
        assert_eq!(fed(0, &[(10, 4), (12, 1)]).reused(), 1);
        assert_eq!(fed(0, &[(10, 4), (8, 4)]).reused(), 4);
        assert_eq!(fed(0, &[(2, 1), (0, 4)]).reused(), 1);
        assert_eq!(fed(5, &[(4, 1)]).reused(), 1, "an offset from before the run");
    }

    #[test]
    fn holes_between_batches_are_summed() {
        assert_eq!(fed(0, &[(4, 2), (10, 2), (0, 2)]).missing(), 2 + 4);
    }
}
