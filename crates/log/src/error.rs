//! Why the log refused, or failed, an operation.

use std::{io, ops::Range, path::PathBuf};

/// Opening, flushing, trimming or closing the log failed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("cannot {action} {}{}", path.display(), hint(source))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// Two processes writing one directory would destroy it.
    #[error("{} is locked by another process", path.display())]
    Locked { path: PathBuf },
    #[error("segment size {size} is not a multiple of 4096 between {min} and {max}")]
    SegmentSize { size: u64, min: u64, max: u64 },
    /// Without the store id no frame can be told from a forged one.
    #[error("{} fails its checksum in both copies; restore it from a backup", path.display())]
    Unreadable { path: PathBuf },
    #[error("{} is missing although the log holds segments; restore it", path.display())]
    Missing { path: PathBuf },
    /// Going on would take an empty log for the one that was there.
    #[error(
        "no segment is left in {}, but the log reached {known}: restore the segments, or empty the \
         whole data directory to begin anew",
        path.display()
    )]
    NoSegments { path: PathBuf, known: u64 },
    #[error("{} has format version {found}, this build reads {supported}", path.display())]
    Version { path: PathBuf, found: u32, supported: u32 },
    #[error("{} belongs to another store; take it out of the directory", path.display())]
    ForeignSegment { path: PathBuf },
    #[error("{} holds the segment that starts at {holds}; give it its own name back", path.display())]
    MisnamedSegment { path: PathBuf, holds: u64 },
    #[error("{} overlaps the segment before it, which ends at {end}", path.display())]
    OverlappingSegment { path: PathBuf, end: u64 },
    /// Sticky until the next opening: after a failed flush the kernel may have dropped the pages.
    #[error("log has stopped after a failed write or flush; restart to recover")]
    Failed,
    #[error("log is closed")]
    Closed,
}

/// What helps, where the kind of an error says it.
pub fn hint(error: &io::Error) -> &'static str {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => ", for which its volume has no space left; free some",
        ReadOnlyFilesystem => " on a volume that is mounted read-only; mount it writable",
        PermissionDenied => "; let the user of this process read and write it",
        _ => "",
    }
}

impl LogError {
    /// For `map_err`: what was done to which path.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> LogError {
        move |source| LogError::Io { action, path: path.into(), source }
    }
}

/// Nothing of the batch was appended, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("batch is empty")]
    Empty,
    /// The bytes are not whole items: `size i32, magic i32`, then `size - 8` bytes, each.
    #[error("batch of {size} bytes has no whole item at byte {at}")]
    Malformed { size: usize, at: usize },
    #[error("batch of {size} bytes is over the limit of {max} bytes for one frame")]
    TooLarge { size: usize, max: u64 },
    /// The next segment could not be allocated; tried again until space returns.
    #[error("no disk space for a batch of {size} bytes; free space or shorten the retention")]
    NoSpace { size: usize },
    /// The outcome of this batch is unknown: a part of it may be found by the next recovery.
    #[error("log has stopped after a failed write or flush")]
    Failed,
    #[error("log is closed")]
    Closed,
}

/// The bytes asked for cannot be given; all others still can.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{length} bytes at {offset} are not inside one segment of the log ({start}..{end})")]
    OutOfRange { offset: u64, length: u64, start: u64, end: u64 },
    /// Bytes on disk fail their check; the range is the exact extent of the damage.
    #[error("log is damaged at {}..{} in {}", range.start, range.end, path.display())]
    Damaged { path: PathBuf, range: Range<u64> },
    #[error("cannot read {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}
