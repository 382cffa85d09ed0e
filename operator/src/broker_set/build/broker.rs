//! Brokers: settings, Services, and a `StatefulSet` for each group.

use std::net::{IpAddr, SocketAddr};

use rocketkube_crds::broker_set::{AccessMode, StorageKind, WhenDeleted};
use serde_json::{Value, json};

use super::pod::{HTTP, REMOTING, VIP};
use super::{ChildId, Children, GroupFacts, Rendering, digest, names, pod, settings};
use crate::kind::Kind;
use crate::labels;

const COMPONENT: &str = "broker";
/// Long enough to answer what waits, flush, and write down where the log ends.
const GRACE_SECONDS: i64 = 75;

/// What all groups share.
pub(super) fn shared(rendering: &Rendering<'_>, children: &mut Children) {
    let name = names::settings(&rendering.name);
    let config = json!({
        "metadata": rendering.metadata(&name, COMPONENT, None),
        "data": { "broker.yaml": settings::broker(rendering.set, &rendering.name) },
    });
    children.push(Kind::ConfigMap, name, config);
    let name = names::brokers(&rendering.name);
    let service = json!({
        "metadata": rendering.metadata(&name, COMPONENT, None),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            // Pods find each other also before they are ready.
            "publishNotReadyAddresses": true,
            "selector": rendering.selector(COMPONENT, None),
            "ports": [
                port("remoting", REMOTING),
                port("vip", VIP),
                port("http", HTTP),
            ],
        },
    });
    children.push(Kind::Service, name, service);
}

/// What one group has for itself.
pub(super) fn of_group(
    rendering: &Rendering<'_>,
    index: i32,
    group: &GroupFacts,
    children: &mut Children,
) {
    let name = names::state(&rendering.name, index);
    let state = json!({
        "metadata": rendering.metadata(&name, COMPONENT, Some(index)),
        "data": { "state.yaml": settings::state(group.state) },
    });
    children.push(Kind::ConfigMap, name, state);
    let master = names::master(&rendering.name, index);
    let service = master_service(rendering, index, &master);
    children.push(Kind::Service, master, service);
    let name = names::group(&rendering.name, index);
    if let Some(address) = group.address {
        let replicas = i32::from(!rendering.set.spec.hibernate || group.keeps_pod);
        let stateful_set = stateful_set(rendering, index, &name, address, replicas);
        children.push(Kind::StatefulSet, name, stateful_set);
    } else {
        children.awaiting.push(ChildId { kind: Kind::StatefulSet, name });
    }
}

fn port(name: &str, port: u16) -> Value {
    json!({ "name": name, "protocol": "TCP", "port": port, "targetPort": port })
}

/// The address of the group for as long as the group exists: clients and message ids carry it.
///
/// A group of one member has its master where that is ready, so Kubernetes can tell where the address
/// leads, also while nobody looks after the `BrokerSet`. Once masters are elected, which pod it is
/// is not for labels to say: the selector goes, and the master writes the `EndpointSlice`.
fn master_service(rendering: &Rendering<'_>, index: i32, name: &str) -> Value {
    json!({
        "metadata": rendering.metadata(name, COMPONENT, Some(index)),
        "spec": {
            "type": "ClusterIP",
            "ipFamilyPolicy": "SingleStack",
            "selector": rendering.selector(COMPONENT, Some(index)),
            "ports": [port("remoting", REMOTING), port("vip", VIP)],
        },
    })
}

fn stateful_set(
    rendering: &Rendering<'_>,
    index: i32,
    name: &str,
    address: IpAddr,
    replicas: i32,
) -> Value {
    let storage = &rendering.set.spec.storage;
    let when_deleted = match storage.retention.when_deleted {
        WhenDeleted::Retain => "Retain",
        WhenDeleted::Delete => "Delete",
    };
    let mut spec = json!({
        "replicas": replicas,
        "serviceName": names::brokers(&rendering.name),
        "selector": { "matchLabels": rendering.selector(COMPONENT, Some(index)) },
        "podManagementPolicy": "Parallel",
        // The operator replaces pods, one group after the other, and says so.
        "updateStrategy": { "type": "OnDelete" },
        "template": template(rendering, index, name, address),
    });
    if storage.kind == StorageKind::Persistent {
        spec["volumeClaimTemplates"] = json!([claim(rendering, index)]);
        spec["persistentVolumeClaimRetentionPolicy"] =
            json!({ "whenDeleted": when_deleted, "whenScaled": "Retain" });
    }
    json!({ "metadata": rendering.metadata(name, COMPONENT, Some(index)), "spec": spec })
}

