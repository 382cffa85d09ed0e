//! Whether the loops of the controllers still go round.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// How often a loop says that it goes round.
const PERIOD: Duration = Duration::from_secs(5);
/// How long one may say nothing. Much longer than anything may keep a thread.
pub(crate) const LONGEST: Duration = Duration::from_mins(1);

/// The loops of this process, and when each last went round. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heart(Arc<Mutex<BTreeMap<u64, Instant>>>);

/// A loop that goes round, for as long as it is held.
struct Beating {
    heart: Heart,
    id: u64,
}

impl Drop for Beating {
    fn drop(&mut self) {
        self.heart.0.lock().remove(&self.id);
    }
}

impl Heart {
    /// Beats as long as it is polled. To be polled by the task whose loop it is about: one that does
    /// not come back from its work does not poll this either.
    pub(crate) async fn beat(&self) -> Infallible {
        let id = {
            let mut loops = self.0.lock();
            let id = loops.last_key_value().map_or(0, |(last, _)| last + 1);
            loops.insert(id, Instant::now());
            id
        };
        let beating = Beating { heart: self.clone(), id };
        loop {
            sleep(PERIOD).await;
            beating.heart.0.lock().insert(id, Instant::now());
        }
    }

    /// Whether every loop went round of late.
    pub(crate) fn beats(&self, now: Instant) -> bool {
        self.0.lock().values().all(|last| now.duration_since(*last) < LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::time::{advance, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_heart_stops_with_the_first_loop_that_hangs_and_not_with_one_that_ended() {
        let heart = Heart::default();
        let (mut one, mut other) = (Box::pin(heart.beat()), pin!(heart.beat()));
        assert!(futures::poll!(&mut one).is_pending());
        assert!(timeout(LONGEST * 2, &mut other).await.is_err());
        assert!(!heart.beats(Instant::now()), "one was not polled");
        drop(one);
        assert!(heart.beats(Instant::now()), "it ended");
        advance(LONGEST).await;
        assert!(!heart.beats(Instant::now()), "nor is the other");
    }
}
