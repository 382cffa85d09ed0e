//! Ctrl-C in commands that have something to say when they are stopped half-way. All others leave it
//! to the operating system, which ends them at once.

use std::fmt;
use std::io;
use std::thread;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell shows for a program that Ctrl-C ended: 128 and the number of SIGINT.
pub(crate) const EXIT_CODE: u8 = 130;

/// A command was stopped by Ctrl-C, with what it had done until then.
#[derive(Debug)]
pub(crate) struct Interrupted(pub(crate) String);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted: {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

/// A token that Ctrl-C cancels; the second Ctrl-C ends the process at once. Has to be called within
/// a runtime.
pub(crate) fn on_ctrl_c() -> io::Result<CancellationToken> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        interrupts.recv().await;
        cancelled.cancel();
        interrupts.recv().await;
        std::process::exit(EXIT_CODE.into());
    });
    Ok(token)
}

/// The same for a command without a runtime.
pub(crate) fn on_ctrl_c_in_background() -> io::Result<CancellationToken> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let token = runtime.block_on(async { on_ctrl_c() })?;
    thread::Builder::new()
        .name("ctrl-c".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(token)
}
