//! Many topics, many queues, many silent connections: what each of them may cost.
//!
//! The promised sizes are met by a release build, named by the variable `RKCTL`. The test's own
//! build, without optimisation, is asked for a tenth.

#![forbid(unsafe_code)]

mod connections;
mod measure;
mod queues;

use std::sync::{Mutex, MutexGuard, PoisonError};

use rocketkube_testkit::{Dev, DevError};

static MACHINE: Mutex<()> = Mutex::new(());

/// The machine for one test: two that measure would measure each other.
fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn dev() -> Result<Dev, DevError> {
    Dev::new(env!("CARGO_BIN_EXE_rkctl"))
}

/// The promised number, or a tenth of it for a build that promises nothing.
fn sized(promised: u32) -> u32 {
    if std::env::var_os("RKCTL").is_some() { promised } else { promised / 10 }
}
