//! The store: all that handlers see of topics, messages and offsets.
//!
//! Everything that changes goes through the log and comes back through [`crate::machine`]. This
//! file opens no socket, reads no clock and keeps no state of its own beyond the parts.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use rocketkube_log::{FileRange, Log, Ticket};
use rocketkube_protocol::names::MAX_QUEUES;

use crate::{
    batch::{Batch, Receipt},
    by_time::Boundary,
    error::{OpenError, ReadError, StoreError},
    groups::Group,
    keeper::{Job, Keeper, KeeperThread},
    machine::Dispatcher,
    offsets::Committed,
    opening::{self, Opening},
    options::{OnIndexDamage, Options},
    position::{PhysicalOffset, QueueOffset},
    queue::Queue,
    read::{Extent, Limits, Read},
    retention::Retention,
    state::{GroupRecord, OffsetsRecord, State, TopicRecord},
    tables::Tables,
    topics::{Topic, TopicConfig, record_of},
};

/// One broker's messages, topics, groups and offsets. Shared by reference; every method may be
/// called from any thread. Methods that write block for a write to the page cache, not for a
/// flush: they give a position, and [`Store::confirmed`] tells when it may be acknowledged.
pub struct Store {
    pub(crate) tables: Arc<Tables>,
    pub(crate) log: Arc<Log<Dispatcher>>,
    /// Taken by whoever changes topics or groups or writes commits, so that what was decided from
    /// their state is still true when the record is appended. Order: before any other lock.
    pub(crate) admin: Mutex<()>,
    /// Time of the last flush of commits.
    commits_flushed_ms: AtomicI64,
    pub(crate) keeper: Arc<Keeper>,
    keeper_thread: Mutex<KeeperThread>,
    pub(crate) retention: Retention,
    /// See [`Options::max_queues`].
    max_queues: usize,
    damaged_indexes: AtomicU64,
    on_index_damage: OnIndexDamage,
    /// How full the disk was when messages began to be refused; 0 while they are taken.
    pub(crate) full_percent: AtomicU8,
}

/// Longest time that a commit waits for others, in milliseconds.
const COMMIT_INTERVAL_MS: i64 = 100;

impl Store {
    /// Opens or makes the store and replays what no snapshot holds.
    pub fn open(options: Options) -> Result<(Self, Opening), OpenError> {
        opening::open(options)
    }

    pub(crate) fn new(
        tables: Arc<Tables>,
        log: Arc<Log<Dispatcher>>,
        keeper: Arc<Keeper>,
        thread: KeeperThread,
        (retention, max_queues): (Retention, usize),
        on_index_damage: OnIndexDamage,
    ) -> Self {
        opening::announce(&thread, &log);
        Self {
            tables,
            log,
            admin: Mutex::new(()),
            commits_flushed_ms: AtomicI64::new(0),
            keeper,
            keeper_thread: Mutex::new(thread),
            retention,
            max_queues,
            damaged_indexes: AtomicU64::new(0),
            on_index_damage,
            full_percent: AtomicU8::new(0),
        }
    }

