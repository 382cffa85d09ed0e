//! Kills the broker under load, over and over, on one data directory, and compares everything it
//! ever acknowledged with everything that can be read from it.
//!
//! | variable                  | meaning                                                        |
//! |---------------------------|----------------------------------------------------------------|
//! | `RKCTL`                   | program to test, for a release build; the test's own otherwise |
//! | `ROCKETKUBE_CRASH_CYCLES` | kills; 20 unless set                                           |
//! | `ROCKETKUBE_CRASH_SEED`   | repeats the choices of a run                                   |
//! | `ROCKETKUBE_CRASH_FROM`   | first cycle, to go on where a run of that seed ended           |
//!
//! A kill leaves the page cache alone, so nothing here shows what a power loss does.

#![forbid(unsafe_code)]

mod answers;
mod campaign;
mod load;
mod names;
mod survey;

use std::time::Duration;

use anyhow::Result;
use campaign::{Campaign, Ending};
use rocketkube_testkit::Seed;

/// The longest anything may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Kills of a run that nobody asked for more of: each costs less than a second.
const DEFAULT_CYCLES: u64 = 20;
/// Orderly stops under load: less can go wrong, so fewer are needed.
const STOPS: u64 = 5;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.trim().parse().ok())
}

#[test]
fn nothing_acknowledged_is_lost_altered_or_moved_by_a_kill() -> Result<()> {
    let cycles = number("ROCKETKUBE_CRASH_CYCLES").unwrap_or(DEFAULT_CYCLES);
    let from = number("ROCKETKUBE_CRASH_FROM").unwrap_or(0);
    let seed = Seed::from_env("ROCKETKUBE_CRASH_SEED");
    Campaign { seed, from, until: from + cycles, ending: Ending::Kill }.run()
}

#[test]
fn nothing_acknowledged_is_lost_altered_or_moved_by_a_stop_under_load() -> Result<()> {
    let seed = Seed::from_env("ROCKETKUBE_CRASH_SEED");
    Campaign { seed, from: 0, until: STOPS, ending: Ending::Stop }.run()
}
