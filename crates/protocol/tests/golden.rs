//! Frames captured from official clients and servers; see `testdata/README.md`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rocketkube_protocol::batch::Batch;
use rocketkube_protocol::body::*;
use rocketkube_protocol::header::*;
use rocketkube_protocol::message::tag_hash;
use rocketkube_protocol::record::records;
use rocketkube_protocol::{
    Command, ExtFields, Header, HeaderForm, Language, OffsetMessageId, Request, RequestCode,
    UniqueId, fastjson, frame,
};

/// All frames of a folder by name.
fn frames(folder: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
        })
        .collect()
}

fn decode(bytes: &[u8]) -> Command {
    assert_eq!(frame::split(bytes), Ok(Some(bytes.len())));
    Command::decode(&bytes[frame::LENGTH_FIELD..]).unwrap()
}

fn java(name: &str) -> Command {
    decode(&frames("java-5.4.0")[name])
}

fn encode(command: &Command) -> Vec<u8> {
    let mut out = Vec::new();
    command.encode_into(&mut out).unwrap();
    out
}

#[test]
fn frames_of_java_are_read_and_written_byte_for_byte() {
    let mut identical = 0;
    for (name, bytes) in frames("java-5.4.0") {
        let command = decode(&bytes);
        assert_eq!((command.language, command.version), (Language::Java, 493), "{name}");
        assert_eq!(command.is_response(), name.contains("answer"), "{name}");
        // Java leaves out the fields of some answers, where we always write an object, and writes
        // some remarks that are empty.
        let text = String::from_utf8_lossy(&bytes);
        let ours = text.contains("\"extFields\"") && !text.contains("\"remark\":\"\"");
        if ours || command.form == HeaderForm::Binary {
            assert_eq!(encode(&command), bytes, "{name}");
            identical += 1;
        }
        assert_eq!(Command::decode(&encode(&command)[4..]), Ok(command), "{name}");
    }
    assert!(identical > 40, "{identical}");
}

#[test]
fn requests_of_go_are_read() {
    let frames = frames("go-2.1.2");
    assert_eq!(frames.len(), 8);
    for (name, bytes) in frames {
        let command = decode(&bytes);
        assert_eq!((command.language, command.version), (Language::Go, 317), "{name}");
        assert!(!command.is_oneway() && command.remark.is_none(), "{name}");
        assert_eq!(Command::decode(&encode(&command)[4..]), Ok(command), "{name}");
    }
}

/// Reads the fields as a header, writes them again, and finds all of them but those that any
/// request may carry.
fn covers<'a, H: Header<'a>>(ext: &ExtFields<'a>, name: &str) {
    let common = ["bname", "ReqT", "ns", "nsd", "lo", "oway"];
    let header = H::decode(ext).unwrap_or_else(|error| panic!("{name}: {error}"));
    let again = Command::request(RequestCode(0), &header);
    for (key, value) in ext.iter() {
        let written = again.ext.iter().find(|(name, _)| *name == key);
        match written {
            Some((_, written)) => assert_eq!(*written, value, "{name}: {key}"),
            None => assert!(common.contains(&&*key), "{name}: {key} is not a field of the header"),
        }
    }
}

