//! Every typed header: fields that must be there, round trips, and values nobody should send.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use proptest::prelude::*;
use rocketkube_protocol::header::*;
use rocketkube_protocol::{Command, Header, HeaderError, RequestCode};

/// A command whose fields have these values, one after the other.
fn command<'a>(fields: &[&str], values: impl IntoIterator<Item = &'a str>) -> Command {
    let pair = |(name, value): (&&str, &str)| ((*name).to_owned(), value.to_owned());
    Command { ext: fields.iter().zip(values).map(pair).collect(), ..Command::default() }
}

/// Checks a header against fields that are all there, each missing in turn, and `odd` values.
/// Returns the names of the fields that must be there.
fn check<'a, H>(all: &'a mut Command, odd: &'a Command) -> Vec<String>
where
    H: Header<'a> + PartialEq + std::fmt::Debug,
{
    let mut required = Vec::new();
    for index in 0..all.ext.len() {
        let (name, value) = all.ext.remove(index);
        let less = all.clone();
        match rejection::<H>(&less) {
            None => {}
            Some(error) => {
                assert!(matches!(error, HeaderError::Missing { .. }), "{error}");
                required.push(name.clone());
            }
        }
        all.ext.insert(index, (name, value));
    }
    let header: H = all.header().unwrap();
    assert_eq!(H::FIELDS.len(), all.ext.len());
    let again = Command::request(RequestCode(0), &header);
    assert_eq!(again.ext, all.ext);
    let _ = odd.header::<H>();
    required
}

/// How a header refuses fields; a copy, because the fields live too short for the header itself.
fn rejection<'a, H: Header<'a>>(command: &Command) -> Option<HeaderError> {
    let leaked: &'a Command = Box::leak(Box::new(command.clone()));
    leaked.header::<H>().err()
}

/// Runs [`check`] for each header and compares the required fields.
macro_rules! every_header {
    ($($header:ident: $($required:ident)*;)*) => {
        #[test]
        fn every_header_says_which_fields_it_needs() {
            $({
                let names = <$header as Header<'_>>::FIELDS;
                // Truth values read as false, everything else as it is.
                let kinds = names.iter().map(|name| if is_truth(name) { "false" } else { "7" });
                let mut all = command(names, kinds);
                let odd = command(names, std::iter::repeat("\u{0}"));
                let required = check::<$header>(&mut all, &odd);
                let expected: Vec<&str> = vec![$(stringify!($required)),*];
                assert_eq!(required, expected, stringify!($header));
            })*
        }

        proptest! {
            #[test]
            fn any_values_are_decoded_or_refused(
                values in prop::collection::vec(
                    prop_oneof!["", "-?[0-9]{1,20}", ".{0,40}", "true", "\u{0}"], 14),
            ) {
                $({
                    let names = <$header as Header<'_>>::FIELDS;
                    let command = command(names, values.iter().map(String::as_str));
                    if let Ok(header) = command.header::<$header>() {
                        let again = Command::request(RequestCode(0), &header);
                        prop_assert_eq!(again.header::<$header>(), Ok(header));
                    }
                })*
            }
        }
    };
}

fn is_truth(name: &str) -> bool {
    const NAMES: [&str; 24] = [
        "k",
        "m",
        "unitMode",
        "batch",
        "TRACE_ON",
        "_UNIQUE_KEY_QUERY",
        "setZeroIfNotFound",
        "committed",
        "IS_SUPPORT_HEART_BEAT_V2",
        "IS_SUB_CHANGE",
        "fromTransactionCheck",
        "isForce",
        "jstackEnable",
        "acceptStandardJsonOnly",
        "enableActingMaster",
        "compressed",
        "changed",
        "order",
        "force",
        "cleanOffset",
        "readable",
        "isOrder",
        "offline",
        "hasMsg",
    ];
    NAMES.contains(&name) || name == "pollingFull"
}

