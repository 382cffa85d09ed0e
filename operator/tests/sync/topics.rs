//! Topics from their declaration to their end.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::broker::Master;
use crate::place::{Place, Workers, condition, until, writes};
use crate::support::{Call, Fate, Verb};

/// What is declared where a test does not care.
fn four() -> serde_json::Value {
    json!({"queues": 4})
}

fn has(master: &Master, topic: &str) -> bool {
    master.shape(topic).is_some()
}

#[tokio::test(start_paused = true)]
async fn topics_are_made_on_every_master_in_lists_and_then_nothing_is_written() {
    let place = Place::new(2);
    for n in 0..1_200 {
        place.topic(&format!("t{n}"), &json!({"queues": 4, "readQueues": 6, "access": "ReadOnly"}));
    }
    let _workers = Workers::start(&place.server);
    place.topic_is("t0", "Synced").await;
    place.quiet().await;
    for master in &place.masters {
        assert_eq!(master.shape("t1199"), Some((4, 6, 4)));
        master.with(|state| {
            assert_eq!(state.lists, [500, 500, 200]);
            assert_eq!(state.topics["t7"].attributes["message.type"], "NORMAL");
            state.asked.clear();
        });
    }
    let status = place.status("topics", "t7");
    assert_eq!(status["syncedGroups"], "2/2");
    assert_eq!(status["groups"][1]["readQueues"], 6);
    assert_eq!((&status["adopted"], &status["observedGeneration"]), (&json!(false), &json!(1)));

    place.server.take_calls();
    sleep(Duration::from_mins(10)).await;
    assert_eq!(writes(&place.server.take_calls()), 0);
    // Two questions each half minute, not one for each topic.
    place.masters[0]
        .with(|state| assert!((40..=46).contains(&state.asked.len()), "{:?}", state.asked));
}

