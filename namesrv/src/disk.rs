//! The two files that hold what is kept: the newest generation and the one before.
//!
//! A change writes the whole into a new file, flushes it, renames it over the older of the two and
//! flushes the directory, so that at every moment one whole generation is there. A directory with
//! files of which none can be read is an error and never an empty beginning.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::kept::Kept;

/// First word of a file, with the version of its format.
const MAGIC: &str = "rocketkube-namesrv-1";
const NAMES: [&str; 2] = ["kept.0", "kept.1"];

/// Why what is kept could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is damaged: {reason}", path.display())]
    Damaged { path: PathBuf, reason: &'static str },
    #[error(
        "no whole file of settings is left in {}; restore one, or remove the damaged ones to start empty",
        dir.display()
    )]
    NothingWhole { dir: PathBuf, source: Box<DiskError> },
    #[error("{} is used by another process", path.display())]
    InUse { path: PathBuf },
}

/// The directory of a name server, held against other processes.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: PathBuf,
    generation: u64,
    /// Locked as long as it is open.
    _lock: File,
}

impl Disk {
    /// Opens a directory, which is made if there is none, and reads what it keeps.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Kept), DiskError> {
        fs::create_dir_all(dir).map_err(failed("create", dir))?;
        let path = dir.join("lock");
        let lock = File::create(&path).map_err(failed("open", &path))?;
        lock.try_lock().map_err(|_| DiskError::InUse { path })?;
        let (generation, kept) = newest(dir)?;
        Ok((Self { dir: dir.to_owned(), generation, _lock: lock }, kept))
    }

    /// Writes a new generation. If this fails, the one before is still there.
    pub(crate) fn save(&mut self, kept: &Kept) -> Result<(), DiskError> {
        let generation = self.generation + 1;
        let path = self.dir.join(NAMES[usize::from(generation % 2 == 1)]);
        let new = self.dir.join("kept.new");
        let mut file = File::create(&new).map_err(failed("create", &new))?;
        file.write_all(&encode(generation, kept)).map_err(failed("write", &new))?;
        file.sync_all().map_err(failed("flush", &new))?;
        fs::rename(&new, &path).map_err(failed("rename", &path))?;
        sync_dir(&self.dir)?;
        self.generation = generation;
        Ok(())
    }
}

fn newest(dir: &Path) -> Result<(u64, Kept), DiskError> {
    let mut newest = None;
    let mut damage = None;
    for name in NAMES {
        let path = dir.join(name);
        match read(&path) {
            Ok(None) => {}
            Ok(Some(found)) => {
                let newer = newest.as_ref().is_none_or(|(generation, _)| *generation < found.0);
                if newer {
                    newest = Some(found);
                }
            }
            Err(error) => {
                warn!(%error, "a generation of what is kept cannot be read");
                damage = Some(error);
            }
        }
    }
    match (newest, damage) {
        (Some(newest), _) => Ok(newest),
        (None, None) => Ok((0, Kept::default())),
        (None, Some(error)) => {
            Err(DiskError::NothingWhole { dir: dir.to_owned(), source: Box::new(error) })
        }
    }
}

fn read(path: &Path) -> Result<Option<(u64, Kept)>, DiskError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let damaged = |reason| DiskError::Damaged { path: path.to_owned(), reason };
    decode(&bytes).map(Some).map_err(damaged)
}

/// A line with magic, generation and checksum, then JSON. The checksum covers the generation too.
fn encode(generation: u64, kept: &Kept) -> Vec<u8> {
    let json = serde_json::to_vec(kept).expect("maps with text keys are JSON");
    let mut bytes =
        format!("{MAGIC} {generation} {:08x}\n", checksum(generation, &json)).into_bytes();
    bytes.extend_from_slice(&json);
    bytes
}

fn decode(bytes: &[u8]) -> Result<(u64, Kept), &'static str> {
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or("it has no first line")?;
    let (head, json) = (&bytes[..end], &bytes[end + 1..]);
    let head = std::str::from_utf8(head).map_err(|_| "its first line is not text")?;
    let words: Vec<&str> = head.split(' ').collect();
    let &[MAGIC, generation, sum] = &*words else { return Err("its first line is not ours") };
    let generation = generation.parse().map_err(|_| "its generation is no number")?;
    if u32::from_str_radix(sum, 16) != Ok(checksum(generation, json)) {
        return Err("its checksum does not fit");
    }
    let kept = serde_json::from_slice(json).map_err(|_| "a newer version wrote it")?;
    Ok((generation, kept))
}

fn checksum(generation: u64, json: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&generation.to_be_bytes());
    hasher.update(json);
    hasher.finalize()
}

/// Without it a rename may be lost with the power.
fn sync_dir(dir: &Path) -> Result<(), DiskError> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(failed("flush", dir))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(value: &str) -> Kept {
        let mut kept = Kept::default();
        kept.put("n", "k", value).unwrap();
        kept
    }

    fn reopened(dir: &Path) -> Result<Kept, DiskError> {
        Disk::open(dir).map(|(_, kept)| kept)
    }

    #[test]
    fn the_last_save_is_what_a_restart_reads() {
        let dir = tempfile::tempdir().unwrap();
        for value in ["1", "2", "3"] {
            let (mut disk, _) = Disk::open(dir.path()).unwrap();
            disk.save(&kept(value)).unwrap();
            drop(disk);
            assert_eq!(reopened(dir.path()).unwrap(), kept(value));
        }
    }

    #[test]
    fn every_flipped_byte_and_every_cut_leads_back_to_the_generation_before() {
        let dir = tempfile::tempdir().unwrap();
        let (mut disk, _) = Disk::open(dir.path()).unwrap();
        disk.save(&kept("old")).unwrap();
        disk.save(&kept("new")).unwrap();
        drop(disk);
        let path = dir.path().join(NAMES[0]);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x40;
            fs::write(&path, &flipped).unwrap();
            assert_eq!(reopened(dir.path()).unwrap(), kept("old"), "byte {at} flipped");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(reopened(dir.path()).unwrap(), kept("old"), "cut at byte {at}");
        }
    }

    #[test]
    fn damage_without_a_whole_generation_is_never_taken_for_empty() {
        let dir = tempfile::tempdir().unwrap();
        let (mut disk, _) = Disk::open(dir.path()).unwrap();
        disk.save(&kept("only")).unwrap();
        drop(disk);
        fs::write(dir.path().join(NAMES[1]), "").unwrap();
        assert!(matches!(reopened(dir.path()), Err(DiskError::NothingWhole { .. })));
    }

    #[test]
    fn a_file_that_was_not_finished_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let (mut disk, _) = Disk::open(dir.path()).unwrap();
        disk.save(&kept("1")).unwrap();
        drop(disk);
        fs::write(dir.path().join("kept.new"), "half").unwrap();
        assert_eq!(reopened(dir.path()).unwrap(), kept("1"));
    }

    #[test]
    fn a_directory_has_one_user() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Disk::open(dir.path()).unwrap();
        assert!(matches!(Disk::open(dir.path()), Err(DiskError::InUse { .. })));
    }
}
