//! Changes to what is kept: seen by everybody at once, answered when they are on disk.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::error;

use crate::disk::{Disk, DiskError};
use crate::kept::Kept;

/// Most changes that may wait for the disk.
const MAX_WAITING: usize = 1_000;

/// Told whether a change is on disk.
type Waiter = Box<dyn FnOnce(Result<(), &DiskError>) + Send>;

/// Too many changes wait for the disk.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_WAITING} changes wait for the disk already")]
pub(crate) struct Busy;

/// What is kept, and who waits for it to be written.
pub(crate) struct Keeper {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    kept: Arc<Kept>,
    waiters: Vec<Waiter>,
}

impl Keeper {
    pub(crate) fn new(kept: Kept) -> Self {
        let state = State { kept: Arc::new(kept), waiters: Vec::new() };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    pub(crate) fn kept(&self) -> Arc<Kept> {
        Arc::clone(&self.state.lock().kept)
    }

    /// Makes a change. If it succeeds, `waiter` is told once it is on disk, or that it may not be.
    pub(crate) fn change<T, E: From<Busy>>(
        &self,
        change: impl FnOnce(&mut Kept) -> Result<T, E>,
        waiter: impl FnOnce(Result<(), &DiskError>) + Send + 'static,
    ) -> Result<T, E> {
        let mut state = self.state.lock();
        if state.waiters.len() >= MAX_WAITING {
            return Err(Busy.into());
        }
        let changed = change(Arc::make_mut(&mut state.kept))?;
        state.waiters.push(Box::new(waiter));
        drop(state);
        self.changed.notify_one();
        Ok(changed)
    }

    /// Writes what changes, many changes at once if they come faster than the disk takes them.
    /// Returns only if writing panicked.
    pub(crate) async fn run(&self, mut disk: Disk) {
        loop {
            self.changed.notified().await;
            let (kept, waiters) = {
                let mut state = self.state.lock();
                (Arc::clone(&state.kept), std::mem::take(&mut state.waiters))
            };
            let saving = tokio::task::spawn_blocking(move || {
                let result = disk.save(&kept);
                drop(kept); // before the next change, which would copy it
                (disk, result)
            });
            let Ok((same_disk, result)) = saving.await else { return };
            disk = same_disk;
            if let Err(error) = &result {
                error!(%error, "changes are not on disk; the next one tries again");
            }
            for waiter in waiters {
                waiter(result.as_ref().copied());
            }
        }
    }
}
