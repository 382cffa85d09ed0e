//! `identity`: the random number a store is born with, and the version of its format.

use std::path::Path;

use crate::{directory::Directory, error::LogError, frame::StoreId};

const NAME: &str = "identity";
const MAGIC: [u8; 4] = *b"RKID";
const FORMAT_VERSION: u32 = 1;
const BYTES: usize = 28;

/// Reads the identity, or makes one if nothing shows that the store existed before.
pub(crate) fn open(directory: &Directory, has_segments: bool) -> Result<StoreId, LogError> {
    match read(directory)? {
        Some(id) => Ok(id),
        None if has_segments => Err(LogError::Missing { path: directory.path().join(NAME) }),
        None => {
            let id = StoreId(rand::random());
            directory.write_twice(NAME, &encode(FORMAT_VERSION, id))?;
            // The entry of the directory itself, in case it was made just now.
            let parent = directory.path().parent().filter(|p| *p != Path::new(""));
            directory.sync(parent.unwrap_or(Path::new(".")))?;
            Ok(id)
        }
    }
}

/// Reads the identity, if there is one.
pub(crate) fn read(directory: &Directory) -> Result<Option<StoreId>, LogError> {
    match directory.read_either(NAME, decode)? {
        None => Ok(None),
        Some((FORMAT_VERSION, id)) => Ok(Some(id)),
        Some((found, _)) => {
            let path = directory.path().join(NAME);
            Err(LogError::Version { path, found, supported: FORMAT_VERSION })
        }
    }
}

/// `RKID`, version, store id, CRC-32C of all before; integers big-endian.
fn encode(version: u32, id: StoreId) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&version.to_be_bytes());
    bytes[8..24].copy_from_slice(&id.0);
    let crc = crc32c::crc32c(&bytes[..24]);
    bytes[24..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<(u32, StoreId)> {
    let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
    let (content, crc) = bytes.split_last_chunk::<4>()?;
    let valid = content[..4] == MAGIC && crc32c::crc32c(content) == u32::from_be_bytes(*crc);
    let version = u32::from_be_bytes(*content[4..].first_chunk()?);
    let id = StoreId(*content[8..].first_chunk()?);
    valid.then_some((version, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Faults;

    #[test]
    fn identity_stays_the_same_and_a_lost_one_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::lock(dir.path(), Faults::none()).unwrap();
        let id = open(&directory, false).unwrap();
        assert_eq!(open(&directory, true).unwrap(), id);
        for name in ["identity", "identity.copy"] {
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
        assert!(matches!(open(&directory, true), Err(LogError::Missing { .. })));
    }

    #[test]
    fn every_flipped_bit_of_an_identity_is_noticed() {
        let good = encode(FORMAT_VERSION, StoreId([9; 16]));
        assert_eq!(decode(&good), Some((FORMAT_VERSION, StoreId([9; 16]))));
        for bit in 0..BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bad), None, "bit {bit}");
        }
    }
}
