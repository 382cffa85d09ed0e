//! Types of conditions in `status.conditions`.
//!
//! All are positive, except [`RECONCILING`] and [`STALLED`], which are there only while true, so
//! that `kubectl wait --for=condition=Ready` and tools that know kstatus work as they are.

/// All of what the spec asks for is there, at this generation.
pub const READY: &str = "Ready";
/// Work is under way.
pub const RECONCILING: &str = "Reconciling";
/// Work cannot go on by itself; the message says what is needed.
pub const STALLED: &str = "Stalled";

/// `BrokerSet`: at least one group takes messages and one name server answers.
pub const AVAILABLE: &str = "Available";
/// `BrokerSet`: all pods run what the spec says.
pub const UP_TO_DATE: &str = "UpToDate";
/// `BrokerSet`: volumes are bound.
pub const STORAGE_READY: &str = "StorageReady";
/// `BrokerSet`: the spec was accepted in full; the message has all problems at once.
pub const SPEC_VALID: &str = "SpecValid";

/// `ConsumerGroup`: it has members.
pub const CONSUMING: &str = "Consuming";
/// `ConsumerGroup`: more is unconsumed, or for longer, than `spec.lagAlert` allows.
pub const LAGGING: &str = "Lagging";
