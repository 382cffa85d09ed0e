//! Start and stop order of the operator: definitions, caches, leadership, controllers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use rocketkube_crds::BrokerSet;
use rocketkube_service::http::Health;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::caches::Caches;
use crate::context::{Key, Mark, Marks};
use crate::leader::{self, LeaderError};
use crate::{Context, broker_set, context, heart, sync};

/// How long until it is asked again whether the definitions are there.
const DEFINITIONS_RETRY: Duration = Duration::from_secs(5);
/// How long caches of a scope are waited for that others do not need.
pub(crate) const FILLING: Duration = Duration::from_secs(30);
/// How often watches and controllers are looked at.
const ATTENTION: Duration = Duration::from_secs(5);

/// Why the operator ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error("not the leader")]
    Leader(#[from] LeaderError),
    #[error("a vital task of the operator ended: {0}")]
    Task(&'static str),
}

/// Runs until `shutdown`: waits for definitions and leadership, and then acts.
///
/// It is ready as soon as its caches are filled, leading or not, so that several can be rolled out.
pub async fn run(
    context: Arc<Context>,
    health: &Health,
    shutdown: CancellationToken,
) -> Result<(), OperatorError> {
    let result = run_until(&context, health, &shutdown).await;
    if shutdown.is_cancelled() {
        sync::farewell::say(&context).await;
    }
    result
}

async fn run_until(
    context: &Arc<Context>,
    health: &Health,
    shutdown: &CancellationToken,
) -> Result<(), OperatorError> {
    health.set_started();
    if !definitions(context, health, shutdown).await {
        return Ok(());
    }
    let mut watches = JoinSet::new();
    let caches = start_caches(context, &mut watches, shutdown);
    // Cancel-safe: both only wait.
    let filled = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        filled = all_filled(&caches) => filled,
    };
    if !filled {
        return Err(OperatorError::Task("a watch"));
    }
    health.set_ready();
    // Cancel-safe: the second only looks and tells.
    tokio::select! {
        result = take_turns(context, caches, health, shutdown) => result,
        never = attend(context, health, shutdown) => match never {},
    }
}

/// Waits for leadership and acts as long as it lasts.
async fn take_turns(
    context: &Arc<Context>,
    caches: Vec<Arc<Caches>>,
    health: &Health,
    shutdown: &CancellationToken,
) -> Result<(), OperatorError> {
    let Some(mut leadership) = leader::acquire(context, shutdown).await? else { return Ok(()) };
    context.metrics.set_leading(true);
    // Before the first controller asks whether a group has its topics.
    context.sync.set_present();
    // Whatever the controllers were doing when the Lease is lost is dropped: it is another's now.
    let result = tokio::select! {
        lost = leadership.lost() => Err(lost.into()),
        result = act(context, caches, shutdown) => result,
    };
    // What is dropped may have been in the middle of something on another thread.
    context.term.end();
    context.metrics.set_leading(false);
    health.set_unready("stopping");
    leadership.release().await;
    result
}

/// Tells the probes how the watches and the controllers are, until it is stopping.
async fn attend(context: &Context, health: &Health, shutdown: &CancellationToken) -> Infallible {
    let mut said = None;
    loop {
        let now = Instant::now();
        if context.heart.beats(now) {
            health.set_alive_for(heart::LONGEST);
        }
        let trouble = context.watches.trouble(now);
        if trouble != said && !shutdown.is_cancelled() {
            if let Some(reason) = &trouble {
                warn!(reason, "not ready");
                health.set_unready(reason.clone());
            } else {
                info!("ready again");
                health.set_ready();
            }
            said = trouble;
        }
        sleep(ATTENTION).await;
    }
}

/// Acts on `BrokerSets` as if the Lease were held, until `shutdown`. For tests, and for whoever is sure
/// to be alone.
pub async fn lead(context: Arc<Context>, shutdown: CancellationToken) -> Result<(), OperatorError> {
    let mut watches = JoinSet::new();
    let caches = start_caches(&context, &mut watches, &shutdown);
    act(&context, caches, &shutdown).await
}

/// Keeps topics and consumer groups as declared until `shutdown`, whoever makes the `BrokerSets`. For
/// tests.
pub async fn sync_only(context: Arc<Context>, shutdown: CancellationToken) {
    let (mut watches, marks) = (JoinSet::new(), Arc::new(Marks::default()));
    let broker_sets = watch_broker_sets(&context, &marks, &mut watches, &shutdown);
    sync::run(context, broker_sets, marks, shutdown).await;
}

/// All controllers. Each ends with `shutdown`, and none may end before.
async fn act(
    context: &Arc<Context>,
    caches: Vec<Arc<Caches>>,
    shutdown: &CancellationToken,
) -> Result<(), OperatorError> {
    let mut controllers = JoinSet::new();
    let marks = Arc::new(Marks::default());
    let broker_sets = watch_broker_sets(context, &marks, &mut controllers, shutdown);
    for ((scope, caches), store) in context.scopes.iter().zip(caches).zip(broker_sets.stores()) {
        let (context, scope) = (Arc::clone(context), Arc::clone(scope));
        controllers.spawn(broker_set::run(context, scope, store, caches, shutdown.clone()));
    }
    if context.sync.is_present() {
        let context = Arc::clone(context);
        controllers.spawn(sync::run(context, broker_sets, marks, shutdown.clone()));
    }
    while let Some(ended) = controllers.join_next().await {
        if ended.is_err() || !shutdown.is_cancelled() {
            return Err(OperatorError::Task("a controller or its watch"));
        }
    }
    Ok(())
}

/// Watches `BrokerSets` once for all controllers. A change is marked for the one of its scope, and in
/// `marks`.
fn watch_broker_sets(
    context: &Arc<Context>,
    marks: &Arc<Marks>,
    tasks: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) -> sync::Cache<BrokerSet> {
    let (told, marks) = (Arc::clone(context), Arc::clone(marks));
    let changed = move |mark: Mark| {
        match &mark {
            Mark::All => told.mark_all(),
            Mark::One(key) => told.mark(key),
        }
        marks.set(mark);
    };
    sync::Cache::start(context, tasks, shutdown, Key::of, changed)
}

fn start_caches(
    context: &Context,
    watches: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) -> Vec<Arc<Caches>> {
    let start = |scope| Caches::start(context, scope, watches, shutdown);
    context.scopes.iter().map(start).collect()
}

/// Waits until the caches are filled; false if they never will be. Once some are, others are waited for
/// a while only: a namespace that is gone keeps nobody from the others.
async fn all_filled(caches: &[Arc<Caches>]) -> bool {
    let mut filling: FuturesUnordered<_> = caches.iter().map(|caches| caches.filled()).collect();
    if !filling.next().await.unwrap_or(true) {
        return false;
    }
    let rest = filling.all(|filled| async move { filled });
    timeout(FILLING, rest).await.unwrap_or(true)
}

/// Waits until the API server knows our kinds; false if told to stop before.
async fn definitions(context: &Context, health: &Health, shutdown: &CancellationToken) -> bool {
    let mut said = false;
    loop {
        let Err(error) = context.definitions_exist().await else { return true };
        let reason = if context::is_missing(&error) {
            "the definitions of mq.rocketkube.dev are missing: apply the CRDs of this release"
        } else {
            "BrokerSets cannot be listed"
        };
        health.set_unready(reason);
        if !said {
            warn!(%error, reason, "not ready");
            said = true;
        }
        // Cancel-safe: nothing is held.
        tokio::select! {
            () = shutdown.cancelled() => return false,
            () = sleep(DEFINITIONS_RETRY) => {}
        }
    }
}