    // Topics.

    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.tables.topics.get(name).filter(|topic| !topic.is_provisional())
    }

    /// All topics, sorted by name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        let mut all = self.tables.topics.all();
        all.retain(|topic| !topic.is_provisional());
        all
    }

    /// Makes a topic. Gives the position to wait for.
    pub fn create_topic(
        &self,
        name: &str,
        config: &TopicConfig,
        now_ms: i64,
    ) -> Result<u64, StoreError> {
        let _admin = self.admin.lock();
        if self.topic(name).is_some() {
            return Err(StoreError::TopicExists { name: name.to_owned() });
        }
        self.put_topic(name, config, 0, 0, now_ms)
    }

    /// Changes a topic's settings. Gives the position to wait for, also if nothing is to change:
    /// what made the topic so may not be durable yet.
    pub fn update_topic(
        &self,
        name: &str,
        config: &TopicConfig,
        now_ms: i64,
    ) -> Result<u64, StoreError> {
        let _admin = self.admin.lock();
        let topic = self.topic(name);
        let topic = topic.ok_or_else(|| StoreError::NoSuchTopic { name: name.to_owned() })?;
        if topic.config() == config {
            return Ok(self.log.appended());
        }
        self.put_topic(name, config, topic.id(), topic.queues().len(), now_ms)
    }

    fn put_topic(
        &self,
        name: &str,
        config: &TopicConfig,
        id: u64,
        existing: usize,
        now_ms: i64,
    ) -> Result<u64, StoreError> {
        let queues = config.read_queues.max(config.write_queues);
        if queues > MAX_QUEUES {
            let name = name.to_owned();
            return Err(StoreError::TooManyQueues { name, queues, max: MAX_QUEUES });
        }
        self.check_queues((queues as usize).saturating_sub(existing))?;
        let queues = queues.max(u32::try_from(existing).unwrap_or(MAX_QUEUES));
        let mut record = record_of(name, config, id, queues);
        record.first_offset = self.tables.unknown.load(Ordering::Relaxed);
        record.existing = u32::try_from(existing).unwrap_or(MAX_QUEUES);
        self.append_state(&State::Topic(record), now_ms)
    }

    /// Whether so many more queues may be made.
    pub fn check_queues(&self, asked: usize) -> Result<(), StoreError> {
        let (existing, max) = (self.tables.topics.queues(), self.max_queues);
        if asked > 0 && existing.saturating_add(asked) > max {
            return Err(StoreError::TooManyQueuesInAll { asked, existing, max });
        }
        Ok(())
    }

    /// Deletes a topic and the offsets that groups committed in it; its messages stay in the log
    /// until retention takes them, readable to nobody. Gives the position to wait for.
    pub fn delete_topic(&self, name: &str, now_ms: i64) -> Result<u64, StoreError> {
        let _admin = self.admin.lock();
        let topic = self.topic(name);
        let topic = topic.ok_or_else(|| StoreError::NoSuchTopic { name: name.to_owned() })?;
        let (id, name) = (topic.id(), name.to_owned());
        let record = TopicRecord { id, name, deleted: true, ..TopicRecord::default() };
        let mut batch = Batch::default();
        batch.push_state(&State::Topic(record));
        batch.closes.extend(topic.queues().iter().map(Arc::clone));
        self.append_reserved(batch, now_ms)
    }

    // Consumer groups.

    pub fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.tables.groups.get(name)
    }

    /// All consumer groups, sorted by name.
    pub fn groups(&self) -> Vec<Arc<Group>> {
        self.tables.groups.all()
    }

    /// Makes a group unless there is one, whose settings stay. `config` is the protocol's JSON.
    /// Gives the position to wait for: one that was there may not be durable yet.
    pub fn create_group(&self, name: &str, config: &str, now_ms: i64) -> Result<u64, StoreError> {
        let _admin = self.admin.lock();
        if self.group(name).is_some() {
            return Ok(self.log.appended());
        }
        self.write_group(name, config, now_ms)
    }

    /// Makes or changes a group; `config` is the protocol's JSON. Gives the position to wait for.
    pub fn put_group(&self, name: &str, config: &str, now_ms: i64) -> Result<u64, StoreError> {
        let _admin = self.admin.lock();
        self.write_group(name, config, now_ms)
    }

    fn write_group(&self, name: &str, config: &str, now_ms: i64) -> Result<u64, StoreError> {
        let (name, config) = (name.to_owned(), config.to_owned());
        let record = GroupRecord { name, config, ..GroupRecord::default() };
        self.append_state(&State::Group(record), now_ms)
    }

    /// Deletes a group and, if asked, the offsets it committed. Gives the position to wait for.
    pub fn delete_group(
        &self,
        name: &str,
        clean_offsets: bool,
        now_ms: i64,
    ) -> Result<u64, StoreError> {
        let _admin = self.admin.lock();
        if self.group(name).is_none() && !clean_offsets {
            return Err(StoreError::NoSuchGroup { name: name.to_owned() });
        }
        let name = name.to_owned();
        let record = GroupRecord { name, deleted: true, clean_offsets, config: String::new() };
        self.append_state(&State::Group(record), now_ms)
    }

    fn append_state(&self, state: &State, now_ms: i64) -> Result<u64, StoreError> {
        let mut batch = Batch::default();
        batch.push_state(state);
        self.append_reserved(batch, now_ms)
    }

    /// Appends state records, for which there is room even when messages are refused.
    pub(crate) fn append_reserved(&self, batch: Batch, now_ms: i64) -> Result<u64, StoreError> {
        Ok(self.log.append_reserved(batch, now_ms)?.end)
    }

    // Messages.

    /// Appends a batch: on return it has its place and is in the page cache. It may be
    /// acknowledged, and becomes visible, when the log is confirmed up to [`Receipt::end`].
    pub fn append(&self, batch: Batch, now_ms: i64) -> Result<Receipt, StoreError> {
        self.complete(self.submit(batch, now_ms)?)
    }

    /// The first half of [`Store::append`], which never waits. Batches that are submitted before one
    /// of them is completed are written together.
    pub fn submit(&self, batch: Batch, now_ms: i64) -> Result<Ticket, StoreError> {
        self.check_space()?;
        Ok(self.log.submit(batch, now_ms))
    }

    /// The second half of [`Store::append`]. Each ticket has to come here.
    pub fn complete(&self, ticket: Ticket) -> Result<Receipt, StoreError> {
        let appended = self.log.complete(ticket)?;
        Ok(Receipt::new(appended.batch, appended.start, appended.end))
    }

    /// End of what may be shown and acknowledged.
    pub fn confirmed(&self) -> u64 {
        self.tables.shore.confirmed()
    }

    /// Finds messages of a queue from `from` on whose tag hash the filter takes. Shows only what
    /// is confirmed.
    pub fn read(
        &self,
        queue: &Queue,
        from: QueueOffset,
        limits: Limits,
        filter: &dyn Fn(i64) -> bool,
    ) -> Result<Read, ReadError> {
        self.noted(self.tables.read(queue, from, limits, filter))
    }

    /// Finds a queue offset by store time, among what is confirmed.
    pub fn offset_by_time(
        &self,
        queue: &Queue,
        time_ms: i64,
        boundary: Boundary,
    ) -> Result<QueueOffset, ReadError> {
        self.noted(self.tables.offset_by_time(queue, time_ms, boundary))
    }

    /// When the message at a queue offset was stored; `None` if it is not retained or visible.
    pub fn store_time(&self, queue: &Queue, at: QueueOffset) -> Result<Option<i64>, ReadError> {
        let bounds = queue.bounds();
        let shown = (bounds.min..bounds.max).contains(&at);
        if shown { self.noted(self.tables.store_ms(queue, at)) } else { Ok(None) }
    }

    /// Has an index file made again that a read could not use, and tells so once. Until that is done,
    /// reads that need it fail; they can be tried again.
    pub(crate) fn noted<T>(&self, result: Result<T, ReadError>) -> Result<T, ReadError> {
        if let Err(ReadError::Index(error)) = &result
            && self.keeper.note_damage(error.path())
        {
            self.damaged_indexes.fetch_add(1, Ordering::Relaxed);
            (self.on_index_damage)(error);
            let _ = self.keeper_thread.lock().jobs.send(Job::Repair);
        }
        result
    }

    /// How often since the start an index file was found that could not be used.
    pub fn damaged_indexes(&self) -> u64 {
        self.damaged_indexes.load(Ordering::Relaxed)
    }

    /// Appends the bytes of an extent to `out`.
    pub fn read_bytes(&self, extent: Extent, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let start = out.len();
        out.resize(start + extent.size as usize, 0);
        let result = self.log.read_at(extent.physical_offset.0, &mut out[start..]);
        if result.is_err() {
            out.truncate(start);
        }
        Ok(result?)
    }

    /// As [`Store::read_bytes`] where that takes no time; false, with nothing appended, if the bytes
    /// are cold: read them once from a thread that may block, then ask again.
    pub fn read_cached(&self, extent: Extent, out: &mut Vec<u8>) -> Result<bool, ReadError> {
        let start = out.len();
        out.resize(start + extent.size as usize, 0);
        let result = self.log.read_cached(extent.physical_offset.0, &mut out[start..]);
        if !matches!(result, Ok(true)) {
            out.truncate(start);
        }
        Ok(result?)
    }

    /// Whether [`Store::file_range`] and sending its bytes will take no time.
    pub fn is_cached(&self, extent: Extent) -> bool {
        self.log.is_cached(extent.physical_offset.0, extent.size)
    }

    /// The bytes of an extent as part of a file, for `sendfile`.
    pub fn file_range(&self, extent: Extent) -> Result<FileRange, ReadError> {
        Ok(self.log.file_range(extent.physical_offset.0, extent.size)?)
    }

    /// Has [`Options::on_arrival`] called once, when the next messages of the queue become visible.
    /// Look at the queue after this call: those already visible are not told.
    pub fn watch(&self, queue: &Arc<Queue>) {
        self.tables.arrivals.watch(queue);
    }

    // Committed offsets.

    /// Where the group goes on in the queue, if it ever committed.
    pub fn committed(&self, group: &str, topic: &str, queue: u32) -> Option<QueueOffset> {
        self.tables.offsets.get(group, topic, queue)
    }

    /// Notes a group's progress. Visible at once; in the log with the next
    /// [`Store::flush_commits`], so a crash may take back the last 100 ms.
    pub fn commit(&self, group: &str, topic: &str, queue: u32, offset: QueueOffset) {
        self.tables.offsets.commit(group, topic, queue, offset);
    }

    /// Like [`Store::commit`], and in the log on return. Gives the position to wait for.
    pub fn commit_now(
        &self,
        group: &str,
        topic: &str,
        queue: u32,
        offset: QueueOffset,
        now_ms: i64,
    ) -> Result<u64, StoreError> {
        self.commit(group, topic, queue, offset);
        self.write_commits(now_ms)
    }

    /// Writes commits to the log if the last time is 100 ms ago; call it at least that often.
    /// Gives the position to wait for, which matters at hand-over only.
    pub fn flush_commits(&self, now_ms: i64) -> Result<u64, StoreError> {
        let waited = now_ms.saturating_sub(self.commits_flushed_ms.load(Ordering::Relaxed));
        // A clock that was set back must not stop commits.
        if (0..COMMIT_INTERVAL_MS).contains(&waited) {
            return Ok(0);
        }
        self.write_commits(now_ms)
    }

    /// Writes pending commits, in the order in which they are taken. No topic comes or goes
    /// meanwhile: a commit behind the deletion of its topic would be there for the next one.
    fn write_commits(&self, now_ms: i64) -> Result<u64, StoreError> {
        let _admin = self.admin.lock();
        self.commits_flushed_ms.store(now_ms, Ordering::Relaxed);
        let mut end = self.log.appended();
        let offsets = &self.tables.offsets;
        let mut records = self.take_commits().into_iter();
        while let Some(record) = records.next() {
            let state = State::Offsets(record);
            match self.append_state(&state, now_ms) {
                Ok(appended) => end = appended,
                Err(error) => {
                    if let State::Offsets(record) = state {
                        offsets.put_back(&record);
                    }
                    records.for_each(|record| offsets.put_back(&record));
                    return Err(error);
                }
            }
        }
        Ok(end)
    }

    /// Takes pending commits, and forgets those whose topic was deleted after the caller had found
    /// it.
    fn take_commits(&self) -> Vec<OffsetsRecord> {
        let mut records = self.tables.offsets.take_pending();
        for record in &mut records {
            record.commits.retain(|commits| {
                let has_topic = self.topic(&commits.topic).is_some();
                if !has_topic {
                    self.tables.offsets.forget(&commits.group, &commits.topic);
                }
                has_topic
            });
        }
        records.retain(|record| !record.commits.is_empty());
        records
    }

    /// All offsets that a group committed, sorted.
    pub fn committed_by(&self, group: &str) -> Vec<Committed> {
        self.tables.offsets.list(|other, _| other == group)
    }

    /// All offsets committed in a topic, sorted by group.
    pub fn committed_in(&self, topic: &str) -> Vec<Committed> {
        self.tables.offsets.list(|_, other| other == topic)
    }

    // The log.

    /// First retained physical offset.
    pub fn start(&self) -> PhysicalOffset {
        PhysicalOffset(self.tables.shore.floor.start().max(self.log.start()))
    }

    /// End of the log.
    pub fn end(&self) -> PhysicalOffset {
        PhysicalOffset(self.log.appended())
    }

    /// Whether a write or flush has failed: nothing is acknowledged from then on.
    pub fn has_failed(&self) -> bool {
        self.log.failed()
    }

    /// Why index files and snapshots are not being written, if they are not: answers stay right,
    /// memory grows, and the next opening takes longer.
    pub fn trouble(&self) -> Option<String> {
        self.keeper.trouble()
    }

    /// Writes pending commits and a snapshot, flushes and stops. The store refuses writes from
    /// then on. Dropping a store without closing it is like a kill: nothing acknowledged is lost.
    pub fn close(&self, now_ms: i64) -> Result<(), StoreError> {
        let written = self.write_commits(now_ms);
        self.keeper_thread.lock().stop();
        let kept = self.keeper.final_snapshot(&self.log);
        self.log.close()?;
        written.and(kept)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.keeper_thread.lock().stop();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("log", &self.log).finish_non_exhaustive()
    }
}
