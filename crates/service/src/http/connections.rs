//! Connections that are few, short and quick to ask, so that nobody can use up the descriptors of a
//! broker through its status pages, or keep it from stopping.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// What somebody who asks for pages may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most connections at a time; more wait in the kernel's backlog. Probes and scrapes need two.
    pub(super) connections: usize,
    /// How long the head of a request may take, and the silence between two requests.
    pub(super) head: Duration,
    /// How long a connection may be used. A page takes milliseconds; who keeps connections open
    /// between scrapes opens a new one after this.
    pub(super) lifetime: Duration,
}

impl Limits {
    pub(super) const DEFAULT: Self =
        Self { connections: 256, head: Duration::from_secs(10), lifetime: Duration::from_mins(1) };
}

/// Most bytes of a request's first line and headers; more are answered with 414 or 431.
const HEAD: usize = 8 * 1024;
/// Out of descriptors or memory: time for open connections to end before trying again.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";

/// Serves `router` until `shutdown`, then waits for the answers under way.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let router = router.layer(middleware::from_fn(refuse_bodies));
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("places stay open");
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = shutdown.cancelled() => break,
            // Dropped here it gives its place back and leaves the client in the backlog.
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = Connection { stream, limits, _place: place };
                connections.spawn(connection.serve(router.clone(), shutdown.clone()));
            }
            Err(error) => {
                warn!(%error, "accept failed");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
    connections.close();
    // No longer than a connection may be used.
    connections.wait().await;
}

/// No page takes a body, so none is read.
async fn refuse_bodies(request: Request, next: Next) -> Response {
    if request.body().size_hint().lower() > 0 {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    next.run(request).await
}

struct Connection {
    stream: TcpStream,
    limits: Limits,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, router: Router, shutdown: CancellationToken) {
        let mut serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_header_size(HEAD)
            .max_buf_size(2 * HEAD)
            .serve_connection(TokioIo::new(self.stream), TowerToHyperService::new(router));
        let mut end = pin!(sleep(self.limits.lifetime));
        let mut stopping = false;
        let served = loop {
            // What is not ready is polled again in the next round, so nothing is lost.
            tokio::select! {
                served = &mut serving => break served,
                () = shutdown.cancelled(), if !stopping => {
                    stopping = true;
                    Pin::new(&mut serving).graceful_shutdown();
                }
                () = &mut end => return,
            }
        };
        let Err(error) = served else { return };
        debug!(%error, "HTTP connection failed");
        let parts = serving.into_parts();
        // Whoever has asked nothing is closed without a word.
        if error.is_timeout() && !parts.read_buf.is_empty() {
            let mut stream = parts.io.into_inner();
            let answer = async {
                stream.write_all(TOO_LATE).await?;
                stream.shutdown().await
            };
            // Nobody is left to tell if this fails too.
            _ = timeout(self.limits.head, answer).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::AsyncReadExt as _;
    use tokio::task::JoinHandle;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(30);

    async fn start(limits: Limits) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new().route("/page", get(|| async { "content" }));
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, router, limits, shutdown.clone()));
        (addr, shutdown, serving)
    }

    /// Everything that comes back until the connection is closed.
    async fn answer(addr: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        // An error is a reset, because not all of the request was read: the end as well.
        let _ = timeout(LONG, read).await.expect("the connection is closed");
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn a_request_that_does_not_end_is_answered_and_closed() {
        let limits = Limits { head: MOMENT, lifetime: LONG, ..Limits::DEFAULT };
        let (addr, _shutdown, _) = start(limits).await;
        for half in ["GET /page", "GET /page HTTP/1.1\r\nHost: x\r\n"] {
            let answer = answer(addr, half.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 408 "), "{half:?}: {answer}");
        }
        assert_eq!(answer(addr, b"").await, "", "who asks nothing gets no answer");
    }

    #[tokio::test]
    async fn a_request_that_is_too_long_is_refused() {
        let (addr, _shutdown, _) = start(Limits::DEFAULT).await;
        let long = "x".repeat(3 * HEAD);
        for (request, code) in [
            (format!("GET /page HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"), "431"),
            (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), "431"),
            ("GET /page HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n".into(), "413"),
            ("nonsense\r\n\r\n".into(), "400"),
        ] {
            let answer = answer(addr, request.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{request:.20}: {answer}");
        }
    }

    #[tokio::test]
    async fn a_connection_beyond_the_bound_waits_for_another_to_end() {
        let limits = Limits { connections: 1, head: LONG, lifetime: LONG };
        let (addr, _shutdown, _) = start(limits).await;
        let first = TcpStream::connect(addr).await.unwrap();
        let second = tokio::spawn(async move {
            answer(addr, b"GET /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await
        });
        drop(first);
        assert!(timeout(LONG, second).await.unwrap().unwrap().ends_with("content"));
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_time_even_if_it_asks_and_asks() {
        let limits = Limits { head: LONG, lifetime: MOMENT, ..Limits::DEFAULT };
        let (addr, _shutdown, _) = start(limits).await;
        let answer = answer(addr, b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.ends_with("content"), "{answer}");
    }

    #[tokio::test]
    async fn a_silent_connection_does_not_delay_the_end() {
        let limits = Limits { head: LONG, lifetime: LONG, ..Limits::DEFAULT };
        let (addr, shutdown, serving) = start(limits).await;
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 512];
        assert!(stream.read(&mut answer).await.unwrap() > 0);
        shutdown.cancel();
        timeout(LONG, serving).await.unwrap().unwrap();
    }
}
