//! From the start of a name server to its end, as its probes tell.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rocketkube_namesrv::{Config, NameServer};
use rocketkube_service::http::Health;
use rocketkube_service::metrics::Registry;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{Running, SECONDS, assert_ok, register};

struct Life {
    addr: SocketAddr,
    health: Arc<Health>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    _dir: TempDir,
}

async fn start(peers: String, expect: &str) -> Life {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: dir.path().to_owned(),
        peers,
        expect: expect.to_owned(),
        ..Config::default()
    };
    let server = NameServer::start(config, &Registry::default(), CancellationToken::new()).await;
    let (server, health, stop) =
        (server.unwrap(), Arc::new(Health::default()), CancellationToken::new());
    let (addr, told, asked) = (server.addr(), Arc::clone(&health), stop.clone());
    let task = tokio::spawn(async move { server.live(&told, asked).await });
    Life { addr, health, stop, task, _dir: dir }
}

impl Life {
    async fn until_ready(&self) {
        let ready = async {
            while self.health.unready().is_some() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SECONDS, ready).await.unwrap();
    }

    async fn register(&self, broker: &'static str) -> rocketkube_remoting::Connection {
        let addr = self.addr.to_string();
        let connection = rocketkube_remoting::Connection::connect(&addr, SECONDS).await.unwrap();
        assert_ok(&register(&connection, broker, &["T1", "T2"]).await);
        connection
    }
}

#[tokio::test]
async fn it_is_ready_once_the_brokers_are_there_that_its_peers_know() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Running::start(dir.path()).await;
    let of_peer = peer.connect().await;
    assert_ok(&register(&of_peer, "b1", &["T1", "T2"]).await);

    let life = start(peer.server.addr().to_string(), "b0").await;
    let first = life.register("b0").await;
    let waiting = "waiting for brokers to announce themselves";
    assert_eq!(life.health.unready().as_deref(), Some(waiting));
    let second = life.register("b1").await;
    life.until_ready().await;
    drop((first, second, of_peer));
    peer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_of_several_goes_on_for_a_while_after_it_was_asked_to_stop() {
    let life = start("127.0.0.1:1".into(), "").await;
    life.until_ready().await;
    let start = Instant::now();
    life.stop.cancel();
    while life.health.unready().as_deref() != Some("stopping") {
        tokio::task::yield_now().await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    // Without the runtime, whose clock would go on while it waits for a socket.
    std::net::TcpStream::connect(life.addr).unwrap();
    life.task.await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_alone_is_ready_at_once_and_stops_at_once() {
    let life = start(String::new(), "").await;
    life.until_ready().await;
    let start = Instant::now();
    life.stop.cancel();
    life.task.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}
