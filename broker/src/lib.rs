//! The RocketKube broker: stores messages of producers and gives them to consumers, over the
//! RocketMQ remoting protocol. Knows nothing of Kubernetes.

#![forbid(unsafe_code)]

mod answer;
mod attributes;
mod broker;
mod clock;
mod cold;
mod config;
mod consumers;
mod filter;
mod gate;
mod handler;
mod locks;
mod metrics;
mod name_servers;
mod permission;
mod producers;
mod readiness;
mod refusal;
mod registration;
mod resets;
mod service;
mod session;
mod start;
mod topics;
mod wake;

pub use config::{Config, ConfigError, FlushMode, UnknownFlushMode};
pub use permission::StateError;
pub use start::{BrokerError, Running, start};
