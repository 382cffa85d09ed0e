//! The server and the client's connection over real sockets on loopback.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod bad_input;
mod calls;
mod serving;
mod support;
