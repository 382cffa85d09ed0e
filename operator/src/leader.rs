//! Which of several operators acts: the one that holds a Lease.
//!
//! Losing it ends the process. Whatever was under way is dropped at its next await, and whoever
//! holds the Lease now starts from what it finds.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::Context;

/// How long a Lease is good for after it was renewed: after that a standby takes over.
const DURATION: Duration = Duration::from_secs(15);
/// How long before its end it is renewed.
const GRACE: Duration = Duration::from_secs(5);
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
    name: String,
    identity: String,
}

/// Waits until this process holds the Lease; `None` if it was told to stop before.
pub(crate) async fn acquire(
    context: &Context,
    shutdown: &CancellationToken,
) -> Result<Option<Leadership>, LeaderError> {
    let (client, name) = (context.client.clone(), context.config.lease.clone());
    let (namespace, identity) = (client.default_namespace().to_owned(), identity(context));
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
    let mut leadership = Leadership { holding, task, leases, name, identity };
    info!(identity = leadership.identity, "waiting to lead");
    // Cancel-safe: the value stays in the channel.
    let held = tokio::select! {
        () = shutdown.cancelled() => false,
        held = leadership.holding.wait_for(|holds| *holds) => held.is_ok(),
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
    /// Waits until the Lease is lost.
    pub(crate) async fn lost(&mut self) -> LeaderError {
        // Both only wait and read: dropping either changes nothing.
        let reason = tokio::select! {
            change = self.holding.wait_for(|holds| !*holds) => match change {
                Ok(_) => "another operator holds it",
                Err(_) => "the task that renews it ended",
            },
            reason = overdue(&self.leases, &self.name, &self.identity) => reason,
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

/// Waits until the Lease was not renewed for its whole length, or has another holder. The task that
/// renews it goes on trying for ever, also while the API server does not answer.
async fn overdue(leases: &Api<Lease>, name: &str, identity: &str) -> &'static str {
    let mut good_until = Instant::now() + DURATION;
    loop {
        sleep(CHECK).await;
        let asked = Instant::now();
        if let Ok(Ok(lease)) = timeout(CHECK, leases.get(name)).await {
            match remaining(&lease, identity, Timestamp::now()) {
                Some(left) => good_until = asked + left,
                None => return "another operator holds it",
            }
        }
        if Instant::now() >= good_until {
            return "it could not be renewed in time";
        }
    }
}

/// How long the Lease is still good for; `None` if somebody else holds it.
fn remaining(lease: &Lease, identity: &str, now: Timestamp) -> Option<Duration> {
    let spec = lease.spec.as_ref()?;
    if spec.holder_identity.as_deref() != Some(identity) {
        return None;
    }
    let renewed = spec.renew_time.as_ref()?.0;
    let seconds = spec.lease_duration_seconds.unwrap_or(0).max(0).unsigned_abs();
    let end = renewed.checked_add(Duration::from_secs(seconds.into())).ok()?;
    Some(Duration::try_from(end.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    fn lease(holder: &str, renewed: i64) -> Lease {
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[test]
    fn a_lease_is_good_for_its_length_and_for_its_holder() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let left = |lease: &Lease, second| remaining(lease, "a", at(second));
        assert_eq!(left(&lease("a", 100), 105), Some(Duration::from_secs(10)));
        assert_eq!(left(&lease("a", 100), 200), Some(Duration::ZERO));
        assert_eq!(left(&lease("b", 100), 105), None);
        assert_eq!(left(&Lease::default(), 105), None);
    }
}
