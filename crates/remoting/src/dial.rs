//! The client's end of a connection: many callers share one socket.
//!
//! It is the same connection as a server's, with the requests of the broker given to a [`Handler`].
//! It does not reconnect: whoever holds it knows better whether to ask again, and whom.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rocketkube_protocol::{Command, Request};
use tokio::net::TcpStream;

use crate::connection::{self, Shared};
use crate::{BatchEnd, Call, CallError, Limits, Output, Peer, Service};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot connect to {addr}")]
    Io { addr: String, source: io::Error },
    #[error("{addr} did not accept a connection within {after:?}")]
    TimedOut { addr: String, after: Duration },
}

/// Handles what a broker asks its client, such as `NOTIFY_CONSUMER_IDS_CHANGED` (40).
///
/// Runs on the connection's task, so it must not block. It may answer into `out`, unless the request
/// is one-way.
pub trait Handler: Send + Sync + 'static {
    fn request(&self, request: Request<'_>, out: &mut Output);
}

/// Answers nothing: for clients that are never asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ignore;

impl Handler for Ignore {
    fn request(&self, _: Request<'_>, _: &mut Output) {}
}

/// A client's connection. Closed when dropped.
#[derive(Debug)]
pub struct Connection {
    peer: Arc<Peer>,
}

impl Connection {
    /// Connects to `host:port`, ignoring what the broker asks.
    ///
    /// # Errors
    /// If nobody accepts within `timeout`.
    pub async fn connect(addr: &str, timeout: Duration) -> Result<Self, ConnectError> {
        Self::connect_with(addr, timeout, Arc::new(Ignore)).await
    }

    /// Connects to `host:port`.
    ///
    /// # Errors
    /// If nobody accepts within `timeout`.
    pub async fn connect_with(
        addr: &str,
        timeout: Duration,
        handler: Arc<impl Handler>,
    ) -> Result<Self, ConnectError> {
        let failed = |source| ConnectError::Io { addr: addr.to_owned(), source };
        let stream = match tokio::time::timeout(timeout, TcpStream::connect(addr)).await {
            Ok(stream) => stream.map_err(failed)?,
            Err(_) => {
                return Err(ConnectError::TimedOut { addr: addr.to_owned(), after: timeout });
            }
        };
        stream.set_nodelay(true).map_err(failed)?;
        let remote = stream.peer_addr().map_err(failed)?;
        let limits = Limits::default();
        let peer = Peer::new(0, remote, limits.queued);
        let shared = Arc::new(Shared::new(Arc::new(Callbacks(handler)), limits));
        // Owned by the peer: it ends when the peer is closed, which `Drop` sees to. Deadlines are
        // the server's business, so nothing sweeps here.
        tokio::spawn(connection::Connection::open(shared, stream, Arc::clone(&peer), None));
        Ok(Self { peer })
    }

    /// Sends a request, whose `opaque` is chosen here, and waits for its answer.
    ///
    /// # Errors
    /// If it cannot be sent, or no answer comes in time.
    pub async fn call(&self, command: Command, timeout: Duration) -> Result<Command, CallError> {
        self.peer.call(command, timeout).await
    }

    /// Sends a request and returns the wait for its answer, so that one task can have many calls
    /// under way.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn submit(&self, command: Command) -> Result<Call, CallError> {
        self.peer.submit(command)
    }

    /// Sends a request that wants no answer.
    ///
    /// # Errors
    /// If it cannot be queued.
    pub fn send_oneway(&self, command: Command) -> Result<(), CallError> {
        self.peer.send_oneway(command)
    }

    /// The other end.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Whether the connection is gone; a new one has to be made.
    pub fn is_closed(&self) -> bool {
        self.peer.is_closed()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // One-way requests that were queued last still leave.
        self.peer.finish();
    }
}

struct Callbacks<H>(Arc<H>);

impl<H: Handler> Service for Callbacks<H> {
    type Session = ();

    fn connected(&self, _: &Arc<Peer>) {}

    fn request(&self, (): &mut (), request: Request<'_>, out: &mut Output) {
        self.0.request(request, out);
    }

    fn end_of_batch(&self, (): &mut (), _: &mut Output) -> BatchEnd {
        BatchEnd::Done
    }

    fn disconnected(&self, (): ()) {}
}
