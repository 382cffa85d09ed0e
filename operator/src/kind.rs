//! Kinds of objects that the operator makes or looks at.

use kube::api::ApiResource;

/// A kind of object. The order is the one in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    ConfigMap,
    ServiceAccount,
    Role,
    RoleBinding,
    Service,
    NetworkPolicy,
    PodDisruptionBudget,
    Deployment,
    StatefulSet,
    /// Only looked at, and deleted to replace it.
    Pod,
    /// Only looked at: it has the messages.
    PersistentVolumeClaim,
}

impl Kind {
    pub(crate) const ALL: [Self; 11] = [
        Self::ConfigMap,
        Self::ServiceAccount,
        Self::Role,
        Self::RoleBinding,
        Self::Service,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
        Self::Deployment,
        Self::StatefulSet,
        Self::Pod,
        Self::PersistentVolumeClaim,
    ];

    /// Whether the operator makes objects of this kind, and may delete those it made.
    pub(crate) fn is_child(self) -> bool {
        !matches!(self, Self::Pod | Self::PersistentVolumeClaim)
    }

    pub(crate) fn resource(self) -> ApiResource {
        let (group, plural) = match self {
            Self::ConfigMap => ("", "configmaps"),
            Self::ServiceAccount => ("", "serviceaccounts"),
            Self::Role => ("rbac.authorization.k8s.io", "roles"),
            Self::RoleBinding => ("rbac.authorization.k8s.io", "rolebindings"),
            Self::Service => ("", "services"),
            Self::NetworkPolicy => ("networking.k8s.io", "networkpolicies"),
            Self::PodDisruptionBudget => ("policy", "poddisruptionbudgets"),
            Self::Deployment => ("apps", "deployments"),
            Self::StatefulSet => ("apps", "statefulsets"),
            Self::Pod => ("", "pods"),
            Self::PersistentVolumeClaim => ("", "persistentvolumeclaims"),
        };
        let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        ApiResource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            api_version,
            kind: format!("{self:?}"),
            plural: plural.to_owned(),
        }
    }
}
