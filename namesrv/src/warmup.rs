//! Whether a name server that was just started knows enough to be asked.
//!
//! Routes are in memory only, and brokers need a moment to find a new name server. A client that comes
//! before them would be told that topics do not exist, which is worse than being sent to another
//! server: so a name server that is one of several is not ready before the brokers are there that
//! its settings name and that its peers know.

use std::collections::BTreeSet;
use std::time::Duration;

use rocketkube_protocol::body::ClusterInfo;
use rocketkube_protocol::{Body, BodyError, Command, NoHeader, RequestCode, ResponseCode};
use rocketkube_remoting::{CallError, ConnectError, Connection};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::routes::MASTER;

/// How long brokers are waited for: longer than they take to find a new name server, and short enough
/// for one that will not come back soon.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);
/// How long a peer may take to accept, and to answer.
const PEER_TIMEOUT: Duration = Duration::from_secs(2);

/// Which brokers have to come, and which have.
#[derive(Debug)]
pub(crate) struct Warmup(watch::Sender<State>);

#[derive(Debug)]
struct State {
    expected: BTreeSet<String>,
    arrived: BTreeSet<String>,
    over: bool,
}

impl State {
    fn missing(&self) -> impl Iterator<Item = &String> {
        self.expected.difference(&self.arrived)
    }
}

impl Warmup {
    /// Waits for `expected`, and for those that are told to [`Warmup::run`].
    pub(crate) fn new(expected: BTreeSet<String>) -> Self {
        Self(watch::Sender::new(State { expected, arrived: BTreeSet::new(), over: false }))
    }

    /// A broker announced itself, and its topics can be asked for.
    pub(crate) fn arrived(&self, broker: &str) {
        // Every announcement of every broker comes here.
        if !self.0.borrow().over {
            self.0.send_modify(|state| _ = state.arrived.insert(broker.to_owned()));
        }
    }

    /// The brokers that are waited for.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.0.borrow().missing().cloned().collect()
    }

    /// Waits until every expected broker is there, those that `more` gives included, but no longer
    /// than [`PATIENCE`].
    pub(crate) async fn run(&self, more: impl Future<Output = BTreeSet<String>>) {
        let complete = async {
            let more = more.await;
            self.0.send_modify(|state| state.expected.extend(more));
            let is_complete = |state: &State| state.missing().next().is_none();
            let mut changes = self.0.subscribe();
            changes.wait_for(is_complete).await.expect("the sender is ours").over
        };
        if timeout(PATIENCE, complete).await.is_err() {
            let missing = self.missing().join(", ");
            warn!(missing, after = ?PATIENCE, "brokers did not come, not waiting any longer");
        }
        self.0.send_modify(|state| {
            *state = State { expected: BTreeSet::new(), arrived: BTreeSet::new(), over: true };
        });
    }
}

/// Why a peer told nothing.
#[derive(Debug, thiserror::Error)]
enum PeerError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("peer answered {0}")]
    Refused(ResponseCode),
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// The brokers that other name servers know. `peers` are names, `host:port`, which may stand for
/// several servers and for this one too. Peers that do not answer know nothing.
pub(crate) async fn known_to(peers: Vec<String>) -> BTreeSet<String> {
    let mut asking = JoinSet::new();
    for name in peers {
        match tokio::net::lookup_host(&name).await {
            Ok(found) => found.for_each(|addr| _ = asking.spawn(known_to_one(addr.to_string()))),
            Err(error) => debug!(name, %error, "no peers are found"),
        }
    }
    asking.join_all().await.into_iter().flatten().collect()
}

async fn known_to_one(peer: String) -> BTreeSet<String> {
    match ask(&peer).await {
        Ok(info) => {
            let brokers = info.broker_addr_table.into_iter();
            let led = brokers.filter(|(_, broker)| broker.broker_addrs.contains_key(&MASTER));
            led.map(|(name, _)| name).collect()
        }
        // The usual case for all but the first that start together.
        Err(error) => {
            debug!(peer, %error, "peer does not answer");
            BTreeSet::new()
        }
    }
}

async fn ask(peer: &str) -> Result<ClusterInfo, PeerError> {
    let connection = Connection::connect(peer, PEER_TIMEOUT).await?;
    let question = Command::request(RequestCode::GET_BROKER_CLUSTER_INFO, &NoHeader);
    let answer = connection.call(question, PEER_TIMEOUT).await?;
    match answer.response_code() {
        ResponseCode::SUCCESS => Ok(ClusterInfo::decode(&answer.body)?),
        code => Err(PeerError::Refused(code)),
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::time::Instant;

    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_expects_nobody_is_ready_at_once() {
        let start = Instant::now();
        Warmup::new(names(&[])).run(ready(names(&[]))).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_once_all_are_there_that_it_or_a_peer_expects() {
        let warmup = Warmup::new(names(&["b0", "b1"]));
        warmup.arrived("b2"); // before anybody says that it is expected
        let start = Instant::now();
        let brokers = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            warmup.arrived("b0");
            warmup.arrived("b0");
            assert_eq!(warmup.missing(), ["b1", "b3"]);
            warmup.arrived("b1");
            tokio::time::sleep(Duration::from_secs(1)).await;
            warmup.arrived("b3");
        };
        tokio::join!(warmup.run(ready(names(&["b2", "b3"]))), brokers);
        assert_eq!(start.elapsed(), Duration::from_secs(2));
        assert!(warmup.missing().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_does_not_come_is_not_waited_for_for_ever() {
        let warmup = Warmup::new(names(&["b0", "b1"]));
        warmup.arrived("b0");
        let start = Instant::now();
        warmup.run(ready(names(&[]))).await;
        assert_eq!(start.elapsed(), PATIENCE);
        assert!(warmup.missing().is_empty(), "nobody is waited for any more");
        warmup.arrived("b1");
        assert!(warmup.0.borrow().arrived.is_empty(), "nor remembered");
    }

    #[tokio::test]
    async fn peers_that_do_not_answer_know_nobody() {
        let peers = vec!["127.0.0.1:1".to_owned(), "no such name".to_owned()];
        assert!(known_to(peers).await.is_empty());
    }
}
