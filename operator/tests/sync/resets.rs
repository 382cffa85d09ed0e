//! Offsets of consumer groups that are reset: once in every broker group, whatever happens.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::broker::Fault;
use crate::place::{Place, Workers, until, writes};
use crate::support::{Call, Fate};

/// Two masters with a topic of 1,000 messages, of which `billing` has read 900.
fn place() -> Place {
    let place = Place::new(2);
    for master in &place.masters {
        master.with(|state| {
            state.set_topic("t", 1);
            state.stored("t", 0, (0, 1_000));
            state.read("billing", "t", 0, 900);
        });
    }
    place
}

fn ask(place: &Place, id: &str, to: &Value) {
    let mut reset = json!({"requestID": id, "topic": "t"});
    reset.as_object_mut().unwrap().extend(to.as_object().unwrap().clone());
    place.group("billing", &json!({"offsetReset": reset}));
}

fn last(place: &Place) -> Value {
    place.status("consumergroups", "billing")["lastReset"].clone()
}

async fn ends(place: &Place, id: &str, state: &str) -> Value {
    let ended = until(|| last(place)["requestID"] == id && last(place)["state"] == state).await;
    assert!(ended, "{id} is not {state}: {}", last(place));
    last(place)
}

/// How many resets each master has done.
fn done(place: &Place) -> Vec<usize> {
    place.masters.iter().map(|master| master.with(|state| state.resets.len())).collect()
}

