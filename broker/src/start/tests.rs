//! A broker on a port, looked at from inside: for what no client can bring about.

use std::sync::atomic::Ordering;

use rocketkube_protocol::{Command, RequestCode, ResponseCode};
use rocketkube_remoting::Connection;
use rocketkube_store::TopicConfig;
use tempfile::TempDir;

use super::*;
use crate::broker::MAX_MADE;

/// The longest anything may take that does not wait for a pull's deadline.
const SOON: Duration = Duration::from_secs(10);

struct Fixture {
    running: Running,
    client: Connection,
    stop: CancellationToken,
    _data: TempDir,
}

/// A broker with the topic `t`, which has one queue.
async fn fixture() -> Fixture {
    let data = tempfile::tempdir().unwrap();
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        vip: false,
        data_dir: data.path().to_owned(),
        flush: FlushMode::Async,
        auto_create_topics: true,
        ..Config::default()
    };
    let stop = CancellationToken::new();
    let running = start(config, Arc::default(), Arc::default(), stop.clone()).await.unwrap();
    running.broker.put_topic("t", &TopicConfig::with_queues(1)).unwrap();
    let client = Connection::connect(&running.advertised.to_string(), SOON).await.unwrap();
    Fixture { running, client, stop, _data: data }
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

fn send() -> Command {
    send_to("t")
}

fn send_to(topic: &str) -> Command {
    let ext = [
        ("a", "producers"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "0"),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", ""),
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

    async fn end(self) {
        self.stop.cancel();
        self.running.stopped().await.unwrap();
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
