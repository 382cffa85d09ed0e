//! An operator that is stopped for longer than its Lease lasts, and what its masters hear of it then.

use std::sync::Arc;

use rocketkube_operator::{Config, Context, OperatorError, run};
use rocketkube_service::http::Health;
use rocketkube_service::metrics::Registry;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::place::{Place, until};
use crate::support::Fate;
use crate::support::run::Stops;

/// A whole operator, which can do nothing about the `BrokerSet`: that is the test's.
fn start(place: &Place, stops: &Stops) -> JoinHandle<Result<(), OperatorError>> {
    place.server.decide(|call| {
        let is_ours = matches!(&*call.resource, "leases" | "topics" | "consumergroups" | "events");
        if call.verb.is_write() && !is_ours { Fate::Refused(409) } else { Fate::Answered }
    });
    let config = Config { identity: "first".to_owned(), ..Config::default() };
    let registry = Registry::default();
    let context = Context::new(place.server.client(), config, &registry, stops.clock());
    let health = Arc::new(Health::default());
    tokio::spawn(async move { run(context, &health, CancellationToken::new()).await })
}

#[tokio::test(start_paused = true)]
async fn masters_hear_nothing_of_one_that_was_stopped_when_its_lease_ended() {
    let (place, stops) = (Place::new(1), Stops::default());
    let operator = start(&place, &stops);
    place.topic("before", &json!({"queues": 4}));
    place.topic_is("before", "Synced").await;
    let has = |name: &str| place.masters[0].with(|state| state.topics.contains_key(name));
    stops.stop();
    place.topic("after", &json!({"queues": 4}));
    assert!(until(|| operator.is_finished()).await);
    let error = operator.await.unwrap().unwrap_err();
    assert!(matches!(error, OperatorError::Leader(_)), "{error}");
    assert!(has("before") && !has("after"));
}
