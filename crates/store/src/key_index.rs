//! The key index (RocketMQ's index file): which messages may carry a key.
//!
//! Holds hashes of (topic, key), so a hit is a candidate: whoever asks reads the record and
//! compares. This file has the part in memory; [`crate::index_file`] has that of sealed segments.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// One key of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyEntry {
    pub(crate) hash: u64,
    pub(crate) physical: u64,
}

/// Odd constants with about as many ones as zeros; any others would do, but these are on disk.
const SEEDS: [u64; 3] = [0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9];

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "both halves of the product are used")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

/// Eight bytes per multiplication. Stored in index files, so it must not change with a library.
fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = mix(seed ^ SEEDS[0], bytes.len() as u64 ^ SEEDS[1]);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = mix(state ^ u64::from_le_bytes(*word), SEEDS[2]);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(state ^ u64::from_le_bytes(last), SEEDS[1])
}

/// Hash of one topic, from which hashes of its keys are made.
pub(crate) fn topic_hash(topic: &str) -> u64 {
    hash_bytes(0, topic.as_bytes())
}

/// Hash under which a key of a topic is found.
pub(crate) fn key_hash(topic: u64, key: &str) -> u64 {
    hash_bytes(topic, key.as_bytes())
}

/// Entries per chunk: 256 KiB, so that growing never copies much while the tail is locked.
const CHUNK: usize = 16_384;

/// Keys of messages whose segment has no index file yet, in log order.
#[derive(Debug, Default)]
pub(crate) struct RecentKeys {
    chunks: Mutex<VecDeque<Vec<KeyEntry>>>,
}

impl RecentKeys {
    pub(crate) fn extend(&self, entries: &[KeyEntry]) {
        if entries.is_empty() {
            return;
        }
        let mut chunks = self.chunks.lock();
        if chunks.back().is_none_or(|chunk| chunk.len() + entries.len() > CHUNK) {
            chunks.push_back(Vec::with_capacity(CHUNK.max(entries.len())));
        }
        chunks.back_mut().expect("pushed above when there was none").extend_from_slice(entries);
    }

    /// A segment ends here: its keys and those of the next one are kept apart.
    pub(crate) fn seal(&self) {
        let mut chunks = self.chunks.lock();
        if let Some(last) = chunks.back_mut().filter(|chunk| !chunk.is_empty()) {
            last.shrink_to_fit();
            chunks.push_back(Vec::with_capacity(CHUNK));
        }
    }

    /// Copies the keys below `end`. One caller at a time, which also drops them.
    pub(crate) fn below(&self, end: u64) -> Vec<KeyEntry> {
        let (mut keys, mut index) = (Vec::new(), 0);
        // One chunk per lock, as in `find`.
        while let Some(chunk) = self.chunks.lock().get(index) {
            keys.extend(chunk.iter().take_while(|entry| entry.physical < end));
            index += 1;
        }
        keys
    }

    /// Drops the keys below `end`, which are in an index file now.
    pub(crate) fn drop_below(&self, end: u64) {
        let mut chunks = self.chunks.lock();
        let gone = |chunk: &Vec<KeyEntry>| chunk.last().is_some_and(|last| last.physical < end);
        while chunks.front().is_some_and(gone) {
            chunks.pop_front();
        }
    }

    /// Physical offsets of messages that may carry the key, newest first.
    pub(crate) fn find(&self, hash: u64) -> Vec<u64> {
        let mut found = Vec::new();
        let mut from_back = 0;
        // One chunk per lock: appends wait for 256 KiB of scanning at most.
        loop {
            let chunks = self.chunks.lock();
            let Some(index) = chunks.len().checked_sub(from_back + 1) else { return found };
            let hits = chunks[index].iter().rev().filter(|entry| entry.hash == hash);
            found.extend(hits.map(|entry| entry.physical));
            from_back += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_what_index_files_hold() {
        let topic = topic_hash("orders");
        let hashes = [key_hash(topic, ""), key_hash(topic, "order-17"), key_hash(topic, "order-1")];
        assert_eq!(
            hashes,
            [950_688_156_797_748_021, 2_404_921_866_795_209_927, 14_881_256_269_127_379_736],
            "changing these needs a new file version"
        );
    }

    #[test]
    fn topic_and_key_both_count() {
        let (a, b) = (topic_hash("a"), topic_hash("b"));
        assert_ne!(key_hash(a, "k"), key_hash(b, "k"));
        assert_ne!(key_hash(a, "k"), key_hash(a, "k\0"));
    }

    #[test]
    fn candidates_come_newest_first_across_chunks() {
        let keys = RecentKeys::default();
        for physical in 0..40_000 {
            keys.extend(&[KeyEntry { hash: physical % 10_000, physical }]);
        }
        assert_eq!(keys.find(77), [30_077, 20_077, 10_077, 77]);
        assert_eq!(keys.find(10_001), [0_u64; 0]);
    }

    #[test]
    fn sealed_keys_go_when_they_are_filed() {
        let keys = RecentKeys::default();
        keys.extend(&[KeyEntry { hash: 1, physical: 10 }, KeyEntry { hash: 2, physical: 10 }]);
        keys.seal();
        keys.extend(&[KeyEntry { hash: 1, physical: 20 }]);
        assert_eq!(keys.below(20).len(), 2);
        keys.drop_below(20);
        assert_eq!((keys.find(1), keys.find(2)), (vec![20], vec![]));
    }
}
