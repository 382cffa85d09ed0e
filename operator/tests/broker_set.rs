//! The life of a `BrokerSet`, at an API server in the test's own process.
#![forbid(unsafe_code)]

mod support;

use std::time::Duration;

use rocketkube_operator::{Hindrance, Key, SyncReport};
use serde_json::{Value, json};
use support::run::{Cluster, NAMESPACE, Operator, broker_set, changes};
use support::{Fate, Id, Verb, first};
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn an_empty_spec_becomes_ready() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;

    assert!(cluster.is_ready("orders"), "{:?}", cluster.condition("orders", "Ready"));
    assert_eq!(cluster.phase("orders"), "Running");
    let set = cluster.get("mq.rocketkube.dev", "brokersets", "orders").unwrap();
    let status = &set["status"];
    assert_eq!(status["brokers"], "1/1");
    assert_eq!(status["writableGroups"], 1);
    assert_eq!(status["image"], "rocketkube:1");
    assert_eq!(status["version"], "1");
    assert_eq!(status["renderVersion"], 1);
    assert_eq!(status["nameServer"]["internal"], "orders-namesrv.shop.svc:9876");
    assert_eq!(status["groupStatus"][0]["state"], "Active");
    for condition in status["conditions"].as_array().unwrap() {
        assert_eq!(condition["observedGeneration"], set["metadata"]["generation"], "{condition}");
        assert_eq!(condition["status"], "True", "{condition}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_people_watch_an_operator_by_is_told_in_numbers() {
    let cluster = Cluster::new();
    let operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let text = operator.metrics.render();
    let told = |name: &str| text.contains(&format!("# TYPE {name} "));
    let missing: Vec<_> = [
        "mq_consumer_groups",
        "mq_consumer_lag_messages",
        "mq_consumer_lag_seconds",
        "mq_drift_corrections_total",
        "mq_operator_applied_objects_total",
        "mq_operator_leader",
        "mq_operator_pod_restarts_total",
        "mq_reconcile_duration_seconds_count",
        "mq_reconcile_duration_seconds_sum",
        "mq_reconcile_last_success_timestamp",
        "mq_reconcile_total",
        "mq_resource_condition",
        "mq_topics",
        "mq_undecodable_objects",
        "mq_watch_silence_seconds",
    ]
    .into_iter()
    .filter(|name| !told(name))
    .collect();
    assert_eq!(missing, Vec::<&str>::new());
    let of = |metric: &str| {
        let line = text.lines().find(|line| line.starts_with(metric)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(of("mq_reconcile_total{kind=\"BrokerSet\",result=\"ok\"}") > 0.0);
    assert!(of("mq_reconcile_duration_seconds_count{kind=\"BrokerSet\"}") > 0.0);
    assert!(of("mq_reconcile_last_success_timestamp{kind=\"BrokerSet\"}") > 0.0);
    let ready = "name=\"orders\",type=\"Ready\",status=\"True\",reason=\"AsSpecified\"} 1";
    assert!(text.contains(ready), "{text}");

    let id = Id::new("mq.rocketkube.dev", "brokersets", NAMESPACE, "orders");
    cluster.server.objects(|objects| objects.remove(&id));
    cluster.quiet().await;
    let text = operator.metrics.render();
    assert!(!text.contains("name=\"orders\""), "of one that is gone: {text}");
}

/// So that Kubernetes keeps the address leading to the pod, whatever becomes of the spec and of the
/// operator.
#[tokio::test(start_paused = true)]
async fn the_address_of_a_group_selects_its_pod_and_no_other() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({ "groups": 2 }));
    cluster.apply("other", &json!({}));
    cluster.quiet().await;
    let service = cluster.get("", "services", "orders-b0-master").unwrap();
    let selector = service["spec"]["selector"].as_object().unwrap();
    let pods = cluster.server.objects(|objects| objects.of("", "pods"));
    let is_selected = |pod: &Value| {
        selector.iter().all(|(name, value)| pod["metadata"]["labels"][name] == *value)
    };
    let selected: Vec<_> =
        pods.iter().filter(|(_, pod)| is_selected(pod)).map(|(id, _)| &*id.name).collect();
    assert_eq!(selected, ["orders-b0-0"]);
    let set = cluster.get("apps", "statefulsets", "orders-b0").unwrap();
    let advertised =
        format!("--advertise={}:10911", service["spec"]["clusterIP"].as_str().unwrap());
    let arguments = &set["spec"]["template"]["spec"]["containers"][0]["args"];
    assert!(arguments.as_array().unwrap().contains(&advertised.into()), "{arguments}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_when_nothing_changed() {
    let cluster = Cluster::new();
    let operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({ "groups": 3, "pod": { "labels": { "team": "a" } } }));
    cluster.quiet().await;
    operator.kill().await;
    cluster.server.take_calls();

    let _operator = Operator::start(&cluster.server);
    let calls = cluster.quiet().await;
    assert_eq!(changes(&calls), Vec::<String>::new());
    assert!(calls.iter().any(|call| call.verb == Verb::List), "it did look");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changes_behind_its_back_is_put_right() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let service = Id::new("", "services", NAMESPACE, "orders-namesrv");
    cluster.server.objects(|objects| {
        objects.edit(&service, |service| {
            service["spec"]["ports"][0]["port"] = 1.into();
            service["metadata"]["labels"]["theirs"] = "stays".into();
        });
    });
    let calls = cluster.quiet().await;
    assert_eq!(changes(&calls), ["patch services orders-namesrv "]);
    let service = cluster.get("", "services", "orders-namesrv").unwrap();
    assert_eq!(service["spec"]["ports"][0]["port"], 9876);
    assert_eq!(service["metadata"]["labels"]["theirs"], "stays");
}

#[tokio::test(start_paused = true)]
async fn a_new_image_restarts_one_group_at_a_time_and_says_so() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({ "groups": 3 }));
    cluster.quiet().await;
    cluster.apply("orders", &json!({ "groups": 3, "image": "rocketkube:2" }));
    let calls = cluster.quiet().await;

    let interesting = |call: &&support::Call| {
        (call.resource == "pods" && call.verb == Verb::Delete)
            || (call.resource == "events" && call.verb == Verb::Create)
            // What shows that a pod is back.
            || call.body["metadata"]["labels"]["mq.rocketkube.dev/role"] == "master"
    };
    let order: Vec<_> =
        calls.iter().filter(interesting).map(|call| (call.verb, call.resource.as_str())).collect();
    let one = [(Verb::Delete, "pods"), (Verb::Create, "events"), (Verb::Patch, "pods")];
    assert_eq!(order, one.repeat(3), "{:?}", changes(&calls));
    assert_eq!(cluster.events(), ["ImageChanged"; 3]);
    assert!(cluster.is_ready("orders"));
    for index in 0..3 {
        let pod = cluster.get("", "pods", &format!("orders-b{index}-0")).unwrap();
        assert_eq!(pod["spec"]["containers"][0]["image"], "rocketkube:2");
    }
}

