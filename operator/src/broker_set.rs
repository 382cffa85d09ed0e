//! Controller of `BrokerSet`: observe, validate, build, apply, restart, status.

mod apply;
mod build;
mod claims;
mod compare;
mod conditions;
mod image;
mod name_servers;
mod observe;
mod pods;
mod restart;
mod sharing;
mod status;
mod trouble;
mod validate;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::reflector::Store;
use parking_lot::Mutex;
use rocketkube_crds::BrokerSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::build::Facts;
use self::observe::{Observed, observe};
use self::restart::Restarted;
use self::sharing::Sharing;
use self::status::{Outcome, View};
use crate::caches::Caches;
use crate::context::{Context, Key, Scope};
use crate::labels;

/// `BrokerSets` that are worked on at a time.
const CONCURRENCY: u16 = 16;
/// Longest pass. The API server answers in milliseconds, and a pass asks it some dozens of times.
const LONGEST_PASS: Duration = Duration::from_mins(1);
/// When a `BrokerSet` that waits for something is looked at again, should no watch tell.
const RECHECK: Duration = Duration::from_secs(15);
/// When one is that the API server refuses something of: others may change what it takes.
const RETRY_REFUSED: Duration = Duration::from_mins(2);
/// When a settled one is.
const RESYNC: Duration = Duration::from_mins(10);
/// Failures in a row that the status says nothing of: with the waits between them some seconds.
const PATIENCE: u32 = 4;
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
    broker_sets: Store<Guarded>,
    caches: Arc<Caches>,
    shutdown: CancellationToken,
) {
    let (mut sharing, all) = (Sharing::default(), broker_sets.clone());
    let queue = Arc::clone(&scope.marks).marked().flat_map(move |mark| {
        let due = sharing.heard(mark, &all).into_iter();
        stream::iter(due.map(|key| Ok::<_, Infallible>(key.reference::<Guarded>())))
    });
    let queue = Box::pin(queue.take_until(shutdown.cancelled_owned()));

    context.metrics.watch(broker_sets.clone());
    let (failures, heart) = (Mutex::default(), context.heart.clone());
    let worker = Arc::new(Worker { context, caches, broker_sets: broker_sets.clone(), failures });
    let config = Config::default().concurrency(CONCURRENCY);
    let pass = |guarded, worker| Box::pin(reconcile(guarded, worker));
    let passes =
        applier(pass, retry, worker, broker_sets, queue, config).for_each(|result| async {
            if let Err(error) = result {
                debug!(%error, "pass not made");
            }
        });
    // A beat loses nothing.
    tokio::select! {
        () = passes => {}
        never = heart.beat() => match never {},
    }
}

async fn reconcile(guarded: Arc<Guarded>, worker: Arc<Worker>) -> Result<Action, Error> {
    // Who watches them tells of those that cannot be read.
    let Ok(set) = &guarded.0 else { return Ok(Action::await_change()) };
    let set = Arc::new(set.clone());
    let key = Key::of(&*set);
    // What it owns goes with it, by its owner references.
    if set.metadata.deletion_timestamp.is_some() || !worker.caches.filled().await {
        return Ok(Action::await_change());
    }
    let start = Instant::now();
    let made = timeout(LONGEST_PASS, pass(&set, &worker)).await;
    worker.context.metrics.took(start.elapsed());
    let action = made.map_err(|_| Error::TooLong)??;
    worker.failures.lock().remove(&key);
    worker.context.metrics.passed(worker.context.clock.now());
    Ok(action)
}

