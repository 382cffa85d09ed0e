//! The data directory: its lock, its syncs, and small files kept in two copies.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;

use crate::{
    error::LogError,
    fault::Faults,
    files::{self, Found},
    identity,
};

/// A locked data directory. Dropping it lets the next process in.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    faults: Faults,
    lock: File,
}

impl Directory {
    /// Makes the directory where needed and locks it against other processes.
    pub fn lock(path: &Path, faults: Faults) -> Result<Self, LogError> {
        let log = path.join("log");
        fs::create_dir_all(&log).map_err(LogError::io("make", &log))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(LogError::io("open", &lock_path))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_path_buf(), faults, lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(LogError::Locked { path: lock_path }),
            Err(errno) => Err(LogError::io("lock", lock_path)(errno.into())),
        }
    }

    /// Lets the next process in, although readers may still hold this.
    pub(crate) fn unlock(&self) {
        // It cannot fail on a file that is locked, and dropping the file would do the same.
        let _ = rustix::fs::flock(&self.lock, FlockOperation::Unlock);
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The random number that the log was born with; `None` if there is no log yet.
    pub fn store_id(&self) -> Result<Option<[u8; 16]>, LogError> {
        Ok(identity::read(self)?.map(|id| id.0))
    }

    /// Where the segments start that are there, in order.
    pub fn segment_starts(&self) -> Result<Vec<u64>, LogError> {
        Ok(files::list(self)?.iter().map(Found::start).collect())
    }

    /// Where the segments are.
    pub(crate) fn segments(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Makes names in `directory` (made, renamed, deleted) survive a power loss.
    pub(crate) fn sync(&self, directory: &Path) -> Result<(), LogError> {
        self.faults
            .directory_sync()
            .and_then(|()| File::open(directory)?.sync_all())
            .map_err(LogError::io("sync directory", directory))
    }

    /// Writes a small file durably, in two copies: at every moment one of them is whole.
    pub(crate) fn write_twice(&self, name: &str, bytes: &[u8]) -> Result<(), LogError> {
        for copy in copies(name) {
            let (path, fresh) = (self.path.join(&copy), self.path.join(format!("{copy}.tmp")));
            write_synced(&fresh, bytes).map_err(LogError::io("write", &fresh))?;
            fs::rename(&fresh, &path).map_err(LogError::io("rename", &fresh))?;
            self.sync(&self.path)?;
        }
        Ok(())
    }

    /// Writes a small file durably over what is there, in two copies: at every moment one of them is
    /// whole. Each has `size` bytes from the first time on, so that nothing has to be allocated later.
    pub(crate) fn write_twice_in_place(
        &self,
        name: &str,
        bytes: &[u8],
        size: usize,
    ) -> Result<(), LogError> {
        for copy in copies(name) {
            let path = self.path.join(copy);
            let is_new =
                write_in_place(&path, bytes, size).map_err(LogError::io("write", &path))?;
            if is_new {
                self.sync(&self.path)?;
            }
        }
        Ok(())
    }

    /// The first copy that `parse` accepts. `Ok(None)`: there is no copy at all.
    pub(crate) fn read_either<T>(
        &self,
        name: &str,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, LogError> {
        let mut seen = None;
        for copy in copies(name) {
            let path = self.path.join(copy);
            match fs::read(&path) {
                Ok(bytes) => match parse(&bytes) {
                    Some(value) => return Ok(Some(value)),
                    None => seen = seen.or(Some(path)),
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(LogError::io("read", path)(error)),
            }
        }
        seen.map_or(Ok(None), |path| Err(LogError::Unreadable { path }))
    }
}

impl Drop for Directory {
    /// Closing the file alone would leave the lock with any child process that was being forked
    /// at that moment and has not closed its copy yet.
    fn drop(&mut self) {
        self.unlock();
    }
}

fn copies(name: &str) -> [String; 2] {
    [name.to_owned(), format!("{name}.copy")]
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// True if the file was shorter before, or not there.
fn write_in_place(path: &Path, bytes: &[u8], size: usize) -> io::Result<bool> {
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    let is_new = file.metadata()?.len() < size as u64;
    file.write_all(bytes)?;
    if is_new {
        // Written, not only allocated: the first write to an allocated block may need another one.
        file.write_all(&vec![0; size.saturating_sub(bytes.len())])?;
    }
    file.sync_all()?;
    Ok(is_new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, Directory) {
        let dir = tempfile::tempdir().unwrap();
        let locked = Directory::lock(dir.path(), Faults::none()).unwrap();
        (dir, locked)
    }

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let (dir, first) = directory();
        let second = Directory::lock(dir.path(), Faults::none());
        assert!(matches!(second, Err(LogError::Locked { .. })));
        drop(first);
        Directory::lock(dir.path(), Faults::none()).unwrap();
    }

    #[test]
    fn either_copy_of_a_small_file_is_enough() {
        let (dir, directory) = directory();
        let parse = |bytes: &[u8]| (bytes == b"good").then_some(());
        assert!(matches!(directory.read_either("f", parse), Ok(None)));
        directory.write_twice("f", b"good").unwrap();
        fs::write(dir.path().join("f"), b"bad").unwrap();
        assert!(matches!(directory.read_either("f", parse), Ok(Some(()))));
        fs::remove_file(dir.path().join("f")).unwrap();
        assert!(matches!(directory.read_either("f", parse), Ok(Some(()))));
        fs::write(dir.path().join("f.copy"), b"bad").unwrap();
        assert!(matches!(directory.read_either("f", parse), Err(LogError::Unreadable { .. })));
    }
}