fn image_of(cluster: &Cluster, pod: &str) -> Option<Value> {
    Some(cluster.get("", "pods", pod)?["spec"]["containers"][0]["image"].clone())
}

#[tokio::test(start_paused = true)]
async fn the_next_group_is_restarted_when_clients_have_heard_that_the_last_is_back() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({ "groups": 2 }));
    cluster.quiet().await;
    cluster.apply("orders", &json!({ "groups": 2, "image": "rocketkube:2" }));
    let is_new = |pod| image_of(&cluster, pod).is_some_and(|image| image == "rocketkube:2");
    assert!(cluster.until_soon(|_| is_new("orders-b0-0")).await);
    sleep(Duration::from_secs(33)).await;
    assert_eq!(image_of(&cluster, "orders-b1-0"), Some("rocketkube:1".into()));
    sleep(Duration::from_secs(3)).await;
    assert!(is_new("orders-b1-0"));
}

#[tokio::test(start_paused = true)]
async fn no_group_is_restarted_while_the_last_takes_no_messages() {
    let cluster = Cluster::new();
    let operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({ "groups": 2 }));
    cluster.quiet().await;
    let set = cluster.get("mq.rocketkube.dev", "brokersets", "orders").unwrap();
    let uid = set["metadata"]["uid"].as_str().map(str::to_owned);
    let tell = |full: Option<&str>| {
        let hindrance = |words: &str| Hindrance { full: Some(words.to_owned()), is_unknown: false };
        let hindered = full.map(|words| (0, hindrance(words))).into_iter().collect();
        let report = SyncReport { uid: uid.clone(), hindered, ..SyncReport::default() };
        operator.context.publish_sync(&Key::new(NAMESPACE, "orders"), Some(report));
    };
    cluster.apply("orders", &json!({ "groups": 2, "image": "rocketkube:2" }));
    let is_new = |pod| image_of(&cluster, pod).is_some_and(|image| image == "rocketkube:2");
    assert!(cluster.until_soon(|_| is_new("orders-b0-0")).await);
    tell(Some("the disk is full"));
    cluster.quiet().await;
    assert_eq!(image_of(&cluster, "orders-b1-0"), Some("rocketkube:1".into()));
    tell(None);
    cluster.quiet().await;
    assert!(is_new("orders-b1-0"));
}

