//! One worker for each `BrokerSet`: the only one who tells its masters about topics and groups.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::Api;
use rocketkube_client::protocol::names;
use rocketkube_crds::broker_set::GroupState;
use rocketkube_crds::{BrokerSet, ConsumerGroup, Topic};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{self, Instant};

use super::consent::{Labels, needs_labels};
use super::declared::Declared;
use super::joining::{self, Source};
use super::lag::Samples;
use super::masters::{Masters, Tables};
use super::offset_reset;
use super::own_names::OwnNames;
use super::pass::{Memory, Pass, Tally, pass};
use super::sampling;
use super::stores::{Guard, Known, Stores};
use super::verdict::Target;
use super::wire::Wire;
use super::write::{Writer, in_time};
use crate::{Context, Key, SyncReport, labels};

/// How often masters are asked whether something changed. A worker waits up to a tenth less, each as
/// much as its name says, so that not all ask at once.
const POLL: Duration = Duration::from_secs(30);
/// How often members and lag of groups are sampled.
const SAMPLE: Duration = Duration::from_secs(15);
/// How long changes are gathered before they are looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// How often a `BrokerSet` is told how many topics and groups it has: each time is a pass over it, and a
/// write.
const COUNT: Duration = Duration::from_secs(10);
/// How long labels of a namespace are believed.
const LABELS_AGE: Duration = Duration::from_secs(30);

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) context: Arc<Context>,
    pub(crate) stores: Stores,
    /// Bounds the requests to the API server that are under way at a time.
    pub(crate) permits: Semaphore,
}

/// Looks after one `BrokerSet` until nothing refers to it any more.
pub(crate) async fn work(shared: Arc<Shared>, key: Key, wake: Arc<Notify>) -> Key {
    let mut worker = Worker::new(shared, key);
    while let Some(due) = worker.turn().await {
        tokio::select! {
            () = time::sleep_until(due) => {}
            // Cancel-safe: a wake that nobody took stays.
            () = wake.notified() => time::sleep(GATHER).await,
        }
    }
    worker.key
}

struct Worker {
    shared: Arc<Shared>,
    key: Key,
    masters: Masters,
    memory: Remembered,
    labels: HashMap<String, Labels>,
    labels_read: Option<Instant>,
    next_sample: Instant,
    next_count: Instant,
    /// Whether the `BrokerSet` was last told other numbers.
    owes_count: bool,
}

/// What belongs to one `BrokerSet`, and not to another of its name.
#[derive(Default)]
struct Remembered {
    uid: Option<String>,
    topics: Memory<Topic>,
    groups: Memory<ConsumerGroup>,
    /// What was not taken by groups that join.
    refused_topics: BTreeSet<(i32, String)>,
    refused_groups: BTreeSet<(i32, String)>,
    samples: Samples,
}

/// The objects of one turn.
struct Objects {
    topics: Vec<Arc<Guard<Topic>>>,
    groups: Vec<Arc<Guard<ConsumerGroup>>>,
}

impl Worker {
    fn new(shared: Arc<Shared>, key: Key) -> Self {
        let term = shared.context.term.clone();
        Self {
            shared,
            key,
            masters: Masters::new(term),
            memory: Remembered::default(),
            labels: HashMap::new(),
            labels_read: None,
            next_sample: Instant::now(),
            next_count: Instant::now(),
            owes_count: false,
        }
    }

    /// Does what is to be done now, and says when to look again. `None`: nothing is left to look at.
    async fn turn(&mut self) -> Option<Instant> {
        let shared = Arc::clone(&self.shared);
        let objects = Objects {
            topics: shared.stores.topics.of(&self.key),
            groups: shared.stores.groups.of(&self.key),
        };
        let known = self.know(shared.stores.broker_set(&self.key), &objects).await;
        if matches!(known, Known::Missing) {
            shared.context.publish_sync(&self.key, None);
            shared.context.numbers.forget(&self.key);
            if objects.topics.is_empty() && objects.groups.is_empty() {
                return None;
            }
        }
        let target = Target::from(&known);
        self.owes_count = false;
        match target {
            Target::Present(set) if !set.spec.hibernate => {
                let uid = set.uid();
                if self.memory.uid != uid {
                    self.memory = Remembered { uid, ..Remembered::default() };
                    self.masters = Masters::new(shared.context.term.clone());
                }
                self.masters.follow(set);
                self.read_labels(set, &objects).await;
            }
            // Nobody is there to ask.
            _ => self.masters = Masters::new(shared.context.term.clone()),
        }
        self.masters.refresh().await;
        self.masters.listen().await;
        self.sample(&objects).await;
        let (topics, groups) = self.sync(target, &objects).await;
        if let Target::Present(set) = target {
            self.finish(set, &topics, &groups).await;
        }
        Some(self.due(&objects, &[topics.due, groups.due]))
    }

