//! What one process lets its peers cost.

use std::time::Duration;

/// What happens to a client when [`Limits::connections`] are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtCapacity {
    /// It waits in the kernel's backlog until another connection closes.
    Wait,
    /// It is accepted and closed at once, so that it can try another server.
    Close,
}

/// Bounds on connections, bytes and silence. The defaults suit a broker.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most connections open at a time. Default 65,536.
    pub connections: usize,
    /// Numbers that descriptors of connections have to stay below; one above shows that there are too
    /// few left for files, and is closed. Default: no bound.
    pub descriptors: u64,
    /// What happens to the next one. Default [`AtCapacity::Close`].
    pub at_capacity: AtCapacity,
    /// Most connections accepted per second and listener; more wait in the backlog, so that a storm
    /// of reconnects leaves time for those who are connected. Default 10,000.
    pub accepts_per_second: u32,
    /// Longest accepted frame in bytes, its length field included. Default 16 MiB, as in Java.
    pub frame: usize,
    /// Most bytes of memory that all connections together may hold in frames of which only a part has
    /// come, and in what is left undone because peers do not take their answers; 16 KiB of each
    /// connection do not count. Beyond, large frames are not read on until there is room, and answers
    /// are made for those who take them; the longest frames may take half of it. Default 256 MiB.
    pub unfinished: usize,
    /// No more requests are read from a peer that has this many bytes of answers to take.
    /// Default 4 MiB. What is handled already is not cut, so one answer more can be waiting.
    pub unsent: usize,
    /// Most bytes of memory that other threads may queue for a peer that takes none; one more closes
    /// the connection. Default 16 MiB, so that the longest answer always fits.
    pub queued: usize,
    /// Frames nobody asked for, with the flag of a response, that a peer may send per second.
    /// Default 1,000.
    pub stray_responses_per_second: u32,
    /// How long a connection may send nothing at all after it was opened. Default 10 s.
    pub first_byte: Duration,
    /// How long a peer may take from the first to the last byte of a frame. Default 30 s.
    pub partial_frame: Duration,
    /// How long a connection may neither send nor take a byte. Default 120 s, as in Java.
    pub idle: Duration,
    /// How long a stopping server waits for its service to answer what is parked, and then as long
    /// for the answers to be taken. Default 10 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            descriptors: u64::MAX,
            at_capacity: AtCapacity::Close,
            accepts_per_second: 10_000,
            frame: rocketkube_protocol::frame::MAX_FRAME,
            unfinished: 256 * 1024 * 1024,
            unsent: 4 * 1024 * 1024,
            queued: 16 * 1024 * 1024,
            stray_responses_per_second: 1_000,
            first_byte: Duration::from_secs(10),
            partial_frame: Duration::from_secs(30),
            idle: Duration::from_mins(2),
            drain: Duration::from_secs(10),
        }
    }
}