every_header! {
    SendMessage: a b c d e f g h;
    SendMessageV1: producerGroup topic defaultTopic defaultTopicQueueNums queueId sysFlag
        bornTimestamp flag;
    SendReceipt: msgId queueId queueOffset;
    PullMessage: consumerGroup topic queueId queueOffset maxMsgNums sysFlag commitOffset
        suspendTimeoutMillis subVersion;
    PullAnswer: suggestWhichBrokerId nextBeginOffset minOffset maxOffset;
    ViewMessage: offset;
    QueryMessage: topic key maxNum beginTimestamp endTimestamp;
    QueryMessageAnswer: indexLastUpdateTimestamp indexLastUpdatePhyoffset;
    QueryConsumeQueue: topic queueId index count;
    QueryConsumerOffset: consumerGroup topic queueId;
    UpdateConsumerOffset: consumerGroup topic queueId commitOffset;
    SearchOffset: topic queueId timestamp;
    QueueOfTopic: topic queueId;
    OffsetAnswer: offset;
    TimestampAnswer: timestamp;
    HeartbeatAnswer:;
    UnregisterClient: clientID;
    ConsumerGroup: consumerGroup;
    ProducerGroup: producerGroup;
    SendMessageBack: offset group delayLevel;
    EndTransaction: producerGroup tranStateTableOffset commitLogOffset commitOrRollback msgId;
    CheckTransactionState: tranStateTableOffset commitLogOffset;
    ResumeCheckHalfMessage:;
    ResetClientOffset: topic group timestamp;
    ConsumerStatus: topic group;
    ConsumerRunningInfo: consumerGroup clientId;
    ConsumeDirectly: consumerGroup;
    PushReply: producerGroup topic defaultTopic defaultTopicQueueNums queueId sysFlag bornTimestamp
        flag bornHost storeHost storeTimestamp;
    GetRoute: topic;
    RegisterBroker: brokerName brokerAddr clusterName haServerAddr brokerId;
    RegisterBrokerAnswer:;
    BrokerIdentity: brokerName brokerAddr clusterName brokerId;
    DataVersionAnswer: changed;
    BrokerHeartbeat: clusterName brokerAddr brokerName;
    BrokerMemberGroup: clusterName brokerName;
    PutKv: namespace key value;
    KvKey: namespace key;
    KvAnswer:;
    KvNamespace: namespace;
    TopicsByCluster: cluster;
    DeleteTopicInNamesrv: topic;
    BrokerOfPermission: brokerName;
    WipeWritePermAnswer: wipeTopicCount;
    AddWritePermAnswer: addTopicCount;
    CreateTopic: topic defaultTopic readQueueNums writeQueueNums perm topicFilterType order;
    CreateTopicList:;
    TopicName: topic;
    GetAllTopicConfig:;
    AllTopicConfigAnswer: totalTopicNum;
    GetAllGroupConfig:;
    AllGroupConfigAnswer: totalGroupNum;
    GroupName: group;
    DeleteGroup: groupName;
    GroupForbidden: group topic;
    GroupAndTopic: group topic;
    GetConsumeStats: consumerGroup;
    BrokerConsumeStats: isOrder;
    QueryCorrectionOffset: compareGroup topic;
    ResetOffset: group topic timestamp isForce;
    CloneGroupOffset: srcGroup destGroup;
    ViewStats: statsName statsKey;
    BrokerConfigAnswer: version;
    PopMessage: consumerGroup topic queueId maxMsgNums invisibleTime pollTime bornTime initMode;
    PopAnswer: popTime invisibleTime reviveQid restNum;
    AckMessage: consumerGroup topic queueId extraInfo offset;
    ChangeInvisibleTime: consumerGroup topic queueId extraInfo offset invisibleTime;
    ChangeInvisibleTimeAnswer: popTime invisibleTime reviveQid;
    Notification: consumerGroup topic queueId pollTime bornTime;
    NotificationAnswer: hasMsg;
    PollingInfo: consumerGroup topic queueId;
    PollingInfoAnswer: pollingNum;
    PeekMessage: topic queueId maxMsgNums consumerGroup;
    RecallMessage: topic recallHandle;
    RecallAnswer: msgId;
}

#[test]
fn an_optional_number_that_is_empty_is_absent_and_others_must_be_numbers() {
    let mut request = command(PullMessage::FIELDS, std::iter::repeat("7"));
    request.ext[11].1 = String::new();
    assert_eq!(request.header::<PullMessage>().unwrap().max_bytes, None);
    request.ext[3].1 = String::new();
    let error = request.header::<PullMessage>().unwrap_err();
    assert_eq!(error.to_string(), "the header field queueOffset is not a 64-bit integer: ");
    request.ext[3].1 = "9223372036854775808".to_owned();
    assert!(request.header::<PullMessage>().is_err());
}

#[test]
fn a_long_wrong_value_is_shortened_in_the_error() {
    let request = command(QueueOfTopic::FIELDS, ["t", &"9".repeat(1 << 20)]);
    let error = request.header::<QueueOfTopic>().unwrap_err();
    assert!(error.to_string().len() < 200);
}
