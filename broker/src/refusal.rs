//! Why a request was refused, and the code that says so to the client.
//!
//! One enum per request family. Clients retry on some codes and not on others, so each variant
//! names its code: no wildcard, a new variant has to be thought about.

use std::fmt;

use rocketkube_protocol::batch::BatchError;
use rocketkube_protocol::code::ResponseCode;
use rocketkube_protocol::header::HeaderError;
use rocketkube_protocol::names::NameError;
use rocketkube_protocol::record::RecordError;
use rocketkube_service::logs::chain;
use rocketkube_store::{AppendError, ReadError, StoreError};

/// An error that a client is told: a code for programs, its text as remark for people.
pub(crate) trait Refusal: fmt::Display {
    fn code(&self) -> ResponseCode;
}

/// What a client is told of a failed read: nothing of this machine's files, which the log names.
fn unread(error: &ReadError) -> String {
    use rocketkube_log::ReadError::{Damaged, Io, OutOfRange};
    match error {
        ReadError::Index(_) => {
            "the index of these messages is being made again, ask again in a second".to_owned()
        }
        ReadError::Log(Damaged { range, .. }) => {
            format!("messages are lost at {} to {} of the log", range.start, range.end)
        }
        ReadError::Log(Io { source, .. }) => format!("cannot read the log: {source}"),
        ReadError::Log(OutOfRange { .. }) => chain(error),
    }
}

/// The same of a failed write.
fn unstored(error: &StoreError) -> String {
    match error {
        StoreError::Log(_) | StoreError::File(_) => error.to_string(),
        _ => chain(error),
    }
}

/// The code of what could not be read.
fn read_code(error: &ReadError) -> ResponseCode {
    match error {
        ReadError::Index(_) => ResponseCode::SYSTEM_BUSY,
        ReadError::Log(_) => ResponseCode::SYSTEM_ERROR,
    }
}

