//! What a server has seen, as plain numbers for whoever exports them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseReason {
    /// The peer closed its side, and had all its answers.
    Peer,
    /// Reading or writing failed, mostly because the peer reset the connection.
    Io,
    /// Bytes that are no frame or no command.
    BadFrame,
    /// Nothing came within [`Limits::first_byte`](crate::Limits::first_byte).
    NoFirstByte,
    /// A frame was not finished within [`Limits::partial_frame`](crate::Limits::partial_frame).
    PartialFrame,
    /// No byte either way within [`Limits::idle`](crate::Limits::idle).
    Idle,
    /// More was queued than [`Limits::queued`](crate::Limits::queued) allows.
    Overflow,
    /// Too many responses to requests we never sent.
    StrayResponses,
    /// [`Limits::connections`](crate::Limits::connections) were open.
    AtCapacity,
    /// We closed it: [`Peer::close`](crate::Peer::close).
    Local,
    /// The server stops, and everything was sent.
    Drained,
    /// The task ended early, because its runtime did or the drain took too long.
    Aborted,
}

impl CloseReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Peer,
        Self::Io,
        Self::BadFrame,
        Self::NoFirstByte,
        Self::PartialFrame,
        Self::Idle,
        Self::Overflow,
        Self::StrayResponses,
        Self::AtCapacity,
        Self::Local,
        Self::Drained,
        Self::Aborted,
    ];

    /// The value of a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Io => "io",
            Self::BadFrame => "bad_frame",
            Self::NoFirstByte => "no_first_byte",
            Self::PartialFrame => "partial_frame",
            Self::Idle => "idle",
            Self::Overflow => "overflow",
            Self::StrayResponses => "stray_responses",
            Self::AtCapacity => "at_capacity",
            Self::Local => "local",
            Self::Drained => "drained",
            Self::Aborted => "aborted",
        }
    }
}

/// Totals since the server was bound.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    requests: AtomicU64,
    stray_responses: AtomicU64,
}

impl Counters {
    /// Connections accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections closed for a reason.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize].load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        // Closed first: a connection accepted in between counts as open, none as less than nothing.
        let closed: u64 = CloseReason::ALL.into_iter().map(|reason| self.closed(reason)).sum();
        self.accepted().saturating_sub(closed)
    }

    /// Bytes read from sockets.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    /// Bytes written to sockets, from memory and from files.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }

    /// Requests given to the service.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Responses to requests we never sent, or gave up.
    pub fn stray_responses(&self) -> u64 {
        self.stray_responses.load(Ordering::Relaxed)
    }

    pub(crate) fn count_accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_closed(&self, reason: CloseReason) {
        self.closed[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_in(&self, bytes: u64) {
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_out(&self, bytes: u64) {
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_requests(&self, requests: u64) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
    }

    pub(crate) fn count_stray_responses(&self, responses: u64) {
        self.stray_responses.fetch_add(responses, Ordering::Relaxed);
    }
}
