//! A broker on a port, looked at from inside: for what no client can bring about.

use std::sync::atomic::Ordering;

use rocketkube_protocol::{Command, RequestCode, ResponseCode};
use rocketkube_remoting::Connection;
use rocketkube_store::TopicConfig;
use tempfile::TempDir;

use super::*;
use crate::broker::MAX_MADE;
use crate::handler::client::MAX_NEW_GROUPS;
use crate::handler::long::MAX_LONG;
use crate::handler::pull::MAX_PARKED;

/// The longest anything may take that does not wait for a pull's deadline.
const SOON: Duration = Duration::from_secs(10);

struct Fixture {
    running: Running,
    client: Connection,
    registry: Arc<Registry>,
    stop: CancellationToken,
    data: TempDir,
}

/// A broker with the topic `t`, which has one queue.
async fn fixture() -> Fixture {
    fixture_in(tempfile::tempdir().unwrap()).await
}

async fn fixture_in(data: TempDir) -> Fixture {
    fixture_with(data, Config::default()).await
}

async fn fixture_with(data: TempDir, config: Config) -> Fixture {
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        vip: false,
        data_dir: data.path().to_owned(),
        flush: FlushMode::Async,
        auto_create_topics: true,
        ..config
    };
    let (registry, stop) = (Arc::new(Registry::default()), CancellationToken::new());
    let running = start(config, Arc::default(), Arc::clone(&registry), stop.clone()).await.unwrap();
    running.broker.put_topic("t", &TopicConfig::with_queues(1)).unwrap();
    let client = Connection::connect(&running.advertised.to_string(), SOON).await.unwrap();
    Fixture { running, client, registry, stop, data }
}

