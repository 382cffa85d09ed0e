//! The few questions the load tool asks before it begins, over one blocking connection: which
//! broker, does the topic exist, where do its queues begin and end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rocketkube_protocol::body::{Body, ClusterInfo, TopicConfig};
use rocketkube_protocol::{Command, Request, RequestCode, ResponseCode};

use super::consume::QueueRange;
use super::template::request;

const TIMEOUT: Duration = Duration::from_secs(5);
/// An answer with all topics of a cluster is long; nothing we ask for is longer.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// A connection for one request at a time.
pub(crate) struct Admin {
    stream: TcpStream,
    addr: SocketAddr,
    opaque: i32,
}

impl Admin {
    pub(crate) fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, addr, opaque: 0 })
    }

    /// The only master a name server knows.
    pub(crate) fn only_broker(&mut self) -> Result<SocketAddr> {
        let answer = self.ask(RequestCode::GET_BROKER_CLUSTER_INFO, &[])?;
        let answer = answer.expect_success("list the brokers")?;
        let cluster = ClusterInfo::decode(&answer.body).context("unreadable list of brokers")?;
        let brokers = cluster.broker_addr_table.into_values();
        let masters: Vec<String> =
            brokers.filter_map(|mut broker| broker.broker_addrs.remove(&0)).collect();
        match &masters[..] {
            [] => bail!("the name server at {} knows no broker yet", self.addr),
            [master] => resolve(master),
            _ => bail!("there are several brokers, choose one: --broker {}", masters.join(" | ")),
        }
    }

    /// Makes sure that the topic exists; returns how many queues it has.
    pub(crate) fn ensure_topic(&mut self, topic: &str, queues: u32) -> Result<u32> {
        let question = [("topic", topic)];
        let mut answer = self.ask(RequestCode::GET_TOPIC_CONFIG, &question)?;
        if answer.code == ResponseCode::TOPIC_NOT_EXIST {
            self.create_topic(topic, queues)?;
            answer = self.ask(RequestCode::GET_TOPIC_CONFIG, &question)?;
        }
        let answer = answer.expect_success("look at the topic")?;
        let config = TopicConfig::decode(&answer.body).context("unreadable topic")?;
        match u32::try_from(config.write_queue_nums) {
            Ok(count) if count > 0 => Ok(count),
            _ => bail!("topic {topic} has {} queues to write to", config.write_queue_nums),
        }
    }

    pub(crate) fn queue_range(&mut self, topic: &str, queue: u32) -> Result<QueueRange> {
        let queue = queue.to_string();
        let mut offset = |code| {
            let answer = self.ask(code, &[("topic", topic), ("queueId", &queue)])?;
            let answer = answer.expect_success("ask for the offsets of a queue")?;
            answer.offset.context("an answer without offset")
        };
        Ok(QueueRange {
            min: offset(RequestCode::GET_MIN_OFFSET)?,
            max: offset(RequestCode::GET_MAX_OFFSET)?,
        })
    }

    fn create_topic(&mut self, topic: &str, queues: u32) -> Result<()> {
        let queues = queues.to_string();
        let fields = [
            ("topic", topic),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", &queues),
            ("writeQueueNums", &queues),
            ("perm", "6"),
            ("topicFilterType", "SINGLE_TAG"),
            ("topicSysFlag", "0"),
            ("order", "false"),
        ];
        let answer = self.ask(RequestCode::UPDATE_AND_CREATE_TOPIC, &fields)?;
        answer.expect_success("create the topic").map(drop)
    }

    fn ask(&mut self, code: RequestCode, fields: &[(&str, &str)]) -> Result<Reply> {
        self.opaque += 1;
        let command = Command { opaque: self.opaque, ..request(code, fields, Vec::new()) };
        let mut frame = Vec::new();
        command.encode_into(&mut frame)?;
        let answer = self.exchange(&frame);
        let answer = answer.with_context(|| format!("no answer from {}", self.addr))?;
        let answer = Request::decode(&answer).context("unreadable answer")?;
        Ok(Reply {
            code: answer.response_code(),
            remark: answer.remark.as_deref().unwrap_or_default().to_owned(),
            offset: answer.ext.get("offset").and_then(|offset| offset.parse().ok()),
            body: answer.body.to_vec(),
        })
    }

    fn exchange(&mut self, frame: &[u8]) -> Result<Vec<u8>> {
        self.stream.write_all(frame)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_ANSWER {
            bail!("it announced {length} bytes: is this a RocketMQ port?");
        }
        let mut answer = Vec::new();
        (&mut self.stream).take(length as u64).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

struct Reply {
    code: ResponseCode,
    remark: String,
    offset: Option<u64>,
    body: Vec<u8>,
}

impl Reply {
    fn expect_success(self, action: &str) -> Result<Self> {
        match self.code {
            ResponseCode::SUCCESS => Ok(self),
            code => bail!("cannot {action}: {code} {}", self.remark),
        }
    }
}

/// The first address that `text`, `HOST:PORT`, means.
pub(crate) fn resolve(text: &str) -> Result<SocketAddr> {
    let mut addrs = text
        .to_socket_addrs()
        .with_context(|| format!("{text:?} is no address: write HOST:PORT, as 127.0.0.1:10911"))?;
    addrs.next().with_context(|| format!("{text:?} has no address"))
}