#[tokio::test(start_paused = true)]
async fn a_bad_image_reaches_a_name_server_first_and_no_broker() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({ "groups": 2 }));
    cluster.quiet().await;
    cluster.apply("orders", &json!({ "groups": 2, "image": "rocketkube:bad" }));
    let calls = cluster.quiet().await;
    assert_eq!(cluster.condition("orders", "Stalled").unwrap().1, "ImagePull");
    assert_eq!(cluster.condition("orders", "Available").unwrap().0, "True");
    assert_eq!(cluster.condition("orders", "Ready").unwrap().1, "NameServerUnavailable");
    assert!(!changes(&calls).iter().any(|call| call.starts_with("delete")), "{calls:?}");

    cluster.apply("orders", &json!({ "groups": 2, "image": "rocketkube:3" }));
    cluster.quiet().await;
    assert!(cluster.is_ready("orders"), "{:?}", cluster.condition("orders", "Ready"));
    assert_eq!(cluster.events(), ["ImagePull", "ImageChanged", "ImageChanged"]);
}

#[tokio::test(start_paused = true)]
async fn labels_reach_running_pods_without_a_restart() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let before = cluster.get("", "pods", "orders-b0-0").unwrap();
    assert_eq!(before["metadata"]["labels"]["mq.rocketkube.dev/role"], "master");
    cluster.apply("orders", &json!({ "pod": { "labels": { "team": "a" } } }));
    cluster.quiet().await;
    let after = cluster.get("", "pods", "orders-b0-0").unwrap();
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["metadata"]["labels"]["team"], "a");
    assert!(cluster.is_ready("orders"));
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let last = cluster.get("", "pods", "orders-b0-0").unwrap();
    assert_eq!(last["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(last["metadata"]["labels"], before["metadata"]["labels"]);
}

#[tokio::test(start_paused = true)]
async fn annotations_of_the_operator_are_not_for_specs() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster
        .apply("orders", &json!({ "pod": { "annotations": { "mq.rocketkube.dev/roll": "x" } } }));
    cluster.quiet().await;
    let (_, reason, message) = cluster.condition("orders", "SpecValid").unwrap();
    assert_eq!(reason, "InvalidValue");
    assert!(message.starts_with("spec.pod.annotations: cannot have mq.rocketkube.dev/roll"));
    assert_eq!(cluster.names("apps", "statefulsets"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_made_once_and_at_the_time_it_is_asked_for() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let restarts = |calls: &[support::Call]| {
        changes(calls).iter().filter(|call| call.starts_with("delete pods")).count()
    };
    let key = "mq.rocketkube.dev/restart-at";
    cluster.annotate("orders", key, "2030-03-17T18:46:40Z".into());
    assert_eq!(restarts(&cluster.quiet().await), 0, "that is an hour later");
    sleep(Duration::from_mins(61)).await;
    assert_eq!(restarts(&cluster.quiet().await), 1);
    assert_eq!(cluster.events(), ["ManualRestart"]);
    cluster.server.objects(|objects| {
        objects.edit(&broker_set("orders"), |set| {
            set["metadata"]["annotations"].as_object_mut().unwrap().remove(key);
        });
    });
    assert_eq!(restarts(&cluster.quiet().await), 0, "nobody asked for another");
    cluster.annotate("orders", key, "2030-03-17T18:50:00Z".into());
    assert_eq!(restarts(&cluster.quiet().await), 1, "that is past");
    assert!(cluster.is_ready("orders"));

    cluster.annotate("orders", key, "tomorrow".into());
    cluster.quiet().await;
    let (_, reason, message) = cluster.condition("orders", "SpecValid").unwrap();
    assert_eq!(reason, "InvalidValue");
    assert!(message.contains(key) && message.contains("tomorrow"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_of_another_release_changes_nothing() {
    let cluster = Cluster::new();
    let operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({ "groups": 2 }));
    cluster.quiet().await;
    operator.kill().await;
    cluster.server.take_calls();
    let _operator = Operator::start_with(&cluster.server, "rocketkube:2");
    assert_eq!(changes(&cluster.quiet().await), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_new_group_takes_no_message_before_it_has_what_the_others_have() {
    let cluster = Cluster::new();
    let operator = Operator::start(&cluster.server);
    operator.context.sync.set_present();
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    assert!(cluster.is_ready("orders"), "the first group lacks nothing");
    cluster.apply("orders", &json!({ "groups": 2 }));
    cluster.quiet().await;
    let state = || cluster.get("", "configmaps", "orders-b1-state").unwrap()["data"].clone();
    assert_eq!(state()["state.yaml"], "perm: 0\n");
    assert_eq!(cluster.phase("orders"), "Scaling");
    assert!(!cluster.is_ready("orders"));
    let (_, _, message) = cluster.condition("orders", "Ready").unwrap();
    let waits = "waiting for orders-b1 (it lacks what the others have, of which none answers)";
    assert!(message.ends_with(waits), "{message}");

    let set = cluster.get("mq.rocketkube.dev", "brokersets", "orders").unwrap();
    let uid = set["metadata"]["uid"].as_str().map(str::to_owned);
    let tell = |uid| {
        let report = SyncReport { uid, filled: [0, 1].into(), ..SyncReport::default() };
        operator.context.publish_sync(&Key::new(NAMESPACE, "orders"), Some(report));
    };
    tell(Some("of one that was deleted".to_owned()));
    cluster.quiet().await;
    assert_eq!(state()["state.yaml"], "perm: 0\n");

    tell(uid);
    cluster.quiet().await;
    assert_eq!(state()["state.yaml"], "perm: 6\n");
    let pod = cluster.get("", "pods", "orders-b1-0").unwrap();
    assert_eq!(pod["metadata"]["annotations"]["mq.rocketkube.dev/state"], "Active");
    assert!(cluster.is_ready("orders"));
    assert_eq!(cluster.events(), ["ScaleOut"]);
    operator.kill().await;

    // Nobody has said anything to the next operator, and nothing goes back.
    let operator = Operator::start(&cluster.server);
    operator.context.sync.set_present();
    cluster.quiet().await;
    assert_eq!(state()["state.yaml"], "perm: 6\n");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_added_changes_no_pod_template_of_what_runs() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let running = || {
        let template = |resource, name| {
            let object = cluster.get("apps", resource, name).unwrap();
            (object["metadata"]["generation"].clone(), object["spec"]["template"].clone())
        };
        [template("deployments", "orders-namesrv"), template("statefulsets", "orders-b0")]
    };
    let before = running();
    cluster.apply("orders", &json!({ "groups": 3 }));
    let calls = cluster.quiet().await;
    assert_eq!(running(), before);
    assert!(!changes(&calls).iter().any(|call| call.starts_with("delete")), "{calls:?}");
    let settings = cluster.get("", "configmaps", "orders-namesrv-config").unwrap();
    let expected = "expect: \"orders-b0,orders-b1,orders-b2\"\n";
    assert_eq!(settings["data"]["namesrv.yaml"], expected);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_clients_do_not_come_to_is_told() {
    let cluster = Cluster::new();
    let operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let set = cluster.get("mq.rocketkube.dev", "brokersets", "orders").unwrap();
    let uid = set["metadata"]["uid"].as_str().map(str::to_owned);
    let report = async |hindrance: Option<Hindrance>| {
        let hindered = hindrance.map(|it| (0, it)).into_iter().collect();
        let report = SyncReport { uid: uid.clone(), hindered, ..SyncReport::default() };
        operator.context.publish_sync(&Key::new(NAMESPACE, "orders"), Some(report));
        cluster.quiet().await;
    };
    let is = |kind| cluster.condition("orders", kind).unwrap();
    report(Some(Hindrance { is_unknown: true, full: None })).await;
    assert_eq!(is("Ready").1, "NotRegistered");
    assert!(is("Ready").2.contains("orders-b0"), "{}", is("Ready").2);
    assert_eq!((is("Available").0, is("Available").1), ("False".into(), "NoNameServer".into()));

    let full = Some("disk is 93 % full".to_owned());
    report(Some(Hindrance { is_unknown: false, full })).await;
    assert_eq!(
        (is("Ready").1, is("Available").1),
        ("GroupsUnavailable".into(), "NoWritableGroup".into())
    );
    assert_eq!((is("StorageReady").0, is("StorageReady").1), ("False".into(), "Full".into()));
    assert!(is("StorageReady").2.starts_with("orders-b0: disk is 93 % full"));
    report(None).await;
    assert!(cluster.is_ready("orders"), "{:?}", is("Ready"));
}

#[tokio::test(start_paused = true)]
async fn groups_are_never_taken_away() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({ "groups": 2 }));
    cluster.quiet().await;
    cluster.apply("orders", &json!({ "groups": 1 }));
    let calls = cluster.quiet().await;
    let (status, reason, message) = cluster.condition("orders", "SpecValid").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "ForbiddenChange"));
    assert!(message.starts_with("spec.groups: is 1"), "{message}");
    assert!(!changes(&calls).iter().any(|call| call.starts_with("delete")));
    cluster.apply("orders", &json!({ "groups": 2 }));
    cluster.quiet().await;
    assert!(cluster.is_ready("orders"));
}

#[tokio::test(start_paused = true)]
async fn name_servers_that_are_no_longer_wanted_go_and_claims_stay() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    cluster.apply("orders", &json!({ "nameServer": { "addresses": ["ns.example.com:9876"] } }));
    cluster.quiet().await;
    assert_eq!(cluster.names("apps", "deployments"), Vec::<String>::new());
    assert_eq!(cluster.names("", "services"), ["orders-b0-master", "orders-brokers"]);
    assert_eq!(cluster.names("", "configmaps"), ["orders-b0-state", "orders-broker-config"]);
    assert_eq!(cluster.names("", "persistentvolumeclaims"), ["data-orders-b0-0"]);
    assert!(cluster.is_ready("orders"));
    assert_eq!(cluster.events(), ["PodChanged"]);
}

#[tokio::test(start_paused = true)]
async fn hibernation_stops_brokers_first_and_keeps_claims_and_addresses() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let service = cluster.get("", "services", "orders-b0-master").unwrap();
    cluster.apply("orders", &json!({ "hibernate": true }));
    let calls = cluster.quiet().await;
    assert_eq!(cluster.phase("orders"), "Hibernated");
    let available = cluster.condition("orders", "Available").unwrap();
    assert_eq!((&*available.0, &*available.1), ("False", "Hibernated"));
    assert_eq!(cluster.names("", "pods"), Vec::<String>::new());
    let stops: Vec<_> = calls
        .iter()
        .filter(|call| call.changes() && call.body["spec"]["replicas"] == 0)
        .map(|call| call.resource.as_str())
        .collect();
    assert_eq!(stops, ["statefulsets", "deployments"]);
    assert_eq!(cluster.names("", "persistentvolumeclaims"), ["data-orders-b0-0"]);

    cluster.apply("orders", &json!({ "hibernate": false }));
    cluster.quiet().await;
    assert!(cluster.is_ready("orders"), "{:?}", cluster.condition("orders", "Ready"));
    assert_eq!(cluster.get("", "services", "orders-b0-master").unwrap(), service);
}

#[tokio::test(start_paused = true)]
async fn while_paused_nothing_is_written_but_the_status() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    cluster.annotate("orders", "mq.rocketkube.dev/paused", "true".into());
    cluster.apply("orders", &json!({ "image": "rocketkube:2", "groups": 2 }));
    let calls = cluster.quiet().await;
    assert_eq!(changes(&calls), ["patch brokersets orders status"]);
    let (status, reason, _) = cluster.condition("orders", "Ready").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "Paused"));

    let pod = Id::new("", "pods", NAMESPACE, "orders-b0-0");
    cluster.server.objects(|objects| objects.remove(&pod));
    let calls = cluster.quiet().await;
    let allowed = |call: &String| call == "patch brokersets orders status";
    assert!(changes(&calls).iter().all(allowed), "{:?}", changes(&calls));

    cluster.annotate("orders", "mq.rocketkube.dev/paused", "false".into());
    cluster.quiet().await;
    assert!(cluster.is_ready("orders"));
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_others_is_named_and_left_alone() {
    let cluster = Cluster::new();
    let theirs = Id::new("", "services", NAMESPACE, "orders-namesrv");
    let object =
        json!({ "apiVersion": "v1", "kind": "Service", "spec": { "clusterIP": "10.0.0.9" } });
    cluster.server.objects(|objects| objects.put(&theirs, object));
    let before = cluster.get("", "services", "orders-namesrv");
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({ "nameServer": null, "replicasPerGroup": 2 }));
    let calls = cluster.quiet().await;
    assert_eq!(changes(&calls), ["patch brokersets orders status"]);
    assert_eq!(cluster.get("", "services", "orders-namesrv"), before);
    let (_, reason, message) = cluster.condition("orders", "SpecValid").unwrap();
    assert_eq!(reason, "NameConflict");
    assert!(message.contains("Service orders-namesrv exists"), "{message}");
    assert!(message.contains("spec.replicasPerGroup: is 2"), "all at once: {message}");
    assert_eq!(cluster.condition("orders", "Stalled").unwrap().1, "InvalidSpec");

    cluster.server.objects(|objects| objects.remove(&theirs));
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    assert!(cluster.is_ready("orders"));
    assert_eq!(cluster.condition("orders", "SpecValid").unwrap().0, "True");
}

