//! Entries of one queue that are in no index file yet, and the holes that damage left among them.
//!
//! A hole costs no memory for the messages it stands for: what is behind it is only shifted.

use crate::queue_index::Entry;

/// Queue offsets without entries: in front of the entry with this index, or behind the last one.
/// Never in front of the first, whose offset says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hole {
    index: usize,
    offsets: u64,
}

/// What is at a queue offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copied {
    Entries(usize),
    /// There is no message below this queue offset.
    Hole {
        until: u64,
    },
    /// Behind the end.
    Nothing,
}

/// Entries in the order of their queue offsets.
#[derive(Debug, Default)]
pub(crate) struct Active {
    first: u64,
    entries: Vec<Entry>,
    holes: Vec<Hole>,
}

impl Active {
    pub(crate) fn starting_at(first: u64) -> Self {
        Self { first, ..Self::default() }
    }

    /// The queue offset of the first entry; the end if there is none.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The queue offset after the last entry and a hole behind it.
    pub(crate) fn end(&self) -> u64 {
        self.offset_of(self.entries.len())
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The queue offset of the entry with this index; the end for the one after the last.
    pub(crate) fn offset_of(&self, index: usize) -> u64 {
        let before = self.holes.iter().take_while(|hole| hole.index <= index);
        self.first + index as u64 + before.map(|hole| hole.offsets).sum::<u64>()
    }

    /// Takes the entry for the queue offset at the end.
    pub(crate) fn push(&mut self, entry: Entry) {
        if self.entries.capacity() == 0 {
            // Most queues of a large broker see one message per segment: no room for four.
            self.entries.reserve_exact(1);
        }
        self.entries.push(entry);
    }

    /// Goes on so many queue offsets later.
    pub(crate) fn skip(&mut self, offsets: u64) {
        let index = self.entries.len();
        match self.holes.last_mut() {
            _ if index == 0 => self.first += offsets,
            Some(last) if last.index == index => last.offsets += offsets,
            _ => self.holes.push(Hole { index, offsets }),
        }
    }

    /// Lets go of the first entries, and of a hole behind them.
    pub(crate) fn drop_first(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.first = self.offset_of(count);
        self.entries.drain(..count);
        self.entries.shrink_to(self.entries.len() * 2);
        self.holes.retain_mut(|hole| {
            let stays = hole.index > count;
            hole.index = hole.index.saturating_sub(count);
            stays
        });
        self.holes.shrink_to_fit();
    }

    /// Copies entries from a queue offset on that is not below the first, up to the next hole.
    pub(crate) fn copy(&self, from: u64, into: &mut [Entry]) -> Copied {
        let last = Hole { index: self.entries.len(), offsets: 0 };
        let (mut index, mut offset) = (0, self.first);
        for hole in self.holes.iter().copied().chain([last]) {
            let run = &self.entries[index..hole.index];
            if let Some(rest) = usize::try_from(from - offset).ok().and_then(|at| run.get(at..))
                && !rest.is_empty()
            {
                let count = rest.len().min(into.len());
                into[..count].copy_from_slice(&rest[..count]);
                return Copied::Entries(count);
            }
            (index, offset) = (hole.index, offset + run.len() as u64 + hole.offsets);
            if from < offset {
                return Copied::Hole { until: offset };
            }
        }
        Copied::Nothing
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(offset: u64) -> Entry {
        Entry { physical: 100 * offset, size: 100, tag: 0, store_ms: 0 }
    }

    /// Entries whose places say their queue offsets; `None` is a hole of five.
    fn filled(first: u64, steps: &[bool]) -> (Active, Vec<Option<u64>>) {
        let (mut active, mut expected) = (Active::starting_at(first), Vec::new());
        for is_entry in steps {
            let end = active.end();
            if *is_entry {
                active.push(entry(end));
                expected.push(Some(end));
            } else {
                active.skip(5);
                expected.extend([None; 5]);
            }
        }
        (active, expected)
    }

    #[test]
    fn a_hole_in_front_of_all_entries_moves_the_start() {
        let (active, _) = filled(10, &[false, true]);
        assert_eq!((active.first(), active.end()), (15, 16));
    }

    proptest! {
        #[test]
        fn every_offset_has_its_entry_or_is_in_a_hole(
            steps in prop::collection::vec(any::<bool>(), 0..20),
            dropped in 0_usize..20,
        ) {
            let (mut active, expected) = filled(10, &steps);
            let entries = expected.iter().flatten().count();
            let dropped = dropped.min(entries);
            active.drop_first(dropped);
            prop_assert_eq!(active.entries().len(), entries - dropped);
            prop_assert_eq!(active.end(), 10 + expected.len() as u64);
            let mut into = [Entry::default(); 3];
            let places = (10..active.end()).zip(0..).skip_while(|(at, _)| *at < active.first());
            for (offset, place) in places {
                let next = expected[place..].iter().position(Option::is_some);
                let next = next.map_or(active.end(), |next| offset + next as u64);
                match active.copy(offset, &mut into) {
                    Copied::Entries(count) => {
                        let same = (offset..).zip(&into[..count]).all(|(n, e)| *e == entry(n));
                        prop_assert!(count > 0 && same && next == offset, "{offset}: {into:?}");
                    }
                    Copied::Hole { until } => prop_assert!(until == next && next > offset),
                    Copied::Nothing => prop_assert!(false, "nothing at {offset}"),
                }
            }
            prop_assert_eq!(active.copy(active.end(), &mut into), Copied::Nothing);
        }
    }
}