fn command(code: RequestCode, ext: &[(&'static str, &str)]) -> Command {
    let ext = ext.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Command { code: code.0, ext, ..Command::default() }
}

fn pull(offset: &str) -> Command {
    let ext = [
        ("consumerGroup", "g"),
        ("topic", "t"),
        ("queueId", "0"),
        ("queueOffset", offset),
        ("maxMsgNums", "32"),
        ("sysFlag", "6"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "30000"),
        ("subscription", "*"),
        ("subVersion", "0"),
    ];
    command(RequestCode::PULL_MESSAGE, &ext)
}

/// A pull that asks for no long poll.
fn without_wait(mut pull: Command) -> Command {
    for (key, value) in &mut pull.ext {
        if key == "suspendTimeoutMillis" {
            *value = "0".into();
        }
    }
    pull
}

fn send() -> Command {
    send_to("t")
}

fn send_to(topic: &str) -> Command {
    send_with(topic, "")
}

fn send_with(topic: &str, properties: &str) -> Command {
    let ext = [
        ("a", "producers"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "0"),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", properties),
    ];
    command(RequestCode::SEND_MESSAGE_V2, &ext).body(*b"body")
}

fn heartbeat(group: &str) -> Command {
    let body = format!(r#"{{"clientID":"c","consumerDataSet":[{{"groupName":"{group}"}}]}}"#);
    command(RequestCode::HEART_BEAT, &[]).body(body)
}

impl Fixture {
    async fn call(&self, command: Command) -> Command {
        self.client.call(command, SOON).await.unwrap()
    }

    /// Whatever was asked for before, and whoever was woken before, was looked at.
    async fn settle(&self) {
        self.call(command(RequestCode::GET_MAX_OFFSET, &[("topic", "t"), ("queueId", "0")])).await;
    }

    /// The value of a metric, or of its line with a label.
    fn metric(&self, name: &str, label: &str) -> u64 {
        let text = self.registry.render();
        let is_it = |line: &&str| line.starts_with(&format!("{name}{{")) && line.contains(label);
        let line = text.lines().find(is_it).unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until the probes are told something.
    async fn until(&self, is_so: impl Fn(Option<&str>) -> bool) {
        let told = async {
            while !is_so(self.running.health.unready().as_deref()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, told).await.unwrap();
    }

    async fn end(self) -> TempDir {
        self.stop.cancel();
        self.running.stopped().await.unwrap();
        self.data
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arrival_told_late_does_not_take_away_the_wait_for_the_next_one() {
    let f = fixture().await;
    assert_eq!(f.call(send()).await.response_code(), ResponseCode::SUCCESS);
    let pulled = f.client.submit(pull("1")).unwrap();
    f.settle().await;
    // As the log's thread does for a message whose pull was faster than its notice.
    let topic = f.running.broker.store.topic("t").unwrap();
    f.running.broker.parked.arrived(queue_key(topic.queue(0).unwrap()));
    f.settle().await;
    f.call(send()).await;
    let answer = tokio::time::timeout(SOON, pulled).await.unwrap().unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    f.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_make_only_so_many_topics_and_groups_by_using_them() {
    let f = fixture().await;
    assert_eq!(f.call(heartbeat("before")).await.response_code(), ResponseCode::SUCCESS);
    let real = f.running.broker.made.swap(MAX_MADE, Ordering::Relaxed);
    // Its own four, the topic of this test, the group and its retry topic.
    assert_eq!(real, 7);
    let refused = f.call(heartbeat("after")).await;
    assert_eq!(refused.response_code(), ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST);
    assert!(refused.remark.unwrap().contains("have an administrator create it"));
    let refused = f.call(send_to("after")).await;
    assert_eq!(refused.response_code(), ResponseCode::TOPIC_NOT_EXIST);
    assert!(refused.remark.unwrap().contains("have an administrator create it"));
    assert_eq!(f.call(heartbeat("before")).await.response_code(), ResponseCode::SUCCESS);

    let ext = [("groupName", "before")];
    f.call(command(RequestCode::DELETE_SUBSCRIPTIONGROUP, &ext)).await;
    assert_eq!(f.call(send_to("after")).await.response_code(), ResponseCode::SUCCESS);
    f.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_refused_and_stored_ones_read_while_the_disk_is_too_full() {
    let f = fixture().await;
    // So large that what the log has set aside does not show.
    let volume = |free: u64| Volume { total: 1_000 << 40, free: free << 40 };
    let (full, roomy) = (volume(45), volume(900));
    f.until(|reason| reason.is_none()).await;
    assert_eq!(f.call(send()).await.response_code(), ResponseCode::SUCCESS);
    retain(&f.running.broker, &|| full).unwrap();
    let refused = f.call(send()).await;
    assert_eq!(refused.response_code(), ResponseCode::SERVICE_NOT_AVAILABLE);
    assert!(refused.remark.unwrap().contains("disk is 95 % full"));
    let stored = f.call(pull("0")).await.response_code();
    assert_eq!(stored, ResponseCode::SUCCESS, "who would work it off otherwise?");
    f.running.broker.tell_readiness(&f.running.health, false);
    assert_eq!(f.running.health.unready(), None, "consumers have nowhere else to go");
    assert_eq!(f.metric("mq_store_full", ""), 1);
    let told = (f.running.status())()["messagesRefused"].clone();
    assert_eq!(told, "messages are refused: disk is 95 % full");
    let info = f.call(command(RequestCode::GET_BROKER_RUNTIME_INFO, &[])).await;
    let info = String::from_utf8_lossy(&info.body).into_owned();
    assert!(
        info.contains("\"messagesRefused\":\"messages are refused: disk is 95 % full\""),
        "{info}"
    );
    let beat = f.call(heartbeat("g")).await.response_code();
    assert_eq!(beat, ResponseCode::SUCCESS, "settings still have room");
    retain(&f.running.broker, &|| roomy).unwrap();
    assert_eq!(f.call(send()).await.response_code(), ResponseCode::SUCCESS);
    assert_eq!(f.metric("mq_store_full", ""), 0);
    f.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_a_data_size_deletes_its_oldest_messages_before_it_is_reached() {
    let size = 128 << 20;
    let config = Config { data_size: size, ..Config::default() };
    let f = fixture_with(tempfile::tempdir().unwrap(), config).await;
    let body = vec![7; 1 << 20];
    for _ in 0..200 {
        let done = retain(&f.running.broker, &|| f.running.broker.disk()).unwrap();
        assert!(done.used_percent < 90, "{done:?}");
        let sent = f.call(send().body(body.clone())).await;
        assert_eq!(sent.response_code(), ResponseCode::SUCCESS, "{:?}", sent.remark);
    }
    assert_eq!(f.running.broker.disk().total, size);
    let queue = f.running.broker.store.topic("t").unwrap().queues()[0].bounds();
    assert!(queue.max.0 == 200 && (80..200).contains(&queue.min.0), "{queue:?}");
    f.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_waits_and_what_the_network_brought() {
    let f = fixture().await;
    assert_eq!(f.metric("mq_parked_pulls", ""), 0);
    let pulls = [(); 2].map(|()| f.client.submit(pull("0")).unwrap());
    f.settle().await;
    assert_eq!(f.metric("mq_parked_pulls", ""), 2);
    f.call(send()).await;
    for pull in pulls {
        pull.await.unwrap();
    }
    assert_eq!(f.metric("mq_parked_pulls", ""), 0);
    for name in ["mq_deferred_answers", "mq_store_trouble", "mq_store_failed"] {
        assert_eq!(f.metric(name, ""), 0, "{name}");
    }
    assert_eq!(f.metric("mq_store_damaged_ranges", ""), 0);
    assert_eq!(f.metric("mq_clock_skew_seconds", ""), 0);
    assert_eq!(f.metric("mq_store_damaged_indexes_total", ""), 0);

    assert_eq!(f.metric("mq_connections", ""), 1);
    assert!(f.metric("mq_network_received_bytes_total", "") > 100);
    let mut stream = tokio::net::TcpStream::connect(f.running.advertised).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &[0; 8]).await.unwrap();
    let closed = async {
        while f.metric("mq_connections_closed_total", "reason=\"bad_frame\"") < 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, closed).await.unwrap();
    assert_eq!(f.metric("mq_connections_accepted_total", ""), 2);
    f.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_wait_for_the_disk_elsewhere_and_only_so_many() {
    let f = fixture().await;
    f.call(send_with("t", "KEYS\u{1}k1\u{2}")).await;
    let busy = f.running.broker.cold_reads.acquire_many(8).await.unwrap();
    let ext = [
        ("topic", "t"),
        ("key", "k1"),
        ("maxNum", "32"),
        ("beginTimestamp", "0"),
        ("endTimestamp", "9223372036854775807"),
    ];
    let by_key = f.client.submit(command(RequestCode::QUERY_MESSAGE, &ext)).unwrap();
    let view = |offset| command(RequestCode::VIEW_MESSAGE_BY_ID, &[("offset", offset)]);
    let none = [(); 15].map(|()| f.client.submit(view("1")).unwrap());
    // The connection is served, and has as many queries as it may.
    let refused = f.call(view("1")).await;
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_BUSY);
    drop(busy);
    let found = tokio::time::timeout(SOON, by_key).await.unwrap().unwrap();
    assert_eq!(found.response_code(), ResponseCode::SUCCESS);
    assert!(found.body.windows(4).any(|bytes| bytes == b"body"));
    for query in none {
        let answer = tokio::time::timeout(SOON, query).await.unwrap().unwrap();
        assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    }
    f.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_requests_are_answered_elsewhere_and_delay_their_own_connection_only() {
    let f = fixture().await;
    let places = u32::try_from(MAX_LONG).unwrap();
    let busy = f.running.broker.long_requests.acquire_many(places).await.unwrap();
    let stats = command(RequestCode::GET_TOPIC_STATS_INFO, &[("topic", "t")]);
    let stats = f.client.submit(stats).unwrap();
    let behind = f.client.submit(send()).unwrap();
    let other = Connection::connect(&f.running.advertised.to_string(), SOON).await.unwrap();
    for _ in 0..100 {
        assert_eq!(other.call(send(), SOON).await.unwrap().response_code(), ResponseCode::SUCCESS);
    }
    let ext = [("topic", "t"), ("queueId", "0")];
    let max = other.call(command(RequestCode::GET_MAX_OFFSET, &ext), SOON).await.unwrap();
    assert_eq!(max.ext, [("offset".into(), "100".to_owned())], "what came behind has to wait");
    drop(busy);
    for call in [stats, behind] {
        let answer = tokio::time::timeout(SOON, call).await.unwrap().unwrap();
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    }
    f.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_makes_only_so_many_groups_and_the_next_one_goes_on() {
    let f = fixture().await;
    let group = |number| format!(r#"{{"groupName":"g{number}"}}"#);
    let groups: Vec<String> = (0..=MAX_NEW_GROUPS).map(group).collect();
    let body = format!(r#"{{"clientID":"c","consumerDataSet":[{}]}}"#, groups.join(","));
    let beat = command(RequestCode::HEART_BEAT, &[]).body(body);
    let refused = f.call(beat.clone()).await;
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_BUSY);
    let remark = refused.remark.unwrap();
    assert_eq!(remark, "one heartbeat makes 256 groups at most, the next one makes the others");
    assert_eq!(f.running.broker.store.groups().len(), MAX_NEW_GROUPS);
    assert_eq!(f.call(beat).await.response_code(), ResponseCode::SUCCESS);
    assert_eq!(f.running.broker.store.groups().len(), MAX_NEW_GROUPS + 1);
    f.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_pull_is_answered_as_a_new_one_would_be() {
    let f = fixture().await;
    let parked = f.client.submit(pull("0")).unwrap();
    f.settle().await;
    let write_only = TopicConfig { perm: 2, ..TopicConfig::with_queues(1) };
    f.running.broker.put_topic("t", &write_only).unwrap();
    assert_eq!(f.call(send()).await.response_code(), ResponseCode::SUCCESS);
    let answer = tokio::time::timeout(SOON, parked).await.unwrap().unwrap();
    assert_eq!(answer.response_code(), ResponseCode::NO_PERMISSION, "{answer:?}");
    f.end().await;
}

/// The client connects as soon as anybody listens, again and again, so that one would be lost if the
/// broker listened there before it knew that the other port is taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_main_port_survives_that_the_vip_port_is_taken() {
    use std::io::Read as _;
    let f = fixture().await;
    let (taken, listen) = loop {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port() + VIP_DISTANCE;
        let listen = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(listen).is_ok() {
            break (taken, listen);
        }
    };
    let config = Config { vip: true, ..f.running.broker.config.clone() };
    for _ in 0..50 {
        let client = std::thread::spawn(move || {
            loop {
                if let Ok(stream) = std::net::TcpStream::connect(listen) {
                    return stream;
                }
            }
        });
        let (gate, end) = (Arc::new(Gate::default()), CancellationToken::new());
        let server = bind(&config, &gate, listen, u64::MAX, end).unwrap();
        assert_eq!(server.local_addrs().unwrap(), [listen]);
        let mut stream = client.join().unwrap();
        stream.set_nonblocking(true).unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "the connection was lost");
    }
    drop(taken);
    f.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_while_the_log_is_read_is_told_so_and_served_afterwards() {
    let f = fixture().await;
    let (gate, end) = (Arc::new(Gate::default()), CancellationToken::new());
    let listen = ([127, 0, 0, 1], 0).into();
    let server = bind(&f.running.broker.config, &gate, listen, u64::MAX, end.clone()).unwrap();
    let addr = server.local_addrs().unwrap()[0];
    let serving = tokio::spawn(server.run());
    let client = Connection::connect(&addr.to_string(), SOON).await.unwrap();
    for request in [send(), pull("0"), heartbeat("g"), command(RequestCode(9_999), &[])] {
        let refused = client.call(request, SOON).await.unwrap();
        assert_eq!(refused.response_code(), ResponseCode::SERVICE_NOT_AVAILABLE);
        assert!(refused.remark.unwrap().contains("the broker is starting"));
    }
    gate.open(Arc::clone(&f.running.broker));
    assert_eq!(client.call(send(), SOON).await.unwrap().response_code(), ResponseCode::SUCCESS);
    drop(client);
    end.cancel();
    serving.await.unwrap();
    f.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_pulls_of_a_connection_wait_for_the_disk() {
    let f = fixture().await;
    f.call(send()).await;
    // After a restart the bytes have to be verified once, which counts as cold.
    let f = fixture_in(f.end().await).await;
    let busy = f.running.broker.cold_reads.acquire_many(8).await.unwrap();
    let waiting: Vec<_> = (0..MAX_PARKED).map(|_| f.client.submit(pull("0")).unwrap()).collect();
    let refused = f.call(pull("0")).await;
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_BUSY);
    drop(busy);
    for pull in waiting {
        let answer = tokio::time::timeout(SOON, pull).await.unwrap().unwrap();
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    }
    f.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn name_servers_that_know_the_broker_are_told_and_those_that_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let namesrv = rocketkube_namesrv::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: dir.path().to_owned(),
        ..rocketkube_namesrv::Config::default()
    };
    let end = CancellationToken::new();
    let namesrv = rocketkube_namesrv::NameServer::start(namesrv, &Registry::default(), end).await;
    let known = namesrv.unwrap().addr().to_string();
    // Nobody listens there.
    let config = Config { namesrv: format!("{known};127.0.0.1:1"), ..Config::default() };
    let f = fixture_with(tempfile::tempdir().unwrap(), config).await;
    let status = f.running.status();
    let told = async {
        while status()["nameServers"][&known] != "registered" {
            tokio::task::yield_now().await;
        }
        let is_refused = |it: &serde_json::Value| it.as_str().unwrap().contains("refused");
        while !is_refused(&status()["nameServers"]["127.0.0.1:1"]) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, told).await.unwrap();
    assert_eq!(f.metric("mq_registered_name_servers", ""), 1);
    let info = f.call(command(RequestCode::GET_BROKER_RUNTIME_INFO, &[])).await;
    let info = String::from_utf8_lossy(&info.body).into_owned();
    assert!(info.contains("\"registeredNameServers\":\"1\""), "{info}");
    f.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_state_file_says_holds_for_clients_and_is_told_to_name_servers() {
    let dir = tempfile::tempdir().unwrap();
    let namesrv = rocketkube_namesrv::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: dir.path().to_owned(),
        ..rocketkube_namesrv::Config::default()
    };
    let end = CancellationToken::new();
    let namesrv = rocketkube_namesrv::NameServer::start(namesrv, &Registry::default(), end).await;
    let namesrv = namesrv.unwrap().addr().to_string();
    let file = dir.path().join("state.yaml");
    std::fs::write(&file, "perm: 4").unwrap();
    let config =
        Config { namesrv: namesrv.clone(), state_file: Some(file.clone()), ..Config::default() };
    let f = fixture_with(tempfile::tempdir().unwrap(), config).await;
    let namesrv = Connection::connect(&namesrv, SOON).await.unwrap();
    let until_route_says = async |perm: &str| {
        let told = async {
            let ask = || command(RequestCode::GET_ROUTEINFO_BY_TOPIC, &[("topic", "t")]);
            loop {
                let answer = namesrv.call(ask(), SOON).await.unwrap();
                if String::from_utf8_lossy(&answer.body).contains(perm) {
                    break;
                }
            }
        };
        tokio::time::timeout(SOON, told).await.unwrap();
    };

    let refused = f.call(send()).await;
    assert_eq!(refused.response_code(), ResponseCode::NO_PERMISSION);
    assert_eq!(refused.remark.unwrap(), "the broker[broker-a] sending message is forbidden");
    let pulled = f.call(without_wait(pull("0"))).await;
    assert_eq!(pulled.response_code(), ResponseCode::PULL_NOT_FOUND);
    until_route_says("\"perm\":4").await;
    assert_eq!(f.metric("rocketmq_broker_permission", ""), 4);

    std::fs::write(&file, "perm: 0").unwrap();
    until_route_says("\"perm\":0").await;
    let refused = f.call(pull("0")).await;
    assert_eq!(refused.response_code(), ResponseCode::NO_PERMISSION);
    assert_eq!(refused.remark.unwrap(), "the broker[broker-a] pulling message is forbidden");

    std::fs::write(&file, "perm: 6").unwrap();
    until_route_says("\"perm\":6").await;
    assert_eq!(f.call(send()).await.response_code(), ResponseCode::SUCCESS);
    f.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_to_a_broker_that_stops_is_told_to_go_elsewhere() {
    let f = fixture().await;
    f.running.broker.stop_serving();
    let refused = f.call(send()).await;
    assert_eq!(refused.response_code(), ResponseCode::SERVICE_NOT_AVAILABLE);
    assert_eq!(refused.remark.unwrap(), "the broker is stopping, send to another one");
    let pulled = f.call(pull("0")).await;
    assert_eq!(
        pulled.response_code(),
        ResponseCode::PULL_NOT_FOUND,
        "without the wait it asks for"
    );
    f.end().await;
}
