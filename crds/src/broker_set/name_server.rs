//! Name servers of a `BrokerSet`.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PodOptions;

/// Where the name servers come from; exactly one field is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameServer {
    /// Name servers that run for this `BrokerSet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedNameServer>,
    /// Shares the managed name servers of another `BrokerSet` in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_broker_set: Option<NameServerRef>,
    /// Name servers that somebody else runs, each as host:port; IPv6 addresses in brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 9),
        inner(
            length(max = 260),
            regex(pattern = r"^([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[1-9][0-9]{0,4}$")
        ),
        extend(
            "x-kubernetes-list-type" = "set",
            "x-kubernetes-validations" = [
                Rule::new("self.all(addr, int(addr.substring(addr.lastIndexOf(':') + 1)) <= 65535)")
                    .message("addresses end with a port of at most 65535"),
            ]
        )
    )]
    pub addresses: Option<Vec<String>>,
}

impl Default for NameServer {
    fn default() -> Self {
        let managed = Some(ManagedNameServer::default());
        Self { managed, from_broker_set: None, addresses: None }
    }
}

/// Name servers that run for a `BrokerSet`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ManagedNameServer {
    /// How many. Each knows all brokers, and clients go on with those that are left.
    #[schemars(range(min = 1, max = 9))]
    pub replicas: i32,
    /// CPU and memory of a name server. A change replaces the name servers. Default: neither
    /// requested nor limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Where and how name server pods run. A change replaces the name servers.
    pub pod: PodOptions,
}

impl Default for ManagedNameServer {
    fn default() -> Self {
        Self { replicas: 2, resources: None, pod: PodOptions::default() }
    }
}

/// Names a `BrokerSet` of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NameServerRef {
    /// Name of the `BrokerSet`.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
}
