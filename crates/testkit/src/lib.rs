//! What tests that break things need: histories of what clients saw, checkers that compare a
//! history with what was promised, message bodies that prove where they come from, and processes
//! that can be killed and never outlive the test.
//!
//! This crate never decides what a broker should do; it only records and compares. It is a
//! development dependency of the other crates and never part of a binary that ships.
//!
//! A crash test runs in this order: [`Recorder`] while load runs and processes die ([`Process`]),
//! then a drain with a group of its own, then [`check::check`] over the [`History`]. Clients in
//! other languages say what they saw in lines: [`LoadLog`] makes a history of them, and the program
//! `check-history` gives the verdict to whoever started them.

#![forbid(unsafe_code)]

mod body;
pub mod check;
mod dev;
mod documents;
mod event;
mod history;
mod load_log;
mod ports;
mod process;
mod recorder;
mod seed;
mod wire;

pub use body::{Body, BodyError, MIN_BODY_SIZE, hash};
pub use dev::{Dev, DevError, Flush, RunningDev};
pub use documents::{SettingRow, help_defaults, settings_table};
pub use event::{Event, EventError, Group, Kind, Topic};
pub use history::{History, HistoryError};
pub use load_log::{LoadLog, LoadLogError, Verdict};
pub use ports::{PortsError, free_offset};
pub use process::{Process, ProcessError, Ready};
pub use recorder::{Lane, Message, Op, Position, ProgressOp, Recorder};
pub use seed::Seed;
pub use wire::{Wire, WireError, request};
