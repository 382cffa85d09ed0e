//! A master in the test's own process: it speaks the admin protocol over a socket, keeps topics and
//! groups, and fails as the test says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use rocketkube_client::protocol::body::{
    Body, ConsumeStats, ConsumeTimeSpan, ConsumerConnection, DataVersion, GroupConfigList,
    GroupList, KvTable, MessageQueue, OffsetWrapper, QueueMap, QueueTimeSpan, ResetOffsetBody,
    SubscriptionGroupConfig, SubscriptionGroupTable, TopicConfig, TopicConfigList,
    TopicConfigTable, TopicOffset, TopicStatsTable,
};
use rocketkube_client::protocol::header::{
    AllGroupConfigAnswer, AllTopicConfigAnswer, ConsumerGroup, DeleteGroup, GetAllTopicConfig,
    GetConsumeStats, GroupAndTopic, ResetOffset, TopicName,
};
use rocketkube_client::protocol::{Command, Request, RequestCode, ResponseCode};
use rocketkube_remoting::{BatchEnd, Limits, Output, Peer, Server, Service};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What is wrong with a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It closes every connection that asks something.
    Closes,
    /// It does not answer.
    Hangs,
}

/// What a broker has and does.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) topics: BTreeMap<String, TopicConfig>,
    pub(crate) groups: BTreeMap<String, SubscriptionGroupConfig>,
    /// First and next offset by topic and queue.
    pub(crate) offsets: BTreeMap<(String, i32), (i64, i64)>,
    /// Committed offset by group, topic and queue.
    pub(crate) committed: BTreeMap<(String, String, i32), i64>,
    /// How long the next message of a group has waited, in milliseconds.
    pub(crate) delays: BTreeMap<(String, String), i64>,
    /// Client ids by group.
    pub(crate) members: BTreeMap<String, Vec<String>>,
    /// Resets that were done: group, topic, queue or -1, time or offset.
    pub(crate) resets: Vec<(String, String, i32, i64)>,
    /// Names of resets that were done.
    named_resets: BTreeSet<String>,
    /// Names that are refused, alone and in lists.
    pub(crate) refused: BTreeSet<String>,
    pub(crate) fault: Option<Fault>,
    /// What it says of itself; nothing, as brokers of others, if this is empty.
    pub(crate) info: BTreeMap<String, String>,
    /// Whether it refuses changes for now.
    pub(crate) busy: bool,
    /// Counts changes.
    version: i64,
    /// Codes of all requests.
    pub(crate) asked: Vec<RequestCode>,
    /// How many settings came in each list.
    pub(crate) lists: Vec<usize>,
}

impl State {
    /// As an administrator would, behind everybody's back.
    pub(crate) fn set_topic(&mut self, name: &str, queues: i32) {
        let config = TopicConfig {
            topic_name: name.to_owned(),
            write_queue_nums: queues,
            read_queue_nums: queues,
            ..TopicConfig::default()
        };
        self.topics.insert(name.to_owned(), config);
        self.version += 1;
    }

    pub(crate) fn edit_topic(&mut self, name: &str, edit: impl FnOnce(&mut TopicConfig)) {
        edit(self.topics.get_mut(name).expect("the topic is there"));
        self.version += 1;
    }

    pub(crate) fn remove_topic(&mut self, name: &str) {
        self.topics.remove(name);
        self.version += 1;
    }

    pub(crate) fn set_group(&mut self, name: &str) {
        let group_name = name.to_owned();
        let config = SubscriptionGroupConfig { group_name, ..SubscriptionGroupConfig::default() };
        self.groups.insert(name.to_owned(), config);
        self.version += 1;
    }

    /// A queue has messages from the first offset to before the next one.
    pub(crate) fn stored(&mut self, topic: &str, queue: i32, offsets: (i64, i64)) {
        self.offsets.insert((topic.to_owned(), queue), offsets);
    }

    /// A group has read up to an offset.
    pub(crate) fn read(&mut self, group: &str, topic: &str, queue: i32, offset: i64) {
        self.committed.insert((group.to_owned(), topic.to_owned(), queue), offset);
    }

    fn data_version(&self) -> DataVersion {
        DataVersion { counter: self.version, state_version: 0, timestamp: 1 }
    }

    fn answer(&mut self, request: &Request<'_>) -> Command {
        self.asked.push(request.code);
        match request.code {
            RequestCode::GET_ALL_TOPIC_CONFIG => self.all_topics(request),
            RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => self.all_groups(),
            RequestCode::UPDATE_AND_CREATE_TOPIC_LIST => self.put_topics(request),
            RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => self.put_groups(request),
            RequestCode::DELETE_TOPIC_IN_BROKER => {
                let header: TopicName<'_> = request.header().unwrap();
                self.remove_topic(&header.topic);
                done()
            }
            RequestCode::DELETE_SUBSCRIPTIONGROUP => {
                let header: DeleteGroup<'_> = request.header().unwrap();
                assert_eq!(header.clean_offset, Some(true));
                self.groups.remove(&*header.group);
                self.version += 1;
                done()
            }
            RequestCode::GET_BROKER_RUNTIME_INFO if !self.info.is_empty() => {
                done().body(KvTable { table: self.info.clone() }.encode())
            }
            RequestCode::GET_TOPIC_STATS_INFO => self.stats(request),
            RequestCode::QUERY_TOPIC_CONSUME_BY_WHO => self.consumed_by(request),
            RequestCode::GET_CONSUME_STATS => self.progress(request),
            RequestCode::GET_CONSUMER_CONNECTION_LIST => self.connections(request),
            RequestCode::QUERY_CONSUME_TIME_SPAN => self.time_span(request),
            RequestCode::INVOKE_BROKER_TO_RESET_OFFSET => self.reset(request),
            _ => refusal(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, "not here"),
        }
    }

