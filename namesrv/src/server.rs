//! Builds the parts of a name server; owns their start and stop order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rocketkube_remoting::{BindError, CloseReason, Counters, Limits, Server};
use rocketkube_service::descriptors::{self, TooFew};
use rocketkube_service::http::Health;
use rocketkube_service::metrics::{Kind, Registry, Sample};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::Config;
use crate::disk::{Disk, DiskError};
use crate::handler::Handler;
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::routes::Routes;
use crate::settings::Settings;
use crate::warmup::{self, Warmup};

/// How often silent members are looked for. Apache's name server looks as often.
const SWEEP: Duration = Duration::from_secs(5);
/// How long one of several goes on after it said that it stops, so that whoever chooses a server for
/// clients has noticed. Clients that are told nothing go on asking the one they know.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why a name server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot use the data directory")]
    Disk(#[from] DiskError),
    #[error("cannot serve")]
    Bind(#[from] BindError),
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    #[error("cannot tell the port that is listened on")]
    Address(#[source] std::io::Error),
}

/// A running name server. It stops with its shutdown token; [`NameServer::stopped`] waits for that.
pub struct NameServer {
    addr: SocketAddr,
    handler: Arc<Handler>,
    peers: Vec<String>,
    task: JoinHandle<()>,
    /// Ends the task, or was cancelled by it.
    shutdown: CancellationToken,
}

impl NameServer {
    /// Reads what is kept and starts to serve. HTTP is left to the process, which may hold other
    /// servers too; `registry` gets the metrics for it.
    ///
    /// # Errors
    /// If the data directory cannot be used, or the address cannot be listened on.
    pub async fn start(
        config: Config,
        registry: &Registry,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let dir = config.data_dir.clone();
        let opening = tokio::task::spawn_blocking(move || Disk::open(&dir));
        let (disk, kept) = opening.await.expect("opening the data directory does not panic")?;
        let handler = Arc::new(Handler {
            routes: RwLock::new(Routes::default()),
            keeper: Keeper::new(kept),
            start_settings: Settings {
                order_config: config.order_config,
                topic_list: config.topic_list,
            },
            listen_port: config.listen.port(),
            warmup: Warmup::new(config.expected()),
            reading: Mutex::new(()),
            metrics: Metrics::new(registry),
        });
        // Its few files are among those that every process has.
        let limits = Limits { descriptors: descriptors::for_connections(0)?, ..Limits::default() };
        let server =
            Server::bind(&[config.listen], Arc::clone(&handler), limits, shutdown.clone())?;
        let addr = server.local_addrs().map_err(StartError::Address)?[0];
        register_metrics(registry, &handler, server.counters());
        let task = tokio::spawn(run(Arc::clone(&handler), server, disk, shutdown.clone()));
        let peers = config.peers().map(str::to_owned).collect();
        Ok(Self { addr, handler, peers, task, shutdown })
    }

    /// The address that is listened on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What is shown on the status page.
    pub fn status(&self) -> impl Fn() -> serde_json::Value + Send + Sync + use<> {
        let (handler, addr) = (Arc::clone(&self.handler), self.addr);
        move || {
            let counts = handler.routes.read().counts();
            serde_json::json!({
                "listen": addr.to_string(),
                "brokers": counts.brokers,
                "members": counts.members,
                "topics": counts.topics,
                "awaitedBrokers": handler.warmup.missing(),
            })
        }
    }

    /// The life of a name server that is a process of its own: tells the probes when it is ready, which
    /// takes until the brokers are there that it has to wait for, and ends in order after `stop`.
    pub async fn live(self, health: &Health, stop: CancellationToken) {
        health.set_started();
        health.set_unready("waiting for brokers to announce themselves");
        let warming = self.handler.warmup.run(warmup::known_to(self.peers.clone()));
        // Dropped by its end, the wait for brokers is of no use any more.
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.shutdown.cancelled() => {}
            () = warming => {
                health.set_ready();
                info!("name server is ready");
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.shutdown.cancelled() => {} // it failed, which was reported
        }
        health.set_unready("stopping");
        if !self.peers.is_empty() {
            // Nothing is lost by its end.
            tokio::select! {
                () = tokio::time::sleep(FAREWELL) => {}
                () = self.shutdown.cancelled() => {}
            }
        }
        self.shutdown.cancel();
        self.stopped().await;
    }

    /// Waits until everything has stopped, which the shutdown token asks for.
    pub async fn stopped(self) {
        // An error is a panic, which has been reported.
        let _ = self.task.await;
    }
}

/// Serves until the server has drained. What is kept is written until then, so that every change
/// that was taken is answered.
async fn run(
    handler: Arc<Handler>,
    server: Server<Handler>,
    disk: Disk,
    shutdown: CancellationToken,
) {
    let sweep = async {
        let mut ticks = tokio::time::interval(SWEEP);
        loop {
            ticks.tick().await;
            handler.expire(Instant::now());
        }
    };
    // The server ends last: it waits for the answers to changes, which `keeper` gives. The others
    // have nothing left to do then; the keeper ends by itself only if writing panicked.
    tokio::select! {
        () = server.run() => {}
        () = handler.keeper.run(disk) => {}
        () = sweep => {}
    }
    shutdown.cancel();
}

fn register_metrics(registry: &Registry, handler: &Arc<Handler>, connections: Arc<Counters>) {
    let gauge = |name, help, value: fn(&Handler) -> usize| {
        let handler = Arc::clone(handler);
        registry.register(name, help, Kind::Gauge, move || vec![sample(value(&handler) as u64)]);
    };
    gauge("mq_namesrv_brokers", "Brokers that are registered.", |handler| {
        handler.routes.read().counts().brokers
    });
    gauge("mq_namesrv_members", "Members of brokers that are registered.", |handler| {
        handler.routes.read().counts().members
    });
    gauge("mq_namesrv_topics", "Topics that a broker has.", |handler| {
        handler.routes.read().counts().topics
    });

    let open = Arc::clone(&connections);
    let (name, help) = ("mq_namesrv_connections", "Connections that are open.");
    registry.register(name, help, Kind::Gauge, move || vec![sample(open.open())]);
    let requests = Arc::clone(&connections);
    let (name, help) = ("mq_namesrv_requests_total", "Requests, refused ones included.");
    registry.register(name, help, Kind::Counter, move || vec![sample(requests.requests())]);
    let (name, help) =
        ("mq_namesrv_connections_closed_total", "Connections that ended, by reason.");
    registry.register(name, help, Kind::Counter, move || {
        let of = |reason: CloseReason| Sample {
            labels: vec![("reason", reason.name().to_owned())],
            ..sample(connections.closed(reason))
        };
        CloseReason::ALL.into_iter().map(of).collect()
    });
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus numbers are doubles")]
fn sample(value: u64) -> Sample {
    Sample::new(value as f64, Vec::new())
}
