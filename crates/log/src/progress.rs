//! `progress`: a hint of how far the log was durable, and whether it was closed in order.
//!
//! Two slots are written in turn after a flush and never waited for, so the file may be older
//! than the log but not newer. A lost or damaged file only weakens the telling apart of a torn
//! tail from damage; it never changes what a healthy log gives back.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::{directory::Directory, error::LogError, frame::Seal, segment::allocate};

const NAME: &str = "progress";
const MAGIC: [u8; 4] = *b"RKPR";
/// Slots a page apart: one torn write cannot spoil both.
const SLOT: usize = 4096;
const RECORD: usize = 64;

/// One slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Grows with every write; the higher of two valid slots holds.
    sequence: u64,
    pub(crate) durable: u64,
    /// The kernel's boot id: after another boot, unflushed pages are gone.
    boot: [u8; 16],
    /// The log was closed in order and nothing was written since.
    pub(crate) clean: bool,
}

impl Progress {
    /// Whether the machine has not been restarted since this was written.
    pub(crate) fn same_boot(&self) -> bool {
        self.boot != [0; 16] && self.boot == boot_id()
    }

    fn encode(&self, seal: Seal) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.durable.to_be_bytes());
        bytes[24..40].copy_from_slice(&self.boot);
        bytes[40] = u8::from(self.clean);
        let crc = seal.checksum([&bytes[8..]]);
        bytes[4..8].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8], seal: Seal) -> Option<Self> {
        let bytes: &[u8; RECORD] = bytes.first_chunk()?;
        let crc = u32::from_be_bytes(*bytes[4..].first_chunk()?);
        let valid = bytes[..4] == MAGIC && crc == seal.checksum([&bytes[8..]]);
        let progress = Self {
            sequence: u64::from_be_bytes(*bytes[8..].first_chunk()?),
            durable: u64::from_be_bytes(*bytes[16..].first_chunk()?),
            boot: *bytes[24..].first_chunk()?,
            clean: bytes[40] == 1,
        };
        valid.then_some(progress)
    }
}

/// The open file; one writer.
#[derive(Debug)]
pub(crate) struct ProgressFile {
    file: File,
    path: PathBuf,
    seal: Seal,
    last: Progress,
}

impl ProgressFile {
    /// Opens or makes the file and tells what the run before left, if that can be known.
    pub(crate) fn open(
        directory: &Directory,
        seal: Seal,
    ) -> Result<(Self, Option<Progress>), LogError> {
        let path = directory.path().join(NAME);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(LogError::io("open", &path))?;
        // Reserved, so that a full disk never meets the flush thread.
        allocate(&file, 2 * SLOT as u64).map_err(LogError::io("allocate", &path))?;
        let mut bytes = [0; 2 * SLOT];
        // An unreadable hint is no hint.
        let length = file.read_at(&mut bytes, 0).unwrap_or(0);
        let found = bytes[..length]
            .chunks(SLOT)
            .filter_map(|slot| Progress::decode(slot, seal))
            .max_by_key(|progress| progress.sequence);
        let last = Progress { boot: boot_id(), ..found.unwrap_or_default() };
        Ok((Self { file, path, seal, last }, found))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the next slot without waiting for the disk.
    pub(crate) fn note(&mut self, durable: u64, clean: bool) -> io::Result<()> {
        self.last = Progress { sequence: self.last.sequence + 1, durable, clean, ..self.last };
        let slot = (self.last.sequence % 2) * SLOT as u64;
        self.file.write_all_at(&self.last.encode(self.seal), slot)
    }

    /// Writes both slots and waits for the disk: from now on nothing says any more that the log was
    /// closed, even if one slot is lost.
    pub(crate) fn reopen(&mut self, durable: u64) -> Result<(), LogError> {
        self.note(durable, false).map_err(LogError::io("write", &self.path))?;
        self.mark(durable, false)
    }

    /// Writes the next slot and waits for the disk: for the end of a run.
    pub(crate) fn mark(&mut self, durable: u64, clean: bool) -> Result<(), LogError> {
        self.note(durable, clean)
            .and_then(|()| self.file.sync_all())
            .map_err(LogError::io("write", &self.path))
    }
}

/// Zeros where the kernel does not tell.
fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&hex, 16).map_or([0; 16], u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fault::Faults, frame::StoreId};

    #[test]
    fn newest_intact_slot_holds() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::lock(dir.path(), Faults::none()).unwrap();
        let seal = Seal::new(StoreId([3; 16]));
        let reopen = || ProgressFile::open(&directory, seal).unwrap();
        let (mut file, found) = reopen();
        assert_eq!(found, None);
        file.mark(4096, false).unwrap();
        file.note(8192, true).unwrap();
        let (_, found) = reopen();
        assert!(found.is_some_and(|p| p.durable == 8192 && p.clean && p.same_boot()));
        // Sequence 2 went to the slot at 0.
        file.file.write_all_at(&[0xFF; 16], 8).unwrap();
        assert!(reopen().1.is_some_and(|p| p.durable == 4096 && !p.clean));
        file.file.write_all_at(&[0xFF; 16], 4096 + 8).unwrap();
        assert_eq!(reopen().1, None);
    }
}
