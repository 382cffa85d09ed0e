//! Who may connect. Policies add up: what neither allows is refused, in networks that enforce them.

use serde_json::{Value, json};

use super::pod::{HTTP, NAME_SERVER, REMOTING, VIP};
use super::{Children, Rendering, names};
use crate::kind::Kind;
use crate::labels;

pub(super) fn policies(rendering: &Rendering<'_>, children: &mut Children) {
    if !rendering.set.spec.network_policy.enabled {
        return;
    }
    let name = names::internal(&rendering.name);
    children.push(
        Kind::NetworkPolicy,
        name.clone(),
        policy(rendering, &name, &[internal(), operators(rendering)]),
    );
    let name = names::clients(&rendering.name);
    // Probes come from nodes, and nothing says where Prometheus is: no selector fits all of them.
    let health = json!({ "ports": ports(&[HTTP]) });
    let rules = [clients(rendering), health];
    children.push(Kind::NetworkPolicy, name.clone(), policy(rendering, &name, &rules));
}

fn policy(rendering: &Rendering<'_>, name: &str, ingress: &[Value]) -> Value {
    json!({
        "metadata": rendering.metadata(name, "broker", None),
        "spec": {
            "podSelector": { "matchLabels": { labels::BROKER_SET: rendering.name } },
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    })
}

fn ports(numbers: &[u16]) -> Value {
    numbers.iter().map(|port| json!({ "protocol": "TCP", "port": port })).collect()
}

/// Brokers and name servers of this namespace, which may share name servers.
fn internal() -> Value {
    json!({
        "from": [{
            "podSelector": {
                "matchExpressions": [{ "key": labels::BROKER_SET, "operator": "Exists" }],
            },
        }],
    })
}

/// Operators, which ask brokers as clients do. No other pod of their namespace: with the chart's
/// defaults it is that of the applications as well.
fn operators(rendering: &Rendering<'_>) -> Value {
    json!({
        "from": [{
            "namespaceSelector": {
                "matchLabels": {
                    "kubernetes.io/metadata.name": rendering.facts.operator_namespace,
                },
            },
            "podSelector": { "matchLabels": { labels::NAME: labels::OPERATOR } },
        }],
        "ports": ports(&[REMOTING]),
    })
}

/// Whoever the spec names at the ports of clients; everybody if it names none.
fn clients(rendering: &Rendering<'_>) -> Value {
    let peers = &rendering.set.spec.network_policy.client_peers;
    let mut rule = json!({ "ports": ports(&[REMOTING, VIP, NAME_SERVER]) });
    if !peers.is_empty() {
        rule["from"] = json!(peers);
    }
    rule
}
