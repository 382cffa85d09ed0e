//! The masters of one `BrokerSet`: a connection to each, and what each holds.
//!
//! A master that does not answer is asked again after a while that doubles, and said to be down once.
//! One that answers is asked for its version only, as long as nothing changed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use futures::future::join_all;
use rocketkube_client::protocol::body::{DataVersion, SubscriptionGroupConfig, TopicConfig};
use rocketkube_client::protocol::names;
use rocketkube_client::{Admin, Client, ClientError, ClientOptions};
use rocketkube_crds::BrokerSet;
use rocketkube_crds::broker_set::{GroupState, GroupStatus};
use rocketkube_service::logs::chain;
use tokio::time::Instant;
use tracing::{info, warn};

use super::changes::{ChangeError, Changes};
use super::hindrance::Heard;
use super::plan::{Held, Silence};
use super::wire::Wire;
use crate::Key;
use crate::context::Hindrance;
use crate::term::Term;

/// Where brokers answer clients and administrators.
const PORT: u16 = 10_911;
/// Most changes in one request.
pub(crate) const BATCH: usize = 500;
/// Most deletions that one master is asked for at a time: there is no request for several.
const DELETIONS: usize = 64;
/// First and longest pause before a master that did not answer is asked again. The first ones are
/// short: an address leads to a new pod a moment after its status says so.
const PAUSES: Range<Duration> = Duration::from_millis(250)..Duration::from_secs(8);
/// How long a master that had answered may be silent before objects say so: restarts are shorter.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often masters are asked what keeps clients away, at most.
const LISTEN: Duration = Duration::from_secs(25);
/// The same while something does, so that its end is noticed soon.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);
/// How long a master may take to connect, and to answer. Changes are answered when they are on disk.
const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(10));

/// What a master holds.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) topics: BTreeMap<String, TopicConfig>,
    pub(crate) groups: BTreeMap<String, SubscriptionGroupConfig>,
}

/// The master of one broker group.
#[derive(Debug)]
pub(crate) struct Master {
    /// Name of the broker group.
    pub(crate) name: String,
    pub(crate) state: Option<GroupState>,
    /// `None` until the group has an address.
    addr: Option<String>,
    tables: Tables,
    /// Versions that the tables are of. A master's topics and groups have one version together, so
    /// asking for that of its topics is enough.
    versions: Option<(DataVersion, DataVersion)>,
    failure: Option<Failure>,
    heard: Heard,
}

/// Why a master cannot be asked.
#[derive(Debug)]
struct Failure {
    words: String,
    since: Instant,
    again: Instant,
    /// From the next failure on.
    pause: Duration,
}

impl Master {
    /// What it holds, or why that is unknown.
    pub(crate) fn tables(&self) -> Result<&Tables, &str> {
        if let Some(failure) = &self.failure {
            return Err(&failure.words);
        }
        match (&self.addr, &self.versions) {
            (None, _) => Err("it has no address yet"),
            (_, None) => Err("it was not asked yet"),
            _ => Ok(&self.tables),
        }
    }

    /// What it held when it last answered, if it ever did.
    pub(crate) fn last_tables(&self) -> Option<&Tables> {
        self.versions.as_ref().map(|_| &self.tables)
    }

