//! Administration of many topics and groups at once: lists of changes, and whole tables of settings.

use std::collections::BTreeMap;

use rocketkube_protocol::body::{
    Body, ConsumeTimeSpan, DataVersion, GroupConfigList, GroupList, SubscriptionGroupConfig,
    SubscriptionGroupTable, TopicConfig, TopicConfigList, TopicConfigTable,
};
use rocketkube_protocol::header::{
    AllGroupConfigAnswer, AllTopicConfigAnswer, DeleteTopicInNamesrv, GetAllGroupConfig,
    GetAllTopicConfig, GroupAndTopic, TopicName,
};
use rocketkube_protocol::{Command, NoHeader, RequestCode};

use crate::client::body;
use crate::{Admin, ClientError};

/// Entries asked for at once: some 100 KiB, so that an answer never holds up a connection.
const PART: i32 = 500;
/// How often a table may change while it is read before that is an error.
const RESTARTS: u32 = 10;

impl Admin {
    /// Creates topics on the broker at `addr`, or changes their settings; all of them, or none.
    /// Attributes are set, by their plain names; those that are not named stay.
    ///
    /// # Errors
    /// If the broker does not answer or refuses one of them.
    pub async fn set_topics(&self, addr: &str, topics: &[TopicConfig]) -> Result<(), ClientError> {
        let signed = |topic: &TopicConfig| {
            let set = |(name, value): (&String, &String)| (format!("+{name}"), value.clone());
            let attributes = topic.attributes.iter().map(set).collect();
            TopicConfig { attributes, ..topic.clone() }
        };
        let list = TopicConfigList { topic_config_list: topics.iter().map(signed).collect() };
        self.give(addr, RequestCode::UPDATE_AND_CREATE_TOPIC_LIST, &list).await
    }

    /// Creates consumer groups on the broker at `addr`, or changes their settings; all of them, or
    /// none.
    ///
    /// # Errors
    /// If the broker does not answer or refuses one of them.
    pub async fn set_groups(
        &self,
        addr: &str,
        groups: &[SubscriptionGroupConfig],
    ) -> Result<(), ClientError> {
        let list = GroupConfigList { group_config_list: groups.to_vec() };
        self.give(addr, RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, &list).await
    }

    /// The settings of all topics on the broker at `addr`, or `None` if they are still those of the
    /// version `known`. That takes one question and no list.
    ///
    /// # Errors
    /// If the broker does not answer, or its topics change without end.
    pub async fn topics_after(
        &self,
        addr: &str,
        known: Option<DataVersion>,
    ) -> Result<Option<TopicConfigTable>, ClientError> {
        self.table(addr, known).await
    }

    /// The settings of all consumer groups on the broker at `addr`, or `None` if they are still
    /// those of the version `known`.
    ///
    /// # Errors
    /// If the broker does not answer, or its groups change without end.
    pub async fn groups_after(
        &self,
        addr: &str,
        known: Option<DataVersion>,
    ) -> Result<Option<SubscriptionGroupTable>, ClientError> {
        self.table(addr, known).await
    }

    /// Deletes a topic with its messages on the broker at `addr`. One that is not there is deleted.
    ///
    /// # Errors
    /// If the broker does not answer or refuses.
    pub async fn delete_topic_at(&self, addr: &str, topic: &str) -> Result<(), ClientError> {
        let header = TopicName { topic: topic.into() };
        self.ask(addr, RequestCode::DELETE_TOPIC_IN_BROKER, &header).await?;
        self.client().forget_route(topic);
        Ok(())
    }

    /// Makes the name server at `addr` forget where a topic is in a cluster.
    ///
    /// # Errors
    /// If it does not answer or refuses.
    pub async fn delete_route(
        &self,
        addr: &str,
        cluster: &str,
        topic: &str,
    ) -> Result<(), ClientError> {
        let header = DeleteTopicInNamesrv { topic: topic.into(), cluster: Some(cluster.into()) };
        self.ask(addr, RequestCode::DELETE_TOPIC_IN_NAMESRV, &header).await.map(|_| ())
    }

