//! Topics with their settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BodyError, Named, json_bodies, named_elements, or_default, to_json};

wire_enum! {
    /// How many tags a message of a topic may have; historic.
    FilterType {
        /// One.
        SingleTag = "SINGLE_TAG",
        /// Several.
        MultiTag = "MULTI_TAG",
    }
}

/// A version of a set of settings. Two are equal if all three numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    /// Counts changes. Go clients read it as 32 bits.
    pub counter: i64,
    /// Counts changes of the master.
    pub state_version: i64,
    /// When it changed, in milliseconds.
    pub timestamp: i64,
}

/// Settings of a topic on a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfig {
    /// Attributes by their plain names; the dashboard fails if they are missing.
    #[serde(deserialize_with = "or_default")]
    pub attributes: BTreeMap<String, String>,
    /// Whether the topic is ordered.
    pub order: bool,
    /// See [`perm`](super::perm).
    pub perm: i32,
    /// Queues to read from.
    pub read_queue_nums: i32,
    /// Historic.
    pub topic_filter_type: FilterType,
    /// Topic.
    #[serde(deserialize_with = "or_default")]
    pub topic_name: String,
    /// System flags: 1 unit, 2 unit subscribers.
    pub topic_sys_flag: i32,
    /// Queues to write to.
    pub write_queue_nums: i32,
}

/// Java's defaults: 16 queues, readable and writable.
impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            order: false,
            perm: 6,
            read_queue_nums: 16,
            topic_filter_type: FilterType::SingleTag,
            topic_name: String::new(),
            topic_sys_flag: 0,
            write_queue_nums: 16,
        }
    }
}

impl Named for TopicConfig {
    fn name(&self) -> &str {
        &self.topic_name
    }
}

impl TopicConfig {
    /// The text form of compressed registrations: name, queues, permission, filter type and
    /// attributes, separated by spaces.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{} {} {} {} {}",
            self.topic_name,
            self.read_queue_nums,
            self.write_queue_nums,
            self.perm,
            self.topic_filter_type.name()
        );
        if !self.attributes.is_empty() {
            text.push(' ');
            text.push_str(&String::from_utf8_lossy(&to_json(&self.attributes)));
        }
        text
    }

    /// Reads the text form; attributes are missing in that of 4.x.
    ///
    /// # Errors
    /// If it has fewer than five parts, or a number is none.
    pub fn from_text(text: &str) -> Result<Self, BodyError> {
        let unreadable = || BodyError::TopicText { text: text.chars().take(64).collect() };
        let parts: Vec<&str> = text.splitn(6, ' ').collect();
        let [name, read, write, perm, filter, rest @ ..] = &*parts else {
            return Err(unreadable());
        };
        let number = |text: &str| text.parse().map_err(|_| unreadable());
        let attributes = match rest.first() {
            Some(json) => super::from_json::<Option<_>>(json.as_bytes())?.unwrap_or_default(),
            None => BTreeMap::new(),
        };
        Ok(Self {
            attributes,
            order: false,
            perm: number(perm)?,
            read_queue_nums: number(read)?,
            topic_filter_type: FilterType::from_name(filter).ok_or_else(unreadable)?,
            topic_name: (*name).to_owned(),
            topic_sys_flag: 0,
            write_queue_nums: number(write)?,
        })
    }
}

/// All topics of a broker: answer to `GET_ALL_TOPIC_CONFIG` (21), part of registrations.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigTable {
    /// Changes with every change of a topic.
    #[serde(deserialize_with = "or_default")]
    pub data_version: DataVersion,
    /// Topics by name.
    #[serde(deserialize_with = "or_default")]
    pub topic_config_table: BTreeMap<String, TopicConfig>,
}

/// Body of `UPDATE_AND_CREATE_TOPIC_LIST` (18); attributes carry their sign here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigList {
    /// Topics to create or change.
    #[serde(deserialize_with = "named_elements")]
    pub topic_config_list: Vec<TopicConfig>,
}

/// Names of topics.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicList {
    /// Some broker, in the answer to 304.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
    /// Topics.
    #[serde(deserialize_with = "or_default")]
    pub topic_list: Vec<String>,
}

json_bodies!(DataVersion, TopicConfig, TopicConfigTable, TopicConfigList, TopicList);
