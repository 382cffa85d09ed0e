//! How many files and sockets the process may have open, and which of them clients may take.
//!
//! Everything that is opened takes a number below one limit, so clients that only connect could keep
//! the log from opening its next file. The kernel gives out the lowest free number: a connection that
//! gets one of the highest shows that the others are taken, and is closed at once.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// With fewer nothing works for long.
const LEAST: u64 = 128;
/// For listeners, the runtime, the lock, logs, name servers, and what is open for a moment.
const OWN: u64 = 32;
/// One in so many of all descriptors is for the pages of probes and scrapes.
const PAGES_SHARE: u64 = 8;
const MAX_PAGES: u64 = 256;

/// The limit is lower than any process here can live with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may open {limit} files and sockets, and needs {LEAST} at least; raise the limit, \
     with `ulimit -n` or LimitNOFILE="
)]
pub struct TooFew {
    pub limit: u64,
}

/// Raises the limit as far as the process may by itself, and returns it. To be called first of all.
pub fn raise() -> Result<u64, TooFew> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // Where it is refused, what there is has to do.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    enough(limit())
}

/// Descriptors that the process may have now; their numbers are below this.
fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn enough(limit: u64) -> Result<u64, TooFew> {
    if limit < LEAST { Err(TooFew { limit }) } else { Ok(limit) }
}

/// Most connections of the pages.
pub(crate) fn for_pages() -> usize {
    usize::try_from(pages(limit())).unwrap_or(usize::MAX)
}

fn pages(limit: u64) -> u64 {
    (limit / PAGES_SHARE).clamp(1, MAX_PAGES)
}

/// The number that descriptors of client connections have to stay below, so that `files` can be open
/// as well. Says in the log what that leaves.
pub fn for_connections(files: u64) -> Result<u64, TooFew> {
    let limit = enough(limit())?;
    let Shares { connections, files: left } = shares(limit, files);
    if left < files {
        warn!(limit, files, left, "the limit of open files is low for a full volume; raise it");
    }
    info!(limit, files = left, connections, "open files are shared out");
    Ok(connections)
}

#[derive(Debug, PartialEq, Eq)]
struct Shares {
    connections: u64,
    files: u64,
}

/// Half of what is left goes to connections, however many files there may be.
fn shares(limit: u64, files: u64) -> Shares {
    let left = limit.saturating_sub(OWN + pages(limit));
    let files = files.min(left / 2);
    Shares { connections: left - files, files }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_pages_are_taken_off_before_connections() {
        assert_eq!(shares(20_000, 1_000), Shares { connections: 18_712, files: 1_000 });
        assert_eq!(shares(u64::MAX, 9), Shares { connections: u64::MAX - 297, files: 9 });
    }

    #[test]
    fn a_low_limit_is_shared_by_halves() {
        assert_eq!(shares(1_024, 4_096), Shares { connections: 432, files: 432 });
        assert_eq!(shares(LEAST, 4_096), Shares { connections: 40, files: 40 });
    }

    #[test]
    fn a_limit_that_is_too_low_is_told_with_what_to_do() {
        let error = enough(20).unwrap_err().to_string();
        assert!(error.starts_with("this process may open 20 files") && error.contains("128"));
        assert_eq!(enough(LEAST), Ok(LEAST));
    }
}
