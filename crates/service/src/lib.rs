//! What every RocketKube process does: settings in layers, logs, probes and metrics over HTTP, and
//! an orderly end. Knows nothing of what the process is for.

#![forbid(unsafe_code)]

pub mod config;
pub mod descriptors;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod shutdown;
