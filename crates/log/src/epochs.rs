//! `epochs`: which epoch wrote which part of the log.
//!
//! Every opening begins an epoch, and the list is durable before the epoch's first frame. A frame
//! of an earlier epoch behind the start of a later one is therefore a leftover, never the log.

use crate::{directory::Directory, error::LogError, frame::Seal};

const NAME: &str = "epochs";
const MAGIC: [u8; 4] = *b"RKEP";
const ENTRY: usize = 16;
/// Bytes of the file, whatever is in it, so that noting an epoch needs no space on a full volume.
const SIZE: usize = 64 << 10;
/// Magic, number of entries, checksum.
const FRAME: usize = 12;
const MAX_ENTRIES: usize = (SIZE - FRAME) / ENTRY;

/// (epoch, physical offset of its first frame), both ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Epochs(Vec<(u64, u64)>);

impl Epochs {
    /// An empty list if both copies are lost: then what the frames say is believed.
    pub(crate) fn load(directory: &Directory, seal: Seal) -> Result<Self, LogError> {
        match directory.read_either(NAME, |bytes| Self::decode(bytes, seal)) {
            Ok(found) => Ok(found.unwrap_or_default()),
            Err(LogError::Unreadable { .. }) => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn save(&self, directory: &Directory, seal: Seal) -> Result<(), LogError> {
        directory.write_twice_in_place(NAME, &self.encode(seal), SIZE)
    }

    /// Whether a frame of `epoch` at `offset` can be part of the log. Epochs above the newest
    /// listed are believed, because they show that the list is the older one, and those in front of
    /// the first, because they may have been let go of.
    pub(crate) fn accept(&self, epoch: u64, offset: u64) -> bool {
        let after = self.0.partition_point(|&(_, start)| start <= offset);
        let fits = match after.checked_sub(1) {
            Some(at) => self.0[at].0 == epoch,
            None => self.0.first().is_some_and(|&(first, _)| epoch < first),
        };
        fits || epoch > self.newest()
    }

    /// 0 before the first.
    pub(crate) fn newest(&self) -> u64 {
        self.0.last().map_or(0, |&(epoch, _)| epoch)
    }

    /// Notes an epoch whose first frame is, or will be, at `start`.
    pub(crate) fn begin(&mut self, epoch: u64, start: u64) {
        debug_assert!(epoch > self.newest());
        // Epochs that never wrote a frame leave no trace to be told apart.
        while self.0.last().is_some_and(|&(_, s)| s >= start) {
            self.0.pop();
        }
        self.0.push((epoch, start));
        let most = self.0.len().saturating_sub(MAX_ENTRIES);
        self.0.drain(..most);
    }

    /// Forgets epochs that lie wholly below `start`.
    pub(crate) fn trim(&mut self, start: u64) {
        let below = self.0.partition_point(|&(_, s)| s <= start);
        self.0.drain(..below.saturating_sub(1));
    }

    /// `RKEP`, number of entries u32, entries, sealed CRC-32C of all before; big-endian.
    fn encode(&self, seal: Seal) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let count = u32::try_from(self.0.len()).expect("one epoch per opening stays below 2^32");
        bytes.extend_from_slice(&count.to_be_bytes());
        for (epoch, start) in &self.0 {
            bytes.extend_from_slice(&epoch.to_be_bytes());
            bytes.extend_from_slice(&start.to_be_bytes());
        }
        let crc = seal.checksum([&bytes[..]]);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// What is behind the checksum is left of longer lists.
    fn decode(bytes: &[u8], seal: Seal) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<8>()?;
        let (magic, count) = head.split_first_chunk::<4>()?;
        let count = u32::from_be_bytes(*count.first_chunk()?);
        let length = usize::try_from(count).ok()?.checked_mul(ENTRY)?;
        let (entries, crc) = rest.split_at_checked(length)?;
        let crc = u32::from_be_bytes(*crc.first_chunk()?);
        if *magic != MAGIC || crc != seal.checksum([&head[..], entries]) {
            return None;
        }
        let number = |b: &[u8]| b.first_chunk().map(|b| u64::from_be_bytes(*b));
        let entries = entries.as_chunks::<ENTRY>().0.iter();
        entries.map(|e| Some((number(e)?, number(&e[8..])?))).collect::<Option<_>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::StoreId;

    fn seal() -> Seal {
        Seal::new(StoreId([3; 16]))
    }

    #[test]
    fn frames_are_accepted_only_where_their_epoch_wrote() {
        let mut epochs = Epochs::default();
        epochs.begin(1, 4096);
        epochs.begin(2, 8192);
        for (epoch, offset, accepted) in [
            (1, 4096, true),
            (1, 8191, true),
            (1, 8192, false),
            (2, 8192, true),
            (2, 4096, false),
            (3, 8192, true),
            (0, 4096, false),
            (1, 4095, false),
            (0, 4095, true),
        ] {
            assert_eq!(epochs.accept(epoch, offset), accepted, "epoch {epoch} at {offset}");
        }
    }

    #[test]
    fn an_epoch_without_frames_is_replaced_by_the_next() {
        let mut epochs = Epochs::default();
        epochs.begin(1, 4096);
        epochs.begin(2, 8192);
        epochs.begin(3, 8192);
        assert_eq!(epochs, Epochs(vec![(1, 4096), (3, 8192)]));
    }

    #[test]
    fn trimming_keeps_the_epoch_that_reaches_over_the_start() {
        let mut epochs = Epochs(vec![(1, 0), (2, 100), (3, 200)]);
        epochs.trim(150);
        assert_eq!(epochs, Epochs(vec![(2, 100), (3, 200)]));
        epochs.trim(200);
        assert_eq!(epochs, Epochs(vec![(3, 200)]));
    }

    #[test]
    fn a_list_that_is_full_lets_go_of_its_oldest_epochs_and_still_believes_their_frames() {
        let mut epochs = Epochs::default();
        (1..6_000).for_each(|epoch| epochs.begin(epoch, 64 * epoch));
        assert_eq!(epochs.encode(seal()).len(), FRAME + MAX_ENTRIES * ENTRY);
        assert!(epochs.accept(7, 64 * 7) && epochs.accept(5_000, 64 * 5_000));
        assert!(!epochs.accept(5_000, 64 * 7) && !epochs.accept(7, 64 * 5_000));
    }

    #[test]
    fn noting_an_epoch_takes_no_space_but_the_first_time() {
        use std::os::unix::fs::MetadataExt;

        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::lock(dir.path(), crate::fault::Faults::none()).unwrap();
        let mut epochs = Epochs::default();
        let file = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap();
        let space =
            || ["epochs", "epochs.copy"].map(|name| (file(name).ino(), file(name).blocks()));
        (1..100).for_each(|epoch| epochs.begin(epoch, 64 * epoch));
        epochs.save(&directory, seal()).unwrap();
        let before = space();
        assert!(before.iter().all(|(_, blocks)| *blocks * 512 >= SIZE as u64));
        epochs.trim(64 * 98);
        (100..4_000).for_each(|epoch| epochs.begin(epoch, 64 * epoch));
        epochs.save(&directory, seal()).unwrap();
        assert_eq!((space(), Epochs::load(&directory, seal()).unwrap()), (before, epochs));
    }

    #[test]
    fn list_survives_a_round_trip_and_no_flipped_bit() {
        let epochs = Epochs(vec![(1, 4096), (5, 123_456)]);
        let bytes = epochs.encode(seal());
        assert_eq!(Epochs::decode(&bytes, seal()), Some(epochs));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Epochs::decode(&bad, seal()), None, "bit {bit}");
        }
    }
}
