//! The two files that hold what is kept: the newest generation and the one before.
//!
//! A change writes the whole into a new file, flushes it, renames it over the older of the two and
//! flushes the directory, so that at every moment one whole generation is there, whatever fails.
//!
//! Files that are there and cannot be read are an error, and never an empty beginning: what the disk
//! or an administrator withholds may come back. Only damage leads to the generation before, and a
//! damaged file is put aside.

use std::fs::{self, File, TryLockError};
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
    #[error("{} was written by a newer version; start that one", path.display())]
    Newer { path: PathBuf },
    #[error(
        "no whole file of settings is left in {}; restore one, or remove the damaged ones to start empty",
        dir.display()
    )]
    NothingWhole { dir: PathBuf, source: Box<DiskError> },
    #[error(
        "{} is used by another process; stop that one, or choose another data directory",
        path.display()
    )]
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
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DiskError::InUse { path }),
            Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
        }
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

impl DiskError {
    /// The reason below all others, which names no path.
    pub(crate) fn root(&self) -> &dyn std::error::Error {
        let mut root: &dyn std::error::Error = self;
        while let Some(source) = root.source() {
            root = source;
        }
        root
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
            Err(error @ DiskError::Damaged { .. }) => damage = Some((path, error)),
            Err(error) => return Err(error),
        }
    }
    match (newest, damage) {
        (Some(newest), None) => Ok(newest),
        (Some(newest), Some((path, damage))) => {
            let aside = path.with_added_extension("damaged");
            fs::rename(&path, &aside).map_err(failed("put aside", &path))?;
            warn!(error = %damage, aside = %aside.display(),
                "a generation is lost; beginning with the other one");
            Ok(newest)
        }
        (None, None) => Ok((0, Kept::default())),
        (None, Some((_, damage))) => {
            Err(DiskError::NothingWhole { dir: dir.to_owned(), source: Box::new(damage) })
        }
    }
}

fn read(path: &Path) -> Result<Option<(u64, Kept)>, DiskError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let (generation, json) = open_envelope(&bytes)
        .map_err(|reason| DiskError::Damaged { path: path.to_owned(), reason })?;
    // The checksum fits, so this is what was written, and what is unknown in it is new.
    let kept = serde_json::from_slice(json);
    let kept = kept.map_err(|_| DiskError::Newer { path: path.to_owned() })?;
    Ok(Some((generation, kept)))
}

/// A line with magic, generation and checksum, then JSON. The checksum covers the generation too.
fn encode(generation: u64, kept: &Kept) -> Vec<u8> {
    let json = serde_json::to_vec(kept).expect("maps with text keys are JSON");
    let mut bytes =
        format!("{MAGIC} {generation} {:08x}\n", checksum(generation, &json)).into_bytes();
    bytes.extend_from_slice(&json);
    bytes
}

