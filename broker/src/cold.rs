//! Work that waits for the disk, away from the threads that serve.
//!
//! A pull that meets bytes that are not at hand is parked; a blocking thread reads and verifies them,
//! and wakes the connection, which looks again. Queries by key go the same way at once, because
//! nothing tells which pages of an index are at hand, and so do requests that take long. Only so many at a time: readers far behind share
//! the disk among themselves and leave the threads that serve the tail alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rocketkube_remoting::Peer;
use rocketkube_store::Extent;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::broker::Broker;

/// Cold reads at a time: enough to keep a disk busy.
pub(crate) const MAX_READS: usize = 8;

/// Something on its way from the disk.
#[derive(Debug, Default)]
pub(crate) struct ColdRead {
    done: AtomicBool,
}

impl ColdRead {
    /// Reads the extents, then wakes the peer. What cannot be read is met again, and told, by the
    /// pull itself.
    pub(crate) fn start(broker: &Broker, extents: Vec<Extent>, peer: Arc<Peer>) -> Arc<Self> {
        let (store, places) = (Arc::clone(&broker.store), Arc::clone(&broker.cold_reads));
        Self::run(places, peer, move || {
            let mut bytes = Vec::new();
            for extent in extents {
                bytes.clear();
                let _ = store.read_bytes(extent, &mut bytes);
            }
        })
    }

    /// Does work that may take long, or wait for the disk, once there is a place for it; then wakes the
    /// peer.
    pub(crate) fn run(
        places: Arc<Semaphore>,
        peer: Arc<Peer>,
        work: impl FnOnce() + Send + 'static,
    ) -> Arc<Self> {
        let read = Arc::new(Self::default());
        let cold = Arc::clone(&read);
        tokio::spawn(async move {
            // Closed never: without a place the peer would wait for ever.
            let place = places.acquire_owned().await;
            // A panic in there ends the process in release builds; in tests the peer goes on alone.
            let _ = spawn_blocking(work).await;
            drop(place);
            cold.done.store(true, Ordering::Release);
            peer.wake();
        });
        read
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
}
