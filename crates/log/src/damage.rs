//! Ranges of the log that are lost: found by recovery or by the first read of a cold part.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use parking_lot::RwLock;

use crate::segment::Segment;

/// A range that fails its checks although the log goes on behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment file, or the name a missing one would have.
    pub path: PathBuf,
    /// Physical offsets: whole frames, as far as can be told.
    pub range: Range<u64>,
    /// The same as byte positions in the file.
    pub positions: Range<u64>,
}

impl Damage {
    pub(crate) fn new(segment: &Segment, range: Range<u64>) -> Self {
        Self::at(&segment.path, segment.start, range)
    }

    pub(crate) fn at(path: &Path, start: u64, range: Range<u64>) -> Self {
        let positions = range.start - start..range.end - start;
        Self { path: path.to_path_buf(), range, positions }
    }
}

/// What is known to be unreadable, in no order; each range once.
#[derive(Debug, Default)]
pub(crate) struct DamageList(RwLock<Vec<Damage>>);

impl DamageList {
    pub(crate) fn new(found: Vec<Damage>) -> Self {
        Self(RwLock::new(found))
    }

    pub(crate) fn add(&self, damage: Damage) {
        let mut list = self.0.write();
        if !list.contains(&damage) {
            list.push(damage);
        }
    }

    /// Damage that shares a byte with the range; the lowest if there are several.
    pub(crate) fn inside(&self, range: &Range<u64>) -> Option<Damage> {
        let list = self.0.read();
        let hit = list.iter().filter(|d| d.range.start < range.end && range.start < d.range.end);
        hit.min_by_key(|damage| damage.range.start).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Damage> {
        self.0.read().clone()
    }

    /// Forgets what lies below the start of the log.
    pub(crate) fn trim(&self, start: u64) {
        self.0.write().retain(|damage| damage.range.end > start);
    }
}
