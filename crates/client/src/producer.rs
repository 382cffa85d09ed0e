//! Sending messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rocketkube_protocol::batch::{self, BatchMessage};
use rocketkube_protocol::header::{SendMessage, SendReceipt};
use rocketkube_protocol::names::DEFAULT_TOPIC;
use rocketkube_protocol::{Command, Properties, RequestCode, ResponseCode};
use tokio::time::Instant;

use crate::client::{fields, refused};
use crate::names::{UniqueIds, now_ms};
use crate::route::Route;
use crate::{Client, ClientError, Message, Queue};

/// How a producer behaves. The defaults are those of the Java client.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// How long a send may take, all tries together. Default 3 s.
    pub timeout: Duration,
    /// Tries after the first one that failed. Default 2.
    pub retries: usize,
    /// Queues of a topic that the broker creates because of a send. Default 4.
    pub new_topic_queues: i32,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(3), retries: 2, new_topic_queues: 4 }
    }
}

/// How safe a message is that was accepted. In every case it will be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendStatus {
    /// As safe as the broker's settings ask.
    Ok,
    /// Not on disk in time.
    FlushDiskTimeout,
    /// No follower to replicate it to.
    SlaveNotAvailable,
    /// Not replicated in time.
    FlushSlaveTimeout,
}

impl SendStatus {
    fn of(code: ResponseCode) -> Option<Self> {
        match code {
            ResponseCode::SUCCESS => Some(Self::Ok),
            ResponseCode::FLUSH_DISK_TIMEOUT => Some(Self::FlushDiskTimeout),
            ResponseCode::SLAVE_NOT_AVAILABLE => Some(Self::SlaveNotAvailable),
            ResponseCode::FLUSH_SLAVE_TIMEOUT => Some(Self::FlushSlaveTimeout),
            _ => None,
        }
    }
}

/// Where a message went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// How safe it is.
    pub status: SendStatus,
    /// Its unique id, the same in every try; of a batch, one per message joined by commas.
    pub unique_id: String,
    /// Its offset id; of a batch, one per message joined by commas.
    pub offset_id: String,
    /// The queue it is in.
    pub queue: Queue,
    /// Its position in the queue; of a batch, that of the first message.
    pub queue_offset: u64,
}

/// Sends messages, to the writable queues of their topics in turn.
///
/// It sends no heartbeats, so brokers do not list it, and it takes part in no transactions.
#[derive(Debug)]
pub struct Producer {
    client: Client,
    group: String,
    options: ProducerOptions,
    turn: AtomicUsize,
    ids: UniqueIds,
}

/// A message, or a batch of them, as it is sent: the same in every try.
struct Parcel<'a> {
    code: RequestCode,
    topic: &'a str,
    flag: i32,
    unique_id: String,
    properties: String,
    body: Vec<u8>,
}

impl Producer {
    /// A producer of the group `group`.
    pub fn new(client: Client, group: impl Into<String>) -> Self {
        Self::with_options(client, group, ProducerOptions::default())
    }

    /// The same with options.
    pub fn with_options(
        client: Client,
        group: impl Into<String>,
        options: ProducerOptions,
    ) -> Self {
        let turn = AtomicUsize::new(rand::random_range(0..1024));
        Self { client, group: group.into(), options, turn, ids: UniqueIds::new() }
    }

    /// Sends a message to any queue and returns where it is. Tries again, on another broker if there
    /// is one, when that can help; so a message can be there twice, with one unique id.
    ///
    /// # Errors
    /// If no try succeeded; the error is that of the last one.
    pub async fn send(&self, message: &Message) -> Result<Sent, ClientError> {
        self.send_anywhere(&self.parcel(message)?).await
    }

    /// Sends a message to one queue, in one try.
    ///
    /// # Errors
    /// If the broker refuses, or does not answer in time.
    pub async fn send_to(&self, queue: &Queue, message: &Message) -> Result<Sent, ClientError> {
        let route = self.route(&message.topic).await?;
        self.send_once(&route, queue, &self.parcel(message)?, self.options.timeout).await
    }

    /// Sends messages of one topic to one queue: all of them are stored, or none.
    ///
    /// # Errors
    /// If they cannot be a batch, or no try succeeded.
    pub async fn send_batch(&self, messages: &[Message]) -> Result<Sent, ClientError> {
        self.send_anywhere(&self.batch(messages)?).await
    }

    /// Sends a message to any queue without waiting for an answer. It may be lost unnoticed.
    ///
    /// # Errors
    /// If it could not be given to a connection.
    pub async fn send_oneway(&self, message: &Message) -> Result<(), ClientError> {
        let parcel = self.parcel(message)?;
        let route = self.route(parcel.topic).await?;
        let queue = self.choose(&route, parcel.topic, None)?;
        let addr = route.master(&queue.broker)?;
        self.client.send_oneway(addr, self.command(&queue, &parcel)).await
    }

