//! Where topics are (105), and which brokers there are (106, 901).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BodyError, from_json, json_bodies, or_default, to_json};
use crate::fastjson;
use crate::peer::version;

/// Permission bits of a topic or its queues. Source: `PermName` of Apache RocketMQ.
pub mod perm {
    /// New topics take over the settings of this one.
    pub const INHERIT: i32 = 1;
    /// May be written.
    pub const WRITE: i32 = 2;
    /// May be read.
    pub const READ: i32 = 4;
    /// Historic.
    pub const PRIORITY: i32 = 8;
}

/// Queues of a topic on one broker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueData {
    /// Name of the replication group.
    pub broker_name: String,
    /// See [`perm`].
    pub perm: i32,
    /// Consumers read queues 0 up to this.
    pub read_queue_nums: i32,
    /// System flags of the topic.
    pub topic_sys_flag: i32,
    /// Producers write queues 0 up to this.
    pub write_queue_nums: i32,
}

/// Addresses of a replication group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerData {
    /// `ip:port` by broker id; 0 is the master.
    pub broker_addrs: BTreeMap<i64, String>,
    /// Name of the replication group.
    pub broker_name: String,
    /// Cluster.
    pub cluster: String,
    /// Whether a replica may answer for a lost master.
    pub enable_acting_master: bool,
    /// Zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<String>,
}

/// Answer to `GET_ROUTEINFO_BY_TOPIC` (105), body of `REGISTER_TOPIC_IN_NAMESRV` (217).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicRouteData {
    /// Brokers that have the topic.
    #[serde(deserialize_with = "or_default")]
    pub broker_datas: Vec<BrokerData>,
    /// Obsolete; always empty, but Java wants the member.
    #[serde(deserialize_with = "or_default")]
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    /// `broker:queues` joined by `;`: from it producers make the queue list of an ordered topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    /// Its queues on each of them.
    #[serde(deserialize_with = "or_default")]
    pub queue_datas: Vec<QueueData>,
}

/// In which JSON a route is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteForm {
    /// With bare broker ids: all that Go clients before their fix read.
    BareKeys,
    /// Standard JSON.
    Standard,
}

impl RouteForm {
    /// The form for a client of this version that sent this field: as the Java name server does,
    /// standard for 4.9.4 and later, and for whoever asks for it.
    pub fn for_client(version: i32, accept_standard_json_only: Option<bool>) -> Self {
        if version >= version::V4_9_4 || accept_standard_json_only == Some(true) {
            Self::Standard
        } else {
            Self::BareKeys
        }
    }
}

impl TopicRouteData {
    /// Reads a route in either form.
    ///
    /// # Errors
    /// If the bytes are no route.
    pub fn decode(bytes: &[u8]) -> Result<Self, BodyError> {
        from_json(bytes)
    }

    /// Compact JSON: Go clients cut the addresses out of the text.
    pub fn encode(&self, form: RouteForm) -> Vec<u8> {
        match form {
            RouteForm::BareKeys => fastjson::to_vec(self),
            RouteForm::Standard => to_json(self),
        }
    }
}

/// Answer to `GET_BROKER_CLUSTER_INFO` (106).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInfo {
    /// Replication groups by name.
    #[serde(deserialize_with = "or_default")]
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// Names of replication groups by cluster.
    #[serde(deserialize_with = "or_default")]
    pub cluster_addr_table: BTreeMap<String, Vec<String>>,
}

/// Members of a replication group, in the answer to `GET_BROKER_MEMBER_GROUP` (901).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MemberGroup {
    /// `ip:port` by broker id.
    pub broker_addrs: BTreeMap<i64, String>,
    /// Name of the replication group.
    pub broker_name: String,
    /// Cluster.
    pub cluster: String,
}

/// Answer to `GET_BROKER_MEMBER_GROUP` (901).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MemberGroupAnswer {
    /// The group.
    pub broker_member_group: MemberGroup,
}

json_bodies!(ClusterInfo, MemberGroupAnswer);