#[tokio::test(start_paused = true)]
async fn shared_name_servers_have_to_be_there() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    let shares = |name: &str| json!({ "nameServer": { "fromBrokerSet": { "name": name } } });
    cluster.apply("audit", &shares("orders"));
    cluster.quiet().await;
    let (_, reason, message) = cluster.condition("audit", "SpecValid").unwrap();
    assert_eq!(reason, "ReferenceNotFound");
    assert!(message.starts_with("spec.nameServer.fromBrokerSet.name: "), "{message}");
    cluster.apply("third", &shares("audit"));
    cluster.apply("self", &shares("self"));
    cluster.quiet().await;
    assert_eq!(cluster.condition("third", "SpecValid").unwrap().1, "NameServerConflict");
    assert_eq!(cluster.condition("self", "SpecValid").unwrap().1, "NameServerConflict");

    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    assert!(cluster.is_ready("audit"), "{:?}", cluster.condition("audit", "Ready"));
    let set = cluster.get("apps", "statefulsets", "audit-b0").unwrap();
    let arguments = set["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    assert!(arguments.contains("--namesrv=orders-namesrv-peers.shop.svc:9876"), "{arguments}");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_stops_nobody_else() {
    let cluster = Cluster::new();
    let operator = Operator::start(&cluster.server);
    cluster.apply("broken", &json!({ "groups": "many" }));
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    assert!(cluster.is_ready("orders"));
    assert_eq!(cluster.events(), ["Undecodable"]);
    let metrics = operator.metrics.render();
    assert!(metrics.contains("mq_undecodable_objects{kind=\"BrokerSet\"} 1"), "{metrics}");
    cluster.apply("broken", &json!({ "groups": 1 }));
    cluster.quiet().await;
    assert!(cluster.is_ready("broken"));
}