fn committed(place: &Place, master: usize) -> i64 {
    let key = ("billing".to_owned(), "t".to_owned(), 0);
    place.masters[master].with(|state| state.committed[&key])
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_done_once_in_every_broker_group() {
    let place = place();
    let _workers = Workers::start(&place.server);
    ask(&place, "a", &json!({"to": "Earliest"}));
    let told = ends(&place, "a", "Succeeded").await;
    assert_eq!(told["groupsDone"], json!([0, 1]));
    assert_eq!((done(&place), committed(&place, 1)), (vec![1, 1], 0));
    assert!(place.event("OffsetReset").unwrap().starts_with("a:"));
    // Neither time nor an edit of something else brings it back,
    place.quiet().await;
    assert_eq!(writes(&place.server.take_calls()), 0);
    // nor taking it away and asking again.
    place.group("billing", &json!({}));
    place.quiet().await;
    ask(&place, "a", &json!({"to": "Earliest"}));
    place.quiet().await;
    assert_eq!(done(&place), [1, 1]);

    ask(&place, "b", &json!({"to": "Latest"}));
    ends(&place, "b", "Succeeded").await;
    assert_eq!((done(&place), committed(&place, 0)), (vec![2, 2], 1_000));
    // A manifest that goes back to what it was before asks for nothing new.
    ask(&place, "a", &json!({"to": "Earliest"}));
    place.quiet().await;
    assert_eq!((done(&place), committed(&place, 0)), (vec![2, 2], 1_000));
}

#[tokio::test(start_paused = true)]
async fn times_and_offsets_reach_brokers_as_they_are_written() {
    let place = place();
    place.masters[0].with(|state| state.stored("t", 1, (10, 20)));
    let _workers = Workers::start(&place.server);
    ask(&place, "a", &json!({"to": "Timestamp", "timestamp": "2030-01-31T06:00:00Z"}));
    ends(&place, "a", "Succeeded").await;
    let of = |at: usize| place.masters[at].with(|state| state.resets.clone());
    let told = |queue: i32, to: i64| ("billing".to_owned(), "t".to_owned(), queue, to);
    assert_eq!(of(0), [told(-1, 1_896_069_600_000)]);
    ask(&place, "b", &json!({"to": "Offset", "offset": 15}));
    ends(&place, "b", "Succeeded").await;
    assert_eq!(of(0)[1..], [told(0, 15), told(1, 15)]);
    ask(&place, "c", &json!({"to": "Offset", "offset": 5}));
    ends(&place, "c", "Succeeded").await;
    // The nearest one that the queue has.
    assert_eq!(of(0)[3..], [told(0, 5), told(1, 10)]);
    assert_eq!(of(1)[1..], [told(0, 15), told(0, 5)]);
}

#[tokio::test(start_paused = true)]
async fn connected_consumers_are_left_alone_unless_the_reset_allows_it() {
    let place = place();
    place.masters[1].with(|state| {
        state.members.insert("billing".into(), vec!["x@1".into()]);
    });
    let _workers = Workers::start(&place.server);
    ask(&place, "a", &json!({"to": "Earliest"}));
    let told = ends(&place, "a", "Failed").await;
    assert!(told["message"].as_str().unwrap().starts_with("GroupOnline"), "{told}");
    assert!(place.event("OffsetResetFailed").unwrap().contains("GroupOnline"));
    // It is not tried again when they leave: who asked has to know when it happens.
    place.masters[1].with(|state| state.members.clear());
    place.quiet().await;
    assert_eq!(done(&place), [0, 0]);
    place.masters[1].with(|state| {
        state.members.insert("billing".into(), vec!["x@1".into()]);
    });
    ask(&place, "b", &json!({"to": "Earliest", "allowOnline": true}));
    ends(&place, "b", "Succeeded").await;
    assert_eq!(done(&place), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_said_and_not_tried_for_ever() {
    let place = place();
    let _workers = Workers::start(&place.server);
    let missing = json!({"requestID": "a", "topic": "missing", "to": "Earliest"});
    place.group("billing", &json!({"offsetReset": missing}));
    let told = ends(&place, "a", "Failed").await;
    assert_eq!(told["message"], "no broker group has a topic missing");
    place.masters[0].with(|state| state.refused.insert("t".to_owned()));
    ask(&place, "b", &json!({"to": "Earliest"}));
    let told = ends(&place, "b", "Failed").await;
    assert!(told["message"].as_str().unwrap().starts_with("b0: "), "{told}");
    assert_eq!(told["groupsDone"], json!([1]));
    place.quiet().await;
    assert_eq!(done(&place), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_broker_group_that_is_down_does_it_when_it_is_back() {
    let place = place();
    let state = std::sync::Arc::clone(&place.masters[1].state);
    // It goes down when the reset has begun.
    place.server.decide(move |call: &Call| {
        if call.body.pointer("/status/lastReset/state") == Some(&json!("Executing")) {
            state.lock().fault = Some(Fault::Closes);
        }
        Fate::Answered
    });
    let _workers = Workers::start(&place.server);
    ask(&place, "a", &json!({"to": "Earliest"}));
    let waits = || last(&place)["message"].as_str().is_some_and(|it| it.starts_with("b1: "));
    assert!(until(waits).await, "{}", last(&place));
    assert_eq!((&last(&place)["state"], done(&place)), (&json!("Executing"), vec![1, 0]));
    sleep(Duration::from_mins(3)).await;
    place.server.decide(|_: &Call| Fate::Answered);
    place.masters[1].with(|state| state.fault = None);
    ends(&place, "a", "Succeeded").await;
    assert_eq!(done(&place), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_before_it_is_done_everywhere_is_ended() {
    let place = place();
    for master in &place.masters {
        master.with(|state| state.set_group("billing"));
    }
    let workers = Workers::start(&place.server);
    place.group("billing", &json!({}));
    place.is("consumergroups", "billing", "Synced").await;
    place.masters[1].with(|state| state.busy = true);
    ask(&place, "a", &json!({"to": "Earliest"}));
    assert!(until(|| last(&place)["groupsDone"] == json!([0])).await, "{}", last(&place));
    ask(&place, "b", &json!({"to": "Latest"}));
    ends(&place, "b", "Executing").await;
    let finished = || place.status("consumergroups", "billing")["finishedResets"].clone();
    assert_eq!(finished(), json!(["a"]));
    place.masters[1].with(|state| state.busy = false);
    ends(&place, "b", "Succeeded").await;
    assert_eq!((done(&place), committed(&place, 1)), (vec![2, 1], 1_000));
    drop(workers);
}

/// Runs a reset to the beginning; the operator dies, or meets a failure, at the first writing of
/// that state. After a while the group has read on.
async fn live(state: &'static str, fate: Fate) -> Place {
    let place = place();
    let mut over = false;
    place.server.decide(move |call: &Call| {
        let is_it = call.body.pointer("/status/lastReset/state") == Some(&json!(state));
        if over || !is_it {
            return Fate::Answered;
        }
        over = true;
        fate
    });
    let mut workers = Workers::start(&place.server);
    ask(&place, "a", &json!({"to": "Earliest"}));
    {
        let read_on = async {
            for _ in 0..2 {
                sleep(Duration::from_mins(2)).await;
                for master in place.masters.iter().filter(|it| it.with(|it| !it.resets.is_empty()))
                {
                    master.with(|state| state.read("billing", "t", 0, 400));
                }
            }
        };
        let mut read_on = std::pin::pin!(read_on);
        loop {
            // Cancel-safe: the one that loses goes on in the next round.
            tokio::select! {
                () = place.server.stopped() => {
                    workers.kill().await;
                    // What was done before it died, consumers have gone on from.
                    for master in &place.masters {
                        master.with(|state| {
                            if !state.resets.is_empty() {
                                state.read("billing", "t", 0, 400);
                            }
                        });
                    }
                    workers = Workers::start(&place.server);
                }
                () = &mut read_on => break,
            }
        }
    }
    workers.kill().await;
    place
}

#[tokio::test(start_paused = true)]
async fn whenever_the_operator_dies_a_reset_has_one_effect() {
    for state in ["Executing", "Succeeded"] {
        for fate in [
            Fate::StoppedBefore,
            Fate::StoppedAfter,
            Fate::AnswerLost,
            Fate::Lost,
            Fate::Refused(409),
            Fate::Refused(503),
        ] {
            let place = live(state, fate).await;
            assert_eq!(done(&place), [1, 1], "{fate:?} at {state}");
            assert_eq!(committed(&place, 0), 400, "{fate:?} at {state}");
            assert_eq!(last(&place)["state"], "Succeeded", "{fate:?} at {state}");
        }
    }
}
