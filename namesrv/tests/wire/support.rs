//! A name server in this process, and what is asked of it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rocketkube_namesrv::{Config, NameServer};
use rocketkube_protocol::body::{DataVersion, RegisterBrokerBody, TopicConfig, TopicConfigTable};
use rocketkube_protocol::{Command, Header, RequestCode, ResponseCode, header};
use rocketkube_remoting::Connection;
use rocketkube_service::metrics::Registry;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) const SECONDS: Duration = Duration::from_secs(10);

pub(crate) struct Running {
    pub(crate) server: NameServer,
    pub(crate) registry: Registry,
    shutdown: CancellationToken,
}

impl Running {
    pub(crate) async fn start(dir: &Path) -> Self {
        let config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: dir.to_owned(),
            ..Config::default()
        };
        let (registry, shutdown) = (Registry::default(), CancellationToken::new());
        let server = NameServer::start(config, &registry, shutdown.clone()).await.unwrap();
        Self { server, registry, shutdown }
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::connect(&self.server.addr().to_string(), SECONDS).await.unwrap()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.server.stopped().await;
    }
}

pub(crate) async fn started() -> (TempDir, Running, Connection) {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path()).await;
    let connection = running.connect().await;
    (dir, running, connection)
}

pub(crate) async fn ask<'h>(
    to: &Connection,
    code: RequestCode,
    header: &impl Header<'h>,
) -> Command {
    to.call(Command::request(code, header), SECONDS).await.unwrap()
}

pub(crate) fn assert_ok(answer: &Command) {
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{:?}", answer.remark);
}

pub(crate) fn assert_refused(answer: &Command, code: ResponseCode, remark: &str) {
    assert_eq!((answer.response_code(), answer.remark.as_deref()), (code, Some(remark)));
}

pub(crate) fn version(counter: i64) -> DataVersion {
    DataVersion { counter, state_version: 0, timestamp: 1_700_000_000_000 }
}

pub(crate) fn topics(names: &[&str]) -> RegisterBrokerBody {
    let config = |name: &&str| {
        let topic = TopicConfig { topic_name: (*name).to_owned(), ..TopicConfig::default() };
        ((*name).to_owned(), topic)
    };
    let topic_config_table = names.iter().map(config).collect();
    let topics = TopicConfigTable { data_version: version(1), topic_config_table };
    RegisterBrokerBody { filter_server_list: Vec::new(), topics }
}

pub(crate) fn registration(broker: &'static str) -> header::RegisterBroker<'static> {
    header::RegisterBroker {
        broker_name: broker.into(),
        broker_addr: "127.0.0.1:10911".into(),
        cluster: "C".into(),
        ha_server_addr: "127.0.0.1:10912".into(),
        ..header::RegisterBroker::default()
    }
}

pub(crate) async fn register(to: &Connection, broker: &'static str, names: &[&str]) -> Command {
    let body = topics(names).encode(false, 479);
    let command = Command::request(RequestCode::REGISTER_BROKER, &registration(broker)).body(body);
    to.call(command, SECONDS).await.unwrap()
}

pub(crate) async fn route(to: &Connection, topic: &'static str) -> Command {
    let header = header::GetRoute { topic: topic.into(), ..header::GetRoute::default() };
    ask(to, RequestCode::GET_ROUTEINFO_BY_TOPIC, &header).await
}

pub(crate) fn value(value: &'static str) -> header::PutKv<'static> {
    header::PutKv { namespace: "ORDER_TOPIC_CONFIG".into(), key: "T1".into(), value: value.into() }
}
