//! Stamping batches at the log's tail and dispatching items to the tables.
//!
//! What was just stamped is applied from notes taken then; in recovery, and on members that did
//! not stamp, the same is read from the record's bytes. No clock, no randomness, no file.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, mpsc::Sender},
};

use rocketkube_log::{Item, Machine};
use rocketkube_protocol::record::{RecordMut, RecordView};

use crate::{
    batch::{Batch, Staged},
    keeper::Job,
    key_index::{KeyEntry, key_hash, topic_hash},
    message::{Indexed, NOWHERE},
    queue::Queue,
    queue_index::Entry,
    state::{self, State, StateError},
    tables::Tables,
    topics::Topic,
};

/// What stamping noted of a message that is about to be applied.
struct Note {
    queue: Arc<Queue>,
    at: u64,
    entry: Entry,
    keys: u32,
}

/// The state machine of a store, as its log sees it.
pub(crate) struct Dispatcher {
    tables: Arc<Tables>,
    /// Store time never goes back, whatever the clock does.
    store_ms: i64,
    notes: VecDeque<Note>,
    /// Key hashes of `notes`, in order.
    note_keys: VecDeque<u64>,
    /// Keys of the message being applied; kept for its memory.
    keys: Vec<KeyEntry>,
    /// Neighbours in the log mostly have the same topic.
    last_topic: Option<Arc<Topic>>,
    /// The first state record that this build cannot apply.
    refused: Option<(u64, StateError)>,
    keeper: Sender<Job>,
}

impl Dispatcher {
    /// `store_ms`: newest store time of what the tables hold already. `keeper` is told of each
    /// segment that got its last item.
    pub(crate) fn new(tables: &Arc<Tables>, store_ms: i64, keeper: Sender<Job>) -> Self {
        Self {
            tables: Arc::clone(tables),
            store_ms,
            notes: VecDeque::new(),
            note_keys: VecDeque::new(),
            keys: Vec::new(),
            last_topic: None,
            refused: None,
            keeper,
        }
    }

    /// The state record that stopped this store from opening, if there was one.
    pub(crate) fn take_refused(&mut self) -> Option<(u64, StateError)> {
        self.refused.take()
    }

    pub(crate) fn store_ms(&self) -> i64 {
        self.store_ms
    }

    fn stamp_message(&mut self, message: &mut Staged, bytes: &mut [u8], start: u64) {
        let physical = start + message.start as u64;
        // Closed also by a deletion stamped for the same frame, whose record comes before this.
        let offset = (!message.queue.is_closed()).then(|| message.queue.take_offset());
        message.offset = offset;
        let at = offset.map_or(NOWHERE, |offset| offset.0);
        let end = message.start + message.size as usize;
        if let Some(mut record) = RecordMut::new(&mut bytes[message.start..end]) {
            record.set_queue_offset(at);
            record.set_physical_offset(physical);
            record.set_store_timestamp(self.store_ms);
        }
        let entry =
            Entry { physical, size: message.size, tag: message.tag, store_ms: self.store_ms };
        let queue = Arc::clone(&message.queue);
        self.notes.push_back(Note { queue, at, entry, keys: message.keys });
    }

    fn apply_note(&mut self, note: &Note) {
        let hashes = self.note_keys.drain(..note.keys as usize);
        let physical = note.entry.physical;
        self.keys.clear();
        self.keys.extend(hashes.map(|hash| KeyEntry { hash, physical }));
        if note.at != NOWHERE {
            self.index(&note.queue, note.at, note.entry);
        }
    }

    /// Applies a message of which only the bytes are known.
    fn apply_record(&mut self, item: Item<'_>) {
        // The frame's checksum held, so a record that cannot be read was never one of ours.
        let Ok(record) = RecordView::parse(item.bytes) else { return };
        self.store_ms = self.store_ms.max(record.store_timestamp());
        let at = record.queue_offset();
        let Ok(queue_id) = u32::try_from(record.queue_id()) else { return };
        if at == NOWHERE || item.offset < self.tables.shore.floor.start() {
            return;
        }
        let Some(queue) = self.queue_of(record.topic(), queue_id, item.offset) else { return };
        let indexed = Indexed::of(record.properties());
        let entry = entry_of(item, &record, indexed.tag);
        let topic = topic_hash(record.topic());
        self.keys.clear();
        self.keys.extend(
            indexed
                .keys()
                .map(|key| KeyEntry { hash: key_hash(topic, key), physical: item.offset }),
        );
        self.index(&queue, at, entry);
    }

    /// The queue of a record at `position`; `None` if its topic is a later one of the same name.
    fn queue_of(&mut self, name: &str, id: u32, position: u64) -> Option<Arc<Queue>> {
        let cached = self.last_topic.as_ref().filter(|topic| topic.name() == name);
        let topic = match cached {
            Some(topic) if topic.queue(id).is_some() => Arc::clone(topic),
            _ => {
                let known = self.tables.topics.get(name).filter(|topic| topic.queue(id).is_some());
                known.or_else(|| self.tables.topics.provisional(name, id, position))?
            }
        };
        let queue = topic.queue(id).filter(|_| topic.id() <= position).map(Arc::clone);
        self.last_topic = Some(topic);
        queue
    }

    /// Puts a message, with the keys in `self.keys`, into the indexes.
    fn index(&mut self, queue: &Arc<Queue>, at: u64, entry: Entry) {
        if queue.entries().push(at, entry).is_err() {
            return;
        }
        queue.raise_next(at + 1);
        self.tables.keys.extend(&self.keys);
        if queue.is_watched() {
            self.tables.arrivals.announce(queue, entry.end());
        }
    }

    fn apply_state(&mut self, item: Item<'_>) {
        self.last_topic = None;
        match State::decode(item.bytes) {
            Ok(state) => self.tables.apply(state, item.offset),
            Err(error) => {
                self.refused.get_or_insert((item.offset, error));
            }
        }
    }
}

/// The queue index's view of a record.
pub(crate) fn entry_of(item: Item<'_>, record: &RecordView<'_>, tag: i32) -> Entry {
    Entry {
        physical: item.offset,
        size: u32::try_from(item.bytes.len()).unwrap_or(u32::MAX),
        tag,
        store_ms: record.store_timestamp(),
    }
}

impl Machine for Dispatcher {
    type Batch = Batch;

    fn bytes<'b>(&self, batch: &'b Batch) -> &'b [u8] {
        &batch.bytes
    }

    fn stamp(&mut self, batch: &mut Batch, start: u64, now_ms: i64) {
        self.store_ms = self.store_ms.max(now_ms);
        batch.closes.iter().for_each(|queue| queue.close());
        for message in &mut batch.messages {
            self.stamp_message(message, &mut batch.bytes, start);
        }
        self.note_keys.extend(&batch.keys);
    }

    fn apply(&mut self, item: Item<'_>) {
        if state::is_state(item.bytes) {
            return self.apply_state(item);
        }
        match self.notes.pop_front() {
            Some(note) if note.entry.physical == item.offset => self.apply_note(&note),
            other => {
                debug_assert!(other.is_none(), "notes are taken and used in log order");
                self.apply_record(item);
            }
        }
    }

    fn sealed(&mut self, segment: Range<u64>) {
        self.tables.keys.seal();
        // Nobody listens once the store is closing; the next opening finds the segment.
        let _ = self.keeper.send(Job::Sealed(segment));
    }
}