/// Two watches of one kind would hide each other's silence, and tell everything twice.
#[tokio::test(start_paused = true)]
async fn every_kind_is_watched_once_for_all_controllers() {
    let cluster = Cluster::new();
    let operator = Operator::start(&cluster.server);
    operator.context.sync.set_present();
    cluster.apply("broken", &json!({ "groups": "many" }));
    let calls = cluster.quiet().await;
    let is_watch = |call: &&support::Call| call.verb == Verb::Watch;
    let mut watched: Vec<_> =
        calls.iter().filter(is_watch).map(|call| call.resource.as_str()).collect();
    watched.sort_unstable();
    let mut once = watched.clone();
    once.dedup();
    assert_eq!(watched, once);
    assert!(once.contains(&"brokersets") && once.contains(&"topics"), "{once:?}");
    assert_eq!(cluster.events(), ["Undecodable"]);
    let metrics = operator.metrics.render();
    let told = metrics.lines().filter(|line| line.starts_with("mq_undecodable_objects"));
    let kinds = [("BrokerSet", 1), ("ConsumerGroup", 0), ("Topic", 0)];
    let expected =
        kinds.map(|(kind, count)| format!("mq_undecodable_objects{{kind=\"{kind}\"}} {count}"));
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

/// A field of another type is answered so, and not as a refusal.
#[tokio::test(start_paused = true)]
async fn deletion_takes_everything_but_claims_and_the_next_of_the_name_finds_them() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    cluster.server.objects(|objects| objects.remove(&broker_set("orders")));
    cluster.quiet().await;
    assert_eq!(cluster.names("apps", "statefulsets"), Vec::<String>::new());
    assert_eq!(cluster.names("", "services"), Vec::<String>::new());
    assert_eq!(cluster.names("", "persistentvolumeclaims"), ["data-orders-b0-0"]);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    assert!(cluster.is_ready("orders"), "{:?}", cluster.condition("orders", "Ready"));
}

