//! The definitions, checked as an API server would apply them.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod conditions;
mod definitions;
mod examples;
mod limits;
mod reference;
mod rules;
mod support;
