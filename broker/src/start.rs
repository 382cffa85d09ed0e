//! Starting and stopping a broker: what is opened in which order, and closed in the other.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rocketkube_log::Recovery;
use rocketkube_remoting::{BindError, Limits, Server};
use rocketkube_service::descriptors::{self, TooFew};
use rocketkube_service::http::Health;
use rocketkube_service::logs::chain;
use rocketkube_service::metrics::{Registry, register_process};
use rocketkube_store::{
    Flush, OpenError, Opening, Options, Retained, Retention, Store, StoreError, Volume,
};
use serde_json::Value;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::broker::{Broker, Parts, now_ms};
use crate::config::{Config, ConfigError, FlushMode};
use crate::gate::Gate;
use crate::handler::pull::UNSENT_MAX;
use crate::metrics::{self, Metrics};
use crate::name_servers;
use crate::permission::{self, Permission, StateError};
use crate::registration::keep_registered;
use crate::topics;
use crate::wake::{Confirmations, Parked, queue_key};

/// How often due pulls are answered and committed offsets go to the log.
const TICK: Duration = Duration::from_millis(50);
/// How often silent clients are looked for and retention is done.
const HOUSEKEEPING: Duration = Duration::from_secs(10);
/// Segments that are smaller because the volume is, and those made and deleted at the moment.
const MORE_FILES: u64 = 16;
/// The VIP port of old clients lies so far below the port that is advertised.
/// Source: `MixAll.brokerVIPChannel` of Apache RocketMQ.
const VIP_DISTANCE: u16 = 2;

