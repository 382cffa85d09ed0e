//! Request by request.

use rocketkube_namesrv::{Config, NameServer};
use rocketkube_protocol::body::{
    ClusterInfo, KvTable, MemberGroupAnswer, TopicConfig, TopicList, TopicRouteData,
};
use rocketkube_protocol::record::body_crc;
use rocketkube_protocol::{Body, Command, HeaderForm, NoHeader, RequestCode, ResponseCode, header};
use rocketkube_remoting::{CallError, Connection};
use rocketkube_service::metrics::Registry;
use std::net::SocketAddr;
use tokio_util::sync::CancellationToken;

use crate::support::{
    Running, SECONDS, ask, assert_ok, assert_refused, register, registration, route, started,
    topics, value, version,
};

#[tokio::test]
async fn a_registered_broker_is_found_until_its_connection_closes() {
    let (_dir, running, client) = started().await;
    let broker = running.connect().await;
    assert_ok(&register(&broker, "b1", &["T1", "T2"]).await);
    let answer = route(&client, "T1").await;
    assert_ok(&answer);
    let found = TopicRouteData::decode(&answer.body).unwrap();
    assert_eq!(found.broker_datas[0].broker_addrs[&0], "127.0.0.1:10911");
    assert_eq!(found.queue_datas[0].write_queue_nums, 16);

    drop(broker);
    let gone =
        async { while route(&client, "T1").await.response_code() == ResponseCode::SUCCESS {} };
    tokio::time::timeout(SECONDS, gone).await.unwrap();
    let remark = "No topic route info in name server for the topic: T1";
    assert_refused(&route(&client, "T1").await, ResponseCode::TOPIC_NOT_EXIST, remark);
    running.stop().await;
}

#[tokio::test]
async fn a_compressed_registration_counts_and_a_wrong_checksum_does_not() {
    compressed_registration(Some(true)).await;
}

/// What Apache's broker 5.4.0 sends with `compressedRegister=true`.
#[tokio::test]
async fn a_compressed_registration_that_calls_itself_plain_counts() {
    compressed_registration(Some(false)).await;
}

async fn compressed_registration(compressed: Option<bool>) {
    let (_dir, _running, client) = started().await;
    let body = topics(&["T1", "T2", "T3"]).encode(true, 493);
    let crc = i32::try_from(body_crc(&body)).unwrap();
    let header = header::RegisterBroker { compressed, body_crc: Some(crc), ..registration("b1") };
    let command = Command::request(RequestCode::REGISTER_BROKER, &header).body(body.clone());
    assert_ok(&client.call(command, SECONDS).await.unwrap());
    assert_ok(&route(&client, "T3").await);

    let header = header::RegisterBroker { body_crc: Some(crc ^ 1), ..header };
    let command = Command::request(RequestCode::REGISTER_BROKER, &header).body(body);
    let answer = client.call(command, SECONDS).await.unwrap();
    assert_refused(&answer, ResponseCode::SYSTEM_ERROR, "crc32 not match");
}

#[tokio::test]
async fn a_compressed_bomb_ends_the_connection() {
    let (_dir, running, client) = started().await;
    let mut body = topics(&["T1", "T2"]);
    let bomb = TopicConfig { topic_name: "x".repeat(1 << 20), ..TopicConfig::default() };
    body.topics.topic_config_table.insert("x".into(), bomb);
    let header = header::RegisterBroker { compressed: Some(true), ..registration("b1") };
    let body = body.encode(true, 493);
    let command = Command::request(RequestCode::REGISTER_BROKER, &header).body(body);
    assert_eq!(client.call(command, SECONDS).await, Err(CallError::Closed));
    let next = running.connect().await;
    assert_eq!(route(&next, "T1").await.response_code(), ResponseCode::TOPIC_NOT_EXIST);
}

