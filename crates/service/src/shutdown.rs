//! The end of a process: the first signal asks for it, the second does not wait.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Exit code of a process that did not wait for its orderly end.
const IMPATIENT: i32 = 130;

/// A token that is cancelled by SIGTERM or SIGINT. A second signal ends the process at once.
/// Has to be called within a runtime.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancelled = token.clone();
    tokio::spawn(async move {
        for round in 0.. {
            // Both are cancel-safe: a signal that is not taken stays pending.
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if round > 0 {
                warn!("second signal, not waiting any longer");
                std::process::exit(IMPATIENT);
            }
            info!("stopping");
            cancelled.cancel();
        }
    });
    Ok(token)
}
