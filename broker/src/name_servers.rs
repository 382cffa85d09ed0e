//! Which name servers there are: a name of the settings, looked up again and again.
//!
//! A name may stand for several servers, and for others tomorrow. The broker announces itself at every
//! address, so a server that was added is found without a restart, and one that is gone is let go.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often a name is looked up.
const PERIOD: Duration = Duration::from_secs(2);
/// Look-ups in a row that miss an address before its server counts as gone: half a minute. One that is
/// about to stop may leave its name earlier than it leaves its clients.
const MISSING_MAX: u32 = 15;

/// All addresses of `host:port`.
pub(crate) async fn look_up(name: String) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host(name).await?.collect())
}

/// Runs one `announce` for each address that `name` stands for, until `stop`. The token it is given
/// ends it: because of `stop`, or because its server is gone.
pub(crate) async fn follow<L, A>(
    name: String,
    look_up: impl Fn(String) -> L,
    announce: impl Fn(SocketAddr, CancellationToken) -> A,
    stop: CancellationToken,
) where
    L: Future<Output = io::Result<Vec<SocketAddr>>>,
    A: Future<Output = ()> + Send + 'static,
{
    let mut known = Known::default();
    let mut announced = JoinSet::new();
    let mut rounds = interval(PERIOD);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        let found = async {
            rounds.tick().await;
            look_up(name.clone()).await
        };
        let found = tokio::select! {
            () = stop.cancelled() => break,
            // Dropped here, its answer is of no use any more.
            found = found => found,
        };
        match found {
            Ok(found) => {
                failing = false;
                for (addr, end) in known.update(&one_family(&found), &stop) {
                    announced.spawn(announce(addr, end));
                }
            }
            // That names cannot be looked up says nothing of the servers.
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!(namesrv = name, %error, "name not found, looking it up until it is");
                }
            }
        }
        while let Some(ended) = announced.try_join_next() {
            pass_on_panic(ended);
        }
    }
    while let Some(ended) = announced.join_next().await {
        pass_on_panic(ended);
    }
}

/// A server with addresses of both families is one server: those of IPv4, or else all.
fn one_family(found: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    let is_v4 = found.iter().any(SocketAddr::is_ipv4);
    found.iter().copied().filter(|addr| addr.is_ipv4() == is_v4).collect()
}

fn pass_on_panic(ended: Result<(), JoinError>) {
    if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
        std::panic::resume_unwind(panic);
    }
}

/// The servers that a name stands for.
#[derive(Default)]
struct Known(HashMap<SocketAddr, Server>);

struct Server {
    end: CancellationToken,
    /// Look-ups that missed it since it was last found.
    missed: u32,
}

impl Known {
    /// Takes a look-up: lets go of servers that were missing for too long, and gives those that are
    /// new with the tokens that will end them.
    fn update(
        &mut self,
        found: &BTreeSet<SocketAddr>,
        stop: &CancellationToken,
    ) -> Vec<(SocketAddr, CancellationToken)> {
        self.0.retain(|addr, server| {
            server.missed = if found.contains(addr) { 0 } else { server.missed + 1 };
            let stays = server.missed < MISSING_MAX;
            if !stays {
                info!(namesrv = %addr, "name server is gone");
                server.end.cancel();
            }
            stays
        });
        let new: Vec<_> = found.iter().filter(|addr| !self.0.contains_key(addr)).collect();
        let new = new.into_iter().map(|&addr| (addr, stop.child_token())).collect::<Vec<_>>();
        let servers = new.iter().map(|(addr, end)| (*addr, Server { end: end.clone(), missed: 0 }));
        self.0.extend(servers);
        new
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::watch;
    use tokio::time::Instant;

    use super::*;

    fn addr(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 9876).into()
    }

    /// A name whose addresses the test chooses, and where the broker is announced.
    struct Fixture {
        name: Arc<Mutex<Result<Vec<SocketAddr>, ()>>>,
        announced: watch::Receiver<BTreeSet<SocketAddr>>,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    fn fixture(first: &[SocketAddr]) -> Fixture {
        let name = Arc::new(Mutex::new(Ok(first.to_vec())));
        let (sender, announced) = watch::channel(BTreeSet::new());
        let (asked, stop) = (Arc::clone(&name), CancellationToken::new());
        let look_up = move |_| {
            let answer = asked.lock().clone();
            async move { answer.map_err(|()| io::Error::other("no such name")) }
        };
        let announce = move |addr, end: CancellationToken| {
            let sender = sender.clone();
            async move {
                let is_new = sender.send_if_modified(|all| all.insert(addr));
                assert!(is_new, "{addr} is announced twice");
                end.cancelled().await;
                sender.send_modify(|all| _ = all.remove(&addr));
            }
        };
        let task = tokio::spawn(follow("name:9876".into(), look_up, announce, stop.clone()));
        Fixture { name, announced, stop, task }
    }

    impl Fixture {
        /// Waits until the broker is announced at exactly these, and tells how long that took.
        async fn until(&mut self, expected: &[SocketAddr]) -> Duration {
            let (start, expected) = (Instant::now(), expected.iter().copied().collect());
            self.announced.wait_for(|announced| *announced == expected).await.unwrap();
            start.elapsed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_address_of_a_name_is_told_and_a_new_one_within_two_seconds() {
        let mut f = fixture(&[addr(1), addr(2)]);
        assert_eq!(f.until(&[addr(1), addr(2)]).await, Duration::ZERO);
        *f.name.lock() = Ok(vec![addr(1), addr(2), addr(3)]);
        assert!(f.until(&[addr(1), addr(2), addr(3)]).await <= PERIOD);
        f.stop.cancel();
        f.task.await.unwrap();
        assert!(f.announced.borrow().is_empty(), "each was left in order");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_gone_is_let_go_after_half_a_minute() {
        let mut f = fixture(&[addr(1), addr(2)]);
        f.until(&[addr(1), addr(2)]).await;
        *f.name.lock() = Ok(vec![addr(2)]);
        let after = f.until(&[addr(2)]).await;
        assert!((MISSING_MAX - 1) * PERIOD < after && after <= MISSING_MAX * PERIOD, "{after:?}");
        *f.name.lock() = Ok(vec![addr(1), addr(2)]);
        assert!(f.until(&[addr(1), addr(2)]).await <= PERIOD);
        f.stop.cancel();
        f.task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_cannot_be_looked_up_leave_the_servers_that_are_known() {
        let mut f = fixture(&[addr(1)]);
        f.until(&[addr(1)]).await;
        *f.name.lock() = Err(());
        tokio::time::sleep(10 * MISSING_MAX * PERIOD).await;
        assert_eq!(*f.announced.borrow(), BTreeSet::from([addr(1)]));
        f.stop.cancel();
        f.task.await.unwrap();
    }

    #[test]
    fn a_server_with_addresses_of_both_families_is_one_server() {
        let v6: SocketAddr = "[fd00::1]:9876".parse().unwrap();
        assert_eq!(one_family(&[v6, addr(1)]), BTreeSet::from([addr(1)]));
        assert_eq!(one_family(&[v6]), BTreeSet::from([v6]));
    }

    #[tokio::test]
    async fn an_address_needs_no_look_up() {
        assert_eq!(look_up("10.0.0.1:9876".into()).await.unwrap(), [addr(1)]);
    }
}
