//! Where a consumer group is to go on in a topic, and what became of that.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sets where a group goes on in one topic: once for each requestID.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("has(self.timestamp) == (self.to == 'Timestamp')")
        .message("offsetReset needs a timestamp with to: Timestamp, and takes none otherwise"),
    Rule::new("has(self.offset) == (self.to == 'Offset')")
        .message("offsetReset needs an offset with to: Offset, and takes none otherwise"),
    Rule::new("self.requestID != oldSelf.requestID || self == oldSelf")
        .message("what a requestID of offsetReset asks for cannot be changed; write another requestID"),
]))]
pub struct OffsetReset {
    /// Names this reset. It is done once; to ask for another one, write another name. The last 32
    /// are remembered, also when the field is taken away and comes back.
    #[serde(rename = "requestID")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    )]
    pub request_id: String,
    /// Topic in which the group goes on elsewhere, as clients name it.
    #[schemars(length(min = 1, max = 255), regex(pattern = "^[%A-Za-z0-9_-]+$"))]
    pub topic: String,
    /// Where to: Earliest, Latest, Timestamp or Offset.
    pub to: ResetTarget,
    /// With to: Timestamp. The group gets what was stored at that time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Time>,
    /// With to: Offset. Queue offset at which the group goes on in each queue; one that a queue does
    /// not have becomes the nearest that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_000_000_000_000_000_i64))]
    pub offset: Option<i64>,
    /// Whether to do it although consumers of the group are connected. They drop what they have of
    /// the topic and go along. Without it the reset fails while there are any.
    #[serde(default)]
    pub allow_online: bool,
}

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ResetTarget {
    /// At the first message that is still there.
    Earliest,
    /// Behind the last message.
    Latest,
    /// At a time.
    Timestamp,
    /// At a queue offset.
    Offset,
}

/// The reset that was last begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastReset {
    /// Its requestID.
    #[serde(rename = "requestID")]
    #[schemars(length(max = 63))]
    pub request_id: String,
    /// How it stands: Executing, Succeeded or Failed.
    pub state: ResetState,
    /// Indices of the broker groups in which it is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub groups_done: Vec<i32>,
    /// What it waits for, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Since when it stands so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
}

/// How a reset stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ResetState {
    /// Brokers are being told.
    Executing,
    /// Every broker group that has the topic has done it.
    Succeeded,
    /// It is not done in all broker groups, and not tried again.
    Failed,
}