    /// In parts, as brokers do.
    fn all_topics(&self, request: &Request<'_>) -> Command {
        let header: GetAllTopicConfig<'_> = request.header().unwrap();
        let known = header.data_version.map(|text| DataVersion::decode(text.as_bytes()).unwrap());
        let from = if known == Some(self.data_version()) { header.topic_seq.unwrap() } else { 0 };
        let from = usize::try_from(from).unwrap();
        let most = usize::try_from(header.max_topics.unwrap()).unwrap();
        let part = self.topics.iter().skip(from).take(most);
        let topic_config_table = part.map(|(name, it)| (name.clone(), it.clone())).collect();
        let data_version = self.data_version();
        let total = i32::try_from(self.topics.len()).unwrap();
        let answer = Command::request(RequestCode(0), &AllTopicConfigAnswer { total });
        answer.body(TopicConfigTable { data_version, topic_config_table }.encode())
    }

    fn all_groups(&self) -> Command {
        let total = i32::try_from(self.groups.len()).unwrap();
        let answer = Command::request(RequestCode(0), &AllGroupConfigAnswer { total });
        let table = SubscriptionGroupTable {
            data_version: self.data_version(),
            subscription_group_table: self.groups.clone(),
            ..SubscriptionGroupTable::default()
        };
        answer.body(table.encode())
    }

    fn put_topics(&mut self, request: &Request<'_>) -> Command {
        let list = TopicConfigList::decode(request.body).unwrap().topic_config_list;
        self.lists.push(list.len());
        if self.busy {
            return refusal(ResponseCode::SYSTEM_BUSY, "busy");
        }
        if let Some(bad) = list.iter().find(|it| self.refused.contains(&it.topic_name)) {
            return refusal(ResponseCode::INVALID_PARAMETER, &format!("no {}", bad.topic_name));
        }
        for mut topic in list {
            let before = self.topics.get(&topic.topic_name);
            let mut attributes = before.map(|it| it.attributes.clone()).unwrap_or_default();
            for (key, value) in std::mem::take(&mut topic.attributes) {
                attributes.insert(key.strip_prefix('+').unwrap().to_owned(), value);
            }
            self.topics.insert(topic.topic_name.clone(), TopicConfig { attributes, ..topic });
        }
        self.version += 1;
        done()
    }

    fn put_groups(&mut self, request: &Request<'_>) -> Command {
        let list = GroupConfigList::decode(request.body).unwrap().group_config_list;
        self.lists.push(list.len());
        if self.busy {
            return refusal(ResponseCode::SYSTEM_BUSY, "busy");
        }
        if let Some(bad) = list.iter().find(|it| self.refused.contains(&it.group_name)) {
            return refusal(ResponseCode::INVALID_PARAMETER, &format!("no {}", bad.group_name));
        }
        self.groups.extend(list.into_iter().map(|it| (it.group_name.clone(), it)));
        self.version += 1;
        done()
    }

    fn stats(&self, request: &Request<'_>) -> Command {
        let header: TopicName<'_> = request.header().unwrap();
        let of_it = self.offsets.iter().filter(|((topic, _), _)| *topic == *header.topic);
        let table = of_it.map(|((topic, id), (min_offset, max_offset))| {
            let (min_offset, max_offset) = (*min_offset, *max_offset);
            (queue(topic, *id), TopicOffset { min_offset, max_offset, ..TopicOffset::default() })
        });
        let stats = TopicStatsTable { offset_table: QueueMap(table.collect()), topic_put_tps: 0.0 };
        done().body(stats.encode())
    }

    fn consumed_by(&self, request: &Request<'_>) -> Command {
        let header: TopicName<'_> = request.header().unwrap();
        let of_it = self.committed.keys().filter(|(_, topic, _)| *topic == *header.topic);
        let groups: BTreeSet<String> = of_it.map(|(group, ..)| group.clone()).collect();
        done().body(GroupList { group_list: groups.into_iter().collect() }.encode())
    }

