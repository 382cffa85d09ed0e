//! What goes on around an API server: controllers of `StatefulSets` and Deployments, kubelets, and the
//! collector of orphans. A pod is pending at first and ready a moment later, if its image can be
//! pulled: those with `bad` in their name cannot.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use super::ApiServer;
use super::objects::{Id, Objects};

/// How long one step of anything takes.
const STEP: Duration = Duration::from_millis(20);

/// Goes on until it is dropped.
pub async fn run(server: ApiServer) {
    let changed = server.objects(|objects| objects.changed());
    loop {
        sleep(STEP).await;
        let moved = server.objects(step);
        if !moved {
            changed.notified().await;
        }
    }
}

/// One step of everybody; false if there was nothing to do.
fn step(objects: &mut Objects) -> bool {
    let mut moved = collect(objects);
    for (id, set) in objects.of("apps", "statefulsets") {
        moved |= stateful_set(objects, &id, &set);
    }
    for (id, deployment) in objects.of("apps", "deployments") {
        moved |= deploy(objects, &id, &deployment);
    }
    moved
}

/// Deletes what has lost its owner.
fn collect(objects: &mut Objects) -> bool {
    let uids: Vec<Value> =
        objects.all().map(|(_, object)| object["metadata"]["uid"].clone()).collect();
    let orphan = |object: &Value| {
        let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        !owners.is_empty() && !owners.iter().any(|owner| uids.contains(&owner["uid"]))
    };
    let orphans: Vec<Id> =
        objects.all().filter(|(_, object)| orphan(object)).map(|(id, _)| id.clone()).collect();
    for id in &orphans {
        objects.remove(id);
    }
    !orphans.is_empty()
}

fn stateful_set(objects: &mut Objects, id: &Id, set: &Value) -> bool {
    let pod_id = Id::new("", "pods", &id.namespace, &format!("{}-0", id.name));
    let revision = revision(&set["spec"]["template"]);
    let wanted = set["spec"]["replicas"] == 1;
    let mut moved = release_claim(objects, id) || claim(objects, id, set);
    match objects.get(&pod_id).cloned() {
        None if wanted && set["spec"]["template"]["spec"]["priorityClassName"] == "no-such" => {
            moved |= refuse(objects, id, set);
        }
        None if wanted => {
            objects.put(&pod_id, pod(id, set, &revision));
            moved = true;
        }
        Some(_) if !wanted => {
            objects.remove(&pod_id);
            moved = true;
        }
        Some(pod)
            if pod["status"]["phase"] == "Pending"
                && pod["status"]["containerStatuses"].is_null() =>
        {
            let now = objects.now();
            objects.edit(&pod_id, |pod| pod["status"] = status(pod, now));
            moved = true;
        }
        _ => {}
    }
    let seen = json!({
        "observedGeneration": set["metadata"]["generation"],
        "replicas": i32::from(wanted),
        "updateRevision": revision,
    });
    if set["status"] != seen {
        objects.edit(id, |set| set["status"] = seen);
        moved = true;
    }
    moved
}

/// Says that a pod could not be made, as the controller of `StatefulSets` does.
fn refuse(objects: &mut Objects, id: &Id, set: &Value) -> bool {
    let event = Id::new("events.k8s.io", "events", &id.namespace, &format!("{}.refused", id.name));
    if objects.get(&event).is_some() {
        return false;
    }
    let note =
        format!("create Pod {}-0 failed: no PriorityClass with name no-such was found", id.name);
    let regarding =
        json!({ "kind": "StatefulSet", "name": id.name, "uid": set["metadata"]["uid"] });
    objects.put(
        &event,
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "reason": "FailedCreate",
            "regarding": regarding,
            "note": note,
            "deprecatedLastTimestamp": "2030-03-18T00:00:00Z",
        }),
    );
    true
}

fn claim_of(id: &Id) -> Id {
    Id::new("", "persistentvolumeclaims", &id.namespace, &format!("data-{}-0", id.name))
}

/// Lets a deleted claim go once there is no pod that uses it.
fn release_claim(objects: &mut Objects, id: &Id) -> bool {
    let (claim, pod) =
        (claim_of(id), Id::new("", "pods", &id.namespace, &format!("{}-0", id.name)));
    let leaves =
        objects.get(&claim).is_some_and(|it| !it["metadata"]["deletionTimestamp"].is_null());
    if !leaves || objects.get(&pod).is_some() {
        return false;
    }
    objects.edit(&claim, |claim| claim["metadata"]["finalizers"] = json!([]));
    true
}

fn claim(objects: &mut Objects, id: &Id, set: &Value) -> bool {
    let Some(template) = set.pointer("/spec/volumeClaimTemplates/0") else { return false };
    let claim = claim_of(id);
    if objects.get(&claim).is_some() {
        return false;
    }
    let mut object = template.clone();
    object["status"] = json!({ "phase": "Bound" });
    objects.put(&claim, object);
    true
}

fn pod(id: &Id, set: &Value, revision: &str) -> Value {
    let template = &set["spec"]["template"];
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"],
        "spec": template["spec"],
        "status": { "phase": "Pending" },
    });
    pod["metadata"]["labels"]["controller-revision-hash"] = revision.into();
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "name": id.name,
        "uid": set["metadata"]["uid"],
        "controller": true,
    }]);
    pod["spec"]["nodeName"] = "node-1".into();
    pod
}

/// What a kubelet makes of a pod.
fn status(pod: &Value, now: Timestamp) -> Value {
    let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
    let container = |state: Value| {
        json!([{
            "name": "broker",
            "image": image,
            "imageID": "",
            "ready": false,
            "restartCount": 0,
            "state": state,
        }])
    };
    if image.contains("bad") {
        let waiting =
            json!({ "waiting": { "reason": "ImagePullBackOff", "message": "not found" } });
        return json!({ "phase": "Pending", "containerStatuses": container(waiting) });
    }
    let number: u32 = pod["metadata"]["uid"].as_str().unwrap()[4..].parse().unwrap();
    json!({
        "phase": "Running",
        "podIP": format!("10.244.0.{}", number % 250),
        "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": seconds(now) }],
        "containerStatuses": container(json!({ "running": {} })),
    })
}

/// Kubelets write whole seconds.
fn seconds(now: Timestamp) -> String {
    Timestamp::from_second(now.as_second()).unwrap().to_string()
}

/// Pods of a Deployment are counted, not made, but for the one that a bad image keeps from being ready.
fn deploy(objects: &mut Objects, id: &Id, deployment: &Value) -> bool {
    let replicas = deployment["spec"]["replicas"].as_i64().unwrap();
    let template = &deployment["spec"]["template"];
    let bad = template["spec"]["containers"][0]["image"].as_str().unwrap().contains("bad");
    let surge = i64::from(bad);
    let seen = json!({
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": replicas + surge,
        "updatedReplicas": if bad { surge } else { replicas },
        "availableReplicas": replicas,
    });
    if deployment["status"] == seen {
        return false;
    }
    objects.edit(id, |deployment| deployment["status"] = seen);
    let pod_id = Id::new("", "pods", &id.namespace, &format!("{}-surge", id.name));
    if bad {
        objects.put(&pod_id, pod(id, deployment, "surge"));
        let now = objects.now();
        objects.edit(&pod_id, |pod| pod["status"] = status(pod, now));
    } else {
        objects.remove(&pod_id);
    }
    true
}

fn revision(template: &Value) -> String {
    let bytes = Sha256::digest(template.to_string());
    format!("{:02x}{:02x}{:02x}{:02x}", bytes[0], bytes[1], bytes[2], bytes[3])
}
