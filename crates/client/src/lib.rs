//! Producer, consumer and administrator for RocketMQ brokers, over the remoting protocol.
//!
//! ```no_run
//! # async fn run() -> Result<(), rocketkube_client::ClientError> {
//! use rocketkube_client::{Client, Message, Producer};
//!
//! let producer = Producer::new(Client::new("127.0.0.1:9876")?, "orders");
//! let sent = producer.send(&Message::new("Orders", "one").tag("new").key("4711")).await?;
//! println!("{} at {}", sent.queue, sent.queue_offset);
//! # Ok(()) }
//! ```
//!
//! It knows what clients of RocketMQ know, and nothing of how a broker works. Transactions, ordered
//! consumption and pop are not part of it.
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::missing_errors_doc)]

mod admin;
mod client;
mod consumer;
mod error;
mod message;
mod names;
mod producer;
mod pull;
mod reset;
mod route;
mod tables;

pub use admin::{Admin, TopicSettings};
pub use client::{Client, ClientOptions};
pub use consumer::{Consumer, ConsumerOptions, Delivery, From};
pub use error::ClientError;
pub use message::{Message, Received};
pub use producer::{Producer, ProducerOptions, SendStatus, Sent};
pub use pull::{PullConsumer, PullOptions, PullStatus, Pulled};
pub use reset::ResetTo;
/// What settings, codes and answers are made of.
pub use rocketkube_protocol as protocol;
pub use route::{Queue, Route};
