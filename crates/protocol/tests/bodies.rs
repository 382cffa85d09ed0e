//! Bodies in the dialects of Java and Go, and what nobody should send.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use proptest::prelude::*;
use rocketkube_protocol::body::*;

/// Reads `text`, writes it again and compares it byte for byte.
fn identical<B: Body>(text: &str) -> B {
    let body = B::decode(text.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(body.encode()).unwrap(), text);
    body
}

#[test]
fn a_route_is_written_in_the_form_its_reader_knows() {
    let bare = r#"{"brokerDatas":[{"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},"brokerName":"b1","cluster":"C1","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"b1","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#;
    let standard = bare.replace("{0:", "{\"0\":").replace(",1:", ",\"1\":");
    let route = TopicRouteData::decode(bare.as_bytes()).unwrap();
    assert_eq!(TopicRouteData::decode(standard.as_bytes()).unwrap(), route);
    assert_eq!(route.encode(RouteForm::BareKeys), bare.as_bytes());
    assert_eq!(route.encode(RouteForm::Standard), standard.as_bytes());
    assert_eq!(route.broker_datas[0].broker_addrs[&1], "10.0.0.2:10911");
}

#[test]
fn the_form_of_a_route_depends_on_version_and_wish() {
    for (version, wish, form) in [
        (317, None, RouteForm::BareKeys),
        (399, Some(false), RouteForm::BareKeys),
        (399, Some(true), RouteForm::Standard),
        (401, None, RouteForm::Standard),
        (493, Some(false), RouteForm::Standard),
    ] {
        assert_eq!(RouteForm::for_client(version, wish), form, "{version} {wish:?}");
    }
}

#[test]
fn a_route_with_both_spellings_of_the_system_flag_is_read() {
    let text = r#"{"queueDatas":[{"brokerName":"b","topicSynFlag":0,"topicSysFlag":1}],"filterServerTable":null,"topicQueueMappingByBroker":null,"orderTopicConf":null}"#;
    let route = TopicRouteData::decode(text.as_bytes()).unwrap();
    assert_eq!(route.queue_datas[0].topic_sys_flag, 1);
}

