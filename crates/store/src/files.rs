//! Writing derived files so that they are whole or absent. Knows no content.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use crate::error::FileError;

/// The log that derived files belong to, as it is named in their headers: a file of another one under
/// the same name must not pass for what was derived from this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Origin(pub(crate) [u8; 16]);

/// Ending of files that are being written; what a kill leaves of them is removed at opening.
const UNFINISHED: &str = "tmp";

/// Writes a file under another name, flushes it and renames it into place.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let unfinished = path.with_extension(UNFINISHED);
    let mut file = File::create(&unfinished).map_err(FileError::io("create", &unfinished))?;
    file.write_all(bytes).map_err(FileError::io("write", &unfinished))?;
    file.sync_all().map_err(FileError::io("flush", &unfinished))?;
    fs::rename(&unfinished, path).map_err(FileError::io("rename", path))?;
    let dir = path.parent().unwrap_or(path);
    let opened = File::open(dir).map_err(FileError::io("open", dir))?;
    opened.sync_all().map_err(FileError::io("flush", dir))
}

/// Makes a directory if it is missing, and removes what a kill left unfinished in it.
pub(crate) fn prepare(dir: &Path) -> Result<(), FileError> {
    fs::create_dir_all(dir).map_err(FileError::io("create", dir))?;
    for path in list(dir, UNFINISHED)? {
        remove(&path)?;
    }
    Ok(())
}

/// Files with that ending, by name. A directory of such a name is nobody's.
pub(crate) fn list(dir: &Path, ending: &str) -> Result<Vec<PathBuf>, FileError> {
    let entries = fs::read_dir(dir).map_err(FileError::io("list", dir))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::io("list", dir))?;
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|found| found.is_dir());
        if !is_directory && path.extension().is_some_and(|found| found == ending) {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Deletes a file; one that is gone already is fine.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::io("delete", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_and_remains_of_a_kill_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00001.idx");
        fs::write(dir.path().join("00002.tmp"), b"half").unwrap();
        write_whole(&path, b"whole").unwrap();
        prepare(dir.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(list(dir.path(), "idx").unwrap().is_empty());
    }
}