#[tokio::test(start_paused = true)]
async fn a_topic_waits_for_its_broker_set() {
    let place = Place::new(1);
    place.remove("brokersets", "orders");
    place.topic("t", &four());
    let _workers = Workers::start(&place.server);
    let message = place.topic_is("t", "BrokerSetNotFound").await;
    assert!(message.starts_with("there is no BrokerSet shop/orders"), "{message}");
    place.quiet().await;
    place.put_broker_set(&json!({}), |_| "Active");
    place.topic_is("t", "Synced").await;
    assert!(condition(&place.status("topics", "t"), "Reconciling").is_null());
    place.put_broker_set(&json!({"hibernate": true}), |_| "Active");
    place.topic_is("t", "BrokerSetNotReady").await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_topic_fails_alone_with_the_words_of_the_broker() {
    let place = Place::new(1);
    place.masters[0].with(|state| state.refused = ["bad7".to_owned(), "bad90".to_owned()].into());
    for n in 0..100 {
        let name = if [7, 90].contains(&n) { format!("bad{n}") } else { format!("t{n}") };
        place.topic(&name, &four());
    }
    let _workers = Workers::start(&place.server);
    let message = place.topic_is("bad7", "BrokerRejected").await;
    assert_eq!(message, "b0: INVALID_PARAMETER (29) no bad7");
    assert_eq!(condition(&place.status("topics", "bad7"), "Stalled")["status"], "True");
    place.topic_is("bad90", "BrokerRejected").await;
    for n in (0..100).filter(|n| ![7, 90].contains(n)) {
        place.topic_is(&format!("t{n}"), "Synced").await;
    }
    assert!(place.event("BrokerRejected").is_some());
    // It is not asked again with every poll, and a new spec is tried at once.
    place.quiet().await;
    place.masters[0].with(|state| state.lists.clear());
    sleep(Duration::from_mins(1)).await;
    place.masters[0].with(|state| {
        assert!(state.lists.len() <= 2, "{:?}", state.lists);
        state.refused.clear();
    });
    place.topic("bad7", &json!({"queues": 5}));
    place.topic_is("bad7", "Synced").await;
    place.topic_is("bad90", "Synced").await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changes_in_a_broker_is_set_back_and_counted() {
    let place = Place::new(2);
    place.topic("t", &four());
    let workers = Workers::start(&place.server);
    place.topic_is("t", "Synced").await;
    place.quiet().await;
    place.masters[1].with(|state| {
        state.edit_topic("t", |topic| {
            (topic.perm, topic.order) = (0, true);
            topic.attributes.insert("other".to_owned(), "kept".to_owned());
        });
    });
    let drift = || place.status("topics", "t")["drift"].clone();
    assert!(until(|| drift()["corrections"] == 1).await);
    assert_eq!(drift()["fields"], json!(["access", "ordered"]));
    assert_eq!(place.masters[1].shape("t"), Some((4, 4, 6)));
    place.masters[1].with(|state| assert_eq!(state.topics["t"].attributes["other"], "kept"));
    let note = place.event("DriftCorrected").unwrap();
    assert_eq!(note, "somebody changed it in brokers, set back: access, ordered");

    place.masters[0].with(|state| state.remove_topic("t"));
    assert!(until(|| drift()["corrections"] == 2).await);
    assert_eq!(drift()["fields"], json!(["deleted"]));
    assert!(has(&place.masters[0], "t"));
    let text = workers.metrics.render();
    assert!(text.contains("mq_drift_corrections_total{kind=\"Topic\"} 2"), "{text}");
    // A change of the spec is none.
    place.topic("t", &json!({"queues": 8}));
    assert!(until(|| place.masters[0].shape("t") == Some((8, 8, 6))).await);
    place.quiet().await;
    assert_eq!(drift()["corrections"], 2);
}

#[tokio::test(start_paused = true)]
async fn what_exists_is_taken_over_only_if_nothing_is_lost() {
    let place = Place::new(1);
    place.masters[0].with(|state| {
        for (name, queues) in [("small", 2), ("large", 8), ("forced", 8), ("never", 4)] {
            state.set_topic(name, queues);
        }
    });
    place.topic("small", &four());
    place.topic("large", &four());
    place.topic("forced", &json!({"queues": 4, "adoptionPolicy": "Always"}));
    place.topic("never", &json!({"queues": 4, "adoptionPolicy": "Never"}));
    place.topic("fresh", &json!({"queues": 4, "adoptionPolicy": "Never"}));
    let _workers = Workers::start(&place.server);
    for name in ["small", "forced", "fresh"] {
        place.topic_is(name, "Synced").await;
    }
    let message = place.topic_is("large", "AdoptionBlocked").await;
    assert!(message.contains("queues is 8, declared 4; readQueues is 8, declared 4"), "{message}");
    let message = place.topic_is("never", "AdoptionBlocked").await;
    assert!(message.contains("adoptionPolicy is Never"), "{message}");
    place.quiet().await;
    let shapes: Vec<_> = ["small", "large", "forced", "never", "fresh"]
        .map(|name| place.masters[0].shape(name).unwrap().0)
        .to_vec();
    assert_eq!(shapes, [4, 8, 4, 4, 4]);
    let adopted = |name: &str| place.status("topics", name)["adopted"].clone();
    assert_eq!((adopted("small"), adopted("fresh")), (json!(true), json!(false)));
    assert!(adopted("large").is_null() && adopted("never").is_null());
    let events = place.events();
    let taken: Vec<_> = events.iter().filter(|event| event.0 == "TopicAdopted").collect();
    assert_eq!(taken.len(), 2, "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn of_two_objects_with_one_name_the_first_wins_until_it_goes() {
    let place = Place::new(1);
    place.topic("first", &json!({"queues": 4, "topicName": "same"}));
    place.topic("second", &json!({"queues": 8, "topicName": "same", "deletionPolicy": "Delete"}));
    let _workers = Workers::start(&place.server);
    place.topic_is("first", "Synced").await;
    let message = place.topic_is("second", "NameConflict").await;
    assert!(message.contains("declared by shop/first already"), "{message}");
    place.quiet().await;
    assert_eq!(place.masters[0].shape("same"), Some((4, 4, 6)));
    let second = place.get_in("topics", "shop", "second").unwrap();
    assert!(second["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty));
    assert!(place.event("NameConflict").is_some());
    // Its topic stays, for that is the policy, and the other takes it over.
    place.remove("topics", "first");
    place.topic_is("second", "Synced").await;
    assert_eq!(place.masters[0].shape("same"), Some((8, 8, 6)));
    assert_eq!(place.status("topics", "second")["adopted"], true);
}

#[tokio::test(start_paused = true)]
async fn queues_shrink_once_they_are_read() {
    let place = Place::new(1);
    let master = &place.masters[0];
    place.topic("t", &json!({"queues": 8}));
    let _workers = Workers::start(&place.server);
    place.topic_is("t", "Synced").await;
    master.with(|state| state.stored("t", 6, (0, 5)));
    place.topic("t", &four());
    place.topic_is("t", "QueueShrinkInProgress").await;
    let told = || place.ready("t").1;
    let nobody = "b0: queues 4 to 7 hold messages that no consumer group has read";
    assert!(until(|| told() == nobody).await, "{}", told());
    assert_eq!(master.shape("t"), Some((4, 8, 6)), "nothing is sent there any more");
    master.with(|state| state.read("billing", "t", 6, 3));
    assert!(until(|| told() == "b0: queues 4 to 7 hold messages that billing has not read").await);
    place.quiet().await;
    assert_eq!(master.shape("t"), Some((4, 8, 6)));
    master.with(|state| state.read("billing", "t", 6, 5));
    place.topic_is("t", "Synced").await;
    assert_eq!(master.shape("t"), Some((4, 4, 6)));
    assert!(place.event("DriftCorrected").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_to_be_deleted_is_closed_first_and_then_gone() {
    let place = Place::new(2);
    place.topic("t", &json!({"queues": 4, "deletionPolicy": "Delete"}));
    place.topic("kept", &four());
    let _workers = Workers::start(&place.server);
    place.topic_is("t", "Synced").await;
    place.topic_is("kept", "Synced").await;
    let object = place.get_in("topics", "shop", "t").unwrap();
    assert_eq!(object["metadata"]["finalizers"], json!(["mq.rocketkube.dev/topic"]));
    place.remove("topics", "kept");
    place.remove("topics", "t");
    place.topic_is("t", "Deleting").await;
    assert_eq!(place.masters[1].shape("t"), Some((4, 4, 0)), "nobody may use it");
    assert!(until(|| place.get_in("topics", "shop", "t").is_none()).await);
    place.quiet().await;
    for master in &place.masters {
        assert!(!has(master, "t") && has(master, "kept"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_waits_for_brokers_and_not_for_a_broker_set_that_is_gone() {
    let place = Place::new(1);
    let delete = json!({"queues": 4, "deletionPolicy": "Delete"});
    for name in ["waits", "confirmed", "later"] {
        place.topic(name, &delete);
    }
    let _workers = Workers::start(&place.server);
    for name in ["waits", "confirmed", "later"] {
        place.topic_is(name, "Synced").await;
    }
    place.put_broker_set(&json!({"hibernate": true}), |_| "Active");
    place.remove("topics", "waits");
    place.remove("topics", "confirmed");
    place.topic_is("waits", "BrokerSetNotReady").await;
    place.annotate("topics", "confirmed", "delete-confirm", json!("yes"));
    assert!(until(|| place.get_in("topics", "shop", "confirmed").is_none()).await);
    assert!(place.event("FinalizerDropped").unwrap().contains("delete-confirm is set"));
    place.quiet().await;
    assert!(place.get_in("topics", "shop", "waits").is_some());

    place.remove("brokersets", "orders");
    assert!(until(|| place.get_in("topics", "shop", "waits").is_none()).await);
    let dropped = |event: &(String, String)| {
        event.0 == "FinalizerDropped" && event.1.contains("there is no BrokerSet shop/orders")
    };
    assert!(place.events().iter().any(dropped), "{:?}", place.events());
    place.remove("topics", "later");
    assert!(until(|| place.get_in("topics", "shop", "later").is_none()).await);
    assert!(has(&place.masters[0], "waits"), "it is left where nobody could be asked");
}

#[tokio::test(start_paused = true)]
async fn no_object_is_let_go_before_the_api_server_says_that_there_is_no_broker_set() {
    let place = Place::new(1);
    place.topic("t", &json!({"queues": 4, "deletionPolicy": "Delete"}));
    let _workers = Workers::start(&place.server);
    place.topic_is("t", "Synced").await;
    // The cache says that there is none, and who would know better does not answer.
    let asks = |call: &Call| call.verb == Verb::Get && call.resource == "brokersets";
    place.server.decide(move |call| if asks(call) { Fate::Refused(503) } else { Fate::Answered });
    place.remove("brokersets", "orders");
    place.remove("topics", "t");
    let message = place.topic_is("t", "BrokerSetNotReady").await;
    assert!(message.contains("BrokerSet shop/orders cannot be read"), "{message}");
    place.quiet().await;
    assert!(place.get_in("topics", "shop", "t").is_some());
    place.server.decide_nothing();
    assert!(until(|| place.get_in("topics", "shop", "t").is_none()).await);
    assert!(place.event("FinalizerDropped").is_some());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_for_what_is_paused_or_not_managed() {
    let place = Place::new(1);
    place.topic("paused", &four());
    place.topic("alone", &four());
    let workers = Workers::start(&place.server);
    place.topic_is("paused", "Synced").await;
    place.topic_is("alone", "Synced").await;
    place.annotate("topics", "paused", "paused", json!("true"));
    place.annotate("topics", "alone", "managed", json!("false"));
    place.topic_is("paused", "Paused").await;
    place.topic_is("alone", "Unmanaged").await;
    let counts = || workers.report().and_then(|report| report.topics).unwrap();
    assert!(until(|| (counts().managed, counts().failed) == (1, 0)).await, "{:?}", counts());
    place.masters[0].with(|state| {
        for name in ["paused", "alone"] {
            state.edit_topic(name, |topic| topic.perm = 4);
        }
    });
    place.topic("paused", &json!({"queues": 6}));
    place.quiet().await;
    assert_eq!(place.masters[0].shape("paused"), Some((4, 4, 4)));
    assert_eq!(place.masters[0].shape("alone"), Some((4, 4, 4)));
    place.annotate("topics", "paused", "paused", json!("false"));
    place.topic_is("paused", "Synced").await;
    assert_eq!(place.masters[0].shape("paused"), Some((6, 6, 6)));
    assert!(place.event("DriftCorrected").is_none(), "a spec that changed meanwhile is no drift");
}

#[tokio::test(start_paused = true)]
async fn another_namespace_needs_consent() {
    let place = Place::new(1);
    let by_label = json!({"access": {"topicNamespaces":
        {"from": "Selector", "selector": {"matchLabels": {"mq": "orders"}}}}});
    let namespace = |labels: serde_json::Value| {
        place.server.objects(|objects| {
            let id = crate::support::Id::new("", "namespaces", "", "other");
            objects.put(
                &id,
                json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"labels": labels}}),
            );
        });
    };
    namespace(json!({}));
    place.declare("topics", "Topic", "other", "t", &four());
    let _workers = Workers::start(&place.server);
    let message = place.is_in("topics", "other", "t", "NamespaceNotAllowed").await;
    assert!(message.contains("only those of its own"), "{message}");
    place.put_broker_set(&by_label, |_| "Active");
    let told = || place.ready_in("topics", "other", "t").1;
    assert!(until(|| told().contains("its labels do not match the selector")).await);
    place.quiet().await;
    assert!(!has(&place.masters[0], "t"));
    namespace(json!({"mq": "orders"}));
    place.is_in("topics", "other", "t", "Synced").await;
    assert!(has(&place.masters[0], "t"));
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_read_namespaces_only_those_that_need_it_wait_and_hear_why() {
    let place = Place::new(1);
    let by_label = json!({"access": {"topicNamespaces":
        {"from": "Selector", "selector": {"matchLabels": {"mq": "orders"}}}}});
    place.put_broker_set(&by_label, |_| "Active");
    place.server.objects(|objects| {
        let id = crate::support::Id::new("", "namespaces", "", "other");
        let labels = json!({"labels": {"mq": "orders"}});
        objects.put(&id, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": labels}));
    });
    place.server.forbid("namespaces");
    place.declare("topics", "Topic", "other", "theirs", &four());
    place.topic("own", &four());
    let _workers = Workers::start(&place.server);
    place.topic_is("own", "Synced").await;
    let message = place.is_in("topics", "other", "theirs", "NamespaceNotAllowed").await;
    assert!(message.contains("no right to get namespaces, which rbac.namespaces"), "{message}");
    place.quiet().await;
    assert_eq!(place.ready_in("topics", "other", "theirs").1, message);
    place.server.forbid_nothing();
    place.is_in("topics", "other", "theirs", "Synced").await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_holds_nobody_up() {
    let place = Place::new(1);
    place.topic("t", &four());
    place.topic("odd", &json!({"queues": "many"}));
    let workers = Workers::start(&place.server);
    place.topic_is("t", "Synced").await;
    assert!(place.status("topics", "odd").is_null());
    let text = workers.metrics.render();
    assert!(text.contains("mq_undecodable_objects{kind=\"Topic\"} 1"), "{text}");
    assert!(until(|| place.event("Undecodable").is_some()).await);
    place.topic("odd", &four());
    place.topic_is("odd", "Synced").await;
}

#[tokio::test(start_paused = true)]
async fn a_name_of_the_cluster_is_nobodys_to_declare() {
    let place = Place::new(1);
    place.masters[0].with(|state| {
        state.set_topic("orders", 16);
        state.set_topic("orders-b0", 1);
    });
    place.topic("orders", &json!({"queues": 8, "adoptionPolicy": "Always"}));
    place.topic("group", &json!({"queues": 8, "topicName": "orders-b0"}));
    let _workers = Workers::start(&place.server);
    let message = place.topic_is("orders", "NameConflict").await;
    assert!(message.contains("orders is the cluster's own"), "{message}");
    assert!(message.contains("another spec.topicName"), "{message}");
    place.topic_is("group", "NameConflict").await;
    place.quiet().await;
    assert_eq!(place.masters[0].shape("orders"), Some((16, 16, 6)));
}

#[tokio::test(start_paused = true)]
async fn what_a_broker_refused_is_told_neither_as_set_back_nor_as_taken_over() {
    let place = Place::new(1);
    place.topic("t", &four());
    let workers = Workers::start(&place.server);
    place.topic_is("t", "Synced").await;
    place.quiet().await;
    place.masters[0].with(|state| {
        state.set_topic("old", 2);
        state.refused = ["t".to_owned(), "old".to_owned()].into();
        state.edit_topic("t", |topic| topic.perm = 4);
    });
    place.topic("old", &four());
    place.topic_is("t", "BrokerRejected").await;
    place.topic_is("old", "BrokerRejected").await;
    assert!(place.event("DriftCorrected").is_none() && place.event("TopicAdopted").is_none());
    assert!(place.status("topics", "t")["drift"].is_null());
    assert!(place.status("topics", "old")["adopted"].is_null());
    let text = workers.metrics.render();
    assert!(text.contains("mq_drift_corrections_total{kind=\"Topic\"} 0"), "{text}");
    place.masters[0].with(|state| state.refused.clear());
    place.topic_is("old", "Synced").await;
    place.topic_is("t", "Synced").await;
    assert_eq!(place.status("topics", "old")["adopted"], true);
    assert!(place.event("TopicAdopted").is_some());
}

#[tokio::test(start_paused = true)]
async fn what_is_set_back_in_two_steps_is_told_of_each() {
    let place = Place::new(1);
    place.topic("t", &four());
    let _workers = Workers::start(&place.server);
    place.topic_is("t", "Synced").await;
    place.quiet().await;
    place.masters[0].with(|state| {
        state.stored("t", 6, (0, 5));
        state.edit_topic("t", |topic| (topic.write_queue_nums, topic.read_queue_nums) = (8, 8));
    });
    place.topic_is("t", "QueueShrinkInProgress").await;
    let note = place.event("DriftCorrected").unwrap();
    assert_eq!(note, "somebody changed it in brokers, set back: queues");
}

#[tokio::test(start_paused = true)]
async fn many_topics_are_deleted_together() {
    let place = Place::new(1);
    let delete = json!({"queues": 4, "deletionPolicy": "Delete"});
    for n in 0..600 {
        place.topic(&format!("t{n}"), &delete);
    }
    let _workers = Workers::start(&place.server);
    place.topic_is("t599", "Synced").await;
    place.quiet().await;
    place.masters[0].with(|state| state.lists.clear());
    for n in 0..600 {
        place.remove("topics", &format!("t{n}"));
    }
    let left = || (0..600).any(|n| place.get_in("topics", "shop", &format!("t{n}")).is_some());
    assert!(until(|| !left()).await);
    place.masters[0].with(|state| {
        assert!(state.topics.is_empty());
        assert!(state.lists.len() < 10, "{:?}", state.lists);
    });
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_a_broker_does_not_let_go_holds_up_no_other() {
    let place = Place::new(2);
    let delete = json!({"queues": 4, "deletionPolicy": "Delete"});
    for name in ["t", "stays"] {
        place.topic(name, &delete);
    }
    let _workers = Workers::start(&place.server);
    for name in ["t", "stays"] {
        place.topic_is(name, "Synced").await;
    }
    place.masters[1].with(|state| state.refused = ["stays".to_owned()].into());
    place.remove("topics", "t");
    place.remove("topics", "stays");
    assert!(until(|| place.get_in("topics", "shop", "t").is_none()).await);
    let told = || place.ready("stays").1;
    assert!(until(|| told() == "b1: INVALID_PARAMETER (29) no stays").await, "{}", told());
    place.masters[1].with(|state| state.refused.clear());
    assert!(until(|| place.get_in("topics", "shop", "stays").is_none()).await);
    assert!(place.masters.iter().all(|master| !has(master, "stays") && !has(master, "t")));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_can_be_deleted() {
    let place = Place::new(1);
    let id = crate::support::Id::new("mq.rocketkube.dev", "topics", "shop", "odd");
    place.topic("odd", &json!({"queues": "many", "deletionPolicy": "Delete"}));
    place.server.objects(|objects| {
        objects.edit(&id, |it| {
            it["metadata"]["finalizers"] = json!(["other/one", "mq.rocketkube.dev/topic"]);
        });
    });
    let _workers = Workers::start(&place.server);
    place.quiet().await;
    assert!(place.event("FinalizerDropped").is_none(), "it is not being deleted");
    let drops = |call: &Call| call.verb == Verb::Patch && call.resource == "topics";
    place.server.decide(crate::support::first(drops, [Fate::Refused(503)]));
    place.remove("topics", "odd");
    let left = || place.get_in("topics", "shop", "odd").unwrap()["metadata"]["finalizers"].clone();
    assert!(until(|| left() == json!(["other/one"])).await, "{}", left());
    let note = place.event("FinalizerDropped").unwrap();
    assert!(note.contains("cannot be read"), "{note}");
    place.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn an_object_is_let_go_if_its_broker_set_may_not_be_read() {
    let place = Place::new(1);
    place.topic("t", &json!({"queues": 4, "deletionPolicy": "Delete"}));
    let _workers = Workers::start(&place.server);
    place.topic_is("t", "Synced").await;
    let asks = |call: &Call| call.verb == Verb::Get && call.resource == "brokersets";
    place.server.decide(move |call| if asks(call) { Fate::Refused(403) } else { Fate::Answered });
    place.remove("brokersets", "orders");
    place.remove("topics", "t");
    assert!(until(|| place.get_in("topics", "shop", "t").is_none()).await);
    let note = place.event("FinalizerDropped").unwrap();
    assert!(note.contains("no right to read the BrokerSet shop/orders"), "{note}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_is_waited_for_a_while_only() {
    let requests: [fn(&Call) -> bool; 3] = [
        |call| call.subresource.as_deref() == Some("status"),
        |call| call.verb == Verb::Patch && call.subresource.is_none(),
        |call| call.resource == "events",
    ];
    let delete = json!({"queues": 4, "deletionPolicy": "Delete"});
    for which in requests {
        let place = Place::new(1);
        place.masters[0].with(|state| state.set_topic("t", 4));
        place.server.decide(crate::support::first(which, [Fate::StoppedBefore]));
        place.topic("t", &delete);
        let _workers = Workers::start(&place.server);
        place.topic_is("t", "Synced").await;
        place.topic("t", &json!({"queues": 5, "deletionPolicy": "Delete"}));
        assert!(until(|| place.masters[0].shape("t") == Some((5, 5, 6))).await);
    }
}