/// Why a broker did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    #[error("cannot open the data directory {}", path.display())]
    Open { path: PathBuf, source: OpenError },
    #[error("cannot write to the log")]
    Store(#[from] StoreError),
    /// What failed was logged when it happened.
    #[error("the log failed: nothing was acknowledged since; see the log line before this one")]
    LogFailed,
    /// A task that has to run as long as the broker ended.
    #[error("a vital task ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// A broker that serves.
pub struct Running {
    broker: Arc<Broker>,
    advertised: SocketAddr,
    tasks: JoinSet<()>,
    registrations: JoinSet<()>,
    health: Arc<Health>,
    /// Cancelled when the process has to end: asked for, or because the log failed.
    stop: CancellationToken,
    /// Ends the tasks that serve, after the name servers were told.
    end: CancellationToken,
}

/// Listens, opens the store, serves, registers. `stop` asks the broker to stop.
pub async fn start(
    config: Config,
    health: Arc<Health>,
    registry: Arc<Registry>,
    stop: CancellationToken,
) -> Result<Running, BrokerError> {
    config.validate()?;
    let listen = with_port(config.listen);
    let advertised = config.advertised(listen)?;
    let permission = Permission::at_start(config.state_file.as_deref()).await?;
    let (gate, end) = (Arc::new(Gate::default()), CancellationToken::new());
    let descriptors = descriptors::for_connections(files(&config))?;
    let server = bind(&config, &gate, listen, descriptors, end.clone())?;
    register_process(&registry);
    metrics::register_network(&server.counters(), &config, &registry);
    let mut tasks = JoinSet::new();
    tasks.spawn(server.run());

    let (broker, opening) = open(config, advertised, permission, &registry, stop.clone()).await?;
    let broker = Arc::new(broker);
    metrics::register_broker(&broker, opening.log.damage.len(), &registry);
    topics::create_own(&broker)?;
    // Before anybody can send: a disk that is too full refuses messages from the first one on.
    measure(&broker, broker.disk());
    gate.open(Arc::clone(&broker));
    tasks.spawn(tick(Arc::clone(&broker), Arc::clone(&health), stop.clone(), end.clone()));
    tasks.spawn(keep_house(Arc::clone(&broker), end.clone()));
    if let Some(file) = broker.config.state_file.clone() {
        tasks.spawn(permission::follow(Arc::clone(&broker), file, end.clone()));
    }
    let registrations = announce(&broker, &stop);
    health.set_started();
    broker.tell_readiness(&health, stop.is_cancelled());
    info!(broker = broker.config.name, %advertised, "serving");
    Ok(Running { broker, advertised, tasks, registrations, health, stop, end })
}

/// Tells every name server of the settings, wherever it is, until `stop`.
fn announce(broker: &Arc<Broker>, stop: &CancellationToken) -> JoinSet<()> {
    let names = broker.config.namesrv.split(';').map(str::trim).filter(|name| !name.is_empty());
    let follow = |name: &str| {
        let broker = Arc::clone(broker);
        let announce = move |addr: SocketAddr, end| {
            keep_registered(Arc::clone(&broker), addr.to_string(), end)
        };
        name_servers::follow(name.to_owned(), name_servers::look_up, announce, stop.clone())
    };
    names.map(follow).collect()
}

impl Running {
    /// Where clients reach the broker.
    pub fn advertised(&self) -> SocketAddr {
        self.advertised
    }

    /// What `/statusz` says.
    pub fn status(&self) -> impl Fn() -> Value + Send + Sync + use<> {
        let broker = Arc::clone(&self.broker);
        move || broker.status()
    }

    /// Serves until asked to stop, then stops in order: the name servers are told, parked pulls and
    /// sends under way are answered, committed offsets are written, the log is flushed.
    pub async fn stopped(mut self) -> Result<(), BrokerError> {
        tokio::select! {
            () = self.stop.cancelled() => {}
            // None of them ends before it is told to. Dropping the wait loses nothing.
            Some(ended) = self.tasks.join_next() => {
                self.stop.cancel();
                ended?;
            }
        }
        self.broker.tell_readiness(&self.health, true);
        if self.broker.store.has_failed() {
            // Nothing that waits can be answered any more, and nothing new may be taken.
            return Err(BrokerError::LogFailed);
        }
        while let Some(ended) = self.registrations.join_next().await {
            ended?;
        }
        self.end.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        if self.broker.store.has_failed() {
            return Err(BrokerError::LogFailed);
        }
        let broker = Arc::clone(&self.broker);
        match spawn_blocking(move || broker.store.close(now_ms())).await? {
            // The next start reads the log instead.
            Err(StoreError::File(error)) => warn!(error = chain(&error), "no snapshot at the stop"),
            closed => closed?,
        }
        info!(broker = self.broker.config.name, "stopped");
        Ok(())
    }
}

/// A port that is free now, where the settings leave it open: the advertised address is part of
/// every message, so it has to be known before anybody listens.
fn with_port(listen: SocketAddr) -> SocketAddr {
    if listen.port() != 0 {
        return listen;
    }
    let bound = TcpListener::bind(listen).and_then(|listener| listener.local_addr());
    bound.unwrap_or(listen)
}

async fn open(
    config: Config,
    advertised: SocketAddr,
    permission: Permission,
    registry: &Registry,
    stop: CancellationToken,
) -> Result<(Broker, Opening), BrokerError> {
    let confirmations = Arc::new(Confirmations::new());
    let parked = Arc::new(Parked::new());
    let (confirmed, arrived) = (Arc::clone(&confirmations), Arc::clone(&parked));
    let path = config.data_dir.clone();
    let options = Options {
        segment_size: config.segment_size(),
        flush: match config.flush {
            // A group of one member: its own disk is the only second copy.
            FlushMode::Auto | FlushMode::Sync => Flush::Sync,
            FlushMode::Async => Flush::Async,
        },
        retention: Retention { age: config.retention, ..Retention::default() },
        on_confirmed: Box::new(move |position| confirmed.confirmed(position)),
        on_arrival: Box::new(move |queue| arrived.arrived(queue_key(queue))),
        on_index_damage: Box::new(|damage| {
            error!(
                error = chain(damage),
                "an index file is unusable, it is made again from the log"
            );
        }),
        on_failure: Box::new(move |failure| {
            error!(error = %chain(failure), "the log failed, stopping");
            stop.cancel();
        }),
        ..Options::new(&path, advertised)
    };
    let metrics = Metrics::new(registry, &config);
    let opened = spawn_blocking(move || Store::open(options)).await?;
    let (store, opening) = opened.map_err(|source| BrokerError::Open { path, source })?;
    report(&opening);
    // As they are made on a volume too small for those that were asked for.
    let config = Config { segment_size: opening.segment_size, ..config };
    let parts = Parts { config, store, confirmations, parked, metrics, advertised, permission };
    Ok((Broker::new(parts), opening))
}

/// Says how the log was found.
fn report(opening: &Opening) {
    let Recovery { start, end, walked, torn, clean, damage, .. } = &opening.log;
    let walked_bytes = walked.end - walked.start;
    let segment_size = opening.segment_size;
    info!(start, end, walked_bytes, clean, segment_size, "log opened");
    if let Some(torn) = torn {
        let (from, to) = (torn.start, torn.end);
        info!(from, to, "remains of an unfinished write were removed");
    }
    for damage in damage {
        error!(?damage, "the log is damaged here; everything else is served");
    }
    for reason in &opening.unused {
        warn!(error = chain(reason), "a derived file was not used, the log was read instead");
    }
    for topic in &opening.brought_back {
        error!(
            topic,
            "the topic's settings are lost; it is back with the queues that messages name"
        );
    }
}

/// Most files that the log may have open: a volume full of segments, or of smaller ones as long as
/// there are such.
fn files(config: &Config) -> u64 {
    let full = config.disk().total / config.segment_size();
    let there = std::fs::read_dir(config.data_dir.join("log")).map_or(0, Iterator::count);
    full.max(there as u64) + MORE_FILES
}

fn bind(
    config: &Config,
    gate: &Arc<Gate>,
    listen: SocketAddr,
    descriptors: u64,
    end: CancellationToken,
) -> Result<Server<Gate>, BindError> {
    let limits = || Limits {
        connections: config.max_connections,
        descriptors,
        unsent: UNSENT_MAX as usize,
        ..Limits::default()
    };
    if config.vip
        && let Some(port) = listen.port().checked_sub(VIP_DISTANCE)
    {
        let vip = SocketAddr::new(listen.ip(), port);
        // In this order: a client that finds the main port open must not lose its connection because
        // the other port is taken. The main port's own error is the one that is told.
        match Server::bind(&[vip, listen], Arc::clone(gate), limits(), end.clone()) {
            Err(error) if error.addr == vip => {
                warn!(%vip, %error, "no VIP port: old clients with vipChannelEnabled need it");
            }
            result => return result,
        }
    }
    Server::bind(&[listen], Arc::clone(gate), limits(), end)
}

/// Answers pulls that are due, tells the probes, and writes committed offsets to the log.
async fn tick(
    broker: Arc<Broker>,
    health: Arc<Health>,
    stop: CancellationToken,
    end: CancellationToken,
) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_written = true;
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = ticks.tick() => {} // Cancel-safe: the next one comes anyway.
        }
        broker.parked.expire(broker.now_ms());
        broker.tell_readiness(&health, stop.is_cancelled());
        // Said once per trouble, not ten times a second.
        let written = broker.store.flush_commits(broker.now_ms());
        if let (Err(error), true) = (&written, was_written) {
            warn!(error = %chain(error), "committed offsets not written, trying again");
        }
        was_written = written.is_ok();
    }
}

