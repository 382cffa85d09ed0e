//! How a log is opened.

use std::{fmt, path::PathBuf, time::Duration};

use crate::{directory::Directory, error::LogError, fault::Faults, segment::SEGMENT_HEADER};

/// When an appended position counts as confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Confirmed is durable: the flush thread never rests while something is not flushed.
    Sync,
    /// Confirmed is appended; flushed in the background within `flush_interval`.
    Async,
}

/// Called with the new confirmed position; it only grows.
pub type OnConfirmed = Box<dyn Fn(u64) + Send + Sync>;
/// Called once, by the thread that met the first failed write or flush.
pub type OnFailure = Box<dyn Fn(&LogError) + Send + Sync>;

/// Where a log lives and how it confirms.
pub struct Options {
    /// The data directory; made if it is missing. The log's files are directly in it and in `log/`.
    pub dir: PathBuf,
    /// The same, if the caller has locked it already to look at it first.
    pub directory: Option<Directory>,
    /// Bytes of one segment file, a multiple of 4096. Existing segments keep their size.
    pub segment_size: u64,
    pub flush: Flush,
    /// Longest time that `Flush::Async` leaves bytes unflushed.
    pub flush_interval: Duration,
    /// Never called under a lock of the log. Must be quick: appending or flushing waits for it.
    pub on_confirmed: OnConfirmed,
    /// Never called under a lock of the log. Nothing is confirmed from then on.
    pub on_failure: OnFailure,
    /// Faults to inject; none by default.
    pub faults: Faults,
}

impl Options {
    pub const DEFAULT_SEGMENT_SIZE: u64 = 256 << 20;
    pub const MIN_SEGMENT_SIZE: u64 = 16 << 10;
    pub const MAX_SEGMENT_SIZE: u64 = 4 << 30;
    pub const DEFAULT_FLUSH_INTERVAL: Duration = Duration::from_millis(200);

    /// The defaults: 256 MiB segments, asynchronous flush every 200 ms, callbacks that do nothing.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            directory: None,
            segment_size: Self::DEFAULT_SEGMENT_SIZE,
            flush: Flush::Async,
            flush_interval: Self::DEFAULT_FLUSH_INTERVAL,
            on_confirmed: Box::new(|_| {}),
            on_failure: Box::new(|_| {}),
            faults: Faults::none(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), LogError> {
        let (size, min, max) = (self.segment_size, Self::MIN_SEGMENT_SIZE, Self::MAX_SEGMENT_SIZE);
        if (min..=max).contains(&size) && size.is_multiple_of(SEGMENT_HEADER) {
            Ok(())
        } else {
            Err(LogError::SegmentSize { size, min, max })
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("dir", &self.dir)
            .field("segment_size", &self.segment_size)
            .field("flush", &self.flush)
            .field("flush_interval", &self.flush_interval)
            .finish_non_exhaustive()
    }
}