#[tokio::test]
async fn old_clients_get_bare_broker_ids_and_new_ones_standard_json() {
    let (_dir, _running, client) = started().await;
    register(&client, "b1", &["T1", "T2"]).await;
    let ask = async |version: i32, standard: Option<bool>| {
        let header = header::GetRoute { topic: "T1".into(), accept_standard_json_only: standard };
        let command = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
        let answer = client.call(Command { version, ..command }, SECONDS).await.unwrap();
        String::from_utf8(answer.body).unwrap()
    };
    assert!(ask(317, None).await.contains(r#""brokerAddrs":{0:"127.0.0.1:10911"}"#));
    assert!(ask(317, Some(true)).await.contains(r#""brokerAddrs":{"0":"#));
    assert!(ask(400, Some(false)).await.contains(r#""brokerAddrs":{0:"#));
    assert!(ask(401, None).await.contains(r#""brokerAddrs":{"0":"#));
}

#[tokio::test]
async fn a_broker_learns_whether_it_has_to_register_again() {
    let (_dir, _running, client) = started().await;
    let ask = async |counter: i64| {
        let header = header::BrokerIdentity {
            broker_name: "b1".into(),
            broker_addr: "127.0.0.1:10911".into(),
            cluster: "C".into(),
            broker_id: 0,
        };
        let command = Command::request(RequestCode::QUERY_DATA_VERSION, &header);
        let answer = client.call(command.body(version(counter).encode()), SECONDS).await.unwrap();
        assert_ok(&answer);
        (answer.fields().get("changed").unwrap().into_owned(), answer.body)
    };
    assert_eq!(ask(1).await, ("true".into(), Vec::new()));
    register(&client, "b1", &["T1", "T2"]).await;
    assert_eq!(ask(1).await, ("false".into(), version(1).encode()));
    assert_eq!(ask(2).await, ("true".into(), version(1).encode()));
}

#[tokio::test]
async fn a_replica_is_told_its_master() {
    let (_dir, _running, client) = started().await;
    register(&client, "b1", &["T1", "T2"]).await;
    let replica = header::RegisterBroker {
        broker_id: 1,
        broker_addr: "127.0.0.2:10911".into(),
        ..registration("b1")
    };
    let answer = ask(&client, RequestCode::REGISTER_BROKER, &replica).await;
    assert_ok(&answer);
    assert_eq!(answer.fields().get("masterAddr").as_deref(), Some("127.0.0.1:10911"));
    assert_eq!(answer.fields().get("haServerAddr").as_deref(), Some("127.0.0.1:10912"));

    let header = header::BrokerMemberGroup { cluster: "C".into(), broker_name: "b1".into() };
    let answer = ask(&client, RequestCode::GET_BROKER_MEMBER_GROUP, &header).await;
    let group = MemberGroupAnswer::decode(&answer.body).unwrap().broker_member_group;
    assert_eq!(group.broker_addrs.len(), 2);

    let gone = header::BrokerIdentity {
        broker_name: "b1".into(),
        broker_addr: "127.0.0.1:10911".into(),
        cluster: "C".into(),
        broker_id: 0,
    };
    assert_ok(&ask(&client, RequestCode::UNREGISTER_BROKER, &gone).await);
    let answer = ask(&client, RequestCode::GET_BROKER_CLUSTER_INFO, &NoHeader).await;
    let info = ClusterInfo::decode(&answer.body).unwrap();
    assert_eq!(info.broker_addr_table["b1"].broker_addrs.keys().collect::<Vec<_>>(), [&1]);
}

#[tokio::test]
async fn write_permission_is_wiped_and_given_back_with_counts() {
    let (_dir, _running, client) = started().await;
    register(&client, "b1", &["T1", "T2"]).await;
    let header = header::BrokerOfPermission { broker_name: "b1".into() };
    let answer = ask(&client, RequestCode::WIPE_WRITE_PERM_OF_BROKER, &header).await;
    assert_eq!(answer.fields().get("wipeTopicCount").as_deref(), Some("2"));
    let found = TopicRouteData::decode(&route(&client, "T1").await.body).unwrap();
    assert_eq!(found.queue_datas[0].perm, 4);
    let answer = ask(&client, RequestCode::ADD_WRITE_PERM_OF_BROKER, &header).await;
    assert_eq!(answer.fields().get("addTopicCount").as_deref(), Some("2"));
}

#[tokio::test]
async fn topics_are_listed_deleted_and_registered() {
    let (_dir, _running, client) = started().await;
    register(&client, "b1", &["T1", "T2"]).await;
    let list = async |code| {
        let answer = ask(&client, code, &header::TopicsByCluster { cluster: "C".into() }).await;
        assert_ok(&answer);
        let mut list = TopicList::decode(&answer.body).unwrap();
        list.topic_list.sort();
        list
    };
    let all = RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
    assert_eq!(list(all).await.topic_list, ["T1", "T2"]);
    assert_eq!(list(RequestCode::GET_TOPICS_BY_CLUSTER).await.topic_list, ["T1", "T2"]);
    let system = list(RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS).await;
    assert_eq!(system.topic_list, ["C", "b1"]);
    assert_eq!(system.broker_addr.as_deref(), Some("127.0.0.1:10911"));

    let body = route(&client, "T1").await.body;
    let header = header::DeleteTopicInNamesrv { topic: "T1".into(), cluster: None };
    assert_ok(&ask(&client, RequestCode::DELETE_TOPIC_IN_NAMESRV, &header).await);
    assert_ok(&ask(&client, RequestCode::DELETE_TOPIC_IN_NAMESRV, &header).await);
    assert_eq!(list(all).await.topic_list, ["T2"]);
    let command = Command::request(RequestCode::REGISTER_TOPIC_IN_NAMESRV, &header).body(body);
    assert_ok(&client.call(command, SECONDS).await.unwrap());
    assert_eq!(list(all).await.topic_list, ["T1", "T2"]);
}

#[tokio::test]
async fn an_answered_value_survives_a_restart() {
    let (dir, running, client) = started().await;
    assert_ok(&ask(&client, RequestCode::PUT_KV_CONFIG, &value("b1:4")).await);
    running.stop().await;

    let running = Running::start(dir.path()).await;
    let client = running.connect().await;
    let key = header::KvKey { namespace: "ORDER_TOPIC_CONFIG".into(), key: "T1".into() };
    let answer = ask(&client, RequestCode::GET_KV_CONFIG, &key).await;
    assert_eq!(answer.fields().get("value").as_deref(), Some("b1:4"));
    let namespace = header::KvNamespace { namespace: "ORDER_TOPIC_CONFIG".into() };
    let answer = ask(&client, RequestCode::GET_KVLIST_BY_NAMESPACE, &namespace).await;
    assert_eq!(KvTable::decode(&answer.body).unwrap().table["T1"], "b1:4");

    assert_ok(&ask(&client, RequestCode::DELETE_KV_CONFIG, &key).await);
    let answer = ask(&client, RequestCode::GET_KV_CONFIG, &key).await;
    let remark = "No config item, Namespace: ORDER_TOPIC_CONFIG Key: T1";
    assert_refused(&answer, ResponseCode::QUERY_NOT_FOUND, remark);
}

#[tokio::test]
async fn changes_under_way_are_answered_before_the_server_stops() {
    let (_dir, running, client) = started().await;
    let put = || Command::request(RequestCode::PUT_KV_CONFIG, &value("b1:4"));
    let calls: Vec<_> = (0..100).map(|_| client.submit(put()).unwrap()).collect();
    // All are on the server once a request behind them is answered.
    route(&client, "T1").await;
    running.stop().await;
    for call in calls {
        assert_ok(&call.await.unwrap());
    }
}

#[tokio::test]
async fn settings_of_the_closed_list_can_be_changed_and_survive() {
    let (dir, running, client) = started().await;
    register(&client, "b1", &["T1", "T2"]).await;
    ask(&client, RequestCode::PUT_KV_CONFIG, &value("b1:4;b2:4")).await;
    let layout = async |client: &Connection| {
        let body = route(client, "T1").await.body;
        TopicRouteData::decode(&body).unwrap().order_topic_conf
    };
    assert_eq!(layout(&client).await, None);
    let change = async |client: &Connection, text: &str| {
        let command = Command::request(RequestCode::UPDATE_NAMESRV_CONFIG, &NoHeader).body(text);
        client.call(command, SECONDS).await.unwrap()
    };
    assert_ok(&change(&client, "orderMessageEnable=true\nenableTopicList=false\n").await);
    assert_eq!(layout(&client).await.as_deref(), Some("b1:4;b2:4"));
    let all = RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
    assert_refused(&ask(&client, all, &NoHeader).await, ResponseCode::SYSTEM_ERROR, "disable");

    let answer = change(&client, "enableTopicList=true\nkvConfigPath=/tmp/x\n").await;
    assert_eq!(answer.response_code(), ResponseCode::NO_PERMISSION);
    assert_ok(&change(&client, "").await);
    running.stop().await;

    let running = Running::start(dir.path()).await;
    let client = running.connect().await;
    let answer = ask(&client, RequestCode::GET_NAMESRV_CONFIG, &NoHeader).await;
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.contains("orderMessageEnable=true\n") && text.contains("enableTopicList=false\n"));
}

#[tokio::test]
async fn every_request_without_fields_is_answered_and_the_connection_kept() {
    let (_dir, _running, client) = started().await;
    for &code in RequestCode::ALL {
        for form in [HeaderForm::Json, HeaderForm::Binary] {
            let command = Command { form, ..Command::request(code, &NoHeader) };
            client.call(command, SECONDS).await.unwrap();
        }
    }
    let answer = ask(&client, RequestCode(99_999), &NoHeader).await;
    let remark = " request type 99999 not supported";
    assert_refused(&answer, ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark);
    let answer = ask(&client, RequestCode::REGISTER_BROKER, &NoHeader).await;
    let remark = "the header field brokerName is missing";
    assert_refused(&answer, ResponseCode::SYSTEM_ERROR, remark);
}

#[tokio::test]
async fn hostile_fields_are_refused_and_leave_nothing() {
    let (_dir, running, client) = started().await;
    let long = "x".repeat(1 << 20);
    for text in ["", "\0", "a b", "\u{1f980}", "-1", &long] {
        for bad in [
            header::RegisterBroker { broker_name: text.into(), ..registration("b1") },
            header::RegisterBroker { cluster: text.into(), ..registration("b1") },
            header::RegisterBroker { broker_addr: text.into(), ..registration("b1") },
        ] {
            if text == "-1" && bad.broker_addr != text {
                continue;
            }
            let answer = ask(&client, RequestCode::REGISTER_BROKER, &bad).await;
            assert_ne!(answer.response_code(), ResponseCode::SUCCESS, "{text:.20}");
        }
        let header = header::GetRoute { topic: text.into(), ..header::GetRoute::default() };
        let answer = ask(&client, RequestCode::GET_ROUTEINFO_BY_TOPIC, &header).await;
        assert_ne!(answer.response_code(), ResponseCode::SUCCESS);
    }
    let negative = header::RegisterBroker { broker_id: -1, ..registration("b1") };
    let answer = ask(&client, RequestCode::REGISTER_BROKER, &negative).await;
    assert_eq!(answer.response_code(), ResponseCode::INVALID_PARAMETER);
    assert!(running.registry.render().contains("mq_namesrv_members 0\n"));
}

#[tokio::test]
async fn a_data_directory_has_one_name_server() {
    let (dir, _running, _client) = started().await;
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config { listen, data_dir: dir.path().to_owned(), ..Config::default() };
    let second = NameServer::start(config, &Registry::default(), CancellationToken::new()).await;
    assert!(second.is_err());
}
