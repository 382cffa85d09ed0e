//! One file per family of requests. A handler is parse, check, act, reply; it returns what to
//! answer, or a refusal that knows its code.

pub(crate) mod client;
pub(crate) mod group;
pub(crate) mod lock;
pub(crate) mod long;
pub(crate) mod offset;
mod page;
pub(crate) mod pull;
pub(crate) mod query;
pub(crate) mod reset;
pub(crate) mod runtime;
pub(crate) mod send;
pub(crate) mod topic;

use rocketkube_protocol::body::Body;

use crate::refusal::AdminError;

/// Decodes a request's body.
fn decode<B: Body>(body: &[u8], expected: &'static str) -> Result<B, AdminError> {
    B::decode(body).map_err(|error| AdminError::Body { expected, reason: error.to_string() })
}
