//! Controller of `BrokerSet`: observe, validate, build, apply, restart, status.

mod apply;
mod build;
mod compare;
mod conditions;
mod image;
mod name_servers;
mod observe;
mod pods;
mod restart;
mod status;
mod trouble;
mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config, ReconcileRequest, applier, trigger_self};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Resource as _, ResourceExt as _};
use parking_lot::Mutex;
use rocketkube_crds::BrokerSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::observe::observe;
use self::status::{Outcome, View};
use crate::caches::Caches;
use crate::context::{Context, Key, News, Scope};
use crate::labels;

/// `BrokerSets` that are worked on at a time.
const CONCURRENCY: u16 = 16;
/// Longest pass. The API server answers in milliseconds, and a pass asks it some dozens of times.
const LONGEST_PASS: Duration = Duration::from_mins(1);
/// When a `BrokerSet` that waits for something is looked at again, should no watch tell.
const RECHECK: Duration = Duration::from_secs(15);
/// When a settled one is.
const RESYNC: Duration = Duration::from_mins(10);
/// Waits after failures: doubled from the first to the last.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_mins(1);

type Guarded = DeserializeGuard<BrokerSet>;

/// Why a pass failed. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the API server refused or did not answer")]
    Api(#[from] kube::Error),
    #[error("a pass took longer than {} s", LONGEST_PASS.as_secs())]
    TooLong,
}

/// What the passes of one scope share.
struct Worker {
    context: Arc<Context>,
    caches: Arc<Caches>,
    broker_sets: Store<Guarded>,
    /// Failures in a row.
    failures: Mutex<BTreeMap<Key, u32>>,
}

/// Looks after the `BrokerSets` of a scope until `shutdown`.
pub(crate) async fn run(
    context: Arc<Context>,
    scope: Arc<Scope>,
    caches: Arc<Caches>,
    shutdown: CancellationToken,
) {
    let api: Api<Guarded> = match &scope.namespace {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    };
    let (broker_sets, writer) = store();
    let objects = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|guarded: &mut Guarded| guarded.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects();
    let marked = scope.marked().map(|key| {
        let reference = ObjectRef::new(&key.name).within(&key.namespace);
        Ok(ReconcileRequest::from(reference))
    });
    let queue = stream::select(trigger_self(objects, ()), marked);
    let queue = Box::pin(queue.take_until(shutdown.cancelled_owned()));

    context.metrics.watch(broker_sets.clone());
    let failures = Mutex::default();
    let worker = Arc::new(Worker { context, caches, broker_sets: broker_sets.clone(), failures });
    let config = Config::default().concurrency(CONCURRENCY);
    let pass = |guarded, worker| Box::pin(reconcile(guarded, worker));
    applier(pass, retry, worker, broker_sets, queue, config)
        .for_each(|result| async {
            if let Err(error) = result {
                debug!(%error, "pass not made");
            }
        })
        .await;
}

async fn reconcile(guarded: Arc<Guarded>, worker: Arc<Worker>) -> Result<Action, Error> {
    let set = match &guarded.0 {
        Ok(set) => Arc::new(set.clone()),
        Err(invalid) => {
            report_undecodable(&guarded, &invalid.error, &worker.context).await;
            return Ok(Action::await_change());
        }
    };
    let key = Key::of(&*set);
    // What it owns goes with it, by its owner references.
    if set.metadata.deletion_timestamp.is_some() || !worker.caches.filled().await {
        return Ok(Action::await_change());
    }
    let action = timeout(LONGEST_PASS, pass(&set, &worker)).await.map_err(|_| Error::TooLong)??;
    worker.failures.lock().remove(&key);
    worker.context.metrics.passed(worker.context.clock.now());
    Ok(action)
}

/// Moves one `BrokerSet` a step towards its spec. Safe to drop at any await: whatever it was about to
/// do follows from what there is.
async fn pass(set: &Arc<BrokerSet>, worker: &Worker) -> Result<Action, kube::Error> {
    let context = &worker.context;
    let mut observed = observe(set, worker).await?;
    let mut outcome = Outcome { paused: is_paused(set), ..Outcome::default() };
    match validate::validate(&observed, context) {
        Ok(facts) => {
            let children = build::build(set, &facts);
            if outcome.paused {
                apply::apply_endpoints(&children, &mut observed, context).await?;
            } else {
                outcome.problems = apply::apply(&children, &mut observed, context).await?;
                pods::label(&observed, &facts, context).await?;
                if outcome.problems.is_empty() {
                    restart::restart(&observed, context).await?;
                }
            }
            outcome.facts = Some(facts);
        }
        Err(problems) => outcome.problems = problems,
    }
    let view = View::new(&observed, &outcome);
    status::publish(&view, context).await?;
    Ok(Action::requeue(next_look(&view)))
}

fn is_paused(set: &BrokerSet) -> bool {
    set.annotations().get(labels::PAUSED).is_some_and(|value| value == "true")
}

/// When to look again, should no watch tell of anything.
fn next_look(view: &View<'_>) -> Duration {
    use validate::Reason::{NameConflict, ReferenceNotFound, Waiting};

    let reasons: Vec<_> = view.outcome.problems.iter().map(|problem| problem.reason).collect();
    if reasons.iter().any(|reason| matches!(reason, NameConflict | ReferenceNotFound | Waiting)) {
        // Nobody watches what is not ours.
        return RECHECK;
    }
    let rests = view.outcome.paused || view.observed.set.spec.hibernate && view.stopped;
    let serves = view.writable() == view.groups.len() && view.name_server.complete;
    if !reasons.is_empty() || rests || serves { RESYNC } else { RECHECK }
}

/// One that cannot be read stops nobody else, and is left alone.
async fn report_undecodable(guarded: &Guarded, error: &str, context: &Context) {
    let name = guarded.name_any();
    warn!(broker_set = name, error, "cannot be read, and is left alone");
    let note = format!("this operator cannot read the object: {error}");
    let mut about = BrokerSet::new(&name, rocketkube_crds::BrokerSetSpec::default());
    about.metadata = guarded.meta().clone();
    context.event(&about, News::warning("Undecodable", note)).await;
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that a controller wants")]
fn retry(guarded: Arc<Guarded>, error: &Error, worker: Arc<Worker>) -> Action {
    worker.context.metrics.failed();
    let key = Key::of(&*guarded);
    let mut failures = worker.failures.lock();
    let count = failures.entry(key.clone()).or_default();
    let wait = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(*count)).min(LAST_RETRY);
    *count = count.saturating_add(1);
    warn!(broker_set = %key, error = line(error), retry_in = ?wait, "pass failed");
    Action::requeue(wait)
}

/// An error in one line: in the words of the API server, if it has any.
fn line(error: &Error) -> String {
    match error {
        Error::Api(kube::Error::Api(status)) => format!("{} ({})", status.message, status.code),
        Error::Api(source) => format!("{error}: {source}"),
        Error::TooLong => error.to_string(),
    }
}
