//! What the log is told about its content: the state machine it feeds, and items.
//!
//! The log never looks into an item beyond its first eight bytes.

use std::ops::Range;

/// Bytes that every item starts with: `size i32, magic i32`, big-endian.
pub const ITEM_HEAD: usize = 8;

/// The state machine fed by a log. One per log, called under the tail lock, in log order.
pub trait Machine: Send + 'static {
    /// Encoded items and what stamping needs to know of them.
    type Batch: Send;

    /// The items, one after the other; each starts `size i32, magic i32`, big-endian.
    /// Length and item boundaries must be the same before and after `stamp`.
    fn bytes<'b>(&self, batch: &'b Self::Batch) -> &'b [u8];

    /// Writes into the batch what is known only at the tail. `start` is the physical offset of
    /// the batch's first byte. Sees the effects of earlier stamps; cannot fail.
    fn stamp(&mut self, batch: &mut Self::Batch, start: u64, now_ms: i64);

    /// Called once per item, after it was written, and during recovery. The only way state
    /// changes; takes no clock and no randomness, so that replay gives the same state.
    fn apply(&mut self, item: Item<'_>);

    /// The segment got its last frame; it may not be durable yet.
    fn sealed(&mut self, segment: Range<u64>);
}

/// A message record or a state record in its place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Physical offset of the first byte of `bytes`.
    pub offset: u64,
    pub bytes: &'a [u8],
}

/// Splits a payload into items.
pub(crate) struct Items<'a> {
    payload: &'a [u8],
    at: usize,
    start: u64,
}

impl<'a> Items<'a> {
    /// `start` is the physical offset of the payload's first byte.
    pub(crate) fn new(payload: &'a [u8], start: u64) -> Self {
        Self { payload, at: 0, start }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    /// Ends at the payload's end, or at bytes that cannot be an item.
    fn next(&mut self) -> Option<Item<'a>> {
        let rest = &self.payload[self.at..];
        let size = item_size(rest)?;
        let item = Item { offset: self.start + self.at as u64, bytes: &rest[..size] };
        self.at += size;
        Some(item)
    }
}

/// Size of the item that `bytes` starts with, if it is whole.
fn item_size(bytes: &[u8]) -> Option<usize> {
    let size = i32::from_be_bytes(*bytes.first_chunk()?);
    usize::try_from(size).ok().filter(|size| (ITEM_HEAD..=bytes.len()).contains(size))
}

/// Number of items in a batch and the size of its last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) items: u32,
    pub(crate) last: usize,
}

impl Shape {
    /// The position of the first byte that is not part of a whole item, if there is one.
    pub(crate) fn of(payload: &[u8]) -> Result<Shape, usize> {
        let (mut at, mut shape) = (0, Shape { items: 0, last: 0 });
        while at < payload.len() {
            let size = item_size(&payload[at..]).ok_or(at)?;
            shape = Shape { items: shape.items + 1, last: size };
            at += size;
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(size: usize, fill: u8) -> Vec<u8> {
        let mut bytes = vec![fill; size];
        bytes[..4].copy_from_slice(&i32::try_from(size).unwrap().to_be_bytes());
        bytes
    }

    #[test]
    fn items_are_found_at_their_physical_offsets() {
        let payload = [item(8, 1), item(11, 2)].concat();
        let found: Vec<_> = Items::new(&payload, 4192).map(|i| (i.offset, i.bytes.len())).collect();
        assert_eq!(found, [(4192, 8), (4200, 11)]);
        assert_eq!(Shape::of(&payload), Ok(Shape { items: 2, last: 11 }));
    }

    #[test]
    fn a_size_that_does_not_fit_is_no_item() {
        for size in [-1, 0, 7, 13, i32::MIN, i32::MAX] {
            let mut payload = [item(8, 1), item(12, 2)].concat();
            payload[8..12].copy_from_slice(&size.to_be_bytes());
            assert_eq!(Shape::of(&payload), Err(8), "size {size}");
            assert_eq!(Items::new(&payload, 0).count(), 1, "size {size}");
        }
        assert_eq!(Shape::of(&[0, 0, 0]), Err(0));
    }
}