/// Forgets who is gone, and deletes what is old.
async fn keep_house(broker: Arc<Broker>, end: CancellationToken) {
    let mut rounds = interval_at(Instant::now() + HOUSEKEEPING, HOUSEKEEPING);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = rounds.tick() => {} // Cancel-safe: the next one comes anyway.
        }
        make_room(&broker).await;
    }
}

/// One pass of both, away from the threads that serve.
async fn make_room(broker: &Arc<Broker>) {
    let retaining = Arc::clone(broker);
    let pass = move || {
        retaining.housekeeping();
        retain(&retaining, &|| retaining.disk())
    };
    match spawn_blocking(pass).await {
        Ok(Ok(done)) if done.segments_deleted > 0 => {
            let (segments, forced) = (done.segments_deleted, done.forced);
            info!(segments, forced, "old segments deleted");
        }
        Ok(Ok(_)) => {}
        Ok(Err(error)) => warn!(error = %chain(&error), "retention failed"),
        Err(error) => error!(%error, "retention panicked"),
    }
}

/// Deletes old segments, and decides whether messages are taken.
fn retain(broker: &Broker, volume: &dyn Fn() -> Volume) -> Result<Retained, StoreError> {
    broker.age_clock.compare(now_ms());
    let done = broker.store.retain(broker.age_clock.now_ms(), volume);
    broker.intake.measured(volume().free, broker.config.segment_size);
    done
}

/// Decides whether messages are taken, without making room for them.
fn measure(broker: &Broker, volume: Volume) {
    broker.store.measure(volume);
    broker.intake.measured(volume.free, broker.config.segment_size);
}

#[cfg(test)]
mod tests;
