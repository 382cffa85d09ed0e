//! What broker and name server pods have in common. All of it fits the restricted Pod Security
//! profile.

use std::collections::BTreeMap;

use rocketkube_crds::broker_set::{ImagePullPolicy, PodOptions};
use serde_json::{Value, json};

use super::Rendering;

/// User and group of all processes: the usual one for "nobody in particular" in images without a
/// user database.
const USER: i64 = 65_532;

/// Ports that containers listen on.
pub(super) const REMOTING: u16 = 10_911;
pub(super) const VIP: u16 = 10_909;
pub(super) const NAME_SERVER: u16 = 9_876;
pub(super) const HTTP: u16 = 8_080;

/// How long a start may take: recovery reads the log, and a large one takes minutes.
const START_BUDGET_SECONDS: u32 = 1_800;

/// Puts a value that says something; what is empty is left to the API server's default.
fn put(object: &mut Value, key: &str, value: Value) {
    let empty = match &value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    if !empty {
        object[key] = value;
    }
}

/// A container of our image.
pub(super) fn container(rendering: &Rendering<'_>, name: &str, resources: Value) -> Value {
    let policy = match rendering.set.spec.image_pull_policy {
        ImagePullPolicy::Always => "Always",
        ImagePullPolicy::IfNotPresent => "IfNotPresent",
        ImagePullPolicy::Never => "Never",
    };
    let probe = |path, period: u32, failures: u32| {
        json!({
            "httpGet": { "path": path, "port": "http" },
            "periodSeconds": period,
            "timeoutSeconds": 5,
            "failureThreshold": failures,
        })
    };
    let mut container = json!({
        "name": name,
        "image": rendering.facts.image,
        "imagePullPolicy": policy,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
            "readOnlyRootFilesystem": true,
        },
        "startupProbe": probe("/startz", 1, START_BUDGET_SECONDS),
        "livenessProbe": probe("/livez", 10, 6),
        // Often and without patience: clients are sent here as long as it is ready.
        "readinessProbe": probe("/readyz", 2, 1),
    });
    put(&mut container, "resources", resources);
    container
}

/// A pod spec around a container, with what a user may say about pods.
pub(super) fn spec(
    rendering: &Rendering<'_>,
    component: &str,
    options: &PodOptions,
    container: &Value,
) -> Value {
    let mut spec = json!({
        "containers": [container],
        "automountServiceAccountToken": false,
        // A Service named e.g. `rocketkube-namesrv` would become variables that look like settings.
        "enableServiceLinks": false,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
    });
    let secrets = &rendering.set.spec.image_pull_secrets;
    put(&mut spec, "imagePullSecrets", secrets.iter().map(|s| json!({ "name": s.name })).collect());
    put(&mut spec, "nodeSelector", json!(options.node_selector));
    put(&mut spec, "tolerations", json!(options.tolerations));
    put(&mut spec, "priorityClassName", json!(options.priority_class_name));
    spec["affinity"] = match &options.affinity {
        Some(affinity) => json!(affinity),
        None => spread(rendering, component),
    };
    spec
}

/// Pods of a component go to different nodes where they can.
fn spread(rendering: &Rendering<'_>, component: &str) -> Value {
    json!({
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 100,
                "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": { "matchLabels": rendering.selector(component, None) },
                },
            }],
        },
    })
}

/// Labels of a pod: the user's, and ours over them.
pub(super) fn pod_labels(
    rendering: &Rendering<'_>,
    component: &str,
    group: Option<i32>,
    options: &PodOptions,
) -> Value {
    let mut pod_labels = json!(options.labels);
    if let (Value::Object(all), Value::Object(ours)) =
        (&mut pod_labels, rendering.labels(component, group))
    {
        all.extend(ours);
    }
    if let Some(version) = crate::broker_set::image::version(&rendering.facts.image)
        && crate::broker_set::image::is_label_value(version)
    {
        pod_labels["app.kubernetes.io/version"] = version.into();
    }
    pod_labels
}

/// Annotations of a pod: the user's, and those that start with our prefix.
pub(super) fn pod_annotations(options: &PodOptions, ours: &[(&str, Option<String>)]) -> Value {
    let mut annotations = json!(options.annotations);
    for (key, value) in ours {
        put(&mut annotations, key, json!(value));
    }
    annotations
}

/// The names in a map of labels or annotations, for an annotation; `None` if there are none.
pub(crate) fn names(of: &BTreeMap<String, String>) -> Option<String> {
    let names: Vec<_> = of.keys().map(String::as_str).collect();
    Some(names.join(",")).filter(|names| !names.is_empty())
}
