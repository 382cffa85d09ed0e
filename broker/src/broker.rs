//! The broker: what its connections share, and what changes topics and groups.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::time::{SystemTime, UNIX_EPOCH};

use rocketkube_protocol::body::{Body, DataVersion, MessageQueue, SubscriptionGroupConfig};
use rocketkube_protocol::id::{UniqueId, since_month_ms};
use rocketkube_protocol::names;
use rocketkube_remoting::Peer;
use rocketkube_store::{Queue, QueueOffset, Store, StoreError, Topic, TopicConfig, Volume};
use tokio::sync::Semaphore;
use tracing::warn;

use crate::clock::AgeClock;
use crate::cold::MAX_READS;
use crate::config::Config;
use crate::consumers::Consumers;
use crate::handler::client::notify_members;
use crate::handler::long::MAX_LONG;
use crate::locks::Locks;
use crate::metrics::Metrics;
use crate::permission::Permission;
use crate::producers::Producers;
use crate::readiness::Intake;
use crate::refusal::AdminError;
use crate::registration::{Changes, Registrations};
use crate::resets::{Order, Place, Resets};
use crate::wake::{Confirmations, Parked, queue_key};

/// Most topics and groups, together, that clients make by using them. Administrators may make more.
pub(crate) const MAX_MADE: usize = 100_000;

/// What all connections of a broker share.
pub(crate) struct Broker {
    pub(crate) config: Config,
    pub(crate) store: Arc<Store>,
    pub(crate) consumers: Consumers<Arc<Peer>>,
    pub(crate) producers: Producers<Arc<Peer>>,
    pub(crate) locks: Locks,
    /// Offsets that were reset, of which consumers do not know yet.
    pub(crate) resets: Resets,
    pub(crate) confirmations: Arc<Confirmations<Arc<Peer>>>,
    pub(crate) parked: Arc<Parked<Arc<Peer>>>,
    /// Topics that the name servers have to be told of.
    pub(crate) changes: Changes,
    /// Which name servers know this broker.
    pub(crate) registrations: Registrations,
    /// Places for reads that wait for the disk.
    pub(crate) cold_reads: Arc<Semaphore>,
    /// Places for requests that take long.
    pub(crate) long_requests: Arc<Semaphore>,
    pub(crate) metrics: Metrics,
    pub(crate) started_ms: i64,
    /// By which messages grow old.
    pub(crate) age_clock: AgeClock,
    /// Where clients reach this broker; part of every message id.
    pub(crate) advertised: SocketAddr,
    /// Counts changes of topics and groups, for those who keep a copy.
    version: AtomicI64,
    /// Topics and groups there are, or a few less.
    pub(crate) made: AtomicUsize,
    unique_ids: AtomicU16,
    turn: AtomicU32,
    /// Connection whose messages were submitted last.
    last_submitter: AtomicU64,
    stopping: AtomicBool,
    /// Whether messages are taken.
    pub(crate) intake: Intake,
    /// What this broker may be used for, whatever its topics allow.
    pub(crate) permission: Permission,
    /// When a line that clients can cause was last written.
    warned_ms: AtomicI64,
}

/// What a broker is made of; see [`Broker::new`].
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) confirmations: Arc<Confirmations<Arc<Peer>>>,
    pub(crate) parked: Arc<Parked<Arc<Peer>>>,
    pub(crate) metrics: Metrics,
    pub(crate) advertised: SocketAddr,
    pub(crate) permission: Permission,
}