/// The generation and the JSON of a file that is whole.
fn open_envelope(bytes: &[u8]) -> Result<(u64, &[u8]), &'static str> {
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or("it has no first line")?;
    let (head, json) = (&bytes[..end], &bytes[end + 1..]);
    let head = std::str::from_utf8(head).map_err(|_| "its first line is not text")?;
    let words: Vec<&str> = head.split(' ').collect();
    let &[MAGIC, generation, sum] = &*words else { return Err("its first line is not ours") };
    let generation = generation.parse().map_err(|_| "its generation is no number")?;
    if u32::from_str_radix(sum, 16) != Ok(checksum(generation, json)) {
        return Err("its checksum does not fit");
    }
    Ok((generation, json))
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
    use std::os::unix::fs::symlink;

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
    fn a_damaged_file_is_put_aside_and_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let (mut disk, _) = Disk::open(dir.path()).unwrap();
        disk.save(&kept("old")).unwrap();
        disk.save(&kept("new")).unwrap();
        drop(disk);
        fs::write(dir.path().join(NAMES[0]), "what is left").unwrap();
        let (mut disk, found) = Disk::open(dir.path()).unwrap();
        assert_eq!(found, kept("old"));
        disk.save(&kept("newer")).unwrap();
        drop(disk);
        assert_eq!(reopened(dir.path()).unwrap(), kept("newer"));
        let aside = fs::read_to_string(dir.path().join("kept.0.damaged")).unwrap();
        assert_eq!(aside, "what is left");
    }

    /// A process that dies between two steps of a save leaves this behind.
    #[test]
    fn a_file_that_was_not_renamed_is_ignored_whether_whole_or_not() {
        let whole = encode(2, &kept("2"));
        for left in [&whole[..], &whole[..9], b""] {
            let dir = tempfile::tempdir().unwrap();
            let (mut disk, _) = Disk::open(dir.path()).unwrap();
            disk.save(&kept("1")).unwrap();
            drop(disk);
            fs::write(dir.path().join("kept.new"), left).unwrap();
            let (mut disk, found) = Disk::open(dir.path()).unwrap();
            assert_eq!(found, kept("1"));
            disk.save(&kept("3")).unwrap();
            drop(disk);
            assert_eq!(reopened(dir.path()).unwrap(), kept("3"));
        }
    }

    /// What is in the way of the new file, or of the one it is to replace.
    type Fault = Box<dyn Fn(&Path, &Path) -> io::Result<()>>;

    #[test]
    fn a_save_that_fails_at_any_step_leaves_the_one_before_and_can_be_repeated() {
        let link = |to: &'static str| move |new: &Path, _: &Path| symlink(to, new);
        let faults: [(&str, Fault); 4] = [
            ("create", Box::new(|new, _| fs::create_dir(new))),
            ("write", Box::new(link("/dev/full"))),
            ("flush", Box::new(link("/dev/null"))),
            ("rename", Box::new(|_, path| fs::create_dir(path))),
        ];
        for (step, fault) in faults {
            let dir = tempfile::tempdir().unwrap();
            let (mut disk, _) = Disk::open(dir.path()).unwrap();
            disk.save(&kept("1")).unwrap();
            let (new, path) = (dir.path().join("kept.new"), dir.path().join(NAMES[0]));
            fault(&new, &path).unwrap();
            let error = disk.save(&kept("2")).unwrap_err();
            assert!(matches!(error, DiskError::Io { action, .. } if action == step), "{error}");
            for left in [&new, &path] {
                _ = fs::remove_file(left).or_else(|_| fs::remove_dir(left));
            }
            drop(disk);
            let (mut disk, found) = Disk::open(dir.path()).unwrap();
            assert_eq!(found, kept("1"), "{step}");
            disk.save(&kept("3")).unwrap();
            drop(disk);
            assert_eq!(reopened(dir.path()).unwrap(), kept("3"), "{step}");
        }
    }

    /// A directory in the place of a file stands for all that keeps from reading it.
    #[test]
    fn a_file_that_cannot_be_read_ends_the_start_and_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (mut disk, _) = Disk::open(dir.path()).unwrap();
        disk.save(&kept("old")).unwrap();
        disk.save(&kept("new")).unwrap();
        drop(disk);
        let (path, away) = (dir.path().join(NAMES[0]), dir.path().join("away"));
        fs::rename(&path, &away).unwrap();
        fs::create_dir(&path).unwrap();
        let error = reopened(dir.path()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read {}", path.display()));
        fs::remove_dir(&path).unwrap();
        fs::rename(&away, &path).unwrap();
        assert_eq!(reopened(dir.path()).unwrap(), kept("new"));
    }

    #[test]
    fn a_file_of_a_newer_version_ends_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let (mut disk, _) = Disk::open(dir.path()).unwrap();
        disk.save(&kept("old")).unwrap();
        drop(disk);
        let json = br#"{"values":{},"settings":{},"more":1}"#;
        let mut bytes = format!("{MAGIC} 2 {:08x}\n", checksum(2, json)).into_bytes();
        bytes.extend_from_slice(json);
        fs::write(dir.path().join(NAMES[0]), bytes).unwrap();
        assert!(matches!(reopened(dir.path()), Err(DiskError::Newer { .. })));
    }

    #[test]
    fn a_directory_has_one_user() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Disk::open(dir.path()).unwrap();
        assert!(matches!(Disk::open(dir.path()), Err(DiskError::InUse { .. })));
    }
}
