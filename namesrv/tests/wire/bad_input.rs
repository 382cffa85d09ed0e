//! Rows 33 to 39, 73, 79 and 81 of the table of bad input, as far as they concern a name server.
//! Those about framing are run by the broker's tests, against both.

use std::collections::BTreeSet;
use std::fs;

use rocketkube_protocol::body::{DataVersion, TopicList, TopicRouteData};
use rocketkube_protocol::{Body, Command, NoHeader, RequestCode, ResponseCode, header};
use rocketkube_remoting::Connection;
use tokio::time::timeout;

use crate::support::{
    SECONDS, ask, assert_ok, register, registration, route, started, topics, version,
};

/// Every request that a name server knows, and every field any of them has.
const KNOWN: [RequestCode; 23] = [
    RequestCode::GET_ROUTEINFO_BY_TOPIC,
    RequestCode::REGISTER_BROKER,
    RequestCode::QUERY_DATA_VERSION,
    RequestCode::BROKER_HEARTBEAT,
    RequestCode::UNREGISTER_BROKER,
    RequestCode::GET_BROKER_CLUSTER_INFO,
    RequestCode::GET_BROKER_MEMBER_GROUP,
    RequestCode::WIPE_WRITE_PERM_OF_BROKER,
    RequestCode::ADD_WRITE_PERM_OF_BROKER,
    RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
    RequestCode::GET_TOPICS_BY_CLUSTER,
    RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS,
    RequestCode::GET_UNIT_TOPIC_LIST,
    RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST,
    RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
    RequestCode::DELETE_TOPIC_IN_NAMESRV,
    RequestCode::REGISTER_TOPIC_IN_NAMESRV,
    RequestCode::PUT_KV_CONFIG,
    RequestCode::GET_KV_CONFIG,
    RequestCode::DELETE_KV_CONFIG,
    RequestCode::GET_KVLIST_BY_NAMESPACE,
    RequestCode::UPDATE_NAMESRV_CONFIG,
    RequestCode::GET_NAMESRV_CONFIG,
];
const FIELDS: [&str; 17] = [
    "topic",
    "acceptStandardJsonOnly",
    "brokerName",
    "brokerAddr",
    "clusterName",
    "haServerAddr",
    "brokerId",
    "heartbeatTimeoutMillis",
    "enableActingMaster",
    "compressed",
    "bodyCrc32",
    "cluster",
    "namespace",
    "key",
    "value",
    "dataVersion",
    "__ZONE_NAME",
];
/// Names that a topic must not have.
const NO_TOPICS: [&str; 12] =
    ["", " ", "../../x", "a/b", "a\\b", ".", "..", "C:", "a b", "a\0", "\u{e4}", "\u{1f980}"];

