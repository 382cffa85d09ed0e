//! Many objects: nothing is written without a reason.
//!
//! `ROCKETKUBE_TEST_TOPICS` sets how many topics there are.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::place::{Place, Workers, until, writes};
use crate::support::Objects;

fn count() -> usize {
    let given = std::env::var("ROCKETKUBE_TEST_TOPICS").ok();
    given.map_or(2_000, |text| text.parse().expect("ROCKETKUBE_TEST_TOPICS is a number"))
}

#[tokio::test(start_paused = true)]
async fn resyncs_write_nothing() {
    let (place, count) = (Place::new(1), count());
    for n in 0..count {
        place.topic(&format!("t{n}"), &json!({"queues": 4}));
    }
    let _workers = Workers::start(&place.server);
    place.topic_is(&format!("t{}", count - 1), "Synced").await;
    place.quiet().await;
    for _ in 0..3 {
        // Every object is listed again.
        place.server.objects(Objects::forget);
        sleep(Duration::from_mins(2)).await;
        assert_eq!(writes(&place.server.take_calls()), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_set_is_not_told_of_every_topic_alone() {
    let place = Place::new(1);
    let workers = Workers::start(&place.server);
    let told = || workers.report().and_then(|it| it.topics).map_or(0, |topics| topics.managed);
    let mut seen = BTreeSet::new();
    for n in 0..20 {
        let name = format!("t{n}");
        place.topic(&name, &json!({"queues": 4}));
        place.topic_is(&name, "Synced").await;
        sleep(Duration::from_secs(1)).await;
        seen.insert(told());
    }
    assert!(seen.len() <= 5, "{seen:?}");
    assert!(until(|| told() == 20).await);
}
