//! Consumer groups: their settings, who is in them, and how far they are.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::place::{Place, Workers, condition, until, writes};

#[tokio::test(start_paused = true)]
async fn a_group_is_made_kept_and_deleted_with_its_offsets() {
    let place = Place::new(2);
    place.masters[0].with(|state| state.set_group("theirs"));
    place.group("billing", &json!({"broadcast": false, "deletionPolicy": "Delete"}));
    place.group("theirs", &json!({"enabled": false}));
    let _workers = Workers::start(&place.server);
    place.is("consumergroups", "billing", "Synced").await;
    place.is("consumergroups", "theirs", "Synced").await;
    for master in &place.masters {
        master.with(|state| {
            assert!(!state.groups["billing"].consume_broadcast_enable);
            assert!(!state.groups["theirs"].consume_enable);
        });
    }
    assert_eq!(place.status("consumergroups", "theirs")["adopted"], true);
    assert!(place.event("GroupAdopted").is_some());
    place.masters[1].with(|state| state.set_group("billing"));
    let drift = || place.status("consumergroups", "billing")["drift"].clone();
    assert!(until(|| drift()["fields"] == json!(["broadcast"])).await);
    place.masters[1].with(|state| assert!(!state.groups["billing"].consume_broadcast_enable));

    place.remove("consumergroups", "billing");
    let gone = || place.get_in("consumergroups", "shop", "billing").is_none();
    assert!(until(gone).await);
    for master in &place.masters {
        master.with(|state| assert!(!state.groups.contains_key("billing")));
    }
}

fn lag(place: &Place) -> Value {
    place.status("consumergroups", "billing")["lag"].clone()
}

/// `billing` has read so much of the 1,000 messages of `t`; the next one has waited for so long.
fn read(place: &Place, committed: i64, delay: Duration) {
    place.masters[0].with(|state| {
        state.stored("t", 0, (0, 1_000));
        state.read("billing", "t", 0, committed);
        let delay = i64::try_from(delay.as_millis()).unwrap();
        state.delays.insert(("billing".into(), "t".into()), delay);
    });
}

#[tokio::test(start_paused = true)]
async fn members_and_lag_are_told_and_alarm_as_the_spec_says() {
    let place = Place::new(1);
    place.group("billing", &json!({"lagAlert": {"messages": 400, "age": "5m"}}));
    read(&place, 900, Duration::from_secs(90));
    place.masters[0].with(|state| {
        state.members.insert("billing".into(), vec!["x@1".into(), "y@2".into()]);
    });
    let workers = Workers::start(&place.server);
    let status = || place.status("consumergroups", "billing");
    assert!(until(|| lag(&place)["total"] == 100).await);
    assert_eq!((&lag(&place)["oldestAge"], &status()["members"]), (&json!("1m30s"), &json!(2)));
    assert_eq!(status()["clients"][1]["id"], "y@2");
    assert_eq!(condition(&status(), "Consuming")["status"], "True");
    assert_eq!(condition(&status(), "Lagging")["status"], "False");
    let text = workers.metrics.render();
    let set = "namespace=\"shop\",brokerset=\"orders\",topic=\"t\",group=\"billing\"";
    assert!(text.contains(&format!("mq_consumer_lag_messages{{{set}}} 100")), "{text}");
    assert!(text.contains(&format!("mq_consumer_lag_seconds{{{set}}} 90")), "{text}");

    place.masters[0].with(|state| state.members.clear());
    read(&place, 500, Duration::from_secs(90));
    assert!(until(|| condition(&status(), "Lagging")["status"] == "True").await);
    let lagging = condition(&status(), "Lagging");
    assert_eq!(lagging["message"], "more than 400 messages are not consumed");
    assert_eq!(condition(&status(), "Consuming")["status"], "False");
    // The bound is moved, and the condition goes at once.
    place.group("billing", &json!({"lagAlert": {"messages": 600}}));
    assert!(until(|| condition(&status(), "Lagging")["status"] == "False").await);
    place.group("billing", &json!({}));
    assert!(until(|| condition(&status(), "Lagging").is_null()).await);
}

