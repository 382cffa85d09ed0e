//! Which parts of a segment have been verified since the process started.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

/// Bytes that are verified together.
pub(crate) const CHUNK: u64 = 1 << 20;

/// One bit per chunk of a segment. Empty: everything is verified.
#[derive(Debug)]
pub(crate) struct Chunks(Vec<AtomicU64>);

impl Chunks {
    /// Of a segment that this process writes or has walked.
    pub(crate) fn verified() -> Self {
        Self(Vec::new())
    }

    /// Of a segment of `size` bytes of which only what starts at `from` is verified.
    pub(crate) fn verified_from(from: u64, size: u64) -> Self {
        let chunks = Self((0..size.div_ceil(CHUNK).div_ceil(64)).map(|_| 0.into()).collect());
        (from.div_ceil(CHUNK)..size.div_ceil(CHUNK)).for_each(|chunk| chunks.set(chunk));
        chunks
    }

    /// The first chunk that is not verified among those the positions touch.
    pub(crate) fn unverified(&self, positions: &Range<u64>) -> Option<u64> {
        if self.0.is_empty() {
            return None;
        }
        (positions.start / CHUNK..positions.end.div_ceil(CHUNK)).find(|&chunk| !self.is_set(chunk))
    }

    pub(crate) fn set(&self, chunk: u64) {
        if let Some((word, bit)) = self.word(chunk) {
            word.fetch_or(bit, Ordering::Release);
        }
    }

    fn is_set(&self, chunk: u64) -> bool {
        self.word(chunk).is_none_or(|(word, bit)| word.load(Ordering::Acquire) & bit != 0)
    }

    fn word(&self, chunk: u64) -> Option<(&AtomicU64, u64)> {
        let word = self.0.get(usize::try_from(chunk / 64).ok()?)?;
        Some((word, 1 << (chunk % 64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_chunks_behind_the_start_count_as_verified() {
        let chunks = Chunks::verified_from(CHUNK + 1, 200 * CHUNK);
        assert_eq!(chunks.unverified(&(0..10)), Some(0));
        assert_eq!(chunks.unverified(&(CHUNK..200 * CHUNK)), Some(1));
        assert_eq!(chunks.unverified(&(2 * CHUNK..200 * CHUNK)), None);
        chunks.set(1);
        assert_eq!(chunks.unverified(&(CHUNK..200 * CHUNK)), None);
        assert_eq!(Chunks::verified().unverified(&(0..CHUNK)), None);
    }
}
