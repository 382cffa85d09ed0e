//! The places for open requests of one connection, and the opaques that name them.

/// Opaques have ten digits whatever is added to this, so that templates keep their length.
pub(crate) const FIRST_OPAQUE: i32 = 1_000_000_000;
/// Most requests that may be open on one connection.
pub(crate) const MAX_IN_FLIGHT: usize = 65_536;

/// A request that has no answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) opaque: i32,
    /// When it was sent, or was meant to be sent in an open loop.
    pub(crate) since_ns: u64,
}

/// A fixed number of places. An opaque tells its place, so that an answer is found without a map.
pub(crate) struct Slots {
    free: Vec<usize>,
    open: Vec<Option<Open>>,
    generation: i32,
}

impl Slots {
    /// `count` is 1 to [`MAX_IN_FLIGHT`].
    pub(crate) fn new(count: usize) -> Self {
        Self { free: (0..count).rev().collect(), open: vec![None; count], generation: 0 }
    }

    /// The next free slot and an opaque that no open request has; [`Slots::occupy`] takes it.
    pub(crate) fn next(&mut self) -> Option<(usize, i32)> {
        let &slot = self.free.last()?;
        let count = number(self.open.len());
        self.generation = (self.generation + 1) % (FIRST_OPAQUE / count);
        Some((slot, FIRST_OPAQUE + self.generation * count + number(slot)))
    }

    /// Takes the slot that [`Slots::next`] offered.
    pub(crate) fn occupy(&mut self, open: Open) {
        if let Some(slot) = self.free.pop() {
            self.open[slot] = Some(open);
        }
    }

    /// Frees the slot of an answer; `None` if no request with this opaque is open.
    pub(crate) fn vacate(&mut self, opaque: i32) -> Option<(usize, Open)> {
        let offset = usize::try_from(opaque.checked_sub(FIRST_OPAQUE)?).ok()?;
        let slot = offset % self.open.len();
        let open = self.open[slot].take_if(|open| open.opaque == opaque)?;
        self.free.push(slot);
        Some((slot, open))
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    pub(crate) fn open_count(&self) -> usize {
        self.open.len() - self.free.len()
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).expect("slots are at most MAX_IN_FLIGHT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(slots: &mut Slots) -> (usize, i32) {
        let (slot, opaque) = slots.next().unwrap();
        slots.occupy(Open { opaque, since_ns: 5 });
        (slot, opaque)
    }

    #[test]
    fn answers_find_their_slot_in_any_order_and_only_once() {
        let mut slots = Slots::new(3);
        let begun: Vec<_> = (0..3).map(|_| begin(&mut slots)).collect();
        assert!(!slots.has_room());
        assert_eq!(slots.next(), None);
        for &(slot, opaque) in begun.iter().rev() {
            assert_eq!(slots.vacate(opaque), Some((slot, Open { opaque, since_ns: 5 })));
            assert_eq!(slots.vacate(opaque), None, "a second answer");
        }
        assert_eq!(slots.open_count(), 0);
    }

    #[test]
    fn opaques_of_nobody_are_refused() {
        let mut slots = Slots::new(3);
        let (_, opaque) = begin(&mut slots);
        for other in [0, -1, i32::MIN, i32::MAX, opaque + 1, opaque + 3] {
            assert_eq!(slots.vacate(other), None, "{other}");
        }
    }

    #[test]
    fn opaques_keep_ten_digits_when_they_wrap() {
        let mut slots = Slots::new(MAX_IN_FLIGHT);
        for _ in 0..50_000 {
            let (_, opaque) = begin(&mut slots);
            assert!((FIRST_OPAQUE..2_000_000_000).contains(&opaque));
            slots.vacate(opaque).unwrap();
        }
    }
}
