//! The two kinds of offsets, kept apart by type. No arithmetic beyond what both need.

use std::fmt;

/// A place in the log, in bytes from the first byte ever written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PhysicalOffset(pub u64);

/// A place in one queue, in messages from the first one it ever held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct QueueOffset(pub u64);

impl QueueOffset {
    /// As the protocol carries it; offsets beyond `i64::MAX` are never reached.
    pub fn wire(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl PhysicalOffset {
    /// As the protocol carries it; offsets beyond `i64::MAX` are never reached.
    pub fn wire(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for PhysicalOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for QueueOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
