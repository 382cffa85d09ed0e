//! Whether clients may come to the broker, and whether it takes their messages.
//!
//! These are two questions. A full disk keeps messages out, but nobody from those that are stored, and
//! probes would send consumers away too: they have nowhere else to go. So the broker stays ready, and
//! refuses each message with a code that makes producers try elsewhere.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use rocketkube_service::http::Health;
use rocketkube_service::logs::chain;
use rocketkube_store::{AppendError, StoreError};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::broker::Broker;

/// Why nobody should come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unready {
    /// For good: the process is about to end.
    LogFailed,
    Stopping,
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LogFailed => "the log failed",
            Self::Stopping => "stopping",
        })
    }
}

/// What keeps messages out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Until retention, or an administrator, has made room.
    Disk { used_percent: u8 },
    /// The disk has no room for the next file of the log.
    NoSpace,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk { used_percent } => {
                write!(f, "messages are refused: disk is {used_percent} % full")
            }
            Self::NoSpace => f.write_str("messages are refused: no space for a file of the log"),
        }
    }
}

/// Whether messages are taken; told by those who try.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// The last batch was not stored.
    refusing: AtomicBool,
    /// The last batch was not stored because there was no room for it.
    no_space: AtomicBool,
}

impl Intake {
    /// A batch was stored.
    pub(crate) fn stored(&self) {
        if self.refusing.load(Ordering::Relaxed) && self.refusing.swap(false, Ordering::Relaxed) {
            self.no_space.store(false, Ordering::Relaxed);
            info!("messages are stored again");
        }
    }

    /// A batch was not stored. Said once, until one is stored again.
    pub(crate) fn refused(&self, error: &StoreError) {
        let no_space = matches!(error, StoreError::Append(AppendError::NoSpace { .. }));
        self.no_space.store(no_space, Ordering::Relaxed);
        if !self.refusing.swap(true, Ordering::Relaxed) {
            warn!(error = chain(error), "messages are refused");
        }
    }

    /// Retention deleted what it could, and measured the bytes that are free of those that a file of
    /// the log needs.
    pub(crate) fn measured(&self, free: u64, needed: u64) {
        // Nobody may send a message to try.
        if free > needed {
            self.no_space.store(false, Ordering::Relaxed);
        }
    }

    /// `full_percent`: how full the disk is, while that is too full.
    fn obstacle(&self, full_percent: Option<u8>) -> Option<Full> {
        let full = full_percent.map(|used_percent| Full::Disk { used_percent });
        full.or_else(|| self.no_space.load(Ordering::Relaxed).then_some(Full::NoSpace))
    }
}

impl Broker {
    /// Tells the probes.
    pub(crate) fn tell_readiness(&self, health: &Health, stopping: bool) {
        let obstacle = match (self.store.has_failed(), stopping) {
            (true, _) => Some(Unready::LogFailed),
            (false, true) => Some(Unready::Stopping),
            (false, false) => None,
        };
        match obstacle {
            None => health.set_ready(),
            Some(obstacle) => health.set_unready(obstacle.to_string()),
        }
    }

    /// What keeps messages out, if anything does.
    pub(crate) fn full(&self) -> Option<Full> {
        self.intake.obstacle(self.store.full_percent())
    }

    /// What people are told who ask the process.
    pub(crate) fn status(&self) -> Value {
        json!({
            "broker": self.config.name,
            "messagesRefused": self.full().map(|full| full.to_string()),
            "nameServers": self.registrations.told(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_an_obstacle_until_there_is_room() {
        let full = Full::Disk { used_percent: 93 };
        assert_eq!(Intake::default().obstacle(Some(93)), Some(full));
        assert_eq!(full.to_string(), "messages are refused: disk is 93 % full");
        assert_eq!(Intake::default().obstacle(None), None);
    }

    #[test]
    fn a_lack_of_space_is_one_until_a_message_is_stored_or_space_was_measured() {
        let intake = Intake::default();
        let no_space = StoreError::Append(AppendError::NoSpace { size: 1 });
        intake.refused(&no_space);
        assert_eq!(intake.obstacle(None), Some(Full::NoSpace));
        intake.stored();
        assert_eq!(intake.obstacle(None), None);
        intake.refused(&no_space);
        intake.measured(500, 500);
        assert_eq!(intake.obstacle(None), Some(Full::NoSpace));
        intake.measured(501, 500);
        assert_eq!(intake.obstacle(None), None);
    }

    #[test]
    fn a_message_that_cannot_be_stored_anywhere_says_nothing_of_the_broker() {
        let intake = Intake::default();
        intake.refused(&StoreError::Append(AppendError::Empty));
        assert_eq!(intake.obstacle(None), None);
    }
}
