//! The Kubernetes operator: makes of a `BrokerSet` the pods, services and settings of its brokers and
//! name servers, and tells in its status how they are.
//!
//! Brokers serve without it: it is needed for change, and for telling a Service the address of a
//! new pod. It knows neither stores nor messages.

#![forbid(unsafe_code)]

pub mod broker_set;
mod caches;
mod config;
mod context;
mod heart;
mod kind;
mod labels;
mod leader;
mod metrics;
mod operator;
pub mod sync;
mod term;
mod text;
mod watches;

pub use config::Config;
pub use context::{
    Clock, Context, EventTarget, Hindrance, Key, News, Scope, SyncReport, SyncTable,
};
pub use leader::LeaderError;
pub use metrics::Metrics;
pub use operator::{OperatorError, lead, run, sync_only};
pub use term::TermOver;

/// Who owns the fields that the operator sets. One name for all of them: what it no longer sets goes.
pub const FIELD_MANAGER: &str = "rocketkube-operator";
