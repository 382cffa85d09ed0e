//! Workers that are stopped at any request to the API server, and requests that fail.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::place::{Place, Workers, until, writes};
use crate::support::{Call, Fate, Objects};

/// Objects that exercise every kind of write: made, taken over, claimed, shrunk, deleted.
fn declare(place: &Place) {
    place.masters[0].with(|state| state.set_topic("old", 2));
    place.topic("new", &json!({"queues": 4}));
    place.topic("old", &json!({"queues": 4}));
    place.topic("careful", &json!({"queues": 4, "adoptionPolicy": "Never"}));
    place.topic("going", &json!({"queues": 4, "deletionPolicy": "Delete"}));
    place.group("billing", &json!({"deletionPolicy": "Delete"}));
}

/// What there is in the end, times apart.
fn picture(place: &Place) -> Value {
    let objects = |resource: &str| {
        place.server.objects(|objects| {
            let all = objects.of("mq.rocketkube.dev", resource);
            let told = |(id, it): &(crate::support::Id, Value)| {
                let conditions = it["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let ready: Vec<_> = conditions
                    .iter()
                    .map(|it| json!([it["type"], it["status"], it["reason"]]))
                    .collect();
                json!([
                    id.name,
                    it["metadata"]["finalizers"],
                    it["status"]["adopted"],
                    it["status"]["groups"],
                    it["status"]["drift"]["corrections"],
                    ready
                ])
            };
            all.iter().map(told).collect::<Vec<_>>()
        })
    };
    let master = place.masters[0].with(|state| {
        let topics: Vec<_> = state.topics.values().map(|it| json!(it)).collect();
        json!([topics, state.groups.keys().collect::<Vec<_>>()])
    });
    json!([objects("topics"), objects("consumergroups"), master])
}

/// From the declarations to the end of some of them, with workers that live as long as they may.
async fn live(place: &Place, stop_at: Option<(usize, Fate)>) -> usize {
    let (mut seen, mut stops) = (0, false);
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&count);
    place.server.decide(move |call: &Call| {
        if !call.changes() || stops {
            return Fate::Answered;
        }
        seen += 1;
        counted.store(seen, std::sync::atomic::Ordering::Relaxed);
        match stop_at {
            Some((at, fate)) if at == seen => {
                stops = true;
                fate
            }
            _ => Fate::Answered,
        }
    });
    declare(place);
    let mut workers = Workers::start(&place.server);
    let mut ended = false;
    let work = async {
        place.quiet().await;
        place.remove("topics", "going");
        place.remove("consumergroups", "billing");
        place.quiet().await;
    };
    let mut work = std::pin::pin!(work);
    while !ended {
        tokio::select! {
            () = place.server.stopped() => {
                workers.kill().await;
                workers = Workers::start(&place.server);
            }
            () = &mut work => ended = true,
        }
    }
    assert!(until(|| place.get_in("topics", "shop", "going").is_none()).await);
    place.quiet().await;
    count.load(std::sync::atomic::Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn whatever_request_the_operator_dies_at_the_end_is_the_same() {
    let whole = Place::new(1);
    let requests = live(&whole, None).await;
    let expected = picture(&whole);
    assert!(requests > 8, "{requests}");
    for at in 1..=requests {
        for fate in [
            Fate::StoppedBefore,
            Fate::StoppedAfter,
            Fate::AnswerLost,
            Fate::Lost,
            Fate::Refused(409),
            Fate::Refused(503),
        ] {
            let place = Place::new(1);
            live(&place, Some((at, fate))).await;
            let end = picture(&place);
            // Who died before it wrote that it made something finds it there, and takes it over.
            let end = end.to_string().replace("[\"new\",null,true", "[\"new\",null,false");
            assert_eq!(end, expected.to_string(), "{fate:?} at request {at} of {requests}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn watches_that_start_again_and_forget_change_nothing() {
    let place = Place::new(1);
    declare(&place);
    let _workers = Workers::start(&place.server);
    place.quiet().await;
    let before = picture(&place);
    for _ in 0..5 {
        place.server.objects(|objects| {
            objects.bookmark();
            objects.forget();
        });
        place.quiet().await;
    }
    assert_eq!(picture(&place), before);
    // What went while nobody watched is noticed.
    place.server.objects(|objects| {
        objects.hold_watches();
        objects.remove(&crate::support::Id::new("mq.rocketkube.dev", "topics", "shop", "going"));
        objects.forget();
        objects.release_watches();
    });
    assert!(until(|| place.get_in("topics", "shop", "going").is_none()).await);
}

#[tokio::test(start_paused = true)]
async fn what_was_written_counts_although_the_cache_does_not_have_it_yet() {
    let place = Place::new(1);
    place.topic("t", &json!({"queues": 4}));
    place.topic("careful", &json!({"queues": 4, "adoptionPolicy": "Never"}));
    // From the first status on, nobody is told of any change.
    let server = place.server.clone();
    place.server.decide(move |call: &Call| {
        if call.subresource.as_deref() == Some("status") {
            server.objects(|objects| {
                if !objects.are_watches_held() {
                    objects.hold_watches();
                }
            });
        }
        Fate::Answered
    });
    let _workers = Workers::start(&place.server);
    place.topic_is("t", "Synced").await;
    place.topic_is("careful", "Synced").await;
    place.server.take_calls();
    // Passes with what the cache had before: it would seem that somebody else made them.
    sleep(Duration::from_mins(3)).await;
    assert_eq!(writes(&place.server.take_calls()), 0);
    place.server.objects(Objects::release_watches);
    place.quiet().await;
    assert_eq!(place.status("topics", "t")["adopted"], false);
    assert_eq!(place.ready("careful").0, "Synced");
}
