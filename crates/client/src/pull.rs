//! Reading queues at positions the caller keeps.

use std::time::Duration;

use rocketkube_protocol::header::{
    OffsetAnswer, PullAnswer, PullMessage, QueryConsumerOffset, QueueOfTopic, SearchOffset,
    UpdateConsumerOffset, pull_flag,
};
use rocketkube_protocol::{Command, Header, RequestCode, ResponseCode, record};

use crate::client::{fields, refused, success};
use crate::names::now_ms;
use crate::{Client, ClientError, Queue, Received};

/// How long an answer may take on top of the time the broker was asked to wait.
const GRACE: Duration = Duration::from_secs(10);

/// How to pull.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// Most messages in one answer. Default 32.
    pub max_messages: i32,
    /// How long the broker may wait for messages when there are none. Default 15 s; zero for an
    /// answer at once.
    pub wait: Duration,
    /// Tags to choose messages by, joined by `||`; `*` for all. Default `*`.
    pub tags: String,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self { max_messages: 32, wait: Duration::from_secs(15), tags: "*".to_owned() }
    }
}

/// What a pull found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullStatus {
    /// There are messages.
    Found,
    /// There are no messages at or after the offset yet.
    NothingNew,
    /// There are messages, but none with these tags so far.
    NoneMatched,
    /// The offset is not in the queue; go on at [`Pulled::next`].
    OutOfRange,
}

/// The answer to a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// What was found.
    pub status: PullStatus,
    /// The messages, in the order of the queue.
    pub messages: Vec<Received>,
    /// Where to go on.
    pub next: u64,
    /// First offset in the queue.
    pub min: u64,
    /// Offset the next message of the queue will get.
    pub max: u64,
}

/// Reads queues for a group, without being a member of it.
#[derive(Debug, Clone)]
pub struct PullConsumer {
    client: Client,
    group: String,
}

impl PullConsumer {
    /// A reader for the group `group`.
    pub fn new(client: Client, group: impl Into<String>) -> Self {
        Self { client, group: group.into() }
    }

    /// The queues of a topic, sorted.
    ///
    /// # Errors
    /// If the topic is unknown or cannot be read.
    pub async fn queues(&self, topic: &str) -> Result<Vec<Queue>, ClientError> {
        let queues = self.client.route(topic).await?.readable().to_vec();
        if queues.is_empty() {
            return Err(ClientError::NoQueue { topic: topic.to_owned() });
        }
        Ok(queues)
    }

    /// Reads messages from `offset` on.
    ///
    /// # Errors
    /// If the broker does not answer or refuses.
    pub async fn pull(
        &self,
        queue: &Queue,
        offset: u64,
        options: &PullOptions,
    ) -> Result<Pulled, ClientError> {
        let waits = if options.wait.is_zero() { 0 } else { pull_flag::SUSPEND };
        let header = PullMessage {
            consumer_group: self.group.as_str().into(),
            topic: (&*queue.topic).into(),
            queue_id: queue.id,
            queue_offset: wire_offset(offset),
            max_messages: options.max_messages,
            sys_flag: pull_flag::SUBSCRIPTION | waits,
            commit_offset: 0,
            suspend_timeout_ms: i64::try_from(options.wait.as_millis()).unwrap_or(i64::MAX),
            subscription: Some(options.tags.as_str().into()),
            subscription_version: now_ms(),
            expression_type: Some("TAG".into()),
            ..PullMessage::default()
        };
        let route = self.client.route(&queue.topic).await?;
        let addr = route.member(&queue.broker, 0)?;
        let command = Command::request(RequestCode::PULL_MESSAGE, &header);
        let answer = self.client.call_within(addr, command, options.wait + GRACE).await;
        let answer = answer.inspect_err(|_| self.client.forget_route(&queue.topic))?;
        pulled(addr, &answer)
    }