#[tokio::test(start_paused = true)]
async fn a_status_follows_lag_in_steps_and_the_metric_follows_it_at_once() {
    let place = Place::new(1);
    place.group("billing", &json!({}));
    read(&place, 900, Duration::ZERO);
    let workers = Workers::start(&place.server);
    assert!(until(|| lag(&place)["total"] == 100).await);
    place.quiet().await;
    // A tenth in ten minutes, 5 at a time.
    for read_so_far in [895, 905, 897, 903] {
        read(&place, read_so_far, Duration::ZERO);
        sleep(Duration::from_secs(90)).await;
        let text = workers.metrics.render();
        assert!(text.contains(&format!("group=\"billing\"}} {}", 1_000 - read_so_far)), "{text}");
    }
    assert_eq!(writes(&place.server.take_calls()), 0);
    assert_eq!(lag(&place)["total"], 100);
    // And never more than once a minute.
    let mut behind = 200;
    for _ in 0..40 {
        behind *= 2;
        read(&place, 1_000 - behind, Duration::ZERO);
        sleep(Duration::from_secs(3)).await;
        behind = if behind > 100_000 { 200 } else { behind };
    }
    let written = writes(&place.server.take_calls());
    assert!((1..=3).contains(&written), "{written} in two minutes");
}

#[tokio::test(start_paused = true)]
async fn half_a_lag_is_not_told() {
    let place = Place::new(2);
    place.group("billing", &json!({}));
    read(&place, 900, Duration::ZERO);
    let _workers = Workers::start(&place.server);
    assert!(until(|| lag(&place)["total"] == 100).await);
    place.masters[1].with(|state| state.fault = Some(crate::broker::Fault::Closes));
    read(&place, 100, Duration::ZERO);
    place.is("consumergroups", "billing", "PartiallySynced").await;
    sleep(Duration::from_mins(3)).await;
    assert_eq!(lag(&place)["total"], 100);
    place.masters[1].with(|state| state.fault = None);
    assert!(until(|| lag(&place)["total"] == 900).await);
}

#[tokio::test(start_paused = true)]
async fn who_is_in_a_group_is_unknown_once_nobody_could_be_asked_for_a_while() {
    let place = Place::new(1);
    place.group("billing", &json!({"lagAlert": {"messages": 400}}));
    read(&place, 900, Duration::ZERO);
    place.masters[0].with(|state| {
        state.members.insert("billing".into(), vec!["x@1".into()]);
    });
    let workers = Workers::start(&place.server);
    let status = || place.status("consumergroups", "billing");
    let is = |kind: &str, wanted: &str| condition(&status(), kind)["status"] == wanted;
    assert!(until(|| is("Consuming", "True")).await);
    // A restart is no reason to speak of it.
    place.masters[0].with(|state| state.fault = Some(crate::broker::Fault::Closes));
    sleep(Duration::from_secs(100)).await;
    assert!(is("Consuming", "True") && is("Lagging", "False"));
    place.masters[0].with(|state| state.fault = None);
    place.quiet().await;

    place.put_broker_set(&json!({"hibernate": true}), |_| "Active");
    assert!(until(|| is("Consuming", "Unknown") && is("Lagging", "Unknown")).await);
    assert_eq!(condition(&status(), "Consuming")["reason"], "NotSampled");
    for field in ["members", "clients", "lag", "sampledAt"] {
        assert!(status()[field].is_null(), "{field} of brokers that are not there");
    }
    assert!(!workers.metrics.render().contains("group=\"billing\""));
    place.quiet().await;
    place.put_broker_set(&json!({}), |_| "Active");
    assert!(until(|| is("Consuming", "True") && is("Lagging", "False")).await);
    assert_eq!((&status()["members"], &lag(&place)["total"]), (&json!(1), &json!(100)));
    place.annotate("consumergroups", "billing", "managed", json!("false"));
    assert!(until(|| is("Consuming", "Unknown")).await, "nobody asks for it any more");
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_a_group_goes_with_its_object() {
    let place = Place::new(1);
    place.group("billing", &json!({}));
    read(&place, 900, Duration::ZERO);
    let workers = Workers::start(&place.server);
    assert!(until(|| workers.metrics.render().contains("group=\"billing\"} 100")).await);
    place.remove("consumergroups", "billing");
    assert!(until(|| !workers.metrics.render().contains("group=\"billing\"")).await);
}
