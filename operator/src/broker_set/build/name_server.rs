//! Name servers that a `BrokerSet` runs itself.

use rocketkube_crds::broker_set::{ManagedNameServer, NameServer};
use serde_json::{Value, json};

use super::pod::{HTTP, NAME_SERVER};
use super::{Children, Rendering, names, pod, settings};
use crate::kind::Kind;

const COMPONENT: &str = "namesrv";

/// The managed name servers of a spec, if they are managed: without a word about it they are.
pub(crate) fn managed(name_server: Option<&NameServer>) -> Option<ManagedNameServer> {
    name_server.map_or_else(|| Some(ManagedNameServer::default()), |given| given.managed.clone())
}

/// What brokers connect to: every name server, ready or not, so that each knows them before it is.
pub(crate) fn peers(set: &str, namespace: &str) -> String {
    format!("{}.{namespace}.svc:{NAME_SERVER}", names::name_server_peers(set))
}

/// What clients are given: one name, however many there are.
pub(crate) fn clients(set: &str, namespace: &str) -> String {
    format!("{}.{namespace}.svc:{NAME_SERVER}", names::name_server(set))
}

pub(super) fn all(rendering: &Rendering<'_>, children: &mut Children) {
    let Some(managed) = managed(rendering.set.spec.name_server.as_ref()) else { return };
    for (name, headless) in [
        (names::name_server(&rendering.name), false),
        (names::name_server_peers(&rendering.name), true),
    ] {
        children.push(Kind::Service, name.clone(), service(rendering, &name, headless));
    }
    let name = names::name_server_settings(&rendering.name);
    let config = json!({
        "metadata": rendering.metadata(&name, COMPONENT, None),
        "data": { "namesrv.yaml": settings::name_server(&brokers(rendering)) },
    });
    children.push(Kind::ConfigMap, name, config);
    let name = names::name_server(&rendering.name);
    let budget = json!({
        "metadata": rendering.metadata(&name, COMPONENT, None),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": { "matchLabels": rendering.selector(COMPONENT, None) },
        },
    });
    children.push(Kind::PodDisruptionBudget, name.clone(), budget);
    children.push(Kind::Deployment, name.clone(), deployment(rendering, &name, &managed));
}

/// The brokers that announce themselves here.
fn brokers(rendering: &Rendering<'_>) -> Vec<String> {
    let of = |set: &str, groups: i32| -> Vec<String> {
        (0..groups).map(|index| names::group(set, index)).collect()
    };
    let facts = rendering.facts;
    // A name server that starts while its own brokers are stopped would wait for them in vain.
    let sleeps = rendering.set.spec.hibernate && !facts.sharers.is_empty();
    let own = if sleeps { 0 } else { i32::try_from(facts.groups.len()).unwrap_or(i32::MAX) };
    let others = facts.sharers.iter().flat_map(|sharer| of(&sharer.name, sharer.groups));
    of(&rendering.name, own).into_iter().chain(others).collect()
}

fn service(rendering: &Rendering<'_>, name: &str, headless: bool) -> Value {
    let mut spec = json!({
        "type": "ClusterIP",
        "selector": rendering.selector(COMPONENT, None),
        "ports": [{
            "name": "remoting",
            "protocol": "TCP",
            "port": NAME_SERVER,
            "targetPort": NAME_SERVER,
        }],
    });
    if headless {
        spec["clusterIP"] = "None".into();
        spec["publishNotReadyAddresses"] = true.into();
    }
    json!({ "metadata": rendering.metadata(name, COMPONENT, None), "spec": spec })
}

fn deployment(rendering: &Rendering<'_>, name: &str, managed: &ManagedNameServer) -> Value {
    // Brokers say goodbye to name servers, so these stop after them, also after those of others.
    let facts = rendering.facts;
    let unused = facts.brokers_stopped && facts.sharers.is_empty();
    let stopped = rendering.set.spec.hibernate && unused;
    let options = &managed.pod;
    json!({
        "metadata": rendering.metadata(name, COMPONENT, None),
        "spec": {
            "replicas": if stopped { 0 } else { managed.replicas },
            "selector": { "matchLabels": rendering.selector(COMPONENT, None) },
            "strategy": {
                "type": "RollingUpdate",
                // A new one knows all brokers before an old one goes.
                "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 },
            },
            "template": {
                "metadata": {
                    "labels": pod::pod_labels(rendering, COMPONENT, None, options),
                    "annotations": pod::pod_annotations(options, &[]),
                },
                "spec": pod_spec(rendering, managed),
            },
        },
    })
}

fn pod_spec(rendering: &Rendering<'_>, managed: &ManagedNameServer) -> Value {
    let mut container = pod::container(rendering, COMPONENT, json!(managed.resources));
    container["command"] = json!(["/rocketkube-namesrv"]);
    container["args"] = json!([
        "--config=/etc/rocketkube/namesrv.yaml",
        "--data-dir=/data",
        "--log-format=json",
        format!("--peers={}", peers(&rendering.name, &rendering.namespace)),
    ]);
    let listens =
        |name: &str, port: u16| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
    container["ports"] = json!([listens("remoting", NAME_SERVER), listens("http", HTTP)]);
    container["volumeMounts"] = json!([
        { "name": "config", "mountPath": "/etc/rocketkube", "readOnly": true },
        { "name": "data", "mountPath": "/data" },
    ]);
    let mut pod = pod::spec(rendering, COMPONENT, &managed.pod, &container);
    // Which brokers there are is in a file: as an argument it would restart all name servers with
    // each group that is added.
    let config = names::name_server_settings(&rendering.name);
    pod["volumes"] = json!([
        { "name": "config", "configMap": { "name": config } },
        { "name": "data", "emptyDir": {} },
    ]);
    pod
}