    /// Where the group goes on in a queue; `None` if it has never committed an offset.
    ///
    /// # Errors
    /// If the broker does not answer or refuses.
    pub async fn committed(&self, queue: &Queue) -> Result<Option<u64>, ClientError> {
        let header = QueryConsumerOffset {
            consumer_group: self.group.as_str().into(),
            topic: (&*queue.topic).into(),
            queue_id: queue.id,
            set_zero_if_not_found: Some(false),
        };
        match self.offset(queue, RequestCode::QUERY_CONSUMER_OFFSET, &header).await {
            Ok(offset) => Ok(Some(offset)),
            Err(error) if error.code() == Some(ResponseCode::QUERY_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells the broker where the group goes on.
    ///
    /// # Errors
    /// If the broker does not answer or refuses.
    pub async fn commit(&self, queue: &Queue, offset: u64) -> Result<(), ClientError> {
        let header = UpdateConsumerOffset {
            consumer_group: self.group.as_str().into(),
            topic: (&*queue.topic).into(),
            queue_id: queue.id,
            commit_offset: wire_offset(offset),
        };
        let command = Command::request(RequestCode::UPDATE_CONSUMER_OFFSET, &header);
        self.ask_master(queue, command).await.map(|_| ())
    }

    /// First offset in a queue.
    ///
    /// # Errors
    /// If the broker does not answer or refuses.
    pub async fn min_offset(&self, queue: &Queue) -> Result<u64, ClientError> {
        self.offset(queue, RequestCode::GET_MIN_OFFSET, &queue_header(queue)).await
    }

    /// Offset the next message of a queue will get.
    ///
    /// # Errors
    /// If the broker does not answer or refuses.
    pub async fn max_offset(&self, queue: &Queue) -> Result<u64, ClientError> {
        self.offset(queue, RequestCode::GET_MAX_OFFSET, &queue_header(queue)).await
    }

    /// First offset in a queue stored at or after `timestamp_ms` of the epoch, by the broker's clock.
    ///
    /// # Errors
    /// If the broker does not answer or refuses.
    pub async fn offset_at(&self, queue: &Queue, timestamp_ms: i64) -> Result<u64, ClientError> {
        let header = SearchOffset {
            topic: (&*queue.topic).into(),
            queue_id: queue.id,
            timestamp: timestamp_ms,
            boundary: None,
        };
        self.offset(queue, RequestCode::SEARCH_OFFSET_BY_TIMESTAMP, &header).await
    }

    async fn offset<'h>(
        &self,
        queue: &Queue,
        code: RequestCode,
        header: &impl Header<'h>,
    ) -> Result<u64, ClientError> {
        let command = Command::request(code, header);
        let (addr, answer) = self.ask_master(queue, command).await?;
        let answer: OffsetAnswer = fields(&addr, code, &answer)?;
        Ok(u64::try_from(answer.offset).unwrap_or_default())
    }

    async fn ask_master(
        &self,
        queue: &Queue,
        command: Command,
    ) -> Result<(String, Command), ClientError> {
        let route = self.client.route(&queue.topic).await?;
        let addr = route.master(&queue.broker)?;
        let answer = self.client.call(addr, command).await;
        let answer = answer.inspect_err(|_| self.client.forget_route(&queue.topic))?;
        Ok((addr.to_owned(), success(addr, answer)?))
    }
}

fn queue_header(queue: &Queue) -> QueueOfTopic<'_> {
    QueueOfTopic { topic: (&*queue.topic).into(), queue_id: queue.id, ..QueueOfTopic::default() }
}

fn wire_offset(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

fn pulled(addr: &str, answer: &Command) -> Result<Pulled, ClientError> {
    let status = match answer.response_code() {
        ResponseCode::SUCCESS => PullStatus::Found,
        ResponseCode::PULL_NOT_FOUND => PullStatus::NothingNew,
        ResponseCode::PULL_RETRY_IMMEDIATELY => PullStatus::NoneMatched,
        ResponseCode::PULL_OFFSET_MOVED => PullStatus::OutOfRange,
        _ => return Err(refused(addr, answer)),
    };
    let header: PullAnswer = fields(addr, RequestCode::PULL_MESSAGE, answer)?;
    let offset = |value: i64| u64::try_from(value).unwrap_or_default();
    Ok(Pulled {
        status,
        messages: received(addr, &answer.body)?,
        next: offset(header.next_begin_offset),
        min: offset(header.min_offset),
        max: offset(header.max_offset),
    })
}

/// The messages in the body of an answer.
pub(crate) fn received(addr: &str, body: &[u8]) -> Result<Vec<Received>, ClientError> {
    let record = |record: Result<_, _>| record.map(|record| Received::new(&record));
    let records = record::records(body).map(record).collect::<Result<_, _>>();
    records.map_err(|source| ClientError::Record { addr: addr.to_owned(), source })
}