#[test]
fn typed_headers_know_every_captured_field() {
    let mut seen = Vec::new();
    let all = frames("java-5.4.0").into_iter().chain(frames("go-2.1.2"));
    for (name, bytes) in all {
        let request = Request::decode(&bytes[4..]).unwrap();
        let ext = &request.ext;
        let code = RequestCode(name.split('-').next().unwrap().parse().unwrap());
        macro_rules! by_code {
            ($($code:ident $request:ty, $answer:ty;)*) => {
                match code {
                    $(RequestCode::$code if request.is_response() => covers::<$answer>(ext, &name),
                      RequestCode::$code => covers::<$request>(ext, &name),)*
                    other => panic!("no header for {other}"),
                }
            };
        }
        by_code! {
            SEND_MESSAGE SendMessageV1, SendReceipt;
            SEND_MESSAGE_V2 SendMessage, SendReceipt;
            SEND_BATCH_MESSAGE SendMessage, SendReceipt;
            PULL_MESSAGE PullMessage, PullAnswer;
            LITE_PULL_MESSAGE PullMessage, PullAnswer;
            QUERY_MESSAGE QueryMessage, QueryMessageAnswer;
            QUERY_CONSUMER_OFFSET QueryConsumerOffset, AnyOffset;
            UPDATE_CONSUMER_OFFSET UpdateConsumerOffset, NoHeader;
            GET_ALL_TOPIC_CONFIG GetAllTopicConfig, AllTopicConfigAnswer;
            SEARCH_OFFSET_BY_TIMESTAMP SearchOffset, OffsetAnswer;
            GET_MAX_OFFSET QueueOfTopic, OffsetAnswer;
            GET_MIN_OFFSET QueueOfTopic, OffsetAnswer;
            GET_EARLIEST_MSG_STORETIME QueueOfTopic, TimestampAnswer;
            VIEW_MESSAGE_BY_ID ViewMessage, NoHeader;
            HEART_BEAT NoHeader, HeartbeatAnswer;
            UNREGISTER_CLIENT UnregisterClient, NoHeader;
            GET_CONSUMER_LIST_BY_GROUP ConsumerGroup, NoHeader;
            NOTIFY_CONSUMER_IDS_CHANGED ConsumerGroup, NoHeader;
            LOCK_BATCH_MQ NoHeader, NoHeader;
            UNLOCK_BATCH_MQ NoHeader, NoHeader;
            GET_KV_CONFIG KvKey, KvAnswer;
            REGISTER_BROKER RegisterBroker, RegisterBrokerAnswer;
            GET_ROUTEINFO_BY_TOPIC GetRoute, NoHeader;
            GET_BROKER_CLUSTER_INFO NoHeader, NoHeader;
            GET_ALL_SUBSCRIPTIONGROUP_CONFIG GetAllGroupConfig, AllGroupConfigAnswer;
            GET_TOPIC_STATS_INFO TopicName, NoHeader;
            GET_CONSUMER_CONNECTION_LIST ConsumerGroup, NoHeader;
            GET_PRODUCER_CONNECTION_LIST ProducerGroup, NoHeader;
            GET_ALL_TOPIC_LIST_FROM_NAMESERVER NoHeader, NoHeader;
            GET_CONSUME_STATS GetConsumeStats, NoHeader;
            INVOKE_BROKER_TO_RESET_OFFSET ResetOffset, NoHeader;
            GET_TOPICS_BY_CLUSTER TopicsByCluster, NoHeader;
            QUERY_TOPIC_CONSUME_BY_WHO TopicName, NoHeader;
            QUERY_CONSUME_TIME_SPAN GroupAndTopic, NoHeader;
            GET_CONSUMER_RUNNING_INFO ConsumerRunningInfo, NoHeader;
            VIEW_BROKER_STATS_DATA ViewStats, NoHeader;
            QUERY_CONSUME_QUEUE QueryConsumeQueue, NoHeader;
            GET_ALL_PRODUCER_INFO NoHeader, NoHeader;
            GET_TOPIC_CONFIG TopicName, NoHeader;
            GET_BROKER_HA_STATUS NoHeader, NoHeader;
            GET_BROKER_CONFIG NoHeader, NoHeader;
            GET_BROKER_RUNTIME_INFO NoHeader, NoHeader;
        }
        seen.push(code);
    }
    assert!(seen.len() > 70, "{}", seen.len());
}

/// The answer to 14, which has no offset if there is none.
struct AnyOffset(Option<OffsetAnswer>);

impl<'a> Header<'a> for AnyOffset {
    const FIELDS: &'static [&'static str] = OffsetAnswer::FIELDS;

    fn decode(ext: &ExtFields<'a>) -> Result<Self, HeaderError> {
        Ok(Self(OffsetAnswer::decode(ext).ok()))
    }

    fn encode(&self, ext: &mut rocketkube_protocol::ExtWriter<'_>) {
        if let Some(answer) = &self.0 {
            answer.encode(ext);
        }
    }
}

#[test]
fn a_send_is_read_from_every_form() {
    for (name, tag) in
        [("310-request", "TagB"), ("310-request-binary", "TagA"), ("10-request", "TagA")]
    {
        let command = java(name);
        let header: SendMessage = command.header().unwrap();
        assert_eq!((&*header.topic, &*header.default_topic), ("Golden", "TBW102"), "{name}");
        assert_eq!(header.broker_name.as_deref(), Some("broker-a"), "{name}");
        let properties = header.properties.unwrap();
        let properties = rocketkube_protocol::Properties(&properties);
        assert_eq!(properties.get("TAGS"), Some(tag), "{name}");
        assert!(UniqueId::parse(properties.get("UNIQ_KEY").unwrap()).is_ok(), "{name}");
    }
    let receipt = java("310-answer");
    let receipt: SendReceipt = receipt.header().unwrap();
    let id = OffsetMessageId::parse(&receipt.msg_id).unwrap();
    assert_eq!(id.broker, "127.0.0.2:21911".parse().unwrap());
    assert_eq!(id.to_string(), receipt.msg_id);
}

#[test]
fn captured_batches_are_split() {
    let command = java("320-request");
    let batch = Batch::parse(&command.body).unwrap();
    let bodies: Vec<&[u8]> = batch.iter().map(|message| message.body).collect();
    assert_eq!(bodies, [b"batch0", b"batch1", b"batch2"]);
    let mut again = Vec::new();
    for message in batch.iter() {
        rocketkube_protocol::batch::append_message(&mut again, &message).unwrap();
    }
    assert_eq!(again, command.body);
    let go = decode(&frames("go-2.1.2")["320-request"]);
    assert_eq!(Batch::parse(&go.body).unwrap().len(), 2);
}

