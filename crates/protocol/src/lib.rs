//! Bytes of the RocketMQ remoting protocol: frames, commands, headers, records, bodies.
//!
//! Pure functions on bytes. This crate opens no socket and no file, knows no clock and no runtime,
//! and decides nothing a broker decides; it says what is on the wire and checks that it can be.
//! No input makes it panic, or set aside more memory than the input itself justifies.
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod batch;
pub mod body;
pub mod code;
pub mod command;
mod ext;
pub mod fastjson;
pub mod frame;
mod head;
pub mod header;
pub mod id;
mod json;
pub mod message;
pub mod names;
pub mod peer;
pub mod record;

pub use body::{Body, BodyError};
pub use code::{RequestCode, ResponseCode};
pub use command::{Command, DecodeError, HeaderForm, Request, Response};
pub use ext::{ExtFields, ExtWriter, FieldValue};
pub use frame::FrameError;
pub use header::{Header, HeaderError, NoHeader};
pub use id::{OffsetMessageId, UniqueId};
pub use json::JsonError;
pub use message::Properties;
pub use peer::{Language, version};
pub use record::{Record, RecordMut, RecordView};
