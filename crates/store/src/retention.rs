//! What may be deleted, and when messages are refused to keep room for everything else.

use std::time::Duration;

/// How long messages are kept, and how full the disk may get. Shares are of the whole volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// After its newest message is this old, a segment goes.
    pub age: Duration,
    /// From here on the oldest segments go regardless of age.
    pub trim_percent: u8,
    /// From here on new messages are refused; offsets and settings still have room.
    pub refuse_percent: u8,
}

impl Default for Retention {
    /// Apache's: 72 hours, 85 %, 90 %.
    fn default() -> Self {
        Self { age: Duration::from_hours(72), trim_percent: 85, refuse_percent: 90 }
    }
}
