//! What the broker as a whole may be used for: written into a file by whoever runs it, and read again
//! while the broker runs.
//!
//! So a broker can be started before it has its topics, and emptied before it is taken away. Nothing
//! that arrives over the network changes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rocketkube_service::logs::chain;
use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::broker::Broker;
use crate::topics::{PERM_READ, PERM_WRITE};

/// How often the file is read.
const PERIOD: Duration = Duration::from_secs(1);
/// Everything, which is also what a broker without the file may.
const ALL: u32 = PERM_READ | PERM_WRITE;
/// Nothing, reading, everything.
const KNOWN: [u32; 3] = [0, PERM_READ, ALL];

/// Why the state file says nothing.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("cannot read the state file {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the state file {} is none: {reason}; write perm: 6", path.display())]
    Syntax { path: PathBuf, reason: String },
    #[error(
        "perm is {perm} in the state file {}; write 6 (read and write), 4 (read) or 0 (neither)",
        path.display()
    )]
    Perm { path: PathBuf, perm: u32 },
}

/// The content of a state file. Keys that are not known here are for later brokers.
#[derive(Debug, Deserialize)]
struct State {
    perm: u32,
}

/// What the broker as a whole may be used for.
#[derive(Debug)]
pub(crate) struct Permission {
    bits: AtomicU32,
    /// The file could not be read when it was last looked at.
    unknown: AtomicBool,
}

impl Permission {
    /// As the file says, if there is to be one.
    pub(crate) async fn at_start(file: Option<&Path>) -> Result<Self, StateError> {
        let bits = match file {
            Some(path) => read(path).await?,
            None => ALL,
        };
        Ok(Self { bits: AtomicU32::new(bits), unknown: AtomicBool::new(false) })
    }

    pub(crate) fn bits(&self) -> u32 {
        self.bits.load(Ordering::Relaxed)
    }

    pub(crate) fn may_read(&self) -> bool {
        self.bits() & PERM_READ != 0
    }

    pub(crate) fn may_write(&self) -> bool {
        self.bits() & PERM_WRITE != 0
    }

    /// What name servers are told of a topic that allows `perm` by itself.
    pub(crate) fn limit(&self, perm: i32) -> i32 {
        match self.bits() {
            // The topic's other bits stay with it.
            ALL => perm,
            bits => perm & bits.cast_signed(),
        }
    }

    /// Whether the file could not be read, so that what it said before still holds.
    pub(crate) fn is_unknown(&self) -> bool {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Takes what the file says, and tells whether that is new. What cannot be understood changes
    /// nothing, and is said once.
    fn take(&self, said: Result<u32, StateError>) -> bool {
        match said {
            Ok(bits) => {
                self.unknown.store(false, Ordering::Relaxed);
                self.bits.swap(bits, Ordering::Relaxed) != bits
            }
            Err(error) => {
                if !self.unknown.swap(true, Ordering::Relaxed) {
                    let perm = self.bits();
                    warn!(error = chain(&error), perm, "permission stays as it was");
                }
                false
            }
        }
    }
}

async fn read(path: &Path) -> Result<u32, StateError> {
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|source| StateError::Read { path: path.to_owned(), source })?;
    let State { perm } = serde_saphyr::from_str(&text)
        .map_err(|error| StateError::Syntax { path: path.to_owned(), reason: error.to_string() })?;
    if KNOWN.contains(&perm) {
        Ok(perm)
    } else {
        Err(StateError::Perm { path: path.to_owned(), perm })
    }
}

/// Keeps to what the file says until `end`.
pub(crate) async fn follow(broker: Arc<Broker>, file: PathBuf, end: CancellationToken) {
    let mut rounds = interval(PERIOD);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = rounds.tick() => {} // Cancel-safe: the next one comes anyway.
        }
        if broker.permission.take(read(&file).await) {
            info!(perm = broker.permission.bits(), "permission changed");
            broker.changes.everything();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_broker_without_a_file_may_everything() {
        let permission = Permission::at_start(None).await.unwrap();
        assert!(permission.may_read() && permission.may_write());
        assert_eq!(permission.limit(7), 7, "a template stays one");
    }

    #[tokio::test]
    async fn what_a_file_allows_is_what_is_left_of_a_topic() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state.yaml");
        for (text, read, write, told) in [
            ("perm: 0", false, false, 0),
            ("perm: 4\nzone: a\n", true, false, 4),
            ("perm: 6", true, true, 7),
        ] {
            fs::write(&file, text).unwrap();
            let permission = Permission::at_start(Some(&file)).await.unwrap();
            let seen = (permission.may_read(), permission.may_write(), permission.limit(7));
            assert_eq!(seen, (read, write, told), "{text}");
        }
    }

    #[tokio::test]
    async fn a_file_that_says_nothing_ends_the_start_with_what_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state.yaml");
        let refused = async || Permission::at_start(Some(&file)).await.unwrap_err().to_string();
        assert!(refused().await.starts_with("cannot read the state file "));
        for (text, expected) in [
            ("perm: 2", "write 6 (read and write), 4 (read) or 0 (neither)"),
            ("perm: all", "write perm: 6"),
            ("parm: 6", "write perm: 6"),
            ("", "write perm: 6"),
        ] {
            fs::write(&file, text).unwrap();
            let error = refused().await;
            assert!(error.ends_with(expected), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_understood_changes_nothing_until_it_can() {
        let permission = Permission::at_start(None).await.unwrap();
        assert!(permission.take(Ok(4)), "a change is news");
        assert!(!permission.take(Ok(4)), "the same again is not");
        assert!(!permission.take(read(Path::new("/nowhere")).await));
        assert_eq!((permission.bits(), permission.is_unknown()), (4, true));
        assert!(!permission.take(Ok(4)));
        assert!(!permission.is_unknown());
    }
}
