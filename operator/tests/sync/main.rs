//! Sync workers against an API server and masters that live in the test.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod broker;
mod brokers;
mod crash;
mod groups;
mod place;
mod resets;
mod scale;
#[path = "../support/mod.rs"]
mod support;
mod term;
mod topics;
