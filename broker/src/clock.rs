//! The clock by which messages grow old: the wall clock of the start, advanced by the kernel's count
//! of time since boot, which nobody can set. A wall clock that is set forward by mistake must not make
//! every message too old at once.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::warn;

/// How far the wall clock may be away before somebody is told, in milliseconds.
const TOLERATED_MS: i64 = 60_000;

/// A clock that does not jump, however the wall clock is set.
#[derive(Debug)]
pub(crate) struct AgeClock {
    /// What the wall clock showed when the time since boot was 0, had it always been right.
    boot_ms: i64,
    told: AtomicBool,
}

impl AgeClock {
    /// Right as far as the wall clock is right now.
    pub(crate) fn start(wall_ms: i64) -> Self {
        Self::at(wall_ms, since_boot_ms())
    }

    fn at(wall_ms: i64, since_boot_ms: i64) -> Self {
        Self { boot_ms: wall_ms.saturating_sub(since_boot_ms), told: AtomicBool::new(false) }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.boot_ms.saturating_add(since_boot_ms())
    }

    /// How far ahead the wall clock is, in milliseconds.
    pub(crate) fn skew_ms(&self, wall_ms: i64) -> i64 {
        wall_ms.saturating_sub(self.now_ms())
    }

    /// Says if the wall clock was set, once until it is right again.
    pub(crate) fn compare(&self, wall_ms: i64) {
        let skew_ms = self.skew_ms(wall_ms);
        if self.is_news(skew_ms) {
            warn!(
                skew_seconds = skew_ms / 1_000,
                "the wall clock was set since the start; retention goes on without it, restart the \
                 broker if the wall clock is right now"
            );
        }
    }

    fn is_news(&self, skew_ms: i64) -> bool {
        let is_off = skew_ms.saturating_abs() > TOLERATED_MS;
        let was_told = self.told.swap(is_off, Ordering::Relaxed);
        is_off && !was_told
    }
}

/// Goes on while the machine sleeps, unlike `Instant`.
fn since_boot_ms() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn setting_the_wall_clock_moves_nothing_and_is_said_once() {
        let start_ms = 1_800_000_000_000;
        let clock = AgeClock::start(start_ms);
        let passed = clock.now_ms() - start_ms;
        assert!((0..60_000).contains(&passed), "{passed}");
        let wall_ms = start_ms + 80 * HOUR_MS;
        let skew_ms = clock.skew_ms(wall_ms);
        assert!((80 * HOUR_MS - 60_000..=80 * HOUR_MS).contains(&skew_ms), "{skew_ms}");
        let news = [0, 60_000, skew_ms, skew_ms, -skew_ms, 10, -skew_ms];
        assert_eq!(
            news.map(|skew_ms| clock.is_news(skew_ms)),
            [false, false, true, false, false, false, true]
        );
    }

    #[test]
    fn the_time_since_boot_is_what_passes() {
        let clock = AgeClock::at(5_000, since_boot_ms() - HOUR_MS);
        assert!(clock.now_ms() >= 5_000 + HOUR_MS);
        assert!(clock.now_ms() < 5_000 + 2 * HOUR_MS);
    }
}
