//! An append-only log on disk: checksummed frames in preallocated segments, group commit, and a
//! recovery that tells a torn tail from damage.
//!
//! It knows no message, no network and no async runtime. What is in an item is the business of
//! the [`Machine`] it feeds; when and why to trim is decided by its caller.
//!
//! A physical offset is a byte position in the log, headers and padding included, counted from
//! the first byte ever written. `start <= confirmed` and `durable <= appended`; `confirmed` is
//! `durable` or `appended`, as [`Flush`] says, and never goes back.
//!
//! Lock order: tail, then queue, space or segments; no callback is called under a lock.

#![deny(unsafe_code)]

mod append;
mod core;
mod damage;
mod directory;
mod epochs;
mod error;
mod fault;
mod files;
mod flush;
mod frame;
mod identity;
mod log;
mod machine;
pub mod mapping;
mod missing;
mod open;
mod options;
mod positions;
mod progress;
mod read;
mod reader;
mod recovery;
mod retention;
mod scan;
mod segment;
mod space;
mod threads;
mod verify;

pub use append::{Appended, Ticket};
pub use damage::Damage;
pub use directory::Directory;
pub use error::{AppendError, LogError, ReadError, hint};
pub use fault::{Fault, Faults};
pub use frame::{FRAME_ALIGN, FRAME_HEADER};
pub use log::Log;
pub use machine::{ITEM_HEAD, Item, Machine};
pub use options::{Flush, OnConfirmed, OnFailure, Options};
pub use read::FileRange;
pub use recovery::Recovery;
pub use segment::SEGMENT_HEADER;
