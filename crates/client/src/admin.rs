//! Administration: topics, groups, brokers, and finding messages.

use std::collections::{BTreeMap, BTreeSet};

use rocketkube_protocol::body::{
    Body, ClusterInfo, ConsumeStats, ConsumerConnection, KvTable, SubscriptionGroupConfig,
    SubscriptionGroupTable, TopicConfig, TopicConfigTable, TopicList, TopicStatsTable, perm,
};
use rocketkube_protocol::header::{
    ConsumerGroup, CreateTopic, DeleteGroup, GetConsumeStats, QueryMessage, TopicName, ViewMessage,
};
use rocketkube_protocol::names::DEFAULT_TOPIC;
use rocketkube_protocol::{
    Command, Header, NoHeader, OffsetMessageId, RequestCode, ResponseCode, UniqueId,
};

use crate::client::body;
use crate::pull::received;
use crate::{Client, ClientError, Received};

/// Settings of a topic on a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// Queues producers write to. Default 8.
    pub write_queues: i32,
    /// Queues consumers read. Default 8.
    pub read_queues: i32,
    /// See [`perm`]. Default readable and writable.
    pub perm: i32,
    /// Attributes, such as `message.type`.
    pub attributes: BTreeMap<String, String>,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            write_queues: 8,
            read_queues: 8,
            perm: perm::READ | perm::WRITE,
            attributes: BTreeMap::new(),
        }
    }
}

/// Changes and asks brokers and name servers.
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
}

impl Admin {
    /// An administrator.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client it asks with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// All brokers, by cluster and name.
    ///
    /// # Errors
    /// If no name server answers.
    pub async fn cluster_info(&self) -> Result<ClusterInfo, ClientError> {
        let code = RequestCode::GET_BROKER_CLUSTER_INFO;
        let answer = self.client.ask_namesrv(Command::request(code, &NoHeader)).await?;
        body("name server", code, &answer)
    }

    /// The addresses of all masters of a cluster, or of all clusters.
    ///
    /// # Errors
    /// If no name server answers.
    pub async fn masters(&self, cluster: Option<&str>) -> Result<Vec<String>, ClientError> {
        let brokers = self.cluster_info().await?.broker_addr_table.into_values();
        let chosen = brokers.filter(|broker| cluster.is_none_or(|name| name == broker.cluster));
        Ok(chosen.filter_map(|mut broker| broker.broker_addrs.remove(&0)).collect())
    }

    /// The names of all topics, system topics included, sorted.
    ///
    /// # Errors
    /// If no name server answers.
    pub async fn topics(&self) -> Result<Vec<String>, ClientError> {
        let code = RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
        let answer = self.client.ask_namesrv(Command::request(code, &NoHeader)).await?;
        let mut list: TopicList = body("name server", code, &answer)?;
        list.topic_list.sort();
        Ok(list.topic_list)
    }

    /// Creates a topic on the broker at `addr`, or changes its settings.
    ///
    /// # Errors
    /// If the broker does not answer or refuses.
    pub async fn set_topic(
        &self,
        addr: &str,
        topic: &str,
        settings: &TopicSettings,
    ) -> Result<(), ClientError> {
        let attributes: Vec<_> =
            settings.attributes.iter().map(|(name, value)| format!("+{name}={value}")).collect();
        let header = CreateTopic {
            topic: topic.into(),
            default_topic: DEFAULT_TOPIC.into(),
            read_queues: settings.read_queues,
            write_queues: settings.write_queues,
            perm: settings.perm,
            filter_type: "SINGLE_TAG".into(),
            topic_sys_flag: Some(0),
            order: false,
            attributes: (!attributes.is_empty()).then(|| attributes.join(",").into()),
            force: None,
        };
        self.ask(addr, RequestCode::UPDATE_AND_CREATE_TOPIC, &header).await?;
        self.client.forget_route(topic);
        Ok(())
    }

