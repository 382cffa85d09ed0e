//! Why the store refused, or failed, an operation.

use std::{
    io,
    path::{Path, PathBuf},
};

use rocketkube_log::{AppendError, LogError, hint};

use crate::state::StateError;

/// Nothing was changed, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Outcome unknown where the source is [`AppendError::Failed`], else nothing was appended.
    #[error("cannot append to the log")]
    Append(#[from] AppendError),
    #[error("disk is {used_percent} % full; new messages are refused until retention frees space")]
    DiskFull { used_percent: u8 },
    #[error("topic {name} exists")]
    TopicExists { name: String },
    #[error("topic {name} does not exist")]
    NoSuchTopic { name: String },
    #[error("group {name} does not exist")]
    NoSuchGroup { name: String },
    #[error("topic {name} with {queues} queues is over the limit of {max} queues")]
    TooManyQueues { name: String, queues: u32, max: u32 },
    /// Of all topics together: each queue is memory, also after the next start.
    #[error(
        "{asked} more queues on top of {existing} are over the limit of {max} queues in all \
         topics; ask for fewer or delete topics"
    )]
    TooManyQueuesInAll { asked: usize, existing: usize, max: usize },
    /// Flushing or trimming the log failed.
    #[error("log failed")]
    Log(#[from] LogError),
    /// Nothing that was acknowledged depends on it.
    #[error("cannot keep a derived file")]
    File(#[from] FileError),
}

/// What was asked for cannot be read; all else still can.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read the log")]
    Log(#[from] rocketkube_log::ReadError),
    #[error("cannot read an index file")]
    Index(#[from] FileError),
}

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot open the log")]
    Log(#[from] LogError),
    /// Going on without it would silently lose what it says.
    #[error("state record at {position} in the log")]
    State { position: u64, source: StateError },
    #[error("cannot prepare the index directory")]
    File(#[from] FileError),
}

/// A derived file (index or snapshot) could not be written or used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot {action} {}{}", path.display(), hint(source))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// An index is made again from the log, soon or at the next opening; try again.
    #[error("{} is damaged in its {part}", path.display())]
    Damaged { path: PathBuf, part: &'static str },
    /// Treated like a damaged one.
    #[error("{} belongs to another store", path.display())]
    Foreign { path: PathBuf },
    /// A snapshot from when a segment was missing that is there again.
    #[error("{} does not know a segment that is there", path.display())]
    Outdated { path: PathBuf },
}

impl FileError {
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::Damaged { path, .. }
            | Self::Foreign { path }
            | Self::Outdated { path } => path,
        }
    }

    /// For `map_err`: what was done to which path.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }
}