    /// Makes sure that a `BrokerSet` is missing before objects are let go for it: the cache may not
    /// have it yet.
    async fn know(&self, known: Known, objects: &Objects) -> Known {
        fn waits<D: Declared>(guard: &Guard<D>) -> bool {
            guard.0.as_ref().is_ok_and(|it| it.is_being_deleted() && it.has_finalizer())
        }
        let waits = objects.topics.iter().any(|guard| waits(guard))
            || objects.groups.iter().any(|guard| waits(guard));
        if !matches!(known, Known::Missing) || !waits {
            return known;
        }
        let api: Api<BrokerSet> = self.shared.context.api(&self.key.namespace);
        match in_time(api.get_opt(&self.key.name)).await {
            Ok(None) => Known::Missing,
            Ok(Some(set)) => Known::Present(Box::new(set)),
            Err(kube::Error::Api(status)) if status.code == 403 => Known::Forbidden,
            Err(error) => Known::Unreadable(error.to_string()),
        }
    }

    async fn read_labels(&mut self, set: &BrokerSet, objects: &Objects) {
        fn namespace<D: Declared>(guard: &Guard<D>) -> Option<String> {
            guard.0.as_ref().ok().and_then(kube::ResourceExt::namespace)
        }
        let mut wanted: BTreeSet<String> =
            objects.topics.iter().filter_map(|guard| namespace(guard)).collect();
        wanted.extend(objects.groups.iter().filter_map(|guard| namespace(guard)));
        wanted.retain(|namespace| needs_labels(set, namespace));
        if self.labels_read.is_some_and(|read| read.elapsed() >= LABELS_AGE) {
            self.labels.clear();
        }
        self.labels.retain(|namespace, _| wanted.contains(namespace));
        if wanted.iter().all(|namespace| self.labels.contains_key(namespace)) {
            return;
        }
        let api: Api<Namespace> = Api::all(self.shared.context.client.clone());
        for namespace in wanted {
            if self.labels.contains_key(&namespace) {
                continue;
            }
            let labels = match in_time(api.get_metadata(&namespace)).await {
                Ok(found) => Ok(found.labels().clone()),
                Err(kube::Error::Api(status)) if status.code == 403 => Err(format!(
                    "the operator has no right to get namespaces, which rbac.namespaces of its chart \
                     gives ({})",
                    status.message
                )),
                Err(error) => Err(error.to_string()),
            };
            self.labels.insert(namespace, labels);
        }
        self.labels_read = Some(Instant::now());
    }

    async fn sample(&mut self, objects: &Objects) {
        if self.next_sample > Instant::now() {
            return;
        }
        self.next_sample = Instant::now() + SAMPLE;
        let declared = || objects.groups.iter().filter_map(|guard| guard.0.as_ref().ok());
        let managed = declared().filter(|group| group.is_managed() && !group.is_being_deleted());
        let names = managed.map(|group| group.wire_name().to_owned()).collect();
        let sampled = sampling::sample(&mut self.masters, &names).await;
        let all = declared().map(|group| group.wire_name().to_owned()).collect();
        self.memory.samples.take(sampled, all);
        self.shared.context.numbers.lags(&self.key, self.memory.samples.iter());
    }

    async fn sync(&mut self, target: Target<'_>, objects: &Objects) -> (Tally, Tally) {
        let shared = &self.shared;
        let turn = Pass {
            key: &self.key,
            target,
            labels: &self.labels,
            samples: &self.memory.samples,
            writer: Writer { context: &shared.context, permits: &shared.permits },
        };
        let (masters, memory) = (&mut self.masters, &mut self.memory.topics);
        let topics = pass(&turn, masters, memory, &objects.topics).await;
        let memory = &mut self.memory.groups;
        let mut groups = pass(&turn, masters, memory, &objects.groups).await;
        let due = offset_reset::run(&turn, masters, memory, &objects.groups).await;
        groups.due = groups.due.into_iter().chain(due).min();
        (topics, groups)
    }

