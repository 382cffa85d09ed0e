//! Clients and servers that answer what the test says.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod consumer;
mod producer;
mod routes;
mod support;
mod tables;
