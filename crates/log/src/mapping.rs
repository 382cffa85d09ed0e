//! The read-only map of a sealed file: the only unsafe code of the workspace.
//!
//! Only for derived files that are never written again, such as indexes. Segments are not
//! mapped: a bad block of the log has to fail one read instead of the process.

#![expect(unsafe_code, reason = "mapping a file is the one thing that has no safe interface")]

use std::{
    fmt,
    fs::File,
    io,
    ops::Deref,
    path::{Path, PathBuf},
};

use memmap2::{Mmap, MmapOptions};

/// Why a file was not mapped.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The kernel maps nothing of length 0, and no sealed file is that short.
    #[error("{} is empty", path.display())]
    Empty { path: PathBuf },
    #[error("cannot map {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The bytes of a whole file that is complete and is never shortened or written again.
///
/// To replace it: write another file and rename it over the name; to delete it: unlink it. Both
/// leave the bytes of a live map alone.
pub struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps the file in its present length.
    pub fn open(path: &Path) -> Result<Self, MapError> {
        let error = |source| MapError::Io { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(error)?;
        if file.metadata().map_err(error)?.len() == 0 {
            return Err(MapError::Empty { path: path.to_path_buf() });
        }
        // SAFETY: a mapping is undefined behaviour if the file shrinks or is written elsewhere
        // while mapped. The directory lock keeps other processes out (`directory::tests`); the
        // callers map only files that were renamed into place complete, and replace them by
        // renaming, which leaves the mapped inode alone
        // (`tests::a_map_outlives_the_name_of_its_file`). The map owns its reference to the
        // inode, so it stays valid on every thread for as long as it lives.
        let map = unsafe { MmapOptions::new().map(&file) }.map_err(error)?;
        Ok(Self { map })
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedFile").field("length", &self.map.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_map_outlives_the_name_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, fresh) = (dir.path().join("index"), dir.path().join("fresh"));
        fs::write(&path, vec![7; 10_000]).unwrap();
        let map = MappedFile::open(&path).unwrap();
        fs::write(&fresh, b"short").unwrap();
        fs::rename(&fresh, &path).unwrap();
        assert_eq!(map.len(), 10_000);
        fs::remove_file(&path).unwrap();
        assert!(map.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn empty_and_missing_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        assert!(matches!(MappedFile::open(&path), Err(MapError::Io { .. })));
        fs::write(&path, b"").unwrap();
        assert!(matches!(MappedFile::open(&path), Err(MapError::Empty { .. })));
    }
}
