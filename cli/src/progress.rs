//! One line on stderr while a command works, if a person is looking.

use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// A line that says how far a run is. Silent when stderr is not a terminal.
pub(crate) struct Progress {
    line: ProgressBar,
    last_count: std::cell::Cell<(u64, Duration)>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let line = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {msg}");
        line.set_style(style.expect("the template is valid"));
        Self { line, last_count: std::cell::Cell::default() }
    }

    /// Shows how many messages are done after `elapsed` and how fast they go now.
    pub(crate) fn show(&self, count: u64, elapsed: Duration) {
        let (last_count, last_elapsed) = self.last_count.get();
        let step = elapsed.saturating_sub(last_elapsed);
        if step < Duration::from_millis(500) && count >= last_count {
            return;
        }
        self.last_count.set((count, elapsed));
        let rate = rate(count.saturating_sub(last_count), step);
        self.line.set_message(format!(
            "{} messages, {}/s, {} s",
            HumanCount(count),
            HumanCount(rate),
            elapsed.as_secs(),
        ));
        self.line.tick();
    }

    /// Removes the line.
    pub(crate) fn finish(&self) {
        self.line.finish_and_clear();
    }
}

fn rate(count: u64, step: Duration) -> u64 {
    let milliseconds = u64::try_from(step.as_millis()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000) / milliseconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_per_second_and_never_divides_by_zero() {
        assert_eq!(rate(500, Duration::from_millis(250)), 2_000);
        assert_eq!(rate(5, Duration::ZERO), 5_000);
    }
}
