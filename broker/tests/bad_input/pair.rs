//! A broker and a name server in this process, each on a port of its own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rocketkube_broker::{Config, FlushMode};
use rocketkube_namesrv::NameServer;
use rocketkube_protocol::{RequestCode, ResponseCode};
use rocketkube_service::{http::Health, metrics::Registry};
use rocketkube_testkit::Wire;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::ask::{Ask, create, send};

/// The longest anything may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The longest another client may be kept waiting by bad input.
const MOST_DELAY: Duration = Duration::from_millis(100);
/// A measurement may be disturbed by the machine; a server that is busy disturbs all of them.
const MEASUREMENTS: u32 = 5;
/// A topic with one queue that is there from the start.
pub(crate) const TOPIC: &str = "bad-input-topic";

pub(crate) struct Pair {
    pub(crate) broker: SocketAddr,
    pub(crate) namesrv: SocketAddr,
    data: TempDir,
    stop: CancellationToken,
    servers: Option<JoinHandle<Result<()>>>,
}

impl Pair {
    /// A broker that creates topics that are sent to, as `rkctl dev` does.
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(true)
    }

    pub(crate) fn start_without_auto_creation() -> Result<Self> {
        Self::start_with(false)
    }

    fn start_with(auto_create_topics: bool) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let broker = Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            vip: false,
            data_dir: data.path().join("broker"),
            flush: FlushMode::Async,
            auto_create_topics,
            ..Config::default()
        };
        let namesrv = rocketkube_namesrv::Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data_dir: data.path().join("namesrv"),
            ..rocketkube_namesrv::Config::default()
        };
        let stop = CancellationToken::new();
        let (started, addrs) = mpsc::channel();
        let token = stop.clone();
        let servers = thread::spawn(move || serve(namesrv, broker, token, &started));
        let Ok((namesrv, broker)) = addrs.recv() else {
            let ended = servers.join().expect("servers return their errors");
            return Err(ended.err().context("the servers ended before they served")?);
        };
        let pair = Self { broker, namesrv, data, stop, servers: Some(servers) };
        pair.create_topic(TOPIC, 1)?;
        Ok(pair)
    }

    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// A connection to the broker.
    pub(crate) fn connect(&self) -> Result<Wire> {
        Ok(Wire::connect(self.broker, PATIENCE)?)
    }

    /// Asks something that both servers answer, if only with a code.
    pub(crate) fn ask_something(wire: &mut Wire) -> Result<()> {
        wire.call(RequestCode::GET_ROUTEINFO_BY_TOPIC.0, &[("topic", "none")], b"")?;
        Ok(())
    }

    /// Whether a client that comes now is served by both within 100 ms.
    pub(crate) fn serves_others(&self) -> Result<()> {
        for addr in [self.broker, self.namesrv] {
            let fastest = (0..MEASUREMENTS).map(|_| -> Result<Duration> {
                let started = Instant::now();
                Self::ask_something(&mut Wire::connect(addr, PATIENCE)?)?;
                Ok(started.elapsed())
            });
            let mut measured = Vec::new();
            for elapsed in fastest {
                measured.push(elapsed?);
                if measured.last().is_some_and(|elapsed| *elapsed <= MOST_DELAY) {
                    break;
                }
            }
            ensure!(measured.len() < MEASUREMENTS as usize, "{addr}: others took {measured:?}");
        }
        Ok(())
    }

    pub(crate) fn create_topic(&self, topic: &str, queues: u32) -> Result<()> {
        let ask = create(topic).with("readQueueNums", queues).with("writeQueueNums", queues);
        self.succeed(&ask).map(drop)
    }

    pub(crate) fn create_group(&self, group: &str) -> Result<()> {
        let body = format!(r#"{{"groupName":"{group}"}}"#);
        let ask = Ask::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[]).body(body);
        self.succeed(&ask).map(drop)
    }

    pub(crate) fn send_one(&self, topic: &str) -> Result<()> {
        self.succeed(&send(topic)).map(drop)
    }

    /// The next offset of a topic's first queue.
    pub(crate) fn max_offset(&self, topic: &str) -> Result<i64> {
        let ask = Ask::new(RequestCode::GET_MAX_OFFSET, &[("topic", topic), ("queueId", "0")]);
        let answer = self.succeed(&ask)?;
        Ok(answer.fields().get("offset").context("an answer without offset")?.parse()?)
    }

    fn succeed(&self, ask: &Ask) -> Result<rocketkube_protocol::Command> {
        let answer = ask.call(&mut self.connect()?)?;
        ensure!(answer.response_code() == ResponseCode::SUCCESS, "{ask:?}: {answer:?}");
        Ok(answer)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.stop.cancel();
        // The directory must not go before those who write to it. How they end is not what these
        // tests are about.
        let _ = self.servers.take().map(JoinHandle::join);
    }
}

#[tokio::main]
async fn serve(
    namesrv: rocketkube_namesrv::Config,
    broker: Config,
    stop: CancellationToken,
    started: &mpsc::Sender<(SocketAddr, SocketAddr)>,
) -> Result<()> {
    let (health, registry) = (Arc::new(Health::default()), Arc::new(Registry::default()));
    let namesrv = NameServer::start(namesrv, &registry, stop.clone()).await?;
    let broker = rocketkube_broker::start(broker, health, registry, stop).await?;
    // Whoever waits for this may have given up.
    let _ = started.send((namesrv.addr(), broker.advertised()));
    broker.stopped().await?;
    namesrv.stopped().await;
    Ok(())
}