    fn silence<'a>(&self, why: &'a str) -> Silence<'a> {
        let since = self.failure.as_ref().map(|failure| failure.since);
        let is_brief =
            self.versions.is_some() && since.is_some_and(|since| since.elapsed() < PATIENCE);
        Silence { why, is_brief }
    }

    /// Its address, if it answers there.
    fn reached(&self) -> Option<&str> {
        self.addr.as_deref().filter(|_| self.tables().is_ok())
    }

    async fn refresh(&mut self, admin: &Admin, now: Instant) {
        if self.failure.as_ref().is_some_and(|failure| failure.again > now) {
            return;
        }
        let Some(addr) = self.addr.clone() else { return };
        match self.read(admin, &addr).await {
            Ok(()) => {
                if self.failure.take().is_some() {
                    info!(broker = self.name, "answers again");
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn read(&mut self, admin: &Admin, addr: &str) -> Result<(), ClientError> {
        let (topics, groups) = self.versions.unzip();
        let Some(table) = admin.topics_after(addr, topics).await? else { return Ok(()) };
        let topics = table.data_version;
        self.tables.topics = table.topic_config_table;
        // Until the groups are read too, the topics are of no version that could be asked for.
        self.versions = None;
        let groups = match admin.groups_after(addr, groups).await? {
            Some(table) => {
                self.tables.groups = table.subscription_group_table;
                table.data_version
            }
            None => groups.unwrap_or(topics),
        };
        self.versions = Some((topics, groups));
        Ok(())
    }

    /// Has it say what keeps clients away.
    async fn listen(&mut self, admin: &Admin, now: Instant) {
        let Some(addr) = self.reached() else { return };
        match admin.runtime_info(addr).await {
            Ok(info) => self.heard.take(&info, now),
            Err(ClientError::Refused { .. }) => self.heard = Heard::default(),
            Err(error) => self.failed(&error),
        }
    }

    /// Makes or changes many at once, and gives back what was refused.
    async fn put<D: Wire>(&mut self, changes: &Changes, settings: &[D::Settings]) -> Vec<Refused> {
        let Some(addr) = self.reached().map(str::to_owned) else { return Vec::new() };
        let mut refused = Vec::new();
        // In order: the last is taken first.
        let mut batches: Vec<&[D::Settings]> = settings.chunks(BATCH).rev().collect();
        while let Some(batch) = batches.pop() {
            let Err(error) = D::put(changes, &addr, batch).await else { continue };
            let Some(words) = error.refusal() else {
                self.not_told(&error);
                break;
            };
            let for_now = error.is_about_everything();
            if batch.len() > 1 && !for_now {
                // One of them is the reason, and the others shall not wait for it.
                let (first, second) = batch.split_at(batch.len() / 2);
                batches.extend([second, first]);
                continue;
            }
            let refusal = |it: &D::Settings| {
                let (name, words) = (D::name_of(it).to_owned(), words.clone());
                Refused { name, words, for_now }
            };
            refused.extend(batch.iter().map(refusal));
        }
        refused
    }

    /// Deletes these names, many at a time. Gives back what is left, and why.
    async fn delete<'n, D: Wire>(
        &mut self,
        changes: &Changes,
        names: Vec<&'n str>,
    ) -> Vec<(&'n str, String)> {
        let mut left = Vec::new();
        for part in names.chunks(DELETIONS) {
            let addr = match self.tables() {
                Ok(_) => self.addr.clone().unwrap_or_default(),
                Err(why) => {
                    left.extend(part.iter().map(|name| (*name, why.to_owned())));
                    continue;
                }
            };
            let asked = part.iter().map(|name| D::delete(changes, &addr, name));
            let mut silence = None;
            for (name, answer) in part.iter().zip(join_all(asked).await) {
                let Err(error) = answer else { continue };
                left.push((*name, error.refusal().unwrap_or_else(|| chain(&error))));
                if error.refusal().is_none() {
                    silence = Some(error);
                }
            }
            if let Some(error) = silence {
                self.not_told(&error);
            }
        }
        left
    }

    /// It is no fault of a master that nobody may tell it anything any more.
    fn not_told(&mut self, error: &ChangeError) {
        if let ChangeError::Client(error) = error {
            self.failed(error);
        }
    }

    fn failed(&mut self, error: &ClientError) {
        let now = Instant::now();
        let (since, pause) = if let Some(failure) = &self.failure {
            (failure.since, failure.pause)
        } else {
            warn!(broker = self.name, error = chain(error), "does not answer");
            (now, PAUSES.start)
        };
        let (words, next) = (chain(error), (pause * 2).min(PAUSES.end));
        self.failure = Some(Failure { words, since, again: now + pause, pause: next });
    }
}

/// A change that a broker refused, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Topic or group.
    pub(crate) name: String,
    pub(crate) words: String,
    /// Whether the broker refuses everything at the moment.
    pub(crate) for_now: bool,
}

/// All masters of a `BrokerSet`.
#[derive(Debug)]
pub(crate) struct Masters {
    admin: Admin,
    changes: Changes,
    all: BTreeMap<i32, Master>,
    /// What the groups were when they were last looked at.
    seen: Vec<GroupStatus>,
    next_listening: Instant,
}

impl Masters {
    pub(crate) fn new(term: Term) -> Self {
        let (connect_timeout, request_timeout) = TIMEOUTS;
        let client = Client::without_namesrv(ClientOptions { connect_timeout, request_timeout });
        let admin = Admin::new(client);
        Self {
            changes: Changes::new(admin.clone(), term),
            admin,
            all: BTreeMap::new(),
            seen: Vec::new(),
            next_listening: Instant::now(),
        }
    }

    /// To ask with; what changes something goes through [`Masters::changes`].
    pub(crate) fn admin(&self) -> &Admin {
        &self.admin
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Goes along with the status of a `BrokerSet`. What changed there may be that a master answers
    /// now, or soon, so all are asked at once, and their pauses are short again.
    pub(crate) fn follow(&mut self, set: &BrokerSet) {
        let groups = set.status.as_ref().map(|status| &*status.group_status).unwrap_or_default();
        if self.seen == groups {
            return;
        }
        groups.clone_into(&mut self.seen);
        let mut before = std::mem::take(&mut self.all);
        let mut moved = false;
        for group in groups {
            let addr = group.address.as_deref().and_then(address);
            let name = group.name.clone().unwrap_or_else(|| default_name(set, group.index));
            let same = before.remove(&group.index).filter(|master| master.addr == addr);
            moved |= same.is_none();
            let mut master = same.unwrap_or_else(|| Master {
                name,
                state: None,
                addr,
                tables: Tables::default(),
                versions: None,
                failure: None,
                heard: Heard::default(),
            });
            master.state = group.state;
            if let Some(failure) = &mut master.failure {
                (failure.again, failure.pause) = (Instant::now(), PAUSES.start);
            }
            self.all.insert(group.index, master);
        }
        // Connections to addresses that are no longer anybody's end with the client that made them.
        if moved || !before.is_empty() {
            let all = std::mem::take(&mut self.all);
            let seen = std::mem::take(&mut self.seen);
            *self = Self { all, seen, ..Self::new(self.changes.term().clone()) };
        }
    }

    /// Asks every master whether something changed, unless it is left alone for a while.
    pub(crate) async fn refresh(&mut self) {
        let now = Instant::now();
        let admin = &self.admin;
        join_all(self.all.values_mut().map(|master| master.refresh(admin, now))).await;
    }

    /// Has every master say what keeps clients away, unless it did a moment ago.
    pub(crate) async fn listen(&mut self) {
        let now = Instant::now();
        if now < self.next_listening {
            return;
        }
        let admin = &self.admin;
        join_all(self.all.values_mut().map(|master| master.listen(admin, now))).await;
        self.next_listening = now + if self.are_well() { LISTEN } else { LISTEN_AGAIN };
    }

    fn are_well(&self) -> bool {
        self.all.values().all(|master| master.reached().is_none() || master.heard.is_well())
    }

    /// What keeps clients from masters that answer.
    pub(crate) fn hindered(&self) -> BTreeMap<i32, Hindrance> {
        let hindered = |(index, master): (i32, &Master)| {
            master.reached().and_then(|_| master.heard.hindrance()).map(|it| (index, it))
        };
        self.iter().filter_map(hindered).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i32, &Master)> {
        self.all.iter().map(|(index, master)| (*index, master))
    }

    /// Indices of the masters that answer.
    pub(crate) fn reached(&self) -> Vec<i32> {
        let reached = self.iter().filter(|(_, master)| master.reached().is_some());
        reached.map(|(index, _)| index).collect()
    }

    pub(crate) fn addr(&self, index: i32) -> Option<&str> {
        self.all.get(&index).and_then(Master::reached)
    }

    pub(crate) fn all_reached(&self) -> bool {
        !self.all.is_empty() && self.all.values().all(|master| master.reached().is_some())
    }

    /// When masters that do not answer, or have no clients, are to be asked again.
    pub(crate) fn again(&self) -> Option<Instant> {
        let silent = self.all.values().filter_map(|it| it.failure.as_ref());
        let listening = (!self.are_well()).then_some(self.next_listening);
        silent.map(|failure| failure.again).chain(listening).min()
    }

    /// What the masters hold of a name.
    pub(crate) fn held<D: Wire>(&self, name: &str) -> Vec<Held<'_, D::Settings>> {
        let mut held = Vec::with_capacity(self.all.len());
        for (index, master) in self.iter() {
            let what = master.tables().map(|tables| D::table(tables).get(name));
            held.push(Held { index, what: what.map_err(|why| master.silence(why)) });
        }
        held
    }

    /// Gives each of these masters its settings. Gives back what they refused; what one did not take
    /// for another reason shows when it is asked what it has.
    pub(crate) async fn put<D: Wire>(
        &mut self,
        mut settings: BTreeMap<i32, Vec<D::Settings>>,
    ) -> BTreeMap<i32, Vec<Refused>> {
        let changes = &self.changes;
        let puts = self.all.iter_mut().filter_map(|(index, master)| {
            let settings = settings.remove(index)?;
            Some(async move { (*index, master.put::<D>(changes, &settings).await) })
        });
        join_all(puts).await.into_iter().collect()
    }

    /// Deletes these names on each of these masters. Gives back what is left, and why, in words for
    /// people.
    pub(crate) async fn delete<'n, D: Wire>(
        &mut self,
        mut names: BTreeMap<i32, Vec<&'n str>>,
    ) -> BTreeMap<i32, Vec<(&'n str, String)>> {
        let changes = &self.changes;
        let deletions = self.all.iter_mut().filter_map(|(index, master)| {
            let names = names.remove(index)?;
            Some(async move { (*index, master.delete::<D>(changes, names).await) })
        });
        join_all(deletions).await.into_iter().collect()
    }

    /// What is left to read in queues of a topic on one master; `None` if nothing is.
    ///
    /// A queue without messages has nothing. One with messages that no group reads has: a group
    /// that comes later may want them, and they go with time.
    pub(crate) async fn unread(
        &mut self,
        index: i32,
        topic: &str,
        queues: &Range<i32>,
    ) -> Option<String> {
        let Some(addr) = self.addr(index).map(str::to_owned) else {
            return Some("it does not answer".to_owned());
        };
        match unread(&self.admin, &addr, topic, queues).await {
            Ok(left) => left,
            Err(error) => {
                let text = refusal(&error).unwrap_or_else(|| {
                    self.failed(index, &error);
                    chain(&error)
                });
                Some(text)
            }
        }
    }

    pub(crate) fn not_told(&mut self, index: i32, error: &ChangeError) {
        if let Some(master) = self.all.get_mut(&index) {
            master.not_told(error);
        }
    }

    pub(crate) fn failed(&mut self, index: i32, error: &ClientError) {
        if let Some(master) = self.all.get_mut(&index) {
            master.failed(error);
        }
    }
}

