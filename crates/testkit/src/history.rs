//! What all clients of one run saw.
//!
//! Holds events in the order in which they were passed on, which is not their order in time; the
//! checkers sort what they need.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::event::{Event, EventError};

/// The events of a run.
#[derive(Debug, Clone, Default)]
pub struct History {
    events: Vec<Event>,
}

/// Why a history could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("cannot read or write the history {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("history {} ends in {rest} bytes that are no event", path.display())]
    Torn { path: PathBuf, rest: usize },
    #[error("event {number} of history {} is unreadable", path.display())]
    Event { path: PathBuf, number: usize, source: EventError },
}

impl History {
    pub fn new(events: Vec<Event>) -> Self {
        Self { events }
    }

    /// Reads a file that a recorder wrote.
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        let bytes =
            fs::read(path).map_err(|source| HistoryError::Io { path: path.to_owned(), source })?;
        let (chunks, rest) = bytes.as_chunks::<{ Event::SIZE }>();
        if !rest.is_empty() {
            return Err(HistoryError::Torn { path: path.to_owned(), rest: rest.len() });
        }
        let mut events = Vec::with_capacity(chunks.len());
        for (number, chunk) in chunks.iter().enumerate() {
            let event = Event::decode(chunk).map_err(|source| HistoryError::Event {
                path: path.to_owned(),
                number,
                source,
            })?;
            events.push(event);
        }
        Ok(Self { events })
    }

    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Adds what another recorder, or the same one later, saw.
    pub fn extend(&mut self, other: &History) {
        self.events.extend_from_slice(&other.events);
    }

    /// Forgets the events from `len` on, for a drain that was checked and is not needed again.
    pub fn truncate(&mut self, len: usize) {
        self.events.truncate(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;

    #[test]
    fn a_torn_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let mut bytes = Event::of(Kind::Fault).encode().to_vec();
        fs::write(&path, &bytes).unwrap();
        assert_eq!(History::read(&path).unwrap().events().len(), 1);
        bytes.extend_from_slice(&[0; 10]);
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(History::read(&path), Err(HistoryError::Torn { rest: 10, .. })));
        bytes.resize(2 * Event::SIZE, 0);
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(History::read(&path), Err(HistoryError::Event { number: 1, .. })));
    }
}
