//! What a server does with requests; implemented by the name server and the broker.

use std::sync::Arc;

use rocketkube_protocol::Request;

use crate::{Output, Peer};

/// Whether a batch of requests is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchEnd {
    /// All that could be done at once is done.
    Done,
    /// [`Service::woken`] is to be called before anything else is read, once the other connections
    /// that are ready had their turn.
    AfterOthers,
}

/// Handles the requests of all connections of a [`Server`](crate::Server).
///
/// All methods run on the task of the connection, so none may block, and a panic takes the
/// connection's task with it (the whole process in release builds, which abort).
pub trait Service: Send + Sync + 'static {
    /// What is remembered per connection; small, because idle connections hold it too.
    type Session: Send + 'static;

    /// A connection was accepted. `peer` may be kept to send to it from anywhere.
    fn connected(&self, peer: &Arc<Peer>) -> Self::Session;

    /// A request came: answer now into `out`, or later through [`Peer::send`] or [`Peer::write`].
    ///
    /// Answers to requests of ours do not come here, [`Peer::call`] gets them.
    fn request(&self, session: &mut Self::Session, request: Request<'_>, out: &mut Output);

    /// The last whole frame of one read was handled. What `request` gathered can now be done at
    /// once for all of them.
    fn end_of_batch(&self, session: &mut Self::Session, out: &mut Output) -> BatchEnd;

    /// Somebody called [`Peer::wake`]: what the session waits for may have come.
    fn woken(&self, _session: &mut Self::Session, _out: &mut Output) {}

    /// The peer ended its side: it sends no more, and may or may not still read. Called once, when all
    /// its requests were handled; the connection is closed as soon as nothing is queued or
    /// [promised](Peer::defer) any more. The place to answer what would otherwise wait.
    fn half_closed(&self, _session: &mut Self::Session, _out: &mut Output) {}

    /// The connection is gone, or will be when this returns.
    fn disconnected(&self, session: Self::Session);

    /// The server was told to stop: answer what is parked, and return when nothing more will be
    /// sent. Until then connections are served as before; afterwards they are flushed and closed.
    fn draining(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}
