//! What a client says about itself (34, 46).

use serde::{Deserialize, Deserializer, Serialize};

use super::{Lenient, Named, json_bodies, lenient, named_elements, or_default};

wire_enum! {
    /// How a consumer gets its messages.
    ConsumeType {
        /// Push consumers, which pull in the background.
        Passively = "CONSUME_PASSIVELY",
        /// Pull consumers.
        Actively = "CONSUME_ACTIVELY",
        /// Consumers that lease.
        Pop = "CONSUME_POP",
    }
}

wire_enum! {
    /// Who of a group gets a message. Go clients write it in another case.
    MessageModel {
        /// One member.
        Clustering = "CLUSTERING",
        /// Every member.
        Broadcasting = "BROADCASTING",
    }
}

wire_enum! {
    /// Where a group without an offset begins.
    ConsumeFromWhere {
        /// Behind the last message.
        LastOffset = "CONSUME_FROM_LAST_OFFSET",
        /// At the first message.
        FirstOffset = "CONSUME_FROM_FIRST_OFFSET",
        /// At a time.
        Timestamp = "CONSUME_FROM_TIMESTAMP",
        /// Deprecated.
        LastOffsetMinFirst = "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
        /// Deprecated.
        MinOffset = "CONSUME_FROM_MIN_OFFSET",
        /// Deprecated.
        MaxOffset = "CONSUME_FROM_MAX_OFFSET",
    }
}

/// A subscription of a group to a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionData {
    /// Obsolete.
    #[serde(deserialize_with = "or_default")]
    pub class_filter_mode: bool,
    /// Hashes of the tags; Go clients send them as text.
    #[serde(deserialize_with = "codes")]
    pub code_set: Vec<i32>,
    /// `TAG` or `SQL92`; clients up to 4.1 do not send it.
    #[serde(deserialize_with = "expression_type")]
    pub expression_type: String,
    /// `*`, tags joined by `||`, or an SQL expression.
    #[serde(deserialize_with = "or_default")]
    pub sub_string: String,
    /// Grows with every change; milliseconds, of Go clients nanoseconds.
    #[serde(deserialize_with = "lenient")]
    pub sub_version: i64,
    /// Tags.
    #[serde(deserialize_with = "or_default")]
    pub tags_set: Vec<String>,
    /// Topic.
    #[serde(deserialize_with = "or_default")]
    pub topic: String,
}

impl Default for SubscriptionData {
    fn default() -> Self {
        Self {
            class_filter_mode: false,
            code_set: Vec::new(),
            expression_type: TAG.to_owned(),
            sub_string: String::new(),
            sub_version: 0,
            tags_set: Vec::new(),
            topic: String::new(),
        }
    }
}

/// Expression type of subscriptions by tag.
const TAG: &str = "TAG";

impl Named for SubscriptionData {
    fn name(&self) -> &str {
        &self.topic
    }
}

fn codes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i32>, D::Error> {
    let codes = Option::<Vec<Lenient<i32>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(codes.into_iter().map(|Lenient(code)| code).collect())
}

fn expression_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    Ok(name.filter(|name| !name.is_empty()).unwrap_or_else(|| TAG.to_owned()))
}

/// A consumer group of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    /// Where a group without an offset begins.
    pub consume_from_where: ConsumeFromWhere,
    /// How it gets its messages.
    pub consume_type: ConsumeType,
    /// Consumer group.
    #[serde(deserialize_with = "or_default")]
    pub group_name: String,
    /// Who of the group gets a message.
    pub message_model: MessageModel,
    /// What it subscribes, its retry topic included.
    #[serde(deserialize_with = "named_elements")]
    pub subscription_data_set: Vec<SubscriptionData>,
    /// Unit mode.
    #[serde(deserialize_with = "or_default")]
    pub unit_mode: bool,
}

impl Named for ConsumerData {
    fn name(&self) -> &str {
        &self.group_name
    }
}

/// A producer group of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    /// Producer group.
    #[serde(deserialize_with = "or_default")]
    pub group_name: String,
}

impl Named for ProducerData {
    fn name(&self) -> &str {
        &self.group_name
    }
}

/// Body of `HEART_BEAT` (34).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatData {
    /// `ip@instance`, the same for all groups of the client.
    #[serde(rename = "clientID", deserialize_with = "or_default")]
    pub client_id: String,
    /// Its consumer groups.
    #[serde(deserialize_with = "named_elements")]
    pub consumer_data_set: Vec<ConsumerData>,
    /// Hash of the subscriptions; 0 unless the client leaves out what did not change.
    #[serde(deserialize_with = "lenient")]
    pub heartbeat_fingerprint: i32,
    /// Its producer groups.
    #[serde(deserialize_with = "named_elements")]
    pub producer_data_set: Vec<ProducerData>,
    /// Whether subscriptions are left out because they did not change.
    #[serde(deserialize_with = "or_default")]
    pub without_sub: bool,
}

/// Body of `CHECK_CLIENT_CONFIG` (46).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckClientConfig {
    /// Client id.
    #[serde(deserialize_with = "or_default")]
    pub client_id: String,
    /// Consumer group.
    #[serde(deserialize_with = "or_default")]
    pub group: String,
    /// Namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The subscription to check.
    #[serde(deserialize_with = "or_default")]
    pub subscription_data: SubscriptionData,
}

json_bodies!(HeartbeatData, CheckClientConfig);
