//! Why an operation failed.

use rocketkube_protocol::body::BodyError;
use rocketkube_protocol::record::RecordError;
use rocketkube_protocol::{HeaderError, RequestCode, ResponseCode};
use rocketkube_remoting::{CallError, ConnectError};

/// Why an operation of a producer, consumer or administrator failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No name server was given.
    #[error("no name server address; give host:port, several separated by ;")]
    NoNamesrv,
    /// Nobody answers at the address.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The request has no answer. Whether it was carried out is unknown.
    #[error("no answer from {addr}")]
    Call {
        /// Who was asked.
        addr: String,
        /// What became of the request.
        source: CallError,
    },
    /// The server refused.
    #[error("{addr} answered {code}: {remark}")]
    Refused {
        /// Who was asked.
        addr: String,
        /// Its answer.
        code: ResponseCode,
        /// What it said about it; may be empty.
        remark: String,
    },
    /// The server's answer lacks fields.
    #[error("unreadable answer of {addr} to {code}")]
    Header {
        /// Who was asked.
        addr: String,
        /// What was asked.
        code: RequestCode,
        /// What is wrong with the fields.
        source: HeaderError,
    },
    /// The body of the server's answer cannot be read.
    #[error("unreadable body in the answer of {addr} to {code}")]
    Body {
        /// Who was asked.
        addr: String,
        /// What was asked.
        code: RequestCode,
        /// What is wrong with the body.
        source: BodyError,
    },
    /// The server's table changed again and again while it was read.
    #[error("what {addr} answers to {code} changes faster than it can be read; try again later")]
    Unsettled {
        /// Who was asked.
        addr: String,
        /// What was asked.
        code: RequestCode,
    },
    /// A message that a broker sent cannot be read.
    #[error("unreadable message from {addr}")]
    Record {
        /// Who sent it.
        addr: String,
        /// What is wrong with it.
        source: RecordError,
    },
    /// No broker has a queue of the topic that can be written to, or read.
    #[error("topic {topic} has no queue for this on any broker with a master")]
    NoQueue {
        /// The topic.
        topic: String,
    },
    /// The broker has no master in the route.
    #[error("broker {broker} has no master")]
    NoMaster {
        /// Its name.
        broker: String,
    },
    /// A batch is empty, of several topics, or too long.
    #[error("message {index} cannot be part of the batch: {reason}")]
    Batch {
        /// Position of the message in the batch.
        index: usize,
        /// Why not.
        reason: &'static str,
    },
    /// A property of a message holds one of the two separators.
    #[error("property {name} holds a separator (character 1 or 2)")]
    Property {
        /// Name of the property.
        name: String,
    },
    /// A message id is neither an offset id nor one this broker knows.
    #[error("{id} is not the id of a stored message")]
    MessageId {
        /// The id as it was given.
        id: String,
    },
}

impl ClientError {
    /// The code the server refused with, if it did.
    pub fn code(&self) -> Option<ResponseCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether sending the message again, perhaps elsewhere, can help. It may double the message.
    ///
    /// The codes are those on which `DefaultMQProducer` of Apache RocketMQ retries.
    pub fn is_worth_retry(&self) -> bool {
        const CODES: [i32; 8] = [1, 2, 14, 16, 17, 204, 205, 1500];
        match self {
            Self::Connect(_) | Self::Call { .. } => true,
            Self::Refused { code, .. } => CODES.contains(&code.0),
            _ => false,
        }
    }
}
