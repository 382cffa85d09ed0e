//! Many objects: nothing is written without a reason.
//!
//! `ROCKETKUBE_TEST_TOPICS` sets how many topics there are.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::place::{Place, Workers, writes};
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
