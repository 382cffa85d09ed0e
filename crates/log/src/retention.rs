//! The oldest segments: deleting them, and noticing that they are gone. What may be deleted is
//! decided above.

use std::{fs, io};

use crate::{core::Core, damage::Damage, error::LogError, segment::path_of};

impl Core {
    /// Notes as lost what is missing in front of a log that was retained from `start` on.
    pub(crate) fn note_missing_front(&self, start: u64) -> Option<Damage> {
        let missing = Some(start..self.positions.start()).filter(|missing| !missing.is_empty())?;
        let path = path_of(&self.directory.segments(), start);
        let damage = Damage::at(&path, start, missing);
        self.damage.add(damage.clone());
        Some(damage)
    }

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
