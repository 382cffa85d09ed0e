//! The index files of sealed segments, oldest first: which there are, and a bounded set of maps.

use std::path::{Path, PathBuf};

use crate::{
    error::FileError,
    queue_index::{Entry, Run},
};

/// All index files.
#[derive(Debug)]
pub(crate) struct Indexes {
    dir: PathBuf,
}

impl Indexes {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.join("index") }
    }

    /// Number of the first file with anything at or above `start`.
    pub(crate) fn first_above(&self, _start: u64) -> u32 {
        0
    }

    /// Copies entries of a run from its entry `skip` on.
    pub(crate) fn entries(
        &self,
        _run: Run,
        _skip: u64,
        _into: &mut [Entry],
    ) -> Result<usize, FileError> {
        Ok(0)
    }
}
