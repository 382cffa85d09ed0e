//! The remoting protocol over tokio: a server for name servers and brokers, and the connection of a
//! client.
//!
//! One task per connection reads all that has come, handles all whole frames, answers with one
//! write, and only then waits. Nothing is spawned per request. While a connection waits without
//! unfinished work it holds no buffer.
//!
//! This crate knows what a frame and a command are, but not what a topic is: what a request means is
//! the business of a [`Service`]. It has no TLS.
#![forbid(unsafe_code)]

mod budget;
mod connection;
mod counters;
mod dial;
mod limits;
mod output;
mod peer;
mod registry;
mod server;
mod service;

pub use counters::{CloseReason, Counters};
pub use dial::{ConnectError, Connection, Handler, Ignore};
pub use limits::{AtCapacity, Limits};
pub use output::Output;
pub use peer::{Call, CallError, Deferral, Peer, SendError};
pub use server::{BindError, Server};
pub use service::{BatchEnd, Service};