/// The names of all files below a directory.
fn files(dir: &std::path::Path) -> BTreeSet<String> {
    let names = fs::read_dir(dir).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

async fn all_topics(client: &Connection) -> Vec<String> {
    let answer = ask(client, RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &NoHeader).await;
    let mut topics = TopicList::decode(&answer.body).unwrap().topic_list;
    topics.sort();
    topics
}

/// A request with every field there is: one of them, or all, hold `value`.
fn spoiled(code: RequestCode, spoilt: Option<&&str>, value: &str) -> Command {
    let field = |name: &str| {
        let is_spoilt = spoilt.is_none_or(|spoilt| *spoilt == name);
        (name.to_owned(), if is_spoilt { value } else { "1" }.to_owned())
    };
    Command { ext: FIELDS.map(field).into_iter().collect(), ..Command::request(code, &NoHeader) }
}

#[tokio::test]
async fn rows_33_to_35_every_field_may_hold_anything_and_every_request_is_answered() {
    let (dir, running, client) = started().await;
    let before = files(dir.path());
    let (long, digits) = ("x".repeat(1 << 19), "9".repeat(40));
    for value in ["", "\0", "\u{1f980}", "../../x", "-1", "2147483648", &digits, &long] {
        for code in KNOWN {
            // Each field by itself while the others are sound; the long value in all at once.
            let spoils = FIELDS.iter().map(Some).filter(|_| value != long).chain([None]);
            let asked: Vec<_> = spoils
                .map(|spoilt| (spoilt, client.submit(spoiled(code, spoilt, value)).unwrap()))
                .collect();
            for (spoilt, answer) in asked {
                let answer = timeout(SECONDS, answer).await.unwrap();
                assert!(answer.is_ok(), "{code} {spoilt:?} {value:.20}: {answer:?}");
            }
        }
    }
    let unexpected: Vec<_> = files(dir.path()).difference(&before).cloned().collect();
    assert!(unexpected.iter().all(|name| name.starts_with("kept.")), "{unexpected:?}");
    running.stop().await;
}

#[tokio::test]
async fn rows_36_to_39_no_topic_has_a_name_that_is_none() {
    let (dir, _running, client) = started().await;
    let long = "x".repeat(128);
    let names: Vec<&str> = NO_TOPICS.into_iter().chain([long.as_str(), "T1"]).collect();
    assert_ok(&register(&client, "b1", &names).await);
    assert_eq!(all_topics(&client).await, ["T1"]);
    let body = route(&client, "T1").await.body;
    for name in NO_TOPICS.into_iter().chain([long.as_str()]) {
        let header = header::DeleteTopicInNamesrv { topic: name.into(), cluster: None };
        let command = Command::request(RequestCode::REGISTER_TOPIC_IN_NAMESRV, &header);
        let answer = client.call(command.body(body.clone()), SECONDS).await.unwrap();
        assert_eq!(answer.response_code(), ResponseCode::INVALID_PARAMETER, "{name:?}");
        let header = header::GetRoute { topic: name.into(), ..header::GetRoute::default() };
        let answer = ask(&client, RequestCode::GET_ROUTEINFO_BY_TOPIC, &header).await;
        assert_ne!(answer.response_code(), ResponseCode::SUCCESS, "{name:?}");
    }
    assert_eq!(all_topics(&client).await, ["T1"]);
    assert_eq!(files(dir.path()), BTreeSet::from(["lock".to_owned()]));
}

#[tokio::test]
async fn row_73_no_path_address_command_or_permission_is_changed_by_request() {
    let (_dir, _running, client) = started().await;
    let settings = async || ask(&client, RequestCode::GET_NAMESRV_CONFIG, &NoHeader).await.body;
    let before = settings().await;
    let long = format!("orderMessageEnable=true\n#{}", "x".repeat(1 << 20));
    for text in [
        "kvConfigPath=/tmp/x",
        "configStorePath=/tmp/x",
        "rocketmqHome=/tmp/x;touch /tmp/y",
        "listenPort=1",
        "bindAddress=0.0.0.0",
        "configBlackList=",
        "nothingThatExists=1",
        "orderMessageEnable=true\nrocketmqHome=/tmp/x",
        "orderMessageEnable=true\rrocketmqHome=/tmp/x",
        &long,
    ] {
        let command = Command::request(RequestCode::UPDATE_NAMESRV_CONFIG, &NoHeader).body(text);
        let answer = client.call(command, SECONDS).await.unwrap();
        assert_eq!(answer.response_code(), ResponseCode::NO_PERMISSION, "{text:.60}");
    }
    assert_eq!(settings().await, before);
}

#[tokio::test]
async fn row_79_too_many_topics_are_refused_and_a_version_of_the_future_is_not() {
    let (_dir, running, client) = started().await;
    let names: Vec<String> = (0..=250_000).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let header = header::RegisterBroker { compressed: Some(true), ..registration("b1") };
    let command = Command::request(RequestCode::REGISTER_BROKER, &header);
    let command = command.body(topics(&names).encode(true, 493));
    let answer = client.call(command, SECONDS).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::INVALID_PARAMETER, "{:?}", answer.remark);
    assert!(running.registry.render().contains("mq_namesrv_topics 0\n"));

    let mut future = topics(&["T1", "T2"]);
    future.topics.data_version = DataVersion { timestamp: 2_524_608_000_000, ..version(1) };
    let command = Command::request(RequestCode::REGISTER_BROKER, &registration("b1"));
    let command = command.body(future.encode(false, 479));
    assert_ok(&client.call(command, SECONDS).await.unwrap());
    // What counts is the counter: the broker's next change is taken, whatever its clock says.
    let mut next = topics(&["T1", "T2", "T3"]);
    next.topics.data_version = version(2);
    let command = Command::request(RequestCode::REGISTER_BROKER, &registration("b1"));
    assert_ok(&client.call(command.body(next.encode(false, 479)), SECONDS).await.unwrap());
    TopicRouteData::decode(&route(&client, "T3").await.body).unwrap();
}

#[tokio::test]
async fn row_81_keys_with_separators_and_long_values_leave_nothing() {
    let (dir, _running, client) = started().await;
    let long = "v".repeat(1 << 20);
    for (namespace, key, value) in [
        ("../../x", "k", "v"),
        ("n", "a/b", "v"),
        ("n", "a\nb", "v"),
        ("n", "", "v"),
        ("", "k", "v"),
        ("n", "k", "a\nb"),
        ("n", "k", &long),
    ] {
        let header =
            header::PutKv { namespace: namespace.into(), key: key.into(), value: value.into() };
        let answer = ask(&client, RequestCode::PUT_KV_CONFIG, &header).await;
        assert_eq!(answer.response_code(), ResponseCode::INVALID_PARAMETER, "{namespace} {key}");
    }
    assert_eq!(files(dir.path()), BTreeSet::from(["lock".to_owned()]));
}
