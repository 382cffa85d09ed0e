//! Masters that fail, come back, move, and join.

use std::time::Duration;

use rocketkube_client::protocol::ResponseCode;
use serde_json::json;
use tokio::time::sleep;

use crate::broker::{Fault, Master};
use crate::place::{Place, Workers, until, writes};

fn faulty(master: &Master, fault: Option<Fault>) {
    master.with(|state| state.fault = fault);
}

#[tokio::test(start_paused = true)]
async fn a_master_that_fails_leaves_the_others_alone_and_is_made_up_for() {
    for fault in [Fault::Closes, Fault::Hangs] {
        let place = Place::new(2);
        faulty(&place.masters[1], Some(fault));
        place.topic("t", &json!({"queues": 4}));
        let _workers = Workers::start(&place.server);
        let message = place.topic_is("t", "PartiallySynced").await;
        assert!(message.starts_with("b1: no answer from 127.0.0.1"), "{fault:?}: {message}");
        assert_eq!(place.status("topics", "t")["syncedGroups"], "1/2");
        assert_eq!(place.masters[0].shape("t"), Some((4, 4, 6)));
        // However long it takes, it is neither written nor logged again and again.
        place.quiet().await;
        faulty(&place.masters[1], None);
        place.topic_is("t", "Synced").await;
        assert_eq!(place.masters[1].shape("t"), Some((4, 4, 6)));
        assert!(place.event("DriftCorrected").is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_restarts_is_not_told_in_every_object() {
    let place = Place::new(1);
    for n in 0..20 {
        place.topic(&format!("t{n}"), &json!({"queues": 4}));
    }
    let workers = Workers::start(&place.server);
    place.topic_is("t19", "Synced").await;
    place.quiet().await;
    let report = workers.report();
    faulty(&place.masters[0], Some(Fault::Closes));
    sleep(Duration::from_secs(50)).await;
    faulty(&place.masters[0], None);
    place.masters[0].with(|state| state.edit_topic("t7", |topic| topic.perm = 4));
    sleep(Duration::from_mins(1)).await;
    // But for the one that was changed meanwhile.
    assert_eq!(writes(&place.server.take_calls()), 1);
    assert_eq!(workers.report(), report);
    assert_eq!(place.status("topics", "t7")["drift"]["corrections"], 1);
    faulty(&place.masters[0], Some(Fault::Closes));
    place.topic_is("t7", "BrokerSetNotReady").await;
}

#[tokio::test(start_paused = true)]
async fn if_no_master_answers_the_broker_set_is_not_ready() {
    let place = Place::new(1);
    faulty(&place.masters[0], Some(Fault::Closes));
    place.topic("t", &json!({"queues": 4}));
    let _workers = Workers::start(&place.server);
    place.topic_is("t", "BrokerSetNotReady").await;
    place.quiet().await;
    faulty(&place.masters[0], None);
    place.topic_is("t", "Synced").await;
}

#[tokio::test(start_paused = true)]
async fn a_master_that_is_said_to_serve_is_asked_often_however_long_it_was_away() {
    let place = Place::new(1);
    place.put_broker_set(&json!({}), |_| "Joining");
    faulty(&place.masters[0], Some(Fault::Closes));
    place.topic("t", &json!({"queues": 4}));
    let _workers = Workers::start(&place.server);
    place.topic_is("t", "BrokerSetNotReady").await;
    place.quiet().await;
    // Its address leads to it a moment after its status says so.
    place.put_broker_set(&json!({}), |_| "Active");
    sleep(Duration::from_millis(700)).await;
    faulty(&place.masters[0], None);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(place.ready("t").0, "Synced");
}

#[tokio::test(start_paused = true)]
async fn a_master_that_is_busy_is_asked_again_soon_and_not_for_each_topic() {
    let place = Place::new(1);
    for n in 0..40 {
        place.topic(&format!("t{n}"), &json!({"queues": 4}));
    }
    let _workers = Workers::start(&place.server);
    place.topic_is("t0", "Synced").await;
    place.quiet().await;
    // Answers to questions stay, so that only changes fail.
    place.masters[0].with(|state| {
        state.lists.clear();
        state.busy = true;
    });
    for n in 0..40 {
        place.topic(&format!("t{n}"), &json!({"queues": 5}));
    }
    let message = place.topic_is("t7", "BrokerRejected").await;
    assert_eq!(message, format!("b0: {} busy", ResponseCode::SYSTEM_BUSY));
    sleep(Duration::from_secs(25)).await;
    place.masters[0].with(|state| {
        assert!(state.lists.len() <= 4, "{:?}", state.lists);
        state.busy = false;
    });
    place.topic_is("t7", "Synced").await;
}

#[tokio::test(start_paused = true)]
async fn a_master_that_lost_everything_gets_it_again() {
    let mut place = Place::new(1);
    place.topic("t", &json!({"queues": 4}));
    let _workers = Workers::start(&place.server);
    place.topic_is("t", "Synced").await;
    place.quiet().await;
    // Another broker, at another address.
    place.masters[0] = Master::start();
    place.put_broker_set(&json!({}), |_| "Active");
    assert!(until(|| place.masters[0].shape("t") == Some((4, 4, 6))).await);
    place.topic_is("t", "Synced").await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_joins_gets_what_the_others_have() {
    let mut place = Place::new(1);
    place.masters[0].with(|state| {
        for name in ["undeclared", "rmq_sys_x", "orders", "orders-b0", "%RETRY%g", "odd"] {
            state.set_topic(name, 3);
        }
        state.edit_topic("undeclared", |topic| {
            topic.perm = 4;
            topic.attributes.insert("message.type".to_owned(), "FIFO".to_owned());
        });
        state.set_group("readers");
        state.set_group("TOOLS_CONSUMER");
    });
    place.topic("t", &json!({"queues": 4}));
    place.group("billing", &json!({}));
    let workers = Workers::start(&place.server);
    place.topic_is("t", "Synced").await;
    place.masters.push(Master::start());
    let state = |index| if index == 0 { "Active" } else { "Joining" };
    place.masters[1].with(|state| state.refused = ["odd".to_owned()].into());
    place.put_broker_set(&json!({}), state);
    let filled = || workers.report().is_some_and(|report| report.filled == [0, 1].into());
    assert!(until(filled).await, "{:?}", workers.report());
    place.masters[1].with(|state| {
        let topics: Vec<_> = state.topics.keys().map(String::as_str).collect();
        assert_eq!(topics, ["%RETRY%g", "t", "undeclared"]);
        let copied = &state.topics["undeclared"];
        assert_eq!((copied.perm, copied.write_queue_nums), (4, 3));
        assert_eq!(copied.attributes["message.type"], "FIFO");
        let groups: Vec<_> = state.groups.keys().map(String::as_str).collect();
        assert_eq!(groups, ["billing", "readers"]);
    });
    let report = workers.report().unwrap();
    let (topics, groups) = (report.topics.unwrap(), report.consumer_groups.unwrap());
    assert_eq!((topics.managed, topics.unmanaged, topics.failed), (1, 2, 0));
    assert_eq!((groups.managed, groups.unmanaged, groups.failed), (1, 1, 0));
    let text = workers.metrics.render();
    let set = "namespace=\"shop\",brokerset=\"orders\"";
    assert!(text.contains(&format!("mq_topics{{{set},state=\"unmanaged\"}} 2")), "{text}");
}

/// Makes the second master join a set whose first one serves, and waits until it has everything.
async fn join(place: &mut Place, workers: &Workers) {
    place.masters.push(Master::start());
    let state = |index| if index == 0 { "Active" } else { "Joining" };
    place.put_broker_set(&json!({}), state);
    let filled = || workers.report().is_some_and(|report| report.filled == [0, 1].into());
    assert!(until(filled).await, "{:?}", workers.report());
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_not_taken_over_does_not_keep_a_group_from_joining() {
    let mut place = Place::new(1);
    place.masters[0].with(|state| state.set_topic("large", 8));
    place.topic("large", &json!({"queues": 4}));
    let workers = Workers::start(&place.server);
    place.topic_is("large", "AdoptionBlocked").await;
    join(&mut place, &workers).await;
    assert_eq!(place.masters[1].shape("large"), Some((8, 8, 6)), "as the others have it");
    place.quiet().await;
    assert_eq!(place.ready("large").0, "AdoptionBlocked");
    place.topic("large", &json!({"queues": 8}));
    place.topic_is("large", "Synced").await;
    assert_eq!(place.status("topics", "large")["syncedGroups"], "2/2");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_joins_gets_what_is_paused_as_the_others_have_it() {
    let mut place = Place::new(1);
    place.topic("t", &json!({"queues": 4}));
    place.group("billing", &json!({}));
    place.topic("never-made", &json!({"queues": 4}));
    place.annotate("topics", "never-made", "paused", json!("true"));
    let workers = Workers::start(&place.server);
    place.topic_is("t", "Synced").await;
    place.is("consumergroups", "billing", "Synced").await;
    place.annotate("topics", "t", "paused", json!("true"));
    place.annotate("consumergroups", "billing", "paused", json!("true"));
    place.topic_is("t", "Paused").await;
    place.is("consumergroups", "billing", "Paused").await;
    place.topic("t", &json!({"queues": 2}));
    join(&mut place, &workers).await;
    assert_eq!(place.masters[1].shape("t"), Some((4, 4, 6)));
    place.masters[1].with(|state| assert!(state.groups.contains_key("billing")));
    // What was copied is the object's, as where it was copied from.
    place.annotate("topics", "t", "paused", json!("false"));
    place.topic_is("t", "Synced").await;
    assert_eq!(place.masters[1].shape("t"), Some((2, 2, 6)));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_joins_is_not_filled_before_it_has_everything() {
    let mut place = Place::new(1);
    place.masters[0].with(|state| state.set_topic("undeclared", 3));
    place.topic("t", &json!({"queues": 4}));
    let workers = Workers::start(&place.server);
    place.topic_is("t", "Synced").await;
    // Nobody can say what it needs.
    faulty(&place.masters[0], Some(Fault::Closes));
    place.masters.push(Master::start());
    let state = |index| if index == 0 { "Active" } else { "Joining" };
    place.put_broker_set(&json!({}), state);
    assert!(until(|| place.masters[1].shape("t").is_some()).await);
    sleep(Duration::from_mins(5)).await;
    assert!(!workers.report().unwrap().filled.contains(&1));
    assert!(workers.report().unwrap().lacking[&1].contains("of which none answers"));
    faulty(&place.masters[0], None);
    let filled = || workers.report().is_some_and(|report| report.filled.contains(&1));
    assert!(until(filled).await);
    assert!(place.masters[1].shape("undeclared").is_some());
}

#[tokio::test(start_paused = true)]
async fn the_first_groups_of_a_broker_set_need_what_is_declared_only() {
    let place = Place::new(2);
    place.put_broker_set(&json!({}), |_| "Joining");
    place.topic("t", &json!({"queues": 4}));
    let workers = Workers::start(&place.server);
    let filled = || workers.report().is_some_and(|report| report.filled == [0, 1].into());
    assert!(until(filled).await);
    assert!(place.masters.iter().all(|master| master.shape("t").is_some()));
    place.remove("topics", "t");
    place.remove("brokersets", "orders");
    assert!(until(|| workers.report().is_none()).await);
}

#[tokio::test(start_paused = true)]
async fn what_keeps_clients_from_a_master_is_told_of_its_group() {
    let place = Place::new(2);
    let says = |key: &str, value: &str| {
        place.masters[1].with(|state| state.info.insert(key.to_owned(), value.to_owned()));
    };
    let workers = Workers::start(&place.server);
    let told = || workers.report().map(|report| report.hindered).unwrap_or_default();
    assert!(until(|| workers.report().is_some()).await && told().is_empty());
    says("registeredNameServers", "0");
    assert!(until(|| told().get(&1).is_some_and(|it| it.is_unknown)).await);
    assert!(!told().contains_key(&0), "it does not say");
    says("registeredNameServers", "2");
    says("messagesRefused", "disk is 93 % full");
    let full = Some("disk is 93 % full".to_owned());
    assert!(until(|| told().get(&1).is_some_and(|it| !it.is_unknown && it.full == full)).await);
    // Of one that does not answer, nobody knows.
    faulty(&place.masters[1], Some(Fault::Closes));
    assert!(until(|| told().is_empty()).await);
}