/// Labels of claims cannot change later, so there are only those that never do.
fn claim(rendering: &Rendering<'_>, index: i32) -> Value {
    let storage = &rendering.set.spec.storage;
    let mode = match storage.access_mode {
        AccessMode::ReadWriteOnce => "ReadWriteOnce",
        AccessMode::ReadWriteOncePod => "ReadWriteOncePod",
    };
    let mut spec = json!({
        "accessModes": [mode],
        "volumeMode": "Filesystem",
        "resources": { "requests": { "storage": storage.size.as_str() } },
    });
    if let Some(class) = &storage.storage_class_name {
        spec["storageClassName"] = class.clone().into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data", "labels": rendering.labels(COMPONENT, Some(index)) },
        "spec": spec,
    })
}

fn template(rendering: &Rendering<'_>, index: i32, name: &str, address: IpAddr) -> Value {
    let options = &rendering.set.spec.pod;
    let spec = pod_spec(rendering, index, name, address);
    let settings = digest(&json!(settings::broker(rendering.set, &rendering.name)));
    // Labels and annotations of the user are not in here: running pods are given new ones as they are.
    let roll = digest(&json!([spec, settings]));
    let annotations = pod::pod_annotations(
        options,
        &[
            (labels::ROLL, Some(roll)),
            (labels::SETTINGS, Some(settings)),
            (labels::RESTART_AT, rendering.facts.restart_at.clone()),
            (labels::POD_LABELS, pod::names(&options.labels)),
            (labels::POD_ANNOTATIONS, pod::names(&options.annotations)),
        ],
    );
    json!({
        "metadata": {
            "labels": pod::pod_labels(rendering, COMPONENT, Some(index), options),
            "annotations": annotations,
        },
        "spec": spec,
    })
}

fn pod_spec(rendering: &Rendering<'_>, index: i32, name: &str, address: IpAddr) -> Value {
    let spec = &rendering.set.spec;
    let mut container = pod::container(rendering, COMPONENT, json!(spec.resources));
    container["command"] = json!(["/rocketkube-broker"]);
    container["args"] = json!([
        "--config=/etc/rocketkube/broker.yaml",
        format!("--name={name}"),
        format!("--advertise={}", SocketAddr::new(address, REMOTING)),
        format!("--namesrv={}", rendering.facts.name_servers),
        "--data-dir=/data",
    ]);
    let listens =
        |name: &str, port: u16| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
    container["ports"] =
        json!([listens("remoting", REMOTING), listens("vip", VIP), listens("http", HTTP)]);
    container["volumeMounts"] = json!([
        { "name": "config", "mountPath": "/etc/rocketkube", "readOnly": true },
        { "name": "data", "mountPath": "/data" },
    ]);
    let mut pod = pod::spec(rendering, COMPONENT, &spec.pod, &container);
    pod["serviceAccountName"] = name.into();
    pod["terminationGracePeriodSeconds"] = GRACE_SECONDS.into();
    // One volume for both: a mount inside a read-only mount has no place to go.
    let mut volumes = vec![json!({
        "name": "config",
        "projected": {
            "sources": [
                source(&names::settings(&rendering.name), "broker.yaml", "broker.yaml"),
                source(&names::state(&rendering.name, index), "state.yaml", "state/state.yaml"),
            ],
        },
    })];
    if spec.storage.kind == StorageKind::Ephemeral {
        // Without a limit of its own: whoever passes that is evicted and loses everything. The broker
        // keeps to the size by itself.
        volumes.push(json!({ "name": "data", "emptyDir": {} }));
    }
    pod["volumes"] = volumes.into();
    pod
}

fn source(config_map: &str, key: &str, path: &str) -> Value {
    json!({ "configMap": { "name": config_map, "items": [{ "key": key, "path": path }] } })
}