    /// The settings of a topic on the broker at `addr`.
    ///
    /// # Errors
    /// If the broker does not answer, or does not have the topic (`TOPIC_NOT_EXIST`).
    pub async fn topic(&self, addr: &str, topic: &str) -> Result<TopicConfig, ClientError> {
        let header = TopicName { topic: topic.into() };
        self.read(addr, RequestCode::GET_TOPIC_CONFIG, &header).await
    }

    /// The settings of all topics on the broker at `addr`.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn topic_table(&self, addr: &str) -> Result<TopicConfigTable, ClientError> {
        Ok(self.table(addr, None).await?.unwrap_or_default())
    }

    /// Deletes a topic with all its messages from the brokers of a cluster, then from the name
    /// servers.
    ///
    /// # Errors
    /// If a broker or name server does not answer; the rest has been done then, and doing it again
    /// is harmless.
    pub async fn delete_topic(&self, cluster: &str, topic: &str) -> Result<(), ClientError> {
        let mut result = Ok(());
        for addr in self.masters(Some(cluster)).await? {
            result = result.and(self.delete_topic_at(&addr, topic).await);
        }
        for addr in self.client.namesrv() {
            result = result.and(self.delete_route(addr, cluster, topic).await);
        }
        self.client.forget_route(topic);
        result
    }

    /// First and last offsets of a topic's queues on the broker at `addr`.
    ///
    /// # Errors
    /// If the broker does not answer, or does not have the topic.
    pub async fn topic_stats(
        &self,
        addr: &str,
        topic: &str,
    ) -> Result<TopicStatsTable, ClientError> {
        let header = TopicName { topic: topic.into() };
        self.read(addr, RequestCode::GET_TOPIC_STATS_INFO, &header).await
    }

    /// The settings of all consumer groups on the broker at `addr`.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn groups(&self, addr: &str) -> Result<SubscriptionGroupTable, ClientError> {
        Ok(self.table(addr, None).await?.unwrap_or_default())
    }

    /// Creates a consumer group on the broker at `addr`, or changes its settings.
    ///
    /// # Errors
    /// If the broker does not answer or refuses.
    pub async fn set_group(
        &self,
        addr: &str,
        settings: &SubscriptionGroupConfig,
    ) -> Result<(), ClientError> {
        let code = RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
        let command = Command::request(code, &NoHeader).body(settings.encode());
        self.client.ask(addr, command).await.map(|_| ())
    }

    /// Deletes a consumer group on the broker at `addr`, and with `offsets` what it has committed.
    ///
    /// # Errors
    /// If the broker does not answer or refuses.
    pub async fn delete_group(
        &self,
        addr: &str,
        group: &str,
        offsets: bool,
    ) -> Result<(), ClientError> {
        let header = DeleteGroup { group: group.into(), clean_offset: Some(offsets) };
        self.ask(addr, RequestCode::DELETE_SUBSCRIPTIONGROUP, &header).await.map(|_| ())
    }

    /// How far a group is in a topic, or in all its topics, on the broker at `addr`.
    ///
    /// # Errors
    /// If the broker does not answer, or nobody of the group is known.
    pub async fn consume_stats(
        &self,
        addr: &str,
        group: &str,
        topic: Option<&str>,
    ) -> Result<ConsumeStats, ClientError> {
        let header = GetConsumeStats {
            consumer_group: group.into(),
            topic: topic.map(Into::into),
            topics: None,
        };
        self.read(addr, RequestCode::GET_CONSUME_STATS, &header).await
    }

    /// The members of a group that the broker at `addr` knows.
    ///
    /// # Errors
    /// If the broker does not answer, or there are none (`CONSUMER_NOT_ONLINE`).
    pub async fn members(
        &self,
        addr: &str,
        group: &str,
    ) -> Result<ConsumerConnection, ClientError> {
        let header = ConsumerGroup { consumer_group: group.into() };
        self.read(addr, RequestCode::GET_CONSUMER_CONNECTION_LIST, &header).await
    }

    /// What the broker at `addr` says about itself.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn runtime_info(&self, addr: &str) -> Result<BTreeMap<String, String>, ClientError> {
        let table: KvTable =
            self.read(addr, RequestCode::GET_BROKER_RUNTIME_INFO, &NoHeader).await?;
        Ok(table.table)
    }

    /// Finds a message by its offset id, which names the broker, or by its unique id.
    ///
    /// # Errors
    /// If `id` is neither, or there is no such message.
    pub async fn message(&self, topic: &str, id: &str) -> Result<Received, ClientError> {
        let not_found = || ClientError::MessageId { id: id.to_owned() };
        // Of equal length in IPv4, so the one that names a known broker is tried first.
        if let Ok(offset_id) = OffsetMessageId::parse(id)
            && self.knows(&offset_id.broker.to_string()).await?
        {
            return self.message_at(topic, &offset_id).await;
        }
        UniqueId::parse(id).map_err(|_| not_found())?;
        let found = self.query(topic, id, true, 32, 0, i64::MAX).await?;
        found.into_iter().find(|message| message.unique_id() == Some(id)).ok_or_else(not_found)
    }

    /// Finds the messages of a topic that have a key, stored between two times in milliseconds of
    /// the epoch, on all its brokers; at most `max` of each.
    ///
    /// # Errors
    /// If the topic is unknown, or no broker of it answers.
    pub async fn messages_by_key(
        &self,
        topic: &str,
        key: &str,
        max: i32,
        begin_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<Received>, ClientError> {
        let mut found = self.query(topic, key, false, max, begin_ms, end_ms).await?;
        // Brokers find keys by their hash.
        found.retain(|message| message.properties().keys().any(|it| it == key));
        Ok(found)
    }

    async fn query(
        &self,
        topic: &str,
        key: &str,
        unique: bool,
        max: i32,
        begin_timestamp: i64,
        end_timestamp: i64,
    ) -> Result<Vec<Received>, ClientError> {
        let header = QueryMessage {
            topic: topic.into(),
            key: key.into(),
            max_messages: max,
            begin_timestamp,
            end_timestamp,
            is_unique_key: Some(unique),
            ..QueryMessage::default()
        };
        let route = self.client.route(topic).await?;
        let mut found = Vec::new();
        for broker in route.brokers() {
            let addr = route.member(broker, 0)?;
            match self.ask(addr, RequestCode::QUERY_MESSAGE, &header).await {
                Ok(answer) => found.extend(received(addr, &answer.body)?),
                Err(error) if error.code() == Some(ResponseCode::QUERY_NOT_FOUND) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn message_at(&self, topic: &str, id: &OffsetMessageId) -> Result<Received, ClientError> {
        let header = ViewMessage {
            topic: Some(topic.into()),
            physical_offset: i64::try_from(id.physical_offset).unwrap_or(i64::MAX),
        };
        let addr = id.broker.to_string();
        let answer = self.ask(&addr, RequestCode::VIEW_MESSAGE_BY_ID, &header).await?;
        let message = received(&addr, &answer.body)?.into_iter().next();
        message.ok_or_else(|| ClientError::MessageId { id: id.to_string() })
    }

    /// Whether an address is one of a broker the name servers know: an id from somewhere must not
    /// make this client connect anywhere.
    async fn knows(&self, addr: &str) -> Result<bool, ClientError> {
        let brokers = self.cluster_info().await?.broker_addr_table;
        let known: BTreeSet<_> = brokers.values().flat_map(|it| it.broker_addrs.values()).collect();
        Ok(known.into_iter().any(|known| known == addr))
    }

    pub(crate) async fn ask<'h>(
        &self,
        addr: &str,
        code: RequestCode,
        header: &impl Header<'h>,
    ) -> Result<Command, ClientError> {
        self.client.ask(addr, Command::request(code, header)).await
    }

    pub(crate) async fn read<'h, B: Body>(
        &self,
        addr: &str,
        code: RequestCode,
        header: &impl Header<'h>,
    ) -> Result<B, ClientError> {
        body(addr, code, &self.ask(addr, code, header).await?)
    }
}
