//! Kubernetes API of RocketKube: the kinds `BrokerSet`, `Topic` and `ConsumerGroup` in group
//! `mq.rocketkube.dev`, version `v1alpha1`.
//!
//! The types are the source of the definitions in `generated/`. Comments on fields are what
//! `kubectl explain` shows, so they speak to whoever writes a manifest. A field without its feature
//! is not here: it would be accepted, and nothing would happen.
//!
//! Nothing here talks to an API server, and nothing knows how an object becomes pods or topics.

#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod broker_set;
pub mod condition;
mod consumer_group;
pub mod generate;
mod managed;
mod offset_reset;
mod quantity;
pub mod reference;
mod topic;

pub use broker_set::{BrokerSet, BrokerSetSpec, BrokerSetStatus};
pub use consumer_group::{
    ConsumerGroup, ConsumerGroupSpec, ConsumerGroupStatus, GroupMember, Lag, LagAlert, TopicLag,
};
pub use managed::{AdoptionPolicy, BrokerSetRef, DeletionPolicy, Drift, GroupSync};
pub use offset_reset::{LastReset, OffsetReset, ResetState, ResetTarget};
pub use quantity::{Malformed, Size, Span};
pub use topic::{Access, MessageType, Topic, TopicGroupSync, TopicSpec, TopicStatus};

/// API group of all kinds. The derive macros want it as a literal; a test compares.
pub const GROUP: &str = "mq.rocketkube.dev";
/// The version that is served and stored.
pub const VERSION: &str = "v1alpha1";