    fn progress(&self, request: &Request<'_>) -> Command {
        let header: GetConsumeStats<'_> = request.header().unwrap();
        let wanted = |topic: &str| header.topic.as_deref().is_none_or(|wanted| wanted == topic);
        let of_it = self
            .committed
            .iter()
            .filter(|((group, topic, _), _)| *group == *header.consumer_group && wanted(topic));
        let table = of_it.map(|((_, topic, id), consumer_offset)| {
            let end = self.offsets.get(&(topic.clone(), *id)).map_or(0, |offsets| offsets.1);
            let offsets = OffsetWrapper {
                broker_offset: end,
                consumer_offset: *consumer_offset,
                ..OffsetWrapper::default()
            };
            (queue(topic, *id), offsets)
        });
        let stats = ConsumeStats { consume_tps: 0.0, offset_table: QueueMap(table.collect()) };
        done().body(stats.encode())
    }

    fn connections(&self, request: &Request<'_>) -> Command {
        use rocketkube_client::protocol::body::Connection;
        let header: ConsumerGroup<'_> = request.header().unwrap();
        let Some(members) = self.members.get(&*header.consumer_group) else {
            return refusal(ResponseCode::CONSUMER_NOT_ONLINE, "nobody");
        };
        let connection =
            |id: &String| Connection { client_id: id.clone(), ..Connection::default() };
        let connection_set = members.iter().map(connection).collect();
        done().body(ConsumerConnection { connection_set, ..ConsumerConnection::default() }.encode())
    }

    fn reset(&mut self, request: &Request<'_>) -> Command {
        let header: ResetOffset<'_> = request.header().unwrap();
        if self.busy {
            return refusal(ResponseCode::SYSTEM_BUSY, "busy");
        }
        let (group, topic) = (header.group.to_string(), header.topic.to_string());
        if self.refused.contains(&topic) || !self.groups.contains_key(&group) {
            return refusal(ResponseCode::INVALID_PARAMETER, &format!("no {topic}"));
        }
        let is_new = header.request_id.is_none_or(|id| self.named_resets.insert(id.into_owned()));
        if is_new {
            let queue = header.queue_id.unwrap_or(-1);
            let to = header.offset.unwrap_or(header.timestamp);
            for ((of, id), (first, next)) in &self.offsets {
                if *of == topic && (queue < 0 || queue == *id) {
                    let at = if queue >= 0 {
                        to
                    } else if to < 0 {
                        *next
                    } else {
                        *first
                    };
                    self.committed.insert((group.clone(), topic.clone(), *id), at);
                }
            }
            self.resets.push((group, topic, queue, to));
        }
        done().body(ResetOffsetBody::default().encode())
    }

    fn time_span(&self, request: &Request<'_>) -> Command {
        let header: GroupAndTopic<'_> = request.header().unwrap();
        let key = (header.group.to_string(), header.topic.to_string());
        let delay_time = self.delays.get(&key).copied().unwrap_or_default();
        let span = QueueTimeSpan { delay_time, ..QueueTimeSpan::default() };
        done().body(ConsumeTimeSpan { consume_time_span_set: vec![span] }.encode())
    }
}

fn queue(topic: &str, id: i32) -> MessageQueue {
    MessageQueue { topic: topic.to_owned(), queue_id: id, ..MessageQueue::default() }
}

fn done() -> Command {
    Command::default()
}

fn refusal(code: ResponseCode, remark: &str) -> Command {
    Command { code: code.0, remark: Some(remark.to_owned()), ..Command::default() }
}

struct Broker(Arc<Mutex<State>>);

impl Service for Broker {
    type Session = Arc<Peer>;

    fn connected(&self, peer: &Arc<Peer>) -> Arc<Peer> {
        Arc::clone(peer)
    }

    fn request(&self, peer: &mut Arc<Peer>, request: Request<'_>, out: &mut Output) {
        let mut state = self.0.lock();
        let answer = match state.fault {
            Some(Fault::Closes) => return peer.close(),
            Some(Fault::Hangs) => return,
            None => state.answer(&request),
        };
        let answer = Command { opaque: request.opaque, flag: 1, ..answer };
        answer.encode_into(out.buffer()).unwrap();
    }

    fn end_of_batch(&self, _: &mut Arc<Peer>, _: &mut Output) -> BatchEnd {
        BatchEnd::Done
    }

    fn disconnected(&self, _: Arc<Peer>) {}
}

/// A master that runs; it ends with its handle.
pub(crate) struct Master {
    pub(crate) addr: String,
    pub(crate) state: Arc<Mutex<State>>,
    stop: CancellationToken,
    _serving: JoinHandle<()>,
}

impl Master {
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_at(addr: SocketAddr) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let stop = CancellationToken::new();
        let service = Arc::new(Broker(Arc::clone(&state)));
        let server = Server::bind(&[addr], service, Limits::default(), stop.clone()).unwrap();
        let addr = server.local_addrs().unwrap()[0].to_string();
        Self { addr, state, stop, _serving: tokio::spawn(server.run()) }
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock())
    }

    /// Queues to write to and to read from, and what clients may do.
    pub(crate) fn shape(&self, topic: &str) -> Option<(i32, i32, i32)> {
        let shape = |it: &TopicConfig| (it.write_queue_nums, it.read_queue_nums, it.perm);
        self.with(|state| state.topics.get(topic).map(shape))
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
