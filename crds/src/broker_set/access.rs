//! Who may use a `BrokerSet`.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Consent to objects of other namespaces.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Access {
    /// Namespaces whose Topics and `ConsumerGroups` may refer to this `BrokerSet`.
    pub topic_namespaces: TopicNamespaces,
}

/// A set of namespaces.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("(self.from == 'Selector') == has(self.selector)")
        .message("selector stands with from: Selector, and only there"),
]))]
pub struct TopicNamespaces {
    /// Same: the namespace of the `BrokerSet`. All: every namespace. Selector: those whose labels
    /// the selector matches.
    pub from: TopicNamespacesFrom,
    /// Labels of the namespaces, with from: Selector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// How namespaces are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TopicNamespacesFrom {
    /// The namespace of the `BrokerSet`.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// Those that a selector matches.
    Selector,
}

/// Who may connect to brokers and name servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether a `NetworkPolicy` is made. It has an effect only if the network of the cluster
    /// enforces such policies.
    pub enabled: bool,
    /// Who may connect to the ports for clients. Default: everybody. There is no other access
    /// control yet: whoever connects may send, consume and administer. Whatever is written here,
    /// pods of the `BrokerSets` of this namespace and the operator may connect; and port 8080 stays
    /// open to everybody, because probes come from nodes and Prometheus from anywhere. It shows
    /// health and metrics, no message, and nothing can be changed there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub client_peers: Vec<NetworkPolicyPeer>,
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self { enabled: true, client_peers: Vec::new() }
    }
}
