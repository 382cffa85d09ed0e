//! How a store is opened.

use std::{fmt, net::SocketAddr, path::PathBuf};

use rocketkube_log::{Faults, Flush, OnConfirmed, OnFailure};

use crate::{arrivals::OnArrival, error::FileError, retention::Retention};

/// Called with the reason when an index file cannot be used; once until it is made again.
pub type OnIndexDamage = Box<dyn Fn(&FileError) + Send + Sync>;

/// Where a store lives, how it confirms, and whom it tells.
pub struct Options {
    /// The data directory; made if it is missing.
    pub dir: PathBuf,
    /// Bytes of one segment of the log; on a small volume they are made smaller.
    pub segment_size: u64,
    pub flush: Flush,
    pub retention: Retention,
    /// Most queues of all topics together, each about 200 bytes of memory. Not of what is there
    /// already: a store that has more opens, and makes no more.
    pub max_queues: usize,
    /// The broker's advertised address: part of every record, and of offset message ids.
    pub store_host: SocketAddr,
    /// Called with the log's confirmed position when it moved. Must be quick.
    pub on_confirmed: OnConfirmed,
    /// Called once, at the first failed write or flush; nothing is confirmed from then on.
    pub on_failure: OnFailure,
    /// Called with a watched queue when new messages of it are visible. Must be quick.
    pub on_arrival: OnArrival,
    pub on_index_damage: OnIndexDamage,
    /// Faults of the disk to inject; none by default.
    pub faults: Faults,
}

impl Options {
    /// More than 100,000 topics of 8 queues need; 400 MB.
    pub const DEFAULT_MAX_QUEUES: usize = 2_000_000;

    /// The defaults: 256 MiB segments, asynchronous flush, 72 h, callbacks that do nothing.
    pub fn new(dir: impl Into<PathBuf>, store_host: SocketAddr) -> Self {
        Self {
            dir: dir.into(),
            segment_size: rocketkube_log::Options::DEFAULT_SEGMENT_SIZE,
            flush: Flush::Async,
            retention: Retention::default(),
            max_queues: Self::DEFAULT_MAX_QUEUES,
            store_host,
            on_confirmed: Box::new(|_| {}),
            on_failure: Box::new(|_| {}),
            on_arrival: Box::new(|_| {}),
            on_index_damage: Box::new(|_| {}),
            faults: Faults::none(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("dir", &self.dir)
            .field("segment_size", &self.segment_size)
            .field("flush", &self.flush)
            .field("retention", &self.retention)
            .field("max_queues", &self.max_queues)
            .field("store_host", &self.store_host)
            .finish_non_exhaustive()
    }
}
