//! The two threads of a log: one flushes, one allocates.

use std::{
    io,
    sync::Arc,
    thread::{Builder, JoinHandle},
};

use crate::{core::Core, error::LogError, progress::ProgressFile};

/// Both threads; stopped and awaited by their owner.
#[derive(Debug)]
pub(crate) struct Threads {
    flusher: JoinHandle<ProgressFile>,
    space: JoinHandle<()>,
}

impl Threads {
    pub(crate) fn start(core: &Arc<Core>, progress: ProgressFile) -> Result<Self, LogError> {
        let error = |e: io::Error| LogError::io("start threads for", core.directory.path())(e);
        let shared = Arc::clone(core);
        let space = Builder::new()
            .name("log-space".to_owned())
            .spawn(move || shared.space.run(&shared))
            .map_err(error)?;
        let shared = Arc::clone(core);
        let flusher = Builder::new()
            .name("log-flush".to_owned())
            .spawn(move || shared.flusher.run(&shared, progress))
            .map_err(error)
            .inspect_err(|_| core.space.stop())?;
        Ok(Self { flusher, space })
    }

    /// Ends both without flushing. `None` if the flush thread has panicked.
    pub(crate) fn stop(self, core: &Core) -> Option<ProgressFile> {
        core.space.stop();
        core.flusher.stop();
        let space = self.space.join();
        self.flusher.join().ok().filter(|_| space.is_ok())
    }
}
