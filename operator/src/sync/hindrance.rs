//! What keeps clients from a master that answers its operator, as it says itself.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::context::Hindrance;

/// Why messages are refused, if they are; of our brokers only.
const REFUSED: &str = "messagesRefused";
/// How many name servers have registered a broker; of our brokers only.
const REGISTERED: &str = "registeredNameServers";
/// How long a broker may be without a name server before that is told: one that restarts hears of its
/// brokers within seconds, and two questions are further apart than that.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a master said of itself.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    full: Option<String>,
    unknown_since: Option<Instant>,
}

impl Heard {
    pub(crate) fn take(&mut self, info: &BTreeMap<String, String>, now: Instant) {
        self.full = info.get(REFUSED).cloned();
        let is_unknown = info.get(REGISTERED).is_some_and(|number| number == "0");
        self.unknown_since = is_unknown.then(|| self.unknown_since.unwrap_or(now));
    }

    /// Whether nothing keeps clients away, not even since a moment ago.
    pub(crate) fn is_well(&self) -> bool {
        self.full.is_none() && self.unknown_since.is_none()
    }

    pub(crate) fn hindrance(&self) -> Option<Hindrance> {
        let is_unknown = self.unknown_since.is_some_and(|since| since.elapsed() >= PATIENCE);
        let hindrance = Hindrance { full: self.full.clone(), is_unknown };
        (hindrance != Hindrance::default()).then_some(hindrance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_is_unknown_once_no_name_server_knew_it_for_a_while() {
        let mut heard = Heard::default();
        heard.take(&info(&[(REGISTERED, "0")]), Instant::now());
        assert!(heard.hindrance().is_none() && !heard.is_well());
        tokio::time::advance(PATIENCE).await;
        heard.take(&info(&[(REGISTERED, "0")]), Instant::now());
        assert!(heard.hindrance().unwrap().is_unknown);
        heard.take(&info(&[(REGISTERED, "1")]), Instant::now());
        assert!(heard.hindrance().is_none() && heard.is_well());
        heard.take(&info(&[("brokerActive", "true")]), Instant::now());
        tokio::time::advance(PATIENCE).await;
        assert_eq!(heard.hindrance(), None, "another's broker does not say");
    }

    #[test]
    fn a_full_disk_is_told_in_the_words_of_the_broker() {
        let mut heard = Heard::default();
        heard.take(&info(&[(REFUSED, "disk is 93 % full"), (REGISTERED, "2")]), Instant::now());
        let full = Some("disk is 93 % full".to_owned());
        assert_eq!(heard.hindrance(), Some(Hindrance { full, is_unknown: false }));
    }
}