    /// Fills groups that join, and tells the controller of `BrokerSets` how it stands.
    async fn finish(&mut self, set: &BrokerSet, topics: &Tally, groups: &Tally) {
        let own = OwnNames::of(set, &self.masters);
        let source = Source::of(&self.masters);
        if let (Source::Group(source), false) = (source, labels::is_paused(set)) {
            let masters = &mut self.masters;
            let of_topics =
                |name: &str| topics.looked_after.contains(name) || Topic::is_own(name, &own);
            let of_groups = |name: &str| {
                groups.looked_after.contains(name) || ConsumerGroup::is_own(name, &own)
            };
            let memory = &mut self.memory;
            let mut told =
                joining::fill::<Topic>(masters, source, of_topics, &mut memory.refused_topics)
                    .await;
            told |= joining::fill::<ConsumerGroup>(
                masters,
                source,
                of_groups,
                &mut memory.refused_groups,
            )
            .await;
            if told {
                masters.refresh().await;
            }
        }
        let lacking = self.lacking(source, &own, topics, groups);
        let mut filled: BTreeSet<i32> = self.masters.reached().into_iter().collect();
        filled.retain(|index| !lacking.contains_key(index));
        let topics = topics.counts(self.unmanaged::<Topic>(|name| {
            topics.declared.contains(name) || Topic::is_own(name, &own) || is_of_a_group(name)
        }));
        let groups = groups.counts(self.unmanaged::<ConsumerGroup>(|name| {
            groups.declared.contains(name) || ConsumerGroup::is_own(name, &own)
        }));
        self.shared.context.numbers.counts(&self.key, topics, groups);
        let (uid, topics, consumer_groups) = (set.uid(), Some(topics), Some(groups));
        let hindered = self.masters.hindered();
        self.tell(SyncReport { uid, filled, lacking, hindered, topics, consumer_groups });
    }

    /// Tells the controller of `BrokerSets` at once what it waits for, and mere numbers after a while.
    fn tell(&mut self, report: SyncReport) {
        let (context, now) = (&self.shared.context, Instant::now());
        let told = context.sync.report(&self.key);
        let is_news = told.as_ref() != Some(&report);
        let same_groups = told.is_some_and(|told| {
            told.uid == report.uid
                && told.filled == report.filled
                && told.hindered == report.hindered
        });
        self.owes_count = is_news && same_groups && now < self.next_count;
        if is_news && !self.owes_count {
            self.next_count = now + COUNT;
            context.publish_sync(&self.key, Some(report));
        }
    }

    /// Groups that lack something which they are going to have before they take messages, with one
    /// such thing.
    fn lacking(
        &self,
        source: Source,
        own: &OwnNames,
        topics: &Tally,
        groups: &Tally,
    ) -> BTreeMap<i32, String> {
        let mut lacking = groups.lacking.clone();
        lacking.extend(topics.lacking.clone());
        match source {
            Source::Nothing => {}
            Source::Silent => {
                let joins =
                    self.masters.iter().filter(|(_, it)| it.state != Some(GroupState::Active));
                let why = "what the others have, of which none answers";
                lacking.extend(joins.map(|(index, _)| (index, why.to_owned())));
            }
            Source::Group(source) => {
                let memory = &self.memory;
                let of_topics =
                    |name: &str| topics.looked_after.contains(name) || Topic::is_own(name, own);
                let of_groups = |name: &str| {
                    groups.looked_after.contains(name) || ConsumerGroup::is_own(name, own)
                };
                let refused = (&memory.refused_topics, &memory.refused_groups);
                let groups =
                    joining::missing::<ConsumerGroup>(&self.masters, source, of_groups, refused.1);
                lacking.extend(groups.iter().map(first::<ConsumerGroup>));
                let topics = joining::missing::<Topic>(&self.masters, source, of_topics, refused.0);
                lacking.extend(topics.iter().map(first::<Topic>));
            }
        }
        lacking
    }

    /// How many names masters have that no object declares and no server made.
    fn unmanaged<D: Wire>(&self, is_known: impl Fn(&str) -> bool) -> usize {
        let tables = self.masters.iter().filter_map(|(_, master)| master.last_tables());
        let names = tables.flat_map(|tables: &Tables| D::table(tables).keys());
        names.filter(|name| !is_known(name)).collect::<BTreeSet<_>>().len()
    }

    fn due(&self, objects: &Objects, dues: &[Option<Instant>]) -> Instant {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let less = hasher.hash_one(&self.key) % u64::try_from(POLL.as_millis() / 10).unwrap_or(1);
        let poll = Instant::now() + POLL - Duration::from_millis(less);
        let sample =
            (!objects.groups.is_empty() && self.masters.all_reached()).then_some(self.next_sample);
        let count = self.owes_count.then_some(self.next_count);
        let all = dues.iter().copied().chain([self.masters.again(), sample, count]).flatten();
        all.fold(poll, Instant::min)
    }
}

/// Names one of the things that a group lacks.
fn first<D: Wire>((index, lacks): (&i32, &Vec<D::Settings>)) -> (i32, String) {
    let name = lacks.first().map(D::name_of).unwrap_or_default();
    (*index, format!("{} {name}", D::NOUN))
}

/// Topics for retries and dead letters come and go with their group.
fn is_of_a_group(topic: &str) -> bool {
    topic.starts_with(names::RETRY_PREFIX) || topic.starts_with(names::DLQ_PREFIX)
}