async fn unread(
    admin: &Admin,
    addr: &str,
    topic: &str,
    queues: &Range<i32>,
) -> Result<Option<String>, ClientError> {
    let stats = admin.topic_stats(addr, topic).await?.offset_table.0;
    let has_messages = stats.iter().any(|(queue, offsets)| {
        queues.contains(&queue.queue_id) && offsets.max_offset > offsets.min_offset
    });
    if !has_messages {
        return Ok(None);
    }
    let which = format!("queues {} to {}", queues.start, queues.end - 1);
    let mut groups = admin.groups_of(addr, topic).await?;
    groups.retain(|group| !names::is_system_group(group));
    if groups.is_empty() {
        return Ok(Some(format!("{which} hold messages that no consumer group has read")));
    }
    for group in groups {
        let progress = admin.consume_stats(addr, &group, Some(topic)).await?.offset_table.0;
        let left = |offsets: &rocketkube_client::protocol::body::OffsetWrapper| {
            offsets.broker_offset.saturating_sub(offsets.consumer_offset).max(0)
        };
        let those = progress.iter().filter(|(queue, _)| queues.contains(&queue.queue_id));
        if those.map(|(_, offsets)| left(offsets)).sum::<i64>() > 0 {
            return Ok(Some(format!("{which} hold messages that {group} has not read")));
        }
    }
    Ok(None)
}

/// What a broker said that refused; `None` if it did not answer.
pub(crate) fn refusal(error: &ClientError) -> Option<String> {
    match error {
        ClientError::Refused { code, remark, .. } => Some(format!("{code} {remark}")),
        _ => None,
    }
}

/// Where a group's master is asked. The status names an address, to which its own port belongs.
fn address(text: &str) -> Option<String> {
    let given = text.parse::<SocketAddr>();
    let with_port = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    given.or(with_port).ok().map(|addr| addr.to_string())
}

fn default_name(set: &BrokerSet, index: i32) -> String {
    format!("{}-b{index}", Key::of(set).name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_master_is_an_address_and_no_name() {
        assert_eq!(address("10.96.0.7").as_deref(), Some("10.96.0.7:10911"));
        assert_eq!(address("fd00::7").as_deref(), Some("[fd00::7]:10911"));
        assert_eq!(address("127.0.0.1:4711").as_deref(), Some("127.0.0.1:4711"));
        assert_eq!(address("elsewhere.example.com"), None);
    }
}