#[tokio::test(start_paused = true)]
async fn one_made_again_at_once_waits_for_the_old_one_to_go() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    cluster.server.objects(|objects| objects.remove(&broker_set("orders")));
    cluster.apply("orders", &json!({}));
    let waits = |cluster: &Cluster| {
        let says = |kind| {
            cluster.condition("orders", kind).is_some_and(|(_, reason, _)| reason == "Waiting")
        };
        says("SpecValid") && says("Ready")
    };
    assert!(cluster.until_soon(waits).await);
    cluster.quiet().await;
    assert!(cluster.is_ready("orders"), "{:?}", cluster.condition("orders", "Ready"));
    assert_eq!(cluster.events(), Vec::<String>::new(), "no group joined any others");
}

#[tokio::test(start_paused = true)]
async fn refusals_and_lost_messages_of_the_api_server_are_outlived() {
    for fate in [
        Fate::Refused(409),
        Fate::Refused(410),
        Fate::Refused(429),
        Fate::Refused(500),
        Fate::Refused(503),
        Fate::Lost,
        Fate::AnswerLost,
    ] {
        let cluster = Cluster::new();
        let _operator = Operator::start(&cluster.server);
        // Of the first requests every seventh fails, lists and events included.
        let mut count = 0;
        cluster.server.decide(move |_| {
            count += 1;
            if count < 100 && count % 7 == 0 { fate } else { Fate::Answered }
        });
        cluster.apply("orders", &json!({ "groups": 2 }));
        assert!(cluster.until(|cluster| cluster.is_ready("orders")).await, "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_its_own_namespaces_are_looked_after() {
    let cluster = Cluster::new();
    let _operator = Operator::start_in(&cluster.server, "rocketkube:1", "other,shop");
    let set =
        json!({ "apiVersion": "mq.rocketkube.dev/v1alpha1", "kind": "BrokerSet", "spec": {} });
    let id = |namespace| Id::new("mq.rocketkube.dev", "brokersets", namespace, "orders");
    for namespace in ["shop", "other", "elsewhere"] {
        cluster.server.objects(|objects| objects.put(&id(namespace), set.clone()));
    }
    let calls = cluster.quiet().await;
    let phase = |namespace| {
        cluster
            .server
            .objects(|objects| objects.get(&id(namespace)).unwrap()["status"]["phase"].clone())
    };
    assert_eq!([phase("shop"), phase("other")], ["Running", "Running"]);
    assert!(phase("elsewhere").is_null());
    let asked = |call: &support::Call| call.namespace.clone().unwrap_or_else(|| "all".to_owned());
    let asked: std::collections::BTreeSet<_> = calls.iter().map(asked).collect();
    assert_eq!(asked, ["other", "shop"].map(str::to_owned).into());
}

#[tokio::test(start_paused = true)]
async fn caches_may_be_old_and_watches_may_end() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({ "groups": 2 }));
    cluster.quiet().await;
    // The operator hears of the new spec alone, and of nothing that it causes.
    cluster.apply("orders", &json!({ "groups": 2, "image": "rocketkube:2" }));
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    cluster.server.objects(support::Objects::hold_watches);
    let calls = cluster.quiet().await;
    let deleted = |calls: &[support::Call]| {
        calls.iter().filter(|call| call.resource == "pods" && call.verb == Verb::Delete).count()
    };
    let mut restarts = deleted(&calls);
    cluster.server.objects(|objects| {
        objects.release_watches();
        objects.bookmark();
        objects.forget();
    });
    restarts += deleted(&cluster.quiet().await);
    assert_eq!(restarts, 2, "each pod once, however old a cache is");
    assert!(cluster.is_ready("orders"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_replaced_meanwhile_is_not_deleted_again() {
    let cluster = Cluster::new();
    let _operator = Operator::start(&cluster.server);
    cluster.apply("orders", &json!({}));
    cluster.quiet().await;
    let is_delete = |call: &support::Call| call.resource == "pods" && call.verb == Verb::Delete;
    cluster.server.decide(first(is_delete, [Fate::AnswerLost]));
    cluster.apply("orders", &json!({ "image": "rocketkube:2" }));
    let calls = cluster.quiet().await;
    assert_eq!(calls.iter().filter(|call| is_delete(call)).count(), 1);
    assert!(cluster.is_ready("orders"));
}
