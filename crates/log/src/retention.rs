//! Deleting the oldest segments. What may be deleted is decided above.

use std::{fs, io};

use crate::{core::Core, error::LogError};

impl Core {
    /// Oldest first, so that a kill in between leaves a log without holes.
    pub(crate) fn trim(&self, new_start: u64) -> Result<(), LogError> {
        let below = self.segments.take_below(new_start);
        if below.is_empty() {
            return Ok(());
        }
        self.positions.set_start(self.segments.start());
        self.damage.trim(self.segments.start());
        for segment in below {
            match fs::remove_file(&segment.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(LogError::io("delete", &segment.path)(error));
                }
                _ => {}
            }
        }
        self.directory.sync(&self.directory.segments())
    }
}