impl Broker {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { config, store, confirmations, parked, metrics, advertised, permission } = parts;
        let made = AtomicUsize::new(store.topics().len() + store.groups().len());
        Self {
            config,
            store: Arc::new(store),
            cold_reads: Arc::new(Semaphore::new(MAX_READS)),
            long_requests: Arc::new(Semaphore::new(MAX_LONG)),
            consumers: Consumers::new(),
            producers: Producers::new(),
            locks: Locks::default(),
            resets: Resets::default(),
            confirmations,
            parked,
            changes: Changes::default(),
            registrations: Registrations::default(),
            metrics,
            started_ms: now_ms(),
            age_clock: AgeClock::start(now_ms()),
            advertised,
            version: AtomicI64::new(0),
            made,
            unique_ids: AtomicU16::new(0),
            turn: AtomicU32::new(0),
            last_submitter: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            intake: Intake::default(),
            permission,
            warned_ms: AtomicI64::new(0),
        }
    }

    /// Milliseconds of the wall clock. The log makes store times of it that never go back.
    #[expect(clippy::unused_self, reason = "whoever asks has a broker, and tests may inject one")]
    pub(crate) fn now_ms(&self) -> i64 {
        now_ms()
    }

    /// A batch was stored.
    pub(crate) fn takes_messages(&self) {
        self.intake.stored();
    }

    /// A batch was not stored.
    pub(crate) fn refuses_messages(&self, error: &StoreError) {
        self.intake.refused(error);
    }

    /// Whether a line that clients can cause may be written: one a second.
    pub(crate) fn may_warn(&self) -> bool {
        let (now_ms, last_ms) = (self.now_ms(), self.warned_ms.load(Ordering::Relaxed));
        let (relaxed, due) = (Ordering::Relaxed, now_ms.saturating_sub(last_ms) >= 1_000);
        due && self.warned_ms.compare_exchange(last_ms, now_ms, relaxed, relaxed).is_ok()
    }

    /// A number that goes round, to choose queues in turn.
    pub(crate) fn next_turn(&self) -> u32 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether no other connection submitted messages since this one did, which is noted.
    pub(crate) fn submits_after_itself(&self, connection: u64) -> bool {
        self.last_submitter.swap(connection, Ordering::Relaxed) == connection
    }

    /// An id for a message whose client gave it none.
    pub(crate) fn new_unique_id(&self) -> String {
        let id = UniqueId {
            ip: self.advertised.ip(),
            process: u16::try_from(std::process::id() & 0xffff).unwrap_or(0),
            loader: u32::from_be_bytes(*b"rkub"),
            since_month_ms: since_month_ms(self.now_ms()),
            counter: self.unique_ids.fetch_add(1, Ordering::Relaxed),
        };
        id.to_string()
    }

    /// Whether a client may make one more topic or group by using it. Says so if not.
    pub(crate) fn has_room(&self, name: &str) -> bool {
        let has_room = self.made.load(Ordering::Relaxed) < MAX_MADE;
        if !has_room && self.may_warn() {
            warn!(name, MAX_MADE, "too many topics and groups, no more are made automatically");
        }
        has_room
    }

    /// Makes a topic unless there is one, which stays as it is: somebody else may have made it since
    /// the caller looked. Gives the position of the log that an answer has to wait for.
    pub(crate) fn make_topic(&self, name: &str, config: &TopicConfig) -> Result<u64, StoreError> {
        match self.store.create_topic(name, config, self.now_ms()) {
            Err(StoreError::TopicExists { .. }) => Ok(self.store.end().0),
            Err(error) => Err(error),
            Ok(end) => {
                self.added();
                self.changes.topic(name);
                Ok(end)
            }
        }
    }

    /// Makes or changes a topic; the name servers hear of it at once. Gives the position of the log
    /// that an answer has to wait for.
    pub(crate) fn put_topic(&self, name: &str, config: &TopicConfig) -> Result<u64, StoreError> {
        let now_ms = self.now_ms();
        let end = match self.store.create_topic(name, config, now_ms) {
            Err(StoreError::TopicExists { .. }) => {
                let end = self.store.update_topic(name, config, now_ms)?;
                self.changed();
                end
            }
            result => {
                let end = result?;
                self.added();
                end
            }
        };
        self.changes.topic(name);
        Ok(end)
    }

    pub(crate) fn remove_topic(&self, name: &str) -> Result<u64, StoreError> {
        let topic = self.store.topic(name);
        let end = self.store.delete_topic(name, self.now_ms())?;
        self.removed();
        self.resets.forget_topic(name);
        self.changes.everything();
        // Whoever waits for messages of it will never get any.
        for queue in topic.iter().flat_map(|topic| topic.queues()) {
            self.parked.arrived(queue_key(queue));
        }
        Ok(end)
    }

    /// The settings of a group. One that nobody created has the default settings where groups are
    /// created automatically: reading does not create it, its first heartbeat does.
    pub(crate) fn group(&self, name: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        if let Some(group) = self.store.group(name) {
            if let Some(settings) = group.settings() {
                return Some(settings);
            }
            warn!(group = name, "settings of a group are unreadable");
        }
        let may_exist = self.config.auto_create_groups && names::check_group(name).is_ok();
        let exists = may_exist || names::is_system_group(name);
        let group_name = name.to_owned();
        let defaults = SubscriptionGroupConfig { group_name, ..SubscriptionGroupConfig::default() };
        exists.then(|| Arc::new(defaults))
    }

    /// Whether a group was made, by whomever, or belongs to the system.
    pub(crate) fn has_group(&self, name: &str) -> bool {
        self.store.group(name).is_some() || names::is_system_group(name)
    }

    pub(crate) fn put_group(&self, config: &SubscriptionGroupConfig) -> Result<u64, StoreError> {
        let json = String::from_utf8_lossy(&config.encode()).into_owned();
        let was_there = self.store.group(&config.group_name).is_some();
        let end = self.store.put_group(&config.group_name, &json, self.now_ms())?;
        if was_there {
            self.changed();
        } else {
            self.added();
        }
        Ok(end)
    }

    /// Makes a group and its retry topic if they are not there and may be made: what the first
    /// heartbeat of a consumer does. Gives the position to wait for; `None` if there is no group.
    pub(crate) fn ensure_group(&self, name: &str) -> Result<Option<u64>, AdminError> {
        if self.is_complete(name) {
            return Ok(Some(self.store.end().0));
        }
        let Some(config) = self.group(name) else { return Ok(None) };
        let mut end = self.store.end().0;
        let make_group = self.store.group(name).is_none() && !names::is_system_group(name);
        let retry = names::retry_topic(name);
        let queues = u32::try_from(config.retry_queue_nums).unwrap_or(0);
        let make_retry = queues > 0 && self.store.topic(&retry).is_none();
        if (make_group || make_retry) && !self.has_room(name) {
            return Err(AdminError::TooManyGroups { group: name.to_owned(), max: MAX_MADE });
        }
        if make_group {
            // What is not said has its default; kept whole it would be most of what a group costs.
            let json = format!(r#"{{"groupName":"{name}"}}"#);
            end = self.store.create_group(name, &json, self.now_ms())?;
            self.added();
        }
        if make_retry {
            end = end.max(self.make_topic(&retry, &TopicConfig::with_queues(queues))?);
        }
        Ok(Some(end))
    }

    /// Whether a group and its retry topic are there.
    fn is_complete(&self, group: &str) -> bool {
        self.has_group(group) && self.store.topic(&names::retry_topic(group)).is_some()
    }

    pub(crate) fn remove_group(&self, name: &str, clean: bool) -> Result<u64, StoreError> {
        let was_there = self.store.group(name).is_some();
        let end = self.store.delete_group(name, clean, self.now_ms())?;
        self.resets.forget_group(name);
        if was_there {
            self.removed();
        }
        Ok(end)
    }

    /// Notes a consumer's progress, unless an administrator set it meanwhile.
    pub(crate) fn commit(&self, place: Place<'_>, offset: QueueOffset) {
        let Place { group, topic, queue } = place;
        self.resets.commit(place, || self.store.commit(group, topic, queue, offset));
    }

    /// Sets where a group goes on in queues of a topic; members that wait for messages there are told
    /// at once. Gives the position to wait for; `None` if one of that name was done before.
    pub(crate) fn reset_offsets(
        &self,
        topic: &Topic,
        order: &Order<'_>,
    ) -> Result<Option<u64>, StoreError> {
        let Some(((last, to), others)) = order.offsets.split_last() else {
            return Ok(None);
        };
        let Order { group, topic: name, .. } = *order;
        let done = self.resets.set(order, || {
            for (queue, to) in others {
                self.store.commit(group, name, *queue, *to);
            }
            self.store.commit_now(group, name, *last, *to, self.now_ms())
        })?;
        // Its next namesake would begin with the reset.
        if self.store.topic(name).is_none_or(|now| now.id() != topic.id()) {
            self.resets.forget_topic(name);
        }
        for queue in order.offsets.iter().filter_map(|(queue, _)| topic.queue(*queue)) {
            self.parked.arrived(queue_key(queue));
        }
        Ok(done)
    }

    fn added(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
        self.changed();
    }

    fn removed(&self) {
        let less = |made: usize| made.checked_sub(1);
        let _ = self.made.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.changed();
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells copies of the tables of topics and groups apart.
    pub(crate) fn data_version(&self) -> DataVersion {
        let counter = self.version.load(Ordering::Relaxed);
        DataVersion { counter, state_version: 0, timestamp: self.started_ms }
    }

    /// A version that nobody was told before.
    pub(crate) fn next_data_version(&self) -> DataVersion {
        self.changed();
        self.data_version()
    }

    /// A queue as clients name it.
    pub(crate) fn message_queue(&self, queue: &Queue) -> MessageQueue {
        MessageQueue {
            broker_name: self.config.name.clone(),
            queue_id: queue.id().cast_signed(),
            topic: queue.topic().to_owned(),
        }
    }

    /// How full the volume of the data directory is.
    pub(crate) fn disk(&self) -> Volume {
        self.config.disk()
    }

    /// Whether new sends and long waits are refused, because the broker is about to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// From now on sends are refused, and every parked pull is answered with what there is.
    pub(crate) fn stop_serving(&self) {
        self.stopping.store(true, Ordering::Release);
        self.parked.wake_all();
    }

    /// Forgets clients, locks and waits that nobody renewed.
    pub(crate) fn housekeeping(&self) {
        let now_ms = self.now_ms();
        for change in self.consumers.expire(now_ms) {
            notify_members(&change);
        }
        self.producers.expire(now_ms);
        self.locks.expire(now_ms);
        self.parked.forget(|peer| peer.is_closed());
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