    /// The groups that subscribe a topic on the broker at `addr`, or have committed offsets in it.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn groups_of(&self, addr: &str, topic: &str) -> Result<Vec<String>, ClientError> {
        let header = TopicName { topic: topic.into() };
        let list: GroupList =
            self.read(addr, RequestCode::QUERY_TOPIC_CONSUME_BY_WHO, &header).await?;
        Ok(list.group_list)
    }

    /// Between which times a group stands in the queues of a topic on the broker at `addr`, and for
    /// how long its next message has been waiting.
    ///
    /// # Errors
    /// If the broker does not answer, or does not have the topic.
    pub async fn time_span(
        &self,
        addr: &str,
        group: &str,
        topic: &str,
    ) -> Result<ConsumeTimeSpan, ClientError> {
        let header = GroupAndTopic { group: group.into(), topic: topic.into() };
        self.read(addr, RequestCode::QUERY_CONSUME_TIME_SPAN, &header).await
    }

    async fn give(
        &self,
        addr: &str,
        code: RequestCode,
        list: &impl Body,
    ) -> Result<(), ClientError> {
        let command = Command::request(code, &NoHeader).body(list.encode());
        self.client().ask(addr, command).await.map(|_| ())
    }

    /// Reads a table in parts, from its beginning again if it changes meanwhile.
    pub(crate) async fn table<T: Table>(
        &self,
        addr: &str,
        known: Option<DataVersion>,
    ) -> Result<Option<T>, ClientError> {
        let mut read = T::default();
        // Who knows everything asks for what comes behind it.
        let (mut from, mut version) = (known.map_or(0, |_| i32::MAX), known);
        let mut restarts = 0;
        loop {
            let text = version.map(|it| String::from_utf8_lossy(&it.encode()).into_owned());
            let answer = self.client().ask(addr, T::request(from, text.as_deref())).await?;
            let part: T = body(addr, T::CODE, &answer)?;
            let now = part.version();
            if known == Some(now) {
                return Ok(None);
            }
            if version != Some(now) {
                restarts += u32::from(version.is_some());
                read = T::default();
            }
            let before = read.len();
            version = Some(now);
            read.absorb(part);
            from = i32::try_from(read.len()).unwrap_or(i32::MAX);
            // Without a number, it is everything; and a server that gives nothing new has no more.
            if read.len() == before || T::total(&answer).is_none_or(|total| from >= total) {
                return Ok(Some(read));
            }
            if restarts > RESTARTS {
                return Err(ClientError::Unsettled { addr: addr.to_owned(), code: T::CODE });
            }
        }
    }
}

/// Settings by name that brokers give in parts.
pub(crate) trait Table: Body + Default {
    const CODE: RequestCode;
    fn request(from: i32, version: Option<&str>) -> Command;
    /// How many entries there are, if the answer is a part.
    fn total(answer: &Command) -> Option<i32>;
    fn version(&self) -> DataVersion;
    fn len(&self) -> usize;
    /// Adds a part, and becomes of its version.
    fn absorb(&mut self, part: Self);
}

impl Table for TopicConfigTable {
    const CODE: RequestCode = RequestCode::GET_ALL_TOPIC_CONFIG;

    fn request(from: i32, version: Option<&str>) -> Command {
        let header = GetAllTopicConfig {
            topic_seq: Some(from),
            data_version: version.map(Into::into),
            max_topics: Some(PART),
        };
        Command::request(Self::CODE, &header)
    }

    fn total(answer: &Command) -> Option<i32> {
        answer.header::<AllTopicConfigAnswer>().ok().map(|header| header.total)
    }

    fn version(&self) -> DataVersion {
        self.data_version
    }

    fn len(&self) -> usize {
        self.topic_config_table.len()
    }

    fn absorb(&mut self, part: Self) {
        self.data_version = part.data_version;
        join(&mut self.topic_config_table, part.topic_config_table);
    }
}

impl Table for SubscriptionGroupTable {
    const CODE: RequestCode = RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG;

    fn request(from: i32, version: Option<&str>) -> Command {
        let header = GetAllGroupConfig {
            group_seq: Some(from),
            data_version: version.map(Into::into),
            max_groups: Some(PART),
        };
        Command::request(Self::CODE, &header)
    }

    fn total(answer: &Command) -> Option<i32> {
        answer.header::<AllGroupConfigAnswer>().ok().map(|header| header.total)
    }

    fn version(&self) -> DataVersion {
        self.data_version
    }

    fn len(&self) -> usize {
        self.subscription_group_table.len()
    }

    fn absorb(&mut self, part: Self) {
        self.data_version = part.data_version;
        join(&mut self.forbidden_table, part.forbidden_table);
        join(&mut self.subscription_group_table, part.subscription_group_table);
    }
}

fn join<T>(all: &mut BTreeMap<String, T>, part: BTreeMap<String, T>) {
    if all.is_empty() {
        *all = part;
    } else {
        all.extend(part);
    }
}
