//! A name server and connections to it.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod bad_input;
mod disk;
mod life;
mod requests;
mod support;
