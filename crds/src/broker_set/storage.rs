//! Volumes of a `BrokerSet`.

use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Size;

/// Volumes of the brokers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("self.type == oldSelf.type")
        .message("storage.type cannot be changed")
        .field_path(".type"),
    Rule::new("(has(self.storageClassName) ? self.storageClassName : '') == \
               (has(oldSelf.storageClassName) ? oldSelf.storageClassName : '')")
        .message("storage.storageClassName cannot be changed, set later or removed")
        .field_path(".storageClassName"),
    Rule::new("self.accessMode == oldSelf.accessMode")
        .message("storage.accessMode cannot be changed")
        .field_path(".accessMode"),
    Rule::new("self.type == 'Persistent' || !has(self.storageClassName)")
        .message("storage.storageClassName stands with type: Persistent only")
        .field_path(".storageClassName"),
]))]
pub struct Storage {
    /// Persistent: a claim for each broker, kept across restarts. Ephemeral: a directory on the
    /// node; whatever deletes the pod deletes the messages. Cannot be changed.
    #[serde(rename = "type")]
    pub kind: StorageKind,
    /// Size of the volume of each broker, at least 128Mi. The broker deletes its oldest files
    /// before the volume is full. Cannot be changed yet.
    #[schemars(extend("x-kubernetes-validations" = [
        // Eight of the smallest files of a log.
        Rule::new("quantity(self).compareTo(quantity('128Mi')) >= 0")
            .message("storage.size must be at least 128Mi"),
        Rule::new("quantity(self).compareTo(quantity(oldSelf)) == 0")
            .message("storage.size cannot be changed yet"),
    ]))]
    pub size: Size,
    /// Class of the claims. Cannot be changed. Default: the default class of the Kubernetes
    /// cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
    /// `ReadWriteOnce`, or `ReadWriteOncePod` where the class has it: it keeps a second pod out
    /// even on the same node. Cannot be changed.
    pub access_mode: AccessMode,
    /// What becomes of the claims.
    pub retention: StorageRetention,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            kind: StorageKind::default(),
            size: Size::gibibytes(20),
            storage_class_name: None,
            access_mode: AccessMode::default(),
            retention: StorageRetention::default(),
        }
    }
}

/// Where messages are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StorageKind {
    /// On a claimed volume.
    #[default]
    Persistent,
    /// In a directory that goes with the pod.
    Ephemeral,
}

/// How a volume is attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessMode {
    /// To one node.
    #[default]
    ReadWriteOnce,
    /// To one pod.
    ReadWriteOncePod,
}

/// What becomes of claims.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct StorageRetention {
    /// Retain: the claims outlive the `BrokerSet`, and one of the same name finds its messages
    /// again. Delete: they are deleted with it.
    pub when_deleted: WhenDeleted,
}

/// What becomes of claims when the `BrokerSet` is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenDeleted {
    /// They stay.
    #[default]
    Retain,
    /// They go.
    Delete,
}
