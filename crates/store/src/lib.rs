//! What the log means: topics, queues, groups, offsets, and the indexes that find messages.
//!
//! The log is the only truth; all else here is a cache that the retained log rebuilds. Tables are
//! state machines fed by the log, in log order (`machine` is the only place that
//! feeds them). Handlers see confirmed messages only; settings and committed offsets are
//! read at the head of the log.
//!
//! No network, no async runtime, no wall clock: callers pass the time. Who may do what, and which
//! names are allowed, is decided above.
//!
//! Lock order: the keeper's work, admin, the log's tail, the log's queue, then a table, a queue's
//! entries, the recent keys, the index files, arrivals.
#![forbid(unsafe_code)]

mod active;
mod arrivals;
mod batch;
mod by_key;
mod by_time;
mod carry;
mod error;
mod files;
mod groups;
mod index_file;
mod indexes;
mod keeper;
mod key_index;
mod machine;
mod message;
mod offsets;
mod opening;
mod options;
mod position;
mod queue;
mod queue_index;
mod read;
mod repair;
mod retention;
mod snapshot;
mod state;
mod store;
mod tables;
mod topics;
mod volume;

pub use arrivals::OnArrival;
pub use batch::{Batch, Checkpoint, Placed, Receipt};
pub use by_key::{KeyQuery, Matches};
pub use by_time::Boundary;
pub use error::{FileError, OpenError, ReadError, StoreError};
pub use groups::Group;
pub use message::MessageParts;
pub use offsets::Committed;
pub use opening::Opening;
pub use options::{OnIndexDamage, Options};
pub use position::{PhysicalOffset, QueueOffset};
pub use queue::{Bounds, Queue};
pub use read::{Extent, Limits, Read, Status};
pub use retention::{Retained, Retention};
pub use rocketkube_log::{AppendError, FileRange, Flush, Ticket};
pub use rocketkube_protocol::record::RecordError;
pub use state::StateError;
pub use store::Store;
pub use topics::{Topic, TopicConfig};
pub use volume::Volume;