/// Why a message was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("Sending message to topic[{topic}] is forbidden.")]
    ReservedTopic { topic: String },
    #[error("topic[{topic}] not exist, apply first please!")]
    NoSuchTopic { topic: String },
    #[error(
        "topic[{topic}] not exist, and there are {max} topics and groups, of which no more are made \
         automatically; have an administrator create it"
    )]
    TooManyTopics { topic: String, max: usize },
    #[error("the broker[{broker}] sending message is forbidden")]
    BrokerNotWritable { broker: String },
    #[error("the topic[{topic}] sending message is forbidden")]
    NotWritable { topic: String },
    #[error("the consumer group[{group}] of the retry topic not exist")]
    NoSuchGroup { group: String },
    #[error(
        "request queueId[{queue_id}] is illegal, TopicConfig [topicName={topic}, \
         readQueueNums={read}, writeQueueNums={write}]"
    )]
    IllegalQueue { queue_id: i32, topic: String, read: u32, write: u32 },
    #[error(
        "the message is illegal, maybe msg body or properties length not matched. \
         msg body length limit {max_body}B, msg properties length limit 32KB."
    )]
    Size { max_body: usize },
    #[error("the batch is illegal: {reason}")]
    Batch { reason: &'static str },
    #[error("the batch is illegal: {0}")]
    Malformed(#[from] BatchError),
    #[error("the message is illegal: {0}")]
    Record(#[from] RecordError),
    /// Storing it as an ordinary message would deliver it too early, or without its commit.
    #[error("{feature} messages are not supported by this broker yet; send without {property}")]
    Unsupported { feature: &'static str, property: &'static str },
    #[error("the broker is stopping, send to another one")]
    Stopping,
    /// The address was another broker's when the client learnt of it. What is stored here, that
    /// broker's consumers never see.
    #[error(
        "the message is for broker[{named}], and this is broker[{broker}]; ask for the route again"
    )]
    OtherBroker { named: String, broker: String },
    #[error("{}", unstored(.0))]
    Store(#[from] StoreError),
}

/// Why a pull was refused. Outcomes without messages are no errors; see `handler::pull`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("topic[{topic}] not exist, apply first please!")]
    NoSuchTopic { topic: String },
    #[error("the broker[{broker}] pulling message is forbidden")]
    BrokerNotReadable { broker: String },
    #[error("the topic[{topic}] pulling message is forbidden")]
    NotReadable { topic: String },
    #[error("queueId[{queue_id}] is illegal, topic:[{topic}] topicConfig.readQueueNums:[{read}]")]
    IllegalQueue { queue_id: i32, topic: String, read: u32 },
    #[error("maxMsgNums[{0}] is illegal, ask for 1 or more")]
    IllegalCount(i32),
    #[error("{parked} pulls of this connection wait already; ask again when they are answered")]
    TooManyParked { parked: usize },
    #[error("subscription group [{group}] does not exist")]
    NoSuchGroup { group: String },
    #[error("subscription group no permission, {group}")]
    GroupDisabled { group: String },
    #[error("the consumer group[{group}] can not consume by broadcast way")]
    BroadcastForbidden { group: String },
    #[error("the consumer's group info not exist")]
    NobodyInGroup,
    #[error("the consumer's subscription not exist")]
    NotSubscribed,
    #[error("the consumer's subscription not latest")]
    SubscriptionNotLatest,
    #[error("parse the consumer's subscription failed: {reason}")]
    Subscription { reason: &'static str },
    #[error("The broker does not support consumer to filter message by {0}")]
    FilterType(String),
    #[error("{}", unread(.0))]
    Read(#[from] ReadError),
}

/// Why an administration, offset, query or life-cycle request was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("the request body is no {expected}: {reason}")]
    Body { expected: &'static str, reason: String },
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("{field} is {value}; write {expected}")]
    Parameter { field: &'static str, value: String, expected: &'static str },
    #[error("The topic[{topic}] is conflict with system topic.")]
    SystemTopic { topic: String },
    #[error("group {group} belongs to the system, it cannot be deleted")]
    SystemGroup { group: String },
    #[error("topic[{topic}] not exist, apply first please!")]
    NoSuchTopic { topic: String },
    #[error("Group {group} not exist!")]
    NoSuchGroup { group: String },
    #[error(
        "Group {group} not exist, and there are {max} topics and groups, of which no more are made \
         automatically; have an administrator create it"
    )]
    TooManyGroups { group: String, max: usize },
    #[error("one heartbeat makes {max} groups at most, the next one makes the others")]
    TooManyNewGroups { max: usize },
    #[error("the consumer group[{group}] not online")]
    NotOnline { group: String },
    #[error("no consumer for this group, {group}")]
    NobodyInGroup { group: String },
    #[error("the producer group[{group}] not exist")]
    NoSuchProducerGroup { group: String },
    #[error("Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first")]
    NoOffset,
    #[error("can not find message by the offset, {offset}")]
    NoMessageAt { offset: i64 },
    #[error("{max} queries of this connection are under way; ask again when they are answered")]
    TooManyQueries { max: usize },
    #[error("can not find message, maybe time range not correct")]
    NoMessageFound,
    #[error("queueId[{queue_id}] is illegal, topic:[{topic}] has {queues} queues")]
    IllegalQueue { queue_id: i32, topic: String, queues: u32 },
    #[error("offset {asked} is not in queue {queue} of {topic}; write one from {min} to {max}")]
    OffsetOutside { asked: u64, topic: String, queue: u32, min: u64, max: u64 },
    #[error("The broker does not support consumer to filter message by {0}")]
    FilterType(String),
    #[error("parse the consumer's subscription failed: {reason}")]
    Subscription { reason: &'static str },
    #[error("broker settings are changed in its configuration, not over the network: {key}")]
    SettingRefused { key: String },
    #[error("client {client_id} is registered by another connection")]
    ForeignClient { client_id: String },
    #[error("the attribute {value} cannot be; write {expected}")]
    Attribute { value: String, expected: &'static str },
    #[error("{}", unread(.0))]
    Read(#[from] ReadError),
    #[error("{}", unstored(.0))]
    Store(#[from] StoreError),
}

impl AdminError {
    pub(crate) fn foreign_client(client_id: &str) -> Self {
        Self::ForeignClient { client_id: client_id.chars().take(64).collect() }
    }
}

impl Refusal for SendError {
    fn code(&self) -> ResponseCode {
        match self {
            Self::Header(_) | Self::Name(_) | Self::IllegalQueue { .. } => {
                ResponseCode::INVALID_PARAMETER
            }
            // Producers take it for a reason to try another broker.
            Self::ReservedTopic { .. }
            | Self::BrokerNotWritable { .. }
            | Self::NotWritable { .. } => ResponseCode::NO_PERMISSION,
            Self::NoSuchTopic { .. } | Self::TooManyTopics { .. } => ResponseCode::TOPIC_NOT_EXIST,
            Self::NoSuchGroup { .. } => ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
            Self::Size { .. }
            | Self::Batch { .. }
            | Self::Malformed(_)
            | Self::Record(_)
            | Self::Unsupported { .. } => ResponseCode::MESSAGE_ILLEGAL,
            // Producers try another queue, and another broker.
            Self::Stopping | Self::OtherBroker { .. } => ResponseCode::SERVICE_NOT_AVAILABLE,
            Self::Store(error) => store_code(error),
        }
    }
}

impl Refusal for PullError {
    fn code(&self) -> ResponseCode {
        match self {
            Self::Header(_) | Self::IllegalQueue { .. } | Self::IllegalCount(_) => {
                ResponseCode::INVALID_PARAMETER
            }
            Self::NoSuchTopic { .. } => ResponseCode::TOPIC_NOT_EXIST,
            Self::BrokerNotReadable { .. }
            | Self::NotReadable { .. }
            | Self::GroupDisabled { .. }
            | Self::BroadcastForbidden { .. } => ResponseCode::NO_PERMISSION,
            Self::NoSuchGroup { .. } => ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
            Self::NobodyInGroup | Self::NotSubscribed => ResponseCode::SUBSCRIPTION_NOT_EXIST,
            Self::SubscriptionNotLatest => ResponseCode::SUBSCRIPTION_NOT_LATEST,
            Self::Subscription { .. } => ResponseCode::SUBSCRIPTION_PARSE_FAILED,
            Self::TooManyParked { .. } => ResponseCode::SYSTEM_BUSY,
            Self::FilterType(_) => ResponseCode::SYSTEM_ERROR,
            Self::Read(error) => read_code(error),
        }
    }
}

impl Refusal for AdminError {
    fn code(&self) -> ResponseCode {
        match self {
            Self::Header(_)
            | Self::Body { .. }
            | Self::Name(_)
            | Self::Parameter { .. }
            | Self::Attribute { .. }
            | Self::SystemTopic { .. }
            | Self::IllegalQueue { .. } => ResponseCode::INVALID_PARAMETER,
            Self::NoSuchTopic { .. } => ResponseCode::TOPIC_NOT_EXIST,
            Self::NoSuchGroup { .. } | Self::TooManyGroups { .. } => {
                ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST
            }
            Self::NotOnline { .. } => ResponseCode::CONSUMER_NOT_ONLINE,
            Self::NobodyInGroup { .. }
            | Self::NoSuchProducerGroup { .. }
            | Self::NoMessageAt { .. }
            | Self::OffsetOutside { .. }
            | Self::FilterType(_) => ResponseCode::SYSTEM_ERROR,
            Self::NoOffset | Self::NoMessageFound => ResponseCode::QUERY_NOT_FOUND,
            Self::Subscription { .. } => ResponseCode::SUBSCRIPTION_PARSE_FAILED,
            Self::TooManyQueries { .. } | Self::TooManyNewGroups { .. } => {
                ResponseCode::SYSTEM_BUSY
            }
            Self::SettingRefused { .. } | Self::ForeignClient { .. } | Self::SystemGroup { .. } => {
                ResponseCode::NO_PERMISSION
            }
            Self::Read(error) => read_code(error),
            Self::Store(error) => store_code(error),
        }
    }
}

/// The code of what the store refused. Nothing of it was stored, so the client may try again
/// where another broker can help.
fn store_code(error: &StoreError) -> ResponseCode {
    match error {
        StoreError::Append(
            AppendError::NoSpace { .. } | AppendError::Failed | AppendError::Closed,
        )
        | StoreError::DiskFull { .. }
        | StoreError::Log(_) => ResponseCode::SERVICE_NOT_AVAILABLE,
        StoreError::Append(AppendError::TooLarge { .. }) => ResponseCode::MESSAGE_ILLEGAL,
        StoreError::Append(AppendError::Empty | AppendError::Malformed { .. })
        | StoreError::File(_) => ResponseCode::SYSTEM_ERROR,
        StoreError::TopicExists { .. }
        | StoreError::TooManyQueues { .. }
        | StoreError::TooManyQueuesInAll { .. } => ResponseCode::INVALID_PARAMETER,
        StoreError::NoSuchTopic { .. } => ResponseCode::TOPIC_NOT_EXIST,
        StoreError::NoSuchGroup { .. } => ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use rocketkube_store::FileError;

    use super::*;

    #[test]
    fn clients_are_told_to_ask_again_and_no_path_of_the_server() {
        let path = || std::path::PathBuf::from("/secret/00001.idx");
        let index = || ReadError::from(FileError::Damaged { path: path(), part: "entries" });
        assert_eq!(PullError::from(index()).code(), ResponseCode::SYSTEM_BUSY);
        assert_eq!(AdminError::from(index()).code(), ResponseCode::SYSTEM_BUSY);
        assert!(PullError::from(index()).to_string().contains("ask again"));
        let io = || io::Error::from_raw_os_error(5);
        let damaged = rocketkube_log::ReadError::Damaged { path: path(), range: 5..9 };
        let unread = rocketkube_log::ReadError::Io { path: path(), source: io() };
        let log = rocketkube_log::LogError::Io { action: "flush", path: path(), source: io() };
        let texts = [
            AdminError::from(index()).to_string(),
            PullError::from(ReadError::from(damaged)).to_string(),
            PullError::from(ReadError::from(unread)).to_string(),
            SendError::from(StoreError::from(log)).to_string(),
        ];
        assert!(texts.iter().all(|text| !text.contains("secret")), "{texts:?}");
    }
}
