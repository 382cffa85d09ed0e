//! One HTTP port per process: metrics, probes and a status page. Nothing can be changed here.

use std::borrow::Cow;
use std::future::{Ready, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::descriptors;
use crate::metrics::Registry;

mod connections;

use connections::Limits;

/// What a process says of itself: neither started nor ready at first.
#[derive(Debug)]
pub struct Health {
    started: AtomicBool,
    /// Why a request sent now would fail; `None` if it would not.
    unready: Mutex<Option<Cow<'static, str>>>,
    /// Until when it counts as alive; `None`: as long as it answers.
    alive_until: Mutex<Option<Instant>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            started: AtomicBool::new(false),
            unready: Mutex::new(Some("starting".into())),
            alive_until: Mutex::new(None),
        }
    }
}

impl Health {
    /// Start-up is over.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// A request sent now will succeed.
    pub fn set_ready(&self) {
        *self.unready.lock() = None;
    }

    /// A request sent now would fail; `/readyz` says why.
    pub fn set_unready(&self, reason: impl Into<Cow<'static, str>>) {
        *self.unready.lock() = Some(reason.into());
    }

    /// What the process is for goes on, and this will be said again before `time` is over: else it
    /// hangs, and has to be started anew. A process that never says it is alive as long as it answers.
    pub fn set_alive_for(&self, time: Duration) {
        *self.alive_until.lock() = Some(Instant::now() + time);
    }

    /// Whether the process does not hang.
    pub fn is_alive(&self) -> bool {
        self.alive_until.lock().is_none_or(|until| Instant::now() < until)
    }

    fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Why a request sent now would fail, if it would.
    pub fn unready(&self) -> Option<Cow<'static, str>> {
        self.unready.lock().clone()
    }
}

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    pub health: Arc<Health>,
    pub metrics: Arc<Registry>,
    /// The content of `/statusz`.
    pub status: Arc<dyn Fn() -> Value + Send + Sync>,
}

/// Binds `addr`; where there is no IPv6, its IPv4 counterpart.
pub async fn bind(addr: SocketAddr) -> std::io::Result<TcpListener> {
    match TcpListener::bind(addr).await {
        Err(error) if addr.is_ipv6() && addr.ip().is_unspecified() && no_ipv6(&error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, addr.port())).await
        }
        result => result,
    }
}

fn no_ipv6(error: &std::io::Error) -> bool {
    // EAFNOSUPPORT and EADDRNOTAVAIL: not compiled in, and switched off.
    error.raw_os_error() == Some(97) || error.kind() == std::io::ErrorKind::AddrNotAvailable
}

/// Serves the pages until `shutdown`.
pub async fn serve(listener: TcpListener, pages: Pages, shutdown: CancellationToken) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/startz", get(|pages| probe(pages, Health::is_started)))
        // A process that knows that it cannot go on ends.
        .route("/livez", get(|pages| probe(pages, Health::is_alive)))
        .route("/readyz", get(readiness))
        .route("/statusz", get(status))
        .with_state(pages);
    let limits = Limits { connections: descriptors::for_pages(), ..Limits::DEFAULT };
    connections::serve(listener, router, limits, shutdown).await;
}

async fn metrics(State(pages): State<Pages>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], pages.metrics.render())
}

fn probe(State(pages): State<Pages>, is: fn(&Health) -> bool) -> Ready<(StatusCode, &'static str)> {
    ready(if is(&pages.health) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not yet\n")
    })
}

async fn readiness(State(pages): State<Pages>) -> (StatusCode, String) {
    match pages.health.unready() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn status(State(pages): State<Pages>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], format!("{:#}\n", (pages.status)()))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn start() -> (SocketAddr, Arc<Health>, CancellationToken) {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (health, shutdown) = (Arc::new(Health::default()), CancellationToken::new());
        let metrics = Arc::new(Registry::default());
        metrics.counter("mq_things_total", "Things.", Vec::new()).add(3);
        let status = Arc::new(|| serde_json::json!({ "name": "test" }));
        let pages = Pages { health: Arc::clone(&health), metrics, status };
        tokio::spawn(serve(listener, pages, shutdown.clone()));
        (addr, health, shutdown)
    }

    async fn ask(addr: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let text = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn probes_say_what_the_process_says() {
        let (addr, health, shutdown) = start().await;
        assert!(ask(addr, "GET /startz").await.starts_with("HTTP/1.1 503"));
        assert!(ask(addr, "GET /livez").await.starts_with("HTTP/1.1 200"));
        health.set_started();
        assert!(ask(addr, "GET /startz").await.starts_with("HTTP/1.1 200"));
        assert!(ask(addr, "GET /readyz").await.ends_with("\r\n\r\nstarting\n"));
        health.set_ready();
        assert!(ask(addr, "GET /readyz").await.starts_with("HTTP/1.1 200"));
        health.set_unready("disk is full");
        let answer = ask(addr, "GET /readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("\r\n\r\ndisk is full\n"));
        health.set_alive_for(Duration::from_mins(1));
        assert!(ask(addr, "GET /livez").await.starts_with("HTTP/1.1 200"));
        health.set_alive_for(Duration::ZERO);
        assert!(ask(addr, "GET /livez").await.starts_with("HTTP/1.1 503"));
        shutdown.cancel();
    }

    #[tokio::test]
    async fn metrics_and_status_are_read_only_pages() {
        let (addr, _, shutdown) = start().await;
        assert!(ask(addr, "GET /metrics").await.contains("mq_things_total 3"));
        assert!(ask(addr, "GET /statusz").await.contains("\"name\": \"test\""));
        assert!(ask(addr, "POST /metrics").await.starts_with("HTTP/1.1 405"));
        assert!(ask(addr, "GET /../etc/passwd").await.starts_with("HTTP/1.1 404"));
        shutdown.cancel();
    }
}