#[test]
fn captured_records_are_read_and_written_byte_for_byte() {
    let mut count = 0;
    for name in ["11-answer", "361-answer", "33-answer", "12-answer"] {
        let body = java(name).body;
        let mut again = Vec::new();
        for record in records(&body) {
            let record = record.unwrap();
            assert!(record.has_sound_body(), "{name}");
            assert_eq!(record.topic(), "Golden");
            assert_eq!(tag_hash(record.properties().get("TAGS").unwrap()), 2_598_919);
            record.to_record().write(&mut again).unwrap();
            count += 1;
        }
        assert_eq!(again, body, "{name}");
    }
    assert!(count >= 8, "{count}");
}

/// Whether a body is written again as it was read.
fn unchanged<B: Body>(name: &str, encode: impl Fn(&B) -> Vec<u8>) -> B {
    let bytes = java(name).body;
    let body = B::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(String::from_utf8_lossy(&encode(&body)), String::from_utf8_lossy(&bytes), "{name}");
    body
}

#[test]
fn captured_bodies_are_read_and_written_byte_for_byte() {
    unchanged("34-request", HeartbeatData::encode);
    unchanged("38-answer", ConsumerIdList::encode);
    unchanged("41-request", LockBatch::encode);
    unchanged("41-answer", LockedQueues::encode);
    unchanged::<ClusterInfo>("106-answer", fastjson::to_vec);
    let stats = unchanged("202-answer", TopicStatsTable::encode);
    assert_eq!(stats.offset_table.0.len(), 4);
    unchanged("208-answer", ConsumeStats::encode);
    unchanged("222-answer", ResetOffsetBody::encode);
    unchanged("203-answer", ConsumerConnection::encode);
    unchanged("204-answer", ProducerConnection::encode);
    unchanged("328-answer", ProducerTable::encode);
    unchanged("206-answer", TopicList::encode);
    unchanged("300-answer", GroupList::encode);
    unchanged("315-answer", BrokerStatsData::encode);
    unchanged("351-answer", TopicConfig::encode);
    unchanged("907-answer", HaRuntimeInfo::encode);
    for (name, form) in [
        ("105-answer-version-317", RouteForm::BareKeys),
        ("105-answer-version-401", RouteForm::Standard),
    ] {
        let bytes = java(name).body;
        let route = TopicRouteData::decode(&bytes).unwrap();
        assert_eq!(route.encode(form), bytes, "{name}");
    }
}

/// Members of a JSON text, whatever their order.
fn value(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(&fastjson::normalise(bytes).unwrap()).unwrap()
}

/// Members about mapped queues, which we do not have.
const MAPPED_QUEUES: [&str; 3] =
    ["mappingDataVersion", "topicQueueMappingDetailMap", "topicQueueMappingInfoMap"];

#[test]
fn captured_tables_mean_the_same_when_written_again() {
    let groups = java("201-answer").body;
    let table = SubscriptionGroupTable::decode(&groups).unwrap();
    assert_eq!(value(&table.encode()), value(&groups));

    let topics = java("21-answer").body;
    let table = TopicConfigTable::decode(&topics).unwrap();
    let mut expected = value(&topics);
    expected.as_object_mut().unwrap().retain(|key, _| !MAPPED_QUEUES.contains(&&**key));
    assert_eq!(value(&table.encode()), expected);
    assert_eq!(table.topic_config_table["BenchmarkTest"].read_queue_nums, 1024);

    let request = java("103-request");
    let header: RegisterBroker = request.header().unwrap();
    let crc = rocketkube_protocol::record::body_crc(&request.body);
    assert_eq!(header.body_crc, i32::try_from(crc).ok());
    let body = RegisterBrokerBody::decode(&request.body, header.compressed.unwrap()).unwrap();
    assert!(body.topics.topic_config_table.contains_key("Golden"));

    let spans = ConsumeTimeSpan::decode(&java("303-answer").body).unwrap();
    assert_eq!(spans.consume_time_span_set.len(), 4);
    let entries = ConsumeQueueAnswer::decode(&java("321-answer").body).unwrap();
    assert_eq!(entries.queue_data[0].physical_size, 273);
}

#[test]
fn a_heartbeat_of_go_is_read() {
    let command = decode(&frames("go-2.1.2")["34-request"]);
    let data = HeartbeatData::decode(&command.body).unwrap();
    let [group] = &*data.consumer_data_set else { panic!("one group") };
    assert_eq!(group.subscription_data_set.len(), 2);
    assert_eq!(group.subscription_data_set[0].code_set, [2_598_919, 2_598_920]);
    assert_eq!(data.producer_data_set[0].group_name, "go_producer");
}