/// Moves one `BrokerSet` a step towards its spec. Safe to drop at any await: whatever it was about to
/// do follows from what there is.
async fn pass(set: &Arc<BrokerSet>, worker: &Worker) -> Result<Action, kube::Error> {
    let context = &worker.context;
    let mut observed = observe(set, worker).await?;
    let (mut failed, mut wait) = (None, None);
    let mut outcome = Outcome { paused: labels::is_paused(set), ..Outcome::default() };
    match validate::validate(&observed, context) {
        Ok(facts) => {
            if !outcome.paused {
                match act(&mut observed, &facts, context).await {
                    Ok(made) => (outcome.problems, wait) = (made.problems, made.wait),
                    Err(error) => failed = Some(error),
                }
            }
            outcome.facts = Some(facts);
        }
        Err(problems) => outcome.problems = problems,
    }
    // What passes by itself is not worth a word.
    let again = worker.failures.lock().get(&observed.key).is_some_and(|count| *count >= PATIENCE);
    outcome.failure = failed.as_ref().filter(|_| again).map(line);
    outcome.sync = context.sync.report_on(set).unwrap_or_default();
    let view = View::new(&observed, &outcome);
    // In any case: whoever wrote the spec has to learn what became of it.
    if failed.is_none() || again {
        status::publish(&view, context).await?;
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let restart = validate::restart_at(&observed).and_then(|(_, at)| at);
    let until = restart.map(|at| at.duration_since(context.clock.now()));
    // Nobody tells when the time has come.
    let until = until.and_then(|until| Duration::try_from(until).ok()).filter(|it| !it.is_zero());
    let looks = [Some(next_look(&view)), until, wait].into_iter().flatten();
    Ok(looks.min().map_or_else(Action::await_change, Action::requeue))
}

/// Makes everything what a valid spec says, and gives back what the API server does not take, and
/// when the next pod may be restarted.
async fn act(
    observed: &mut Observed,
    facts: &Facts,
    context: &Context,
) -> Result<Restarted, kube::Error> {
    let children = build::build(&observed.set, facts);
    let mut problems = apply::apply(&children, observed, context).await?;
    problems.extend(pods::label(observed, facts, context).await?);
    if problems.is_empty() {
        return restart::restart(observed, context).await;
    }
    Ok(Restarted { problems, wait: None })
}

/// When to look again, should no watch tell of anything.
fn next_look(view: &View<'_>) -> Duration {
    use validate::Reason::{Forbidden, NameConflict, ReferenceNotFound, Rejected, Waiting};

    let reasons: Vec<_> = view.outcome.problems.iter().map(|problem| problem.reason).collect();
    let elsewhere = [Forbidden, NameConflict, ReferenceNotFound, Waiting];
    if reasons.iter().any(|reason| elsewhere.contains(reason)) {
        // Nobody watches what is not ours.
        return RECHECK;
    }
    if reasons.contains(&Rejected) {
        return RETRY_REFUSED;
    }
    // Nor does anybody watch the name servers of another for it.
    let given = view.observed.set.spec.name_server.as_ref();
    if given.is_some_and(|given| given.from_broker_set.is_some()) {
        return RECHECK;
    }
    let rests = view.outcome.paused || view.observed.set.spec.hibernate && view.stopped;
    let serves = view.writable() == view.groups.len() && view.name_server.complete;
    if !reasons.is_empty() || rests || serves { RESYNC } else { RECHECK }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that a controller wants")]
fn retry(guarded: Arc<Guarded>, error: &Error, worker: Arc<Worker>) -> Action {
    worker.context.metrics.failed();
    let key = Key::of(&*guarded);
    let mut failures = worker.failures.lock();
    let count = failures.entry(key.clone()).or_default();
    let wait = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(*count)).min(LAST_RETRY);
    *count = count.saturating_add(1);
    let told = match error {
        Error::Api(error) => line(error),
        Error::TooLong => error.to_string(),
    };
    // Those that were deleted while they failed are not asked about again.
    failures.retain(|key, _| worker.broker_sets.get(&key.reference()).is_some());
    warn!(broker_set = %key, error = told, retry_in = ?wait, "pass failed");
    Action::requeue(wait)
}

/// An error in one line: in the words of the API server, if it has any.
fn line(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        error => format!("the API server did not answer: {error}"),
    }
}
