//! What goes wrong around a `BrokerSet`, and where people read of it.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::run::{Cluster, NAMESPACE, Operator, changes};
use support::{Fate, Id, Verb};
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn a_bad_image_that_is_taken_out_of_the_spec_is_gone() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    let bad = json!({ "groups": 2, "image": "rocketkube:bad" });
    for before in [json!({ "groups": 2 }), bad.clone()] {
        let name = if before == bad { "fresh" } else { "orders" };
        cluster.apply(name, &before);
        cluster.quiet().await;
        cluster.apply(name, &bad);
        cluster.quiet().await;
        assert_eq!(cluster.condition(name, "Stalled").unwrap().1, "ImagePull");

        cluster.apply(name, &json!({ "groups": 2 }));
        cluster.quiet().await;
        assert!(cluster.is_ready(name), "{name}: {:?}", cluster.condition(name, "Ready"));
        let pod = cluster.get("", "pods", &format!("{name}-b0-0")).unwrap();
        assert_eq!(pod["spec"]["containers"][0]["image"], "rocketkube:1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_image_is_named_and_the_next_apply_heals_it() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    let spec = |image| {
        let name_server = json!({ "addresses": ["ns.example.com:9876"] });
        json!({ "groups": 2, "image": image, "nameServer": name_server })
    };
    cluster.apply("orders", &spec("rocketkube:1"));
    cluster.quiet().await;
    cluster.apply("orders", &spec("rocketkube:bad"));
    cluster.quiet().await;
    let (status, reason, message) = cluster.condition("orders", "Stalled").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "ImagePull"));
    assert!(message.contains("orders-b0-0") && message.contains("spec.image"), "{message}");
    let still = cluster.get("", "pods", "orders-b1-0").unwrap();
    assert_eq!(still["spec"]["containers"][0]["image"], "rocketkube:1", "the second goes on");
    assert!(cluster.events().contains(&"ImagePull".to_owned()));

    cluster.apply("orders", &spec("rocketkube:3"));
    cluster.quiet().await;
    assert!(cluster.is_ready("orders"), "{:?}", cluster.condition("orders", "Ready"));
    assert_eq!(cluster.condition("orders", "Stalled"), None);
    assert!(cluster.events().contains(&"RevisionRepair".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_fails_for_a_while_is_no_reason_for_another_image() {
    let cluster = Cluster::new();
    let operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    operator.kill().await;

    let _operator = Operator::start_with(&cluster.server, "rocketkube:2");
    let pod = Id::new("", "pods", NAMESPACE, "orders-b0-0");
    cluster.server.objects(|objects| {
        let waiting = json!({ "reason": "ErrImagePull", "message": "no route to host" });
        objects.edit(&pod, |pod| {
            pod["status"]["conditions"] = json!([{ "type": "Ready", "status": "False" }]);
            pod["status"]["containerStatuses"][0]["state"] = json!({ "waiting": waiting });
        });
    });
    cluster.quiet().await;
    assert_eq!(cluster.condition("orders", "Stalled").unwrap().1, "ImagePull");
    let set = cluster.get("apps", "statefulsets", "orders-b0").unwrap();
    assert_eq!(set["spec"]["template"]["spec"]["containers"][0]["image"], "rocketkube:1");
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_says_of_a_pod_is_told_and_stops_nothing_else() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    cluster.server.decide(|call| {
        let is_label = call.resource == "pods" && call.verb == Verb::Patch;
        if is_label { Fate::Refused(422) } else { Fate::Answered }
    });
    cluster.apply("orders", &json!({ "pod": { "labels": { "team": "a b" } } }));
    cluster.quiet().await;
    let (status, reason, message) = cluster.condition("orders", "SpecValid").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "Rejected"));
    assert!(message.starts_with("spec.pod: the API server does not take Pod orders-b0-0"));
    let set = cluster.get("mq.rocketkube.dev", "brokersets", "orders").unwrap();
    assert_eq!(set["status"]["observedGeneration"], set["metadata"]["generation"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_is_refused_is_not_announced() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    cluster.server.decide(|call| {
        let is_restart = call.resource == "pods" && call.verb == Verb::Delete;
        if is_restart { Fate::Refused(403) } else { Fate::Answered }
    });
    cluster.apply("orders", &json!({ "image": "rocketkube:2" }));
    sleep(Duration::from_mins(5)).await;
    assert_eq!(cluster.events(), ["Forbidden"]);
    cluster.server.decide_nothing();
    cluster.quiet().await;
    assert_eq!(cluster.events(), ["Forbidden", "ImageChanged"]);
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_named_and_is_no_fault_of_the_spec() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.server.decide(|call| {
        let is_made = call.resource == "networkpolicies" && call.changes();
        if is_made { Fate::Forbidden } else { Fate::Answered }
    });
    cluster.apply("orders", &json!({}));
    let serves = |cluster: &Cluster| {
        cluster.condition("orders", "Available").is_some_and(|(status, ..)| status == "True")
    };
    assert!(cluster.until(serves).await);
    sleep(Duration::from_mins(5)).await;
    let (_, reason, message) = cluster.condition("orders", "Stalled").unwrap();
    assert_eq!(reason, "Forbidden");
    assert!(message.starts_with("NetworkPolicy orders-clients: the API server forbids it: "));
    assert!(message.contains("give the operator this right"), "{message}");
    assert_eq!(cluster.condition("orders", "SpecValid").unwrap().0, "True");
    assert_eq!(cluster.condition("orders", "Ready").unwrap().1, "Forbidden");
    assert_eq!(cluster.events(), ["Forbidden"]);

    cluster.server.decide_nothing();
    assert!(cluster.until(|cluster| cluster.is_ready("orders")).await);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_cannot_be_made_is_told_of_and_the_next_apply_heals_it() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({ "pod": { "priorityClassName": "no-such" } }));
    cluster.quiet().await;
    let (_, reason, message) = cluster.condition("orders", "Stalled").unwrap();
    assert_eq!(reason, "PodRefused");
    assert!(message.starts_with("StatefulSet orders-b0 cannot make its pod: "), "{message}");
    assert!(message.contains("no PriorityClass") && message.contains("spec.pod"), "{message}");
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    assert!(cluster.is_ready("orders"));
    assert_eq!(cluster.condition("orders", "Stalled"), None);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_ends_again_and_again_is_told_of_once() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let pod = Id::new("", "pods", NAMESPACE, "orders-b0-0");
    let turn = |restarts: u32, state: Value| {
        cluster.server.objects(|objects| {
            objects.edit(&pod, |pod| {
                pod["status"]["conditions"] = json!([{ "type": "Ready", "status": "False" }]);
                pod["status"]["containerStatuses"][0]["restartCount"] = restarts.into();
                pod["status"]["containerStatuses"][0]["state"] = state;
            });
        });
    };
    let waiting =
        |message: &str| json!({ "waiting": { "reason": "CrashLoopBackOff", "message": message } });
    turn(2, waiting("back-off 10s restarting failed container"));
    cluster.quiet().await;
    let stalled = cluster.condition("orders", "Stalled").unwrap();
    assert_eq!(stalled.1, "CrashLoop");
    assert!(stalled.2.contains("kubectl logs orders-b0-0 --previous"), "{}", stalled.2);
    for (restarts, state) in [
        (3, json!({ "running": {} })),
        (3, waiting("back-off 20s restarting failed container")),
        (4, json!({ "running": {} })),
    ] {
        turn(restarts, state);
        assert_eq!(changes(&cluster.quiet().await), Vec::<String>::new());
    }
    assert_eq!(cluster.condition("orders", "Stalled"), Some(stalled));
    assert_eq!(cluster.events(), ["CrashLoop"]);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_waits_is_told_of_with_the_class_that_it_has() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let claim = Id::new("", "persistentvolumeclaims", NAMESPACE, "data-orders-b0-0");
    cluster.server.objects(|objects| {
        objects.edit(&claim, |claim| {
            claim["spec"]["storageClassName"] = "no-such-class".into();
            claim["status"]["phase"] = "Pending".into();
        });
    });
    cluster.quiet().await;
    let (_, reason, message) = cluster.condition("orders", "StorageReady").unwrap();
    assert_eq!(reason, "ClaimPending");
    let class = "its class (spec.storage.storageClassName when it was made) is no-such-class";
    assert!(message.contains(class), "{message}");
    assert!(message.contains("kubectl delete pvc data-orders-b0-0"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_and_again_is_told_in_the_status() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    cluster.server.decide(|call| {
        let is_made = call.resource == "services" && call.changes();
        if is_made { Fate::Refused(500) } else { Fate::Answered }
    });
    cluster.apply("orders", &json!({ "groups": 2 }));
    let told = |cluster: &Cluster| cluster.condition("orders", "Stalled").is_some();
    assert!(cluster.until(told).await);
    let (_, reason, message) = cluster.condition("orders", "Stalled").unwrap();
    assert_eq!((reason.as_str(), message.as_str()), ("Failing", "refused by the test (500)"));
    sleep(Duration::from_mins(5)).await;
    assert_eq!(cluster.events(), ["Failing"]);

    cluster.server.decide_nothing();
    assert!(cluster.until(|cluster| cluster.is_ready("orders")).await);
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_does_not_take_is_told_in_its_words() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.server.decide(|call| {
        let bad = call.resource == "statefulsets" && call.is_apply;
        if bad { Fate::Refused(422) } else { Fate::Answered }
    });
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let (_, reason, message) = cluster.condition("orders", "SpecValid").unwrap();
    assert_eq!(reason, "Rejected");
    assert!(message.contains("StatefulSet orders-b0: refused by the test"), "{message}");
    cluster.server.decide_nothing();
    cluster.apply("orders", &json!({ "pod": { "labels": { "a": "b" } } }));
    cluster.quiet().await;
    assert!(cluster.is_ready("orders"));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_put_beside_ours_is_set_back_also_where_an_apply_is_refused_for_it() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let before = cluster.get("", "services", "orders-namesrv").unwrap();
    // As the API server does: ours is merged by number, and then two ports have one name.
    cluster.server.decide(|call| {
        let clashes = call.is_apply && call.id().name == "orders-namesrv";
        if clashes && call.resource == "services" { Fate::Refused(422) } else { Fate::Answered }
    });
    cluster.server.objects(|objects| {
        let id = Id::new("", "services", NAMESPACE, "orders-namesrv");
        objects.edit(&id, |service| service["spec"]["ports"][0]["port"] = json!(9999));
    });
    cluster.quiet().await;
    let after = cluster.get("", "services", "orders-namesrv").unwrap();
    assert_eq!(after["spec"]["ports"], before["spec"]["ports"]);
    assert_eq!(cluster.condition("orders", "SpecValid").unwrap().0, "True");
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_cannot_read_is_told_in_its_words() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.server.decide(|call| {
        let bad = call.resource == "statefulsets" && call.is_apply;
        if bad { Fate::Unreadable } else { Fate::Answered }
    });
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let (_, _, message) = cluster.condition("orders", "SpecValid").unwrap();
    assert!(message.contains(".spec.template: field not declared in schema"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_takes_too_much_memory_is_told_of_with_the_field() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let pod = Id::new("", "pods", NAMESPACE, "orders-b0-0");
    cluster.server.objects(|objects| {
        objects.edit(&pod, |pod| {
            pod["status"]["conditions"] = json!([{ "type": "Ready", "status": "False" }]);
            let container = &mut pod["status"]["containerStatuses"][0];
            container["restartCount"] = 2.into();
            let ended = json!({ "exitCode": 137, "reason": "OOMKilled" });
            container["lastState"] = json!({ "terminated": ended });
        });
    });
    cluster.quiet().await;
    let (_, reason, message) = cluster.condition("orders", "Stalled").unwrap();
    assert_eq!(reason, "CrashLoop");
    assert!(message.contains("OOMKilled") && message.contains("spec.resources"), "{message}");
    // It took messages before, so it is not being made.
    assert_eq!(cluster.condition("orders", "Ready").unwrap().1, "GroupsUnavailable");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_being_deleted_is_told_of_while_its_messages_are_there() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let claim = Id::new("", "persistentvolumeclaims", NAMESPACE, "data-orders-b0-0");
    cluster.server.objects(|objects| {
        objects.edit(&claim, |claim| {
            claim["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
            claim["metadata"]["deletionTimestamp"] = "2030-03-17T18:00:00Z".into();
        });
    });
    cluster.quiet().await;
    let (status, reason, _) = cluster.condition("orders", "StorageReady").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "ClaimDeleted"));
}

/// Deletes the claim of a group, which stays as long as the group's pod does; returns its uid.
fn delete_claim(cluster: &Cluster, name: &str) -> String {
    let claim = Id::new("", "persistentvolumeclaims", NAMESPACE, name);
    cluster.server.objects(|objects| {
        objects.edit(&claim, |claim| {
            claim["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
        });
        objects.remove(&claim);
        objects.get(&claim).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned()
    })
}

fn uid(cluster: &Cluster, group: &str, resource: &str, name: &str) -> Value {
    cluster.get(group, resource, name).unwrap()["metadata"]["uid"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_claim_would_go_with_it_is_not_restarted_before_somebody_allows_it() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({ "groups": 2 }));
    cluster.quiet().await;
    let claim = delete_claim(&cluster, "data-orders-b0-0");
    let pods = || ["orders-b0-0", "orders-b1-0"].map(|name| uid(&cluster, "", "pods", name));
    let before = pods();
    cluster.apply("orders", &json!({ "groups": 2, "image": "rocketkube:2" }));
    cluster.quiet().await;
    assert_eq!(pods()[0], before[0]);
    assert_ne!(pods()[1], before[1], "the other group goes on");
    let (status, reason, message) = cluster.condition("orders", "Stalled").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "ClaimDeleted"));
    let what_to_do = format!("bset orders --overwrite mq.rocketkube.dev/discard-data={claim}");
    assert!(
        message.starts_with("claim data-orders-b0-0 ") && message.contains(&what_to_do),
        "{message}"
    );
    let mut events = cluster.events();
    events.sort();
    assert_eq!(events, ["ClaimDeleted", "ImageChanged"]);

    cluster.annotate("orders", "mq.rocketkube.dev/discard-data", "uid-of-another".into());
    cluster.quiet().await;
    assert_eq!(pods()[0], before[0]);
    cluster.annotate("orders", "mq.rocketkube.dev/discard-data", format!("x, {claim}").into());
    cluster.quiet().await;
    assert_ne!(pods()[0], before[0]);
    assert_ne!(uid(&cluster, "", "persistentvolumeclaims", "data-orders-b0-0"), claim);
    assert!(cluster.is_ready("orders"), "{:?}", cluster.condition("orders", "Ready"));
    assert_eq!(cluster.condition("orders", "StorageReady").unwrap().1, "Bound");
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_claim_would_go_with_it_is_not_stopped_before_somebody_allows_it() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({ "groups": 2 }));
    cluster.quiet().await;
    cluster.server.take_calls();
    let pod = uid(&cluster, "", "pods", "orders-b0-0");
    // The operator hears of the spec alone.
    cluster.apply("orders", &json!({ "groups": 2, "hibernate": true }));
    cluster.server.objects(support::Objects::hold_watches);
    let claim = delete_claim(&cluster, "data-orders-b0-0");
    sleep(Duration::from_secs(1)).await;
    cluster.server.objects(support::Objects::release_watches);
    let calls = cluster.quiet().await;
    let stops: Vec<_> = calls
        .iter()
        .filter(|call| call.changes() && call.body["spec"]["replicas"] == 0)
        .map(|call| call.id().name)
        .collect();
    assert_eq!(stops, ["orders-b1"], "and no name server");
    assert_eq!(uid(&cluster, "", "pods", "orders-b0-0"), pod);
    assert_eq!(cluster.condition("orders", "Stalled").unwrap().1, "ClaimDeleted");
    let (_, reason, message) = cluster.condition("orders", "Ready").unwrap();
    assert_eq!(reason, "Hibernated");
    assert!(message.starts_with("1 broker pods go on"), "{message}");
    assert_eq!(cluster.events(), ["ClaimDeleted"]);

    cluster.annotate("orders", "mq.rocketkube.dev/discard-data", claim.into());
    cluster.quiet().await;
    assert_eq!(cluster.phase("orders"), "Hibernated");
    assert_eq!(cluster.condition("orders", "Stalled"), None);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_takes_off_objects_of_ours_is_put_back() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let state = Id::new("", "configmaps", NAMESPACE, "orders-b0-state");
    let set = Id::new("apps", "statefulsets", NAMESPACE, "orders-b0");
    cluster.server.objects(|objects| {
        objects.edit(&state, |state| {
            state["metadata"].as_object_mut().unwrap().remove("ownerReferences");
        });
        objects.edit(&set, |set| set["metadata"]["labels"]["mq.rocketkube.dev/group"] = "7".into());
    });
    cluster.quiet().await;
    assert!(cluster.is_ready("orders"), "{:?}", cluster.condition("orders", "Ready"));
    let state = cluster.get("", "configmaps", "orders-b0-state").unwrap();
    assert_eq!(state["metadata"]["ownerReferences"][0]["name"], "orders");
    let set = cluster.get("apps", "statefulsets", "orders-b0").unwrap();
    assert_eq!(set["metadata"]["labels"]["mq.rocketkube.dev/group"], "0");
}

#[tokio::test(start_paused = true)]
async fn a_watched_namespace_that_is_gone_keeps_nobody_from_the_others() {
    let cluster = Cluster::new();
    cluster.server.forbid_in("gone");
    let namespaces = format!("gone,{NAMESPACE}");
    let operator = Operator::start_in(&cluster.server, "rocketkube:1", &namespaces);
    operator.context.sync.set_present();
    cluster.apply("orders", &json!({}));
    assert!(cluster.until(|cluster| cluster.is_ready("orders")).await);
}
