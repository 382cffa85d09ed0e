//! Which of several operators acts: the one that holds a Lease.
//!
//! Losing it ends the process. Whatever was under way is dropped at its next await, and whoever
//! holds the Lease now starts from what it finds. That nothing is written before the loss is noticed
//! is the matter of [`Term`].

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::Context;
use crate::term::Term;

/// How long a Lease is good for after it was renewed: after that a standby takes over.
const DURATION: Duration = Duration::from_secs(15);
/// How long before its end it is renewed: some seconds earlier than the term ends, so that an API
/// server may be slow.
const GRACE: Duration = Duration::from_secs(7);
/// How often the holder looks whether it still holds it.
const CHECK: Duration = Duration::from_secs(3);
/// Longest wait for the Lease to be given back on the way out.
const RELEASE: Duration = Duration::from_secs(3);

/// Why there is no leader here, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    #[error("cannot use the Lease {namespace}/{name}; the operator needs get, create and patch")]
    Lease { namespace: String, name: String, source: LeaseManagerError },
    #[error("the Lease {name} was lost: {reason}")]
    Lost { name: String, reason: &'static str },
}

/// Being the one that acts.
pub(crate) struct Leadership {
    holding: watch::Receiver<bool>,
    task: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
    leases: Api<Lease>,
    term: Term,
    name: String,
    identity: String,
}

/// Waits until this process holds the Lease; `None` if it was told to stop before.
pub(crate) async fn acquire(
    context: &Context,
    shutdown: &CancellationToken,
) -> Result<Option<Leadership>, LeaderError> {
    let (name, identity) = (context.config.lease.clone(), identity(context));
    let client = context.term.lease_client(context.unbound.clone(), &identity);
    let namespace = client.default_namespace().to_owned();
    let manager = LeaseManagerBuilder::new(client.clone(), &name)
        .with_namespace(&namespace)
        .with_identity(&identity)
        .with_field_manager(format!("{}-{identity}", crate::FIELD_MANAGER))
        .with_duration(DURATION.as_secs())
        .with_grace(GRACE.as_secs())
        .build()
        .await
        .map_err(|source| LeaderError::Lease { namespace, name: name.clone(), source })?;
    let (holding, task) = manager.watch().await;
    let leases = Api::default_namespaced(client);
    let term = context.term.clone();
    let mut leadership = Leadership { holding, task, leases, term, name, identity };
    info!(identity = leadership.identity, "waiting to lead");
    // Cancel-safe: the value stays in the channel.
    let held = tokio::select! {
        () = shutdown.cancelled() => false,
        held = leadership.begin() => held,
    };
    if held {
        info!(identity = leadership.identity, "leading");
        return Ok(Some(leadership));
    }
    let name = leadership.name.clone();
    leadership.release().await;
    if shutdown.is_cancelled() {
        Ok(None)
    } else {
        Err(LeaderError::Lost { name, reason: "the task that renews it ended" })
    }
}

fn identity(context: &Context) -> String {
    let configured = context.config.identity.clone();
    if !configured.is_empty() {
        return configured;
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => format!("pid-{}", std::process::id()),
        host => host.to_owned(),
    }
}

impl Leadership {
    /// Waits until the Lease is held; false if it never will be.
    async fn begin(&mut self) -> bool {
        let held = self.holding.wait_for(|holds| *holds).await.is_ok();
        if held {
            // One that was started again finds itself as the holder, of a Lease that may have ended.
            self.term.begin().await;
        }
        held
    }

    /// Waits until the Lease is lost.
    pub(crate) async fn lost(&mut self) -> LeaderError {
        // All only wait and read: dropping any changes nothing.
        let reason = tokio::select! {
            change = self.holding.wait_for(|holds| !*holds) => match change {
                Ok(_) => "another operator holds it",
                Err(_) => "the task that renews it ended",
            },
            () = taken(&self.leases, &self.name, &self.identity) => "another operator holds it",
            _ = self.term.over() => "it was not renewed in time",
        };
        LeaderError::Lost { name: self.name.clone(), reason }
    }

    /// Gives the Lease back, so that a standby need not wait for its end.
    pub(crate) async fn release(self) {
        let Self { holding, mut task, .. } = self;
        drop(holding);
        if timeout(RELEASE, &mut task).await.is_err() {
            task.abort();
            warn!("the Lease was not given back in time; a standby waits for its end");
        }
    }
}

/// Waits until somebody else has the Lease. The task that renews it looks at it less often.
async fn taken(leases: &Api<Lease>, name: &str, identity: &str) {
    loop {
        sleep(CHECK).await;
        if let Ok(Ok(lease)) = timeout(CHECK, leases.get(name)).await {
            let holder = lease.spec.and_then(|spec| spec.holder_identity);
            if holder.as_deref() != Some(identity) {
                return;
            }
        }
    }
}