#[test]
fn queue_keyed_maps_have_objects_as_keys() {
    let stats: ConsumeStats = identical(
        r#"{"consumeTps":0.0,"offsetTable":{{"brokerName":"b1","queueId":0,"topic":"T1"}:{"brokerOffset":3,"consumerOffset":1,"lastTimestamp":0,"pullOffset":1},{"brokerName":"b1","queueId":1,"topic":"T1"}:{"brokerOffset":0,"consumerOffset":0,"lastTimestamp":0,"pullOffset":0}}}"#,
    );
    assert_eq!(stats.offset_table.0[1].0.queue_id, 1);
    identical::<TopicStatsTable>(
        r#"{"offsetTable":{{"brokerName":"b1","queueId":0,"topic":"T1"}:{"lastUpdateTimestamp":1700000000000,"maxOffset":10,"minOffset":0}},"topicPutTps":0.5}"#,
    );
    identical::<ResetOffsetBody>(r#"{"offsetTable":{}}"#);
    identical::<ConsumerStatusBody>(
        r#"{"consumerTable":{"c1":{{"brokerName":"b","queueId":0,"topic":"T"}:12},"c2":{}},"messageQueueTable":{}}"#,
    );
    identical::<BrokerConsumeStatsAnswer>(
        r#"{"brokerAddr":"a:1","consumeStatsList":[{"g1":[{"consumeTps":1.5,"offsetTable":{}}],"g2":[]},{}],"totalDiff":1,"totalInflightDiff":2}"#,
    );
}

#[test]
fn offsets_to_reset_are_read_in_three_forms_and_written_in_two() {
    let map = r#"{"offsetTable":{{"brokerName":"b1","queueId":0,"topic":"T1"}:12}}"#;
    let body = ResetOffsetBody::decode(map.as_bytes()).unwrap();
    let pairs = r#"{"offsetTable":[[{"brokerName":"b1","queueId":0,"topic":"T1"},12]]}"#;
    assert_eq!(ResetOffsetBody::decode(pairs.as_bytes()).unwrap(), body);
    let cpp = r#"{"offsetTable":[{"brokerName":"b1","offset":12,"queueId":0,"topic":"T1"}]}"#;
    assert_eq!(String::from_utf8(body.encode_for_cpp()).unwrap(), cpp);
}

#[test]
fn a_heartbeat_of_a_java_client_is_read_and_written_unchanged() {
    let data: HeartbeatData = identical(
        r#"{"clientID":"10.0.0.9@4711#99","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"g1","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[2598919],"expressionType":"TAG","subString":"TagA","subVersion":1700000000000,"tagsSet":["TagA"],"topic":"T1"}],"unitMode":false}],"heartbeatFingerprint":0,"producerDataSet":[{"groupName":"CLIENT_INNER_PRODUCER"}],"withoutSub":false}"#,
    );
    assert_eq!(data.consumer_data_set[0].subscription_data_set[0].code_set, [2_598_919]);
}

#[test]
fn a_heartbeat_may_deviate_as_those_of_go_clients_do() {
    let data = HeartbeatData::decode(
        br#"{"clientID":"c","producerDataSet":null,"consumerDataSet":[{"groupName":"g","consumeType":"CONSUME_PASSIVELY","messageModel":"BroadCasting","consumeFromWhere":"consume_from_first_offset","unitMode":null,"subscriptionDataSet":[{"topic":"T","subString":"A || B","subVersion":"1700000000000000000","codeSet":["65","66"],"tagsSet":null,"expressionType":""},{"$ref":"$.x"}]},{"$ref":"$.consumerDataSet[0]"},{}]}"#,
    )
    .unwrap();
    let [group] = &*data.consumer_data_set else { panic!("one group: {data:?}") };
    assert_eq!(group.message_model, MessageModel::Broadcasting);
    assert_eq!(group.consume_from_where, ConsumeFromWhere::FirstOffset);
    let [subscription] = &*group.subscription_data_set else { panic!("one subscription") };
    assert_eq!(subscription.code_set, [65, 66]);
    assert_eq!(subscription.sub_version, 1_700_000_000_000_000_000);
    assert_eq!(subscription.expression_type, "TAG");
}

#[test]
fn names_of_enums_that_came_later_are_taken_for_the_first() {
    let data = HeartbeatData::decode(
        br#"{"consumerDataSet":[{"groupName":"g","consumeType":"CONSUME_BY_TELEPATHY","messageModel":null}]}"#,
    );
    assert_eq!(data.unwrap().consumer_data_set[0].consume_type, ConsumeType::Passively);
}

#[test]
fn settings_keep_javas_defaults_where_members_are_missing() {
    let topic = TopicConfig::decode(br#"{"topicName":"T","attributes":null}"#).unwrap();
    assert_eq!((topic.perm, topic.read_queue_nums, topic.write_queue_nums), (6, 16, 16));
    let group = SubscriptionGroupConfig::decode(br#"{"groupName":"g","groupRetryPolicy":null}"#);
    let expected = SubscriptionGroupConfig { group_name: "g".to_owned(), ..Default::default() };
    assert_eq!(group.unwrap(), expected);
    assert_eq!(
        String::from_utf8(expected.encode()).unwrap(),
        r#"{"attributes":{},"brokerId":0,"consumeBroadcastEnable":true,"consumeEnable":true,"consumeFromMinEnable":true,"consumeMessageOrderly":false,"consumeTimeoutMinute":15,"groupName":"g","groupRetryPolicy":{"type":"CUSTOMIZED"},"groupSysFlag":0,"notifyConsumerIdsChangedEnable":true,"retryMaxTimes":16,"retryQueueNums":1,"whichBrokerWhenConsumeSlowly":1}"#
    );
}

#[test]
fn other_shapes_are_read_and_written_unchanged() {
    identical::<TopicConfig>(
        r#"{"attributes":{"message.type":"NORMAL"},"order":false,"perm":6,"readQueueNums":8,"topicFilterType":"SINGLE_TAG","topicName":"T1","topicSysFlag":0,"writeQueueNums":8}"#,
    );
    identical::<ConsumerOffsetTable>(
        r#"{"dataVersion":{"counter":3,"stateVersion":0,"timestamp":1700000000000},"offsetTable":{"T1@g1":{0:12,1:9}}}"#,
    );
    identical::<ClusterInfo>(
        r#"{"brokerAddrTable":{"b1":{"brokerAddrs":{"0":"10.0.0.1:10911"},"brokerName":"b1","cluster":"C1","enableActingMaster":false}},"clusterAddrTable":{"C1":["b1"]}}"#,
    );
    identical::<LockedQueues>(r#"{"lockOKMQSet":[{"brokerName":"b","queueId":1,"topic":"T"}]}"#);
    identical::<LockBatch>(
        r#"{"clientId":"cid1","consumerGroup":"g1","mqSet":[],"onlyThisBroker":false}"#,
    );
    identical::<TopicList>(r#"{"topicList":["T1","T2"]}"#);
    identical::<KvTable>(r#"{"table":{"k":"v"}}"#);
    identical::<ConsumerConnection>(
        r#"{"connectionSet":[{"clientAddr":"10.0.0.9:5000","clientId":"cid1","language":"JAVA","version":479}],"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING","subscriptionTable":{}}"#,
    );
    identical::<ProducerTable>(
        r#"{"data":{"pg":[{"clientId":"c","language":"JAVA","lastUpdateTimestamp":1,"remoteIP":"10.0.0.9:5000","version":479}]}}"#,
    );
    identical::<HaRuntimeInfo>(
        r#"{"haClientRuntimeInfo":{"lastReadTimestamp":0,"lastWriteTimestamp":0,"masterFlushOffset":0,"maxOffset":0,"transferredByteInSecond":0},"haConnectionInfo":[{"addr":"10.0.0.2:5001","diff":0,"inSync":true,"slaveAckOffset":0,"transferFromWhere":0,"transferredByteInSecond":0}],"inSyncSlaveNums":0,"master":true,"masterCommitLogMaxOffset":0}"#,
    );
    identical::<AclInfo>(
        r#"{"policies":[{"entries":[{"actions":["Pub","Sub"],"decision":"Allow","resource":"Topic:T1","sourceIps":["10.0.0.0/8"]}],"policyType":"Custom"}],"subject":"User:alice"}"#,
    );
}

#[test]
fn acknowledgements_are_read_by_short_and_long_names() {
    let short = BatchAcks::decode(br#"{"brokerName":"b1","acks":[{"c":"g","t":"T","r":"0","so":1,"q":2,"rq":3,"pt":4,"it":5,"b":"AQ=="}]}"#).unwrap();
    let long = BatchAcks::decode(br#"{"brokerName":"b1","acks":[{"consumerGroup":"g","topic":"T","retry":"0","startOffset":1,"queueId":2,"reviveQueueId":3,"popTime":4,"invisibleTime":5,"bitSet":"AQ=="}]}"#).unwrap();
    assert_eq!(short, long);
    assert_eq!(short.acks[0].start_offset, 1);
}

#[test]
fn a_password_is_not_shown() {
    let user = UserInfo::decode(br#"{"username":"u","password":"secret"}"#).unwrap();
    assert!(!format!("{user:?}").contains("secret"));
}

fn registration() -> RegisterBrokerBody {
    let topic = |name: &str, attributes: &[(&str, &str)]| TopicConfig {
        topic_name: name.to_owned(),
        attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..TopicConfig::default()
    };
    let topics = [topic("T1", &[]), topic("T2", &[("+message.type", "FIFO x")])];
    RegisterBrokerBody {
        filter_server_list: vec!["f:1".to_owned()],
        topics: TopicConfigTable {
            data_version: DataVersion { counter: 3, state_version: 0, timestamp: 7 },
            topic_config_table: topics.map(|topic| (topic.topic_name.clone(), topic)).into(),
        },
    }
}

#[test]
fn a_registration_means_the_same_compressed_and_not() {
    for version in [401, 493] {
        for compressed in [false, true] {
            let bytes = registration().encode(compressed, version);
            assert_eq!(RegisterBrokerBody::decode(&bytes, compressed).unwrap(), registration());
        }
    }
}

#[test]
fn a_registration_that_unpacks_to_too_much_is_refused() {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b' '; 10_000_000]).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(matches!(
        RegisterBrokerBody::decode(&bomb, true),
        Err(BodyError::Compressed("unpacks to more than its size justifies"))
    ));
    let cut = &registration().encode(true, 493)[..20];
    assert!(RegisterBrokerBody::decode(cut, true).is_err());
}

#[test]
fn topics_in_text_form_are_checked() {
    for text in ["", "T", "T 1 1 6", "T x 1 6 SINGLE_TAG", "T 1 1 6 NO_TAG", "T 1 1 6 SINGLE_TAG {"]
    {
        assert!(TopicConfig::from_text(text).is_err(), "{text}");
    }
    assert_eq!(TopicConfig::from_text("T 1 2 6 SINGLE_TAG").unwrap().write_queue_nums, 2);
}

#[test]
fn bodies_of_another_shape_are_refused() {
    for text in ["", "[1]", "1", "{\"clientID\":{}}", "{\"consumerDataSet\":1}", "{", "nonsense"] {
        assert!(HeartbeatData::decode(text.as_bytes()).is_err(), "{text}");
    }
    let deep = "[".repeat(100_000);
    assert!(matches!(KvTable::decode(deep.as_bytes()), Err(BodyError::Fastjson(_))));
}

/// Bytes that resemble the bodies: pieces of them in any order.
fn resembling() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "'",
        "0",
        "-1",
        "null",
        "true",
        "\"topic\"",
        "\"offsetTable\"",
        "\"queueId\"",
        "\"consumerDataSet\"",
        "\"subscriptionDataSet\"",
        "\"groupName\"",
        "\"x\"",
        "{}",
        "[]",
        "\"brokerAddrs\"",
        "\"brokerDatas\"",
        "\"topicConfigTable\"",
        "\"attributes\"",
        " ",
        "\\",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

/// Decodes bytes as every kind of body.
fn decode_all(bytes: &[u8]) {
    let _ = TopicRouteData::decode(bytes);
    for compressed in [false, true] {
        let _ = RegisterBrokerBody::decode(bytes, compressed);
    }
    macro_rules! each {
        ($($body:ty),*) => { $(let _ = <$body>::decode(bytes);)* };
    }
    each!(
        ClusterInfo,
        MemberGroupAnswer,
        DataVersion,
        TopicConfig,
        TopicConfigTable,
        TopicConfigList,
        TopicList,
        SubscriptionGroupConfig,
        SubscriptionGroupTable,
        GroupConfigList,
        GroupList,
        HeartbeatData,
        CheckClientConfig,
        ConsumerIdList,
        ConsumerConnection,
        ProducerConnection,
        ProducerTable,
        LockBatch,
        LockedQueues,
        TopicStatsTable,
        ConsumeStats,
        ResetOffsetBody,
        ConsumerStatusBody,
        BrokerConsumeStatsAnswer,
        ConsumerOffsetTable,
        ConsumeTimeSpan,
        SubscriptionAnswer,
        KvTable,
        BrokerStatsData,
        ConsumeQueueAnswer,
        HaRuntimeInfo,
        QueryAssignment,
        Assignments,
        SetRequestMode,
        BatchAcks,
        UserInfo,
        AclInfo
    );
}

prop_compose! {
    fn any_queue()(broker_name: String, queue_id: i32, topic: String) -> MessageQueue {
        MessageQueue { broker_name, queue_id, topic }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>, text in resembling()) {
        decode_all(&bytes);
        decode_all(text.as_bytes());
    }

    #[test]
    fn queue_maps_survive_a_round_trip(table in prop::collection::vec((any_queue(), any::<i64>()), 0..5)) {
        let body = ResetOffsetBody { offset_table: QueueMap(table) };
        prop_assert_eq!(ResetOffsetBody::decode(&body.encode()).unwrap(), body);
    }

    #[test]
    fn routes_survive_a_round_trip_in_both_forms(
        addrs in prop::collection::btree_map(any::<i64>(), any::<String>(), 0..4),
        name in any::<String>(),
        numbers in any::<[i32; 4]>(),
        order_topic_conf in any::<Option<String>>(),
    ) {
        let [perm, read_queue_nums, topic_sys_flag, write_queue_nums] = numbers;
        let broker_name = name.clone();
        let queue = QueueData { broker_name, perm, read_queue_nums, topic_sys_flag, write_queue_nums };
        let broker = BrokerData { broker_addrs: addrs, cluster: name.clone(), broker_name: name, ..BrokerData::default() };
        let route = TopicRouteData {
            broker_datas: vec![broker],
            queue_datas: vec![queue],
            order_topic_conf,
            ..TopicRouteData::default()
        };
        for form in [RouteForm::BareKeys, RouteForm::Standard] {
            prop_assert_eq!(&TopicRouteData::decode(&route.encode(form)).unwrap(), &route);
        }
    }

    #[test]
    fn topics_survive_their_text_form(name in "[a-z%|_-]{1,20}", numbers: [i32; 3], attributes in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4)) {
        let [perm, read_queue_nums, write_queue_nums] = numbers;
        let topic = TopicConfig { topic_name: name, perm, read_queue_nums, write_queue_nums, attributes, ..TopicConfig::default() };
        prop_assert_eq!(TopicConfig::from_text(&topic.to_text()).unwrap(), topic);
    }
}
