//! Changes to what is kept: seen by everybody at once, answered when they are on disk.
//!
//! A change that could not be written is answered with the reason and stays in force; writing it is
//! tried again until it succeeds.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::error;

use crate::disk::{Disk, DiskError};
use crate::kept::Kept;

/// Most changes that may wait for the disk.
const MAX_WAITING: usize = 1_000;

/// How long after a failed write the next one is tried, if no change comes before.
const RETRY: Duration = Duration::from_secs(10);

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
    /// Changes made so far, and how many of them are on disk.
    made: u64,
    saved: u64,
}

impl Keeper {
    pub(crate) fn new(kept: Kept) -> Self {
        let state = State { kept: Arc::new(kept), waiters: Vec::new(), made: 0, saved: 0 };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    pub(crate) fn kept(&self) -> Arc<Kept> {
        Arc::clone(&self.state.lock().kept)
    }

    /// Whether everything that [`Keeper::kept`] shows is on disk.
    pub(crate) fn is_saved(&self) -> bool {
        let state = self.state.lock();
        state.saved == state.made
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
        state.made += 1;
        state.waiters.push(Box::new(waiter));
        drop(state);
        self.changed.notify_one();
        Ok(changed)
    }

    /// Writes what changes, many changes at once if they come faster than the disk takes them.
    /// Returns only if writing panicked.
    pub(crate) async fn run(&self, mut disk: Disk) {
        loop {
            if self.is_saved() {
                self.changed.notified().await;
            } else {
                // The time being over is a reason to go on as good as a change.
                _ = timeout(RETRY, self.changed.notified()).await;
            }
            let (kept, waiters, made) = {
                let mut state = self.state.lock();
                (Arc::clone(&state.kept), std::mem::take(&mut state.waiters), state.made)
            };
            let saving = tokio::task::spawn_blocking(move || {
                let result = disk.save(&kept);
                drop(kept); // before the next change, which would copy it
                (disk, result)
            });
            let Ok((same_disk, result)) = saving.await else { return };
            disk = same_disk;
            match &result {
                Ok(()) => self.state.lock().saved = made,
                Err(error) => {
                    let reason = error.root();
                    error!(%error, %reason, "changes are not on disk; trying again in {RETRY:?}");
                }
            }
            for waiter in waiters {
                waiter(result.as_ref().copied());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tokio::sync::oneshot;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_written_is_tried_again_without_another_change() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, kept) = Disk::open(dir.path()).unwrap();
        let new = dir.path().join("kept.new");
        symlink("/dev/full", &new).unwrap();
        let keeper = Arc::new(Keeper::new(kept));
        let running = Arc::clone(&keeper);
        let task = tokio::spawn(async move { running.run(disk).await });
        let (told, answer) = oneshot::channel();
        let put = |kept: &mut Kept| -> Result<(), Busy> {
            kept.put("n", "k", "v").unwrap();
            Ok(())
        };
        let waiter = |saved: Result<(), &DiskError>| {
            told.send(saved.map_err(|error| error.root().to_string())).unwrap();
        };
        keeper.change(put, waiter).unwrap();
        let reason = answer.await.unwrap().unwrap_err();
        assert!(reason.starts_with("No space left on device"), "{reason}");

        fs::remove_file(&new).unwrap();
        timeout(2 * RETRY, async {
            while !keeper.is_saved() {
                sleep(Duration::from_millis(100)).await;
            }
        })
        .await
        .unwrap();
        task.abort();
        // Its end gives the directory back.
        assert!(task.await.unwrap_err().is_cancelled());
        let (_, found) = Disk::open(dir.path()).unwrap();
        assert_eq!(found.get("n", "k"), Some("v"));
    }
}
