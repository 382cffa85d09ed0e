//! Consumer groups with their settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DataVersion, Named, json_bodies, named_elements, or_default};

/// Settings of a consumer group on a broker.
#[expect(clippy::struct_excessive_bools, reason = "the wire has these members")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupConfig {
    /// Attributes; no key is defined so far.
    #[serde(deserialize_with = "or_default")]
    pub attributes: BTreeMap<String, String>,
    /// Broker to read from; 0 is the master.
    pub broker_id: i64,
    /// Whether members may consume as broadcast.
    pub consume_broadcast_enable: bool,
    /// Whether members may consume at all.
    pub consume_enable: bool,
    /// Historic.
    pub consume_from_min_enable: bool,
    /// Whether pop consumption is orderly.
    pub consume_message_orderly: bool,
    /// How long a message may take, in minutes.
    pub consume_timeout_minute: i32,
    /// Consumer group.
    #[serde(deserialize_with = "or_default")]
    pub group_name: String,
    /// How long failed messages wait; used by pop consumers.
    #[serde(deserialize_with = "or_default")]
    pub group_retry_policy: GroupRetryPolicy,
    /// System flags of the group.
    pub group_sys_flag: i32,
    /// Whether members are told of changes.
    pub notify_consumer_ids_changed_enable: bool,
    /// Tries after which a message is given up.
    pub retry_max_times: i32,
    /// Queues of the retry topic.
    pub retry_queue_nums: i32,
    /// What the group may subscribe; anything if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data_set: Option<Vec<SimpleSubscription>>,
    /// Broker to read from when consumption is slow.
    pub which_broker_when_consume_slowly: i64,
}

impl Default for SubscriptionGroupConfig {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: GroupRetryPolicy::default(),
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            subscription_data_set: None,
            which_broker_when_consume_slowly: 1,
        }
    }
}

impl Named for SubscriptionGroupConfig {
    fn name(&self) -> &str {
        &self.group_name
    }
}

wire_enum! {
    /// Which of the two policies is used.
    RetryPolicyType {
        /// A list of delays.
        Customized = "CUSTOMIZED",
        /// Delays that grow.
        Exponential = "EXPONENTIAL",
    }
}

/// How long failed messages of a group wait.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupRetryPolicy {
    /// A list of delays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customized_retry_policy: Option<CustomizedRetryPolicy>,
    /// Delays that grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponential_retry_policy: Option<ExponentialRetryPolicy>,
    /// Which of them.
    #[serde(rename = "type")]
    pub kind: RetryPolicyType,
}

/// A list of delays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomizedRetryPolicy {
    /// Delay of each try, in milliseconds.
    #[serde(deserialize_with = "or_default")]
    pub next: Vec<i64>,
}

/// Delays that grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExponentialRetryPolicy {
    /// First delay, in milliseconds.
    pub initial: i64,
    /// Longest delay, in milliseconds.
    pub max: i64,
    /// Factor from try to try.
    pub multiplier: i64,
}

impl Default for ExponentialRetryPolicy {
    fn default() -> Self {
        Self { initial: 5_000, max: 7_200_000, multiplier: 2 }
    }
}

/// What a group may subscribe.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SimpleSubscription {
    /// Text of the subscription.
    pub expression: String,
    /// `TAG` or `SQL92`.
    pub expression_type: String,
    /// Topic.
    pub topic: String,
    /// Version.
    pub version: i64,
}

/// Answer to `GET_ALL_SUBSCRIPTIONGROUP_CONFIG` (201). Go tools read it as standard JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupTable {
    /// Changes with every change of a group.
    #[serde(deserialize_with = "or_default")]
    pub data_version: DataVersion,
    /// Topics a group may not read: group, topic, permission bits.
    #[serde(deserialize_with = "or_default")]
    pub forbidden_table: BTreeMap<String, BTreeMap<String, i32>>,
    /// Groups by name.
    #[serde(deserialize_with = "or_default")]
    pub subscription_group_table: BTreeMap<String, SubscriptionGroupConfig>,
}

/// Body of `UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST` (225).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupConfigList {
    /// Groups to create or change.
    #[serde(deserialize_with = "named_elements")]
    pub group_config_list: Vec<SubscriptionGroupConfig>,
}

/// Names of groups: answer to `QUERY_TOPIC_CONSUME_BY_WHO` (300).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupList {
    /// Consumer groups.
    #[serde(deserialize_with = "or_default")]
    pub group_list: Vec<String>,
}

/// Answer to `UPDATE_AND_GET_GROUP_FORBIDDEN` (353).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupForbiddenAnswer {
    /// Consumer group.
    pub group: String,
    /// Whether it may read the topic.
    pub readable: bool,
    /// Topic.
    pub topic: String,
}

json_bodies!(
    SubscriptionGroupConfig,
    SubscriptionGroupTable,
    GroupConfigList,
    GroupList,
    GroupForbiddenAnswer
);
