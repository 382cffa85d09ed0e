//! Listening, accepting, and stopping in order.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::connection::{Connection, Shared};
use crate::{AtCapacity, CloseReason, Counters, Limits, Peer, Service};

/// Connections that may wait to be accepted. The kernel may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// Out of descriptors or memory: time for open connections to end before trying again.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// A stopping server gives its peers up when none has taken a byte for so long.
const STALLED: Duration = Duration::from_secs(2);

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}")]
pub struct BindError {
    pub addr: SocketAddr,
    pub source: io::Error,
}

/// A bound server; it serves while [`Server::run`] runs.
#[derive(Debug)]
pub struct Server<S: Service> {
    listeners: Vec<TcpListener>,
    shared: Arc<Shared<S>>,
    connections: TaskTracker,
    places: Arc<Semaphore>,
    /// The last connection was closed for want of descriptors, which was said.
    short: AtomicBool,
    shutdown: CancellationToken,
}

impl<S: Service> Server<S> {
    /// Listens on all of `addrs`. `[::]` takes IPv4 too, and becomes `0.0.0.0` where there is no
    /// IPv6.
    ///
    /// # Errors
    /// If an address cannot be listened on.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(
        addrs: &[SocketAddr],
        service: Arc<S>,
        limits: Limits,
        shutdown: CancellationToken,
    ) -> Result<Self, BindError> {
        let listen = |&addr| listen(addr).map_err(|source| BindError { addr, source });
        Ok(Self {
            listeners: addrs.iter().map(listen).collect::<Result<_, _>>()?,
            connections: TaskTracker::new(),
            places: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            shared: Arc::new(Shared::new(service, limits)),
            short: AtomicBool::new(false),
            shutdown,
        })
    }

    /// The addresses listened on, in the order they were given.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }

    /// What this server has seen so far.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// Serves until the shutdown token is cancelled, then stops in order: no new connections; the
    /// service answers what is parked ([`Service::draining`]); everything is sent; the end.
    pub async fn run(mut self) {
        let mut sweep = JoinSet::new();
        let shared = Arc::clone(&self.shared);
        sweep.spawn(async move { shared.registry.sweep(&shared.budget).await });

        let listeners = std::mem::take(&mut self.listeners);
        let server = Arc::new(self);
        let mut accepting = JoinSet::new();
        for listener in listeners {
            let server = Arc::clone(&server);
            accepting.spawn(async move { server.accept_all(listener).await });
        }
        server.shutdown.cancelled().await;
        while accepting.join_next().await.is_some() {}
        server.drain().await;
    }

    async fn accept_all(&self, listener: TcpListener) {
        let mut pace = Pace::new(self.shared.limits.accepts_per_second);
        let mut failing = false;
        loop {
            let next = async {
                pace.wait().await;
                let permit = self.place().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = self.shutdown.cancelled() => break,
                // Dropped here it gives its place back and leaves the client in the backlog.
                next = next => next,
            };
            match accepted {
                Ok((stream, remote)) => {
                    failing = false;
                    self.open(stream, remote, permit);
                }
                Err(error) => {
                    // Said once, not twenty times a second.
                    if !failing {
                        warn!(%error, "accept failed, trying again until it works");
                    }
                    failing = true;
                    time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    /// A place for one more connection; none if there is none and the next client is to be closed.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let places = Arc::clone(&self.places);
        match self.shared.limits.at_capacity {
            AtCapacity::Wait => places.acquire_owned().await.ok(),
            AtCapacity::Close => None,
        }
    }

    fn open(&self, stream: TcpStream, remote: SocketAddr, place: Option<OwnedSemaphorePermit>) {
        let shared = Arc::clone(&self.shared);
        let place = place.or_else(|| Arc::clone(&self.places).try_acquire_owned().ok());
        if place.is_none() || !self.leaves_descriptors(&stream) {
            shared.counters.count_accepted();
            shared.counters.count_closed(CloseReason::AtCapacity);
            return;
        }
        // Without it an answer may wait 40 ms for the acknowledgement of the one before. It fails
        // only on a connection that is gone already, which the first read will say.
        let _ = stream.set_nodelay(true);
        let peer = Peer::new(shared.registry.next_id(), remote, shared.limits.queued);
        self.connections.spawn(Connection::open(shared, stream, peer, place));
    }

    /// Whether those that are left are enough for files.
    fn leaves_descriptors(&self, stream: &TcpStream) -> bool {
        let max = self.shared.limits.descriptors;
        let is_short = u64::try_from(stream.as_raw_fd()).is_ok_and(|number| number >= max);
        if self.short.swap(is_short, Ordering::Relaxed) != is_short && is_short {
            warn!(max, "no more descriptors for connections, the next ones are closed");
        }
        !is_short
    }

    async fn drain(&self) {
        let limit = self.shared.limits.drain;
        if time::timeout(limit, self.shared.service.draining()).await.is_err() {
            warn!(?limit, "parked requests are left unanswered");
        }
        self.shared.registry.finish_all();
        self.connections.close();
        if time::timeout(limit, self.all_taken()).await != Ok(true) {
            warn!(open = self.connections.len(), "peers did not take their last answers in time");
            self.shared.registry.close_all(CloseReason::Aborted);
            self.connections.wait().await;
        }
        info!("all connections closed");
    }

    /// Waits until all connections are closed; `false` once those that are left take nothing.
    async fn all_taken(&self) -> bool {
        let counters = &self.shared.counters;
        let progress = || (counters.bytes_out(), counters.open());
        loop {
            let before = progress();
            match time::timeout(STALLED, self.connections.wait()).await {
                Ok(()) => return true,
                // Answers that were promised may wait for a disk, which is no fault of the peer.
                Err(_) if progress() == before && !self.shared.registry.has_promises() => {
                    return false;
                }
                Err(_) => {}
            }
        }
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    match listen_exactly(addr) {
        Err(error) if addr.is_ipv6() && addr.ip().is_unspecified() && lacks_ipv6(&error) => {
            listen_exactly((Ipv4Addr::UNSPECIFIED, addr.port()).into())
        }
        result => result,
    }
}

/// Whether the kernel was built, or told, to do without IPv6.
fn lacks_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    let lacking = [rustix::io::Errno::AFNOSUPPORT, rustix::io::Errno::ADDRNOTAVAIL];
    lacking.iter().any(|errno| code == Some(errno.raw_os_error()))
}

fn listen_exactly(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // A restarted server must not wait for the last connections of its predecessor to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Lets a number of connections through per second, in windows short enough not to be noticed.
struct Pace {
    per_window: u32,
    left: u32,
    window_end: Instant,
}

impl Pace {
    const WINDOW: Duration = Duration::from_millis(20);

    fn new(per_second: u32) -> Self {
        let per_window = (per_second / 50).max(1);
        Self { per_window, left: per_window, window_end: Instant::now() + Self::WINDOW }
    }

    async fn wait(&mut self) {
        if self.left == 0 {
            time::sleep_until(self.window_end).await;
        }
        let now = Instant::now();
        if now >= self.window_end {
            self.left = self.per_window;
            self.window_end = now + Self::WINDOW;
        }
        self.left = self.left.saturating_sub(1);
    }
}
