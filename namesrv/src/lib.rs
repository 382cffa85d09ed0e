//! The name server: brokers register here, and clients ask it where topics are.
//!
//! It holds routes in memory only; brokers announce themselves again after a restart. It never talks
//! to Kubernetes, connects to nobody but the peers of its settings, and knows no messages.
//! [`NameServer::start`] runs one inside any process.
#![forbid(unsafe_code)]

mod config;
mod disk;
mod handler;
mod keeper;
mod kept;
mod metrics;
mod routes;
mod server;
mod settings;
mod warmup;

pub use config::Config;
pub use disk::DiskError;
pub use server::{NameServer, StartError};