    async fn send_anywhere(&self, parcel: &Parcel<'_>) -> Result<Sent, ClientError> {
        let deadline = Instant::now() + self.options.timeout;
        let mut failed: Option<(Queue, ClientError)> = None;
        for _ in 0..=self.options.retries {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let route = self.route(parcel.topic).await?;
            let avoid = failed.as_ref().map(|(queue, _)| &*queue.broker);
            let queue = self.choose(&route, parcel.topic, avoid)?;
            match self.send_once(&route, &queue, parcel, left).await {
                Err(error) if error.is_worth_retry() => {
                    // The master may have moved, or the topic's queues.
                    self.client.forget_route(parcel.topic);
                    failed = Some((queue, error));
                }
                result => return result,
            }
        }
        Err(failed.map_or(ClientError::NoQueue { topic: parcel.topic.to_owned() }, |it| it.1))
    }

    async fn send_once(
        &self,
        route: &Route,
        queue: &Queue,
        parcel: &Parcel<'_>,
        timeout: Duration,
    ) -> Result<Sent, ClientError> {
        let addr = route.master(&queue.broker)?;
        let command = self.command(queue, parcel);
        let answer = self.client.call_within(addr, command, timeout).await?;
        let Some(status) = SendStatus::of(answer.response_code()) else {
            return Err(refused(addr, &answer));
        };
        let receipt: SendReceipt<'_> = fields(addr, parcel.code, &answer)?;
        Ok(Sent {
            status,
            unique_id: parcel.unique_id.clone(),
            offset_id: receipt.msg_id.clone().into_owned(),
            queue: Queue { id: receipt.queue_id, ..queue.clone() },
            queue_offset: u64::try_from(receipt.queue_offset).unwrap_or_default(),
        })
    }

    /// The route of a topic; of one that does not exist yet, that of the brokers that would create it.
    async fn route(&self, topic: &str) -> Result<Arc<Route>, ClientError> {
        match self.client.route(topic).await {
            Err(error) if error.code() == Some(ResponseCode::TOPIC_NOT_EXIST) => {
                // Whoever creates no topics has no route for this one; then the first error says more.
                let template = self.client.route(DEFAULT_TOPIC).await.map_err(|_| error)?;
                Ok(Arc::new(template.for_new_topic(topic, self.options.new_topic_queues)))
            }
            result => result,
        }
    }

    /// The next queue in turn, not on the broker `avoid` if there is another.
    fn choose(
        &self,
        route: &Route,
        topic: &str,
        avoid: Option<&str>,
    ) -> Result<Queue, ClientError> {
        let queues = route.writable();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = || (0..queues.len()).map(|at| &queues[turn.wrapping_add(at) % queues.len()]);
        let elsewhere = in_turn().find(|queue| Some(&*queue.broker) != avoid);
        let queue = elsewhere.or_else(|| in_turn().next()).cloned();
        queue.ok_or_else(|| ClientError::NoQueue { topic: topic.to_owned() })
    }

    fn parcel<'a>(&self, message: &'a Message) -> Result<Parcel<'a>, ClientError> {
        let unique_id = self.ids.next().to_string();
        Ok(Parcel {
            code: RequestCode::SEND_MESSAGE_V2,
            topic: &message.topic,
            flag: message.flag,
            properties: message.properties_with(&unique_id)?,
            unique_id,
            body: message.body.clone(),
        })
    }

    fn batch<'a>(&self, messages: &'a [Message]) -> Result<Parcel<'a>, ClientError> {
        let first =
            messages.first().ok_or(ClientError::Batch { index: 0, reason: "it is empty" })?;
        let (mut body, mut ids) = (Vec::new(), Vec::with_capacity(messages.len()));
        for (index, message) in messages.iter().enumerate() {
            if message.topic != first.topic {
                return Err(ClientError::Batch { index, reason: "its topic is another" });
            }
            let unique_id = self.ids.next().to_string();
            let properties = message.properties_with(&unique_id)?;
            let part = BatchMessage {
                flag: message.flag,
                body: &message.body,
                properties: Properties(&properties),
            };
            batch::append_message(&mut body, &part)
                .map_err(|error| ClientError::Batch { index, reason: error.reason })?;
            ids.push(unique_id);
        }
        // The envelope's own properties are those of no message; brokers want its unique id there.
        let envelope = Message::new("", "").properties_with(&ids[0])?;
        Ok(Parcel {
            code: RequestCode::SEND_BATCH_MESSAGE,
            topic: &first.topic,
            flag: 0,
            unique_id: ids.join(","),
            properties: envelope,
            body,
        })
    }

    fn command(&self, queue: &Queue, parcel: &Parcel<'_>) -> Command {
        let header = SendMessage {
            producer_group: self.group.as_str().into(),
            topic: parcel.topic.into(),
            default_topic: DEFAULT_TOPIC.into(),
            default_topic_queues: self.options.new_topic_queues,
            queue_id: queue.id,
            sys_flag: 0,
            born_timestamp: now_ms(),
            flag: parcel.flag,
            properties: Some(parcel.properties.as_str().into()),
            reconsume_times: Some(0),
            unit_mode: Some(false),
            max_reconsume_times: None,
            batch: Some(parcel.code == RequestCode::SEND_BATCH_MESSAGE),
            broker_name: Some((&*queue.broker).into()),
        };
        Command::request(parcel.code, &header).body(parcel.body.clone())
    }
}
