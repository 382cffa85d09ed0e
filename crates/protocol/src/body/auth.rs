//! Users and their rights (3001 to 3010).

use serde::{Deserialize, Serialize};

use super::{json_bodies, or_default};

/// A user.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserInfo {
    /// Password; not shown by `Debug`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// `enable` or `disable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_status: Option<String>,
    /// `Super` or `Normal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_type: Option<String>,
    /// Name.
    #[serde(deserialize_with = "or_default")]
    pub username: String,
}

impl std::fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserInfo")
            .field("username", &self.username)
            .field("user_type", &self.user_type)
            .field("user_status", &self.user_status)
            .finish_non_exhaustive()
    }
}

/// Rights of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AclInfo {
    /// Groups of rights.
    #[serde(deserialize_with = "or_default")]
    pub policies: Vec<AclPolicy>,
    /// `User:` and the name.
    #[serde(deserialize_with = "or_default")]
    pub subject: String,
}

/// A group of rights.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AclPolicy {
    /// Rights.
    #[serde(deserialize_with = "or_default")]
    pub entries: Vec<AclEntry>,
    /// `Custom` or `Default`.
    #[serde(deserialize_with = "or_default")]
    pub policy_type: String,
}

/// A right.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AclEntry {
    /// For example `Pub` and `Sub`.
    #[serde(deserialize_with = "or_default")]
    pub actions: Vec<String>,
    /// `Allow` or `Deny`.
    #[serde(deserialize_with = "or_default")]
    pub decision: String,
    /// For example `Topic:T1`.
    #[serde(deserialize_with = "or_default")]
    pub resource: String,
    /// Networks it holds for; all if empty.
    #[serde(deserialize_with = "or_default")]
    pub source_ips: Vec<String>,
}

json_bodies!(UserInfo, AclInfo, Vec<UserInfo>, Vec<AclInfo>);
