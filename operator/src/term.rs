//! How long this process may act: until shortly before its Lease ends, unless that is renewed.
//!
//! A process that was stopped, alone or with its machine, goes on where it was, and nobody has told it
//! that another acts by now. So whatever it writes goes through here, and is held against a clock that
//! went on meanwhile. What has left the process when it is stopped is not called back.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Method, Request, Response};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::client::Body;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::service_fn;

use crate::Clock;

/// How long before its Lease ends a process stops: clocks of two machines differ, and what is sent has
/// to arrive.
const MARGIN: Duration = Duration::from_secs(2);
/// Longest wait until the clock is looked at: timers may stand still while the machine sleeps.
const LOOK: Duration = Duration::from_secs(1);

/// Why a write was not made. Trying again does not help: the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the Lease was not renewed in time: another operator may act by now, and this one does not"
)]
pub struct TermOver;

/// The term of this process. Clones are the same.
#[derive(Clone)]
pub(crate) struct Term {
    clock: Clock,
    times: Arc<watch::Sender<Times>>,
}

impl std::fmt::Debug for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Term").field(&*self.times.borrow()).finish()
    }
}

#[derive(Debug, Default)]
struct Times {
    /// Whether writes are for a term only. Without a Lease they are for as long as the process lives.
    is_bound: bool,
    /// Until when the Lease is ours, by the time since boot and without the margin.
    good_until: Duration,
    is_over: bool,
}

impl Times {
    fn allow(&self, now: Duration) -> bool {
        !self.is_bound || !self.is_over && now < self.good_until
    }
}

impl Term {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, times: Arc::default() }
    }

    /// Waits until the Lease is ours for a while. From then on nothing is written beyond it.
    pub(crate) async fn begin(&self) {
        let is_ours = |times: &Times| self.clock.since_boot() < times.good_until;
        // The sender is right here, so this cannot fail.
        let _ = self.times.subscribe().wait_for(is_ours).await;
        self.times.send_modify(|times| times.is_bound = true);
    }

    /// Ends it for good, if it had begun.
    pub(crate) fn end(&self) {
        self.times.send_modify(|times| times.is_over = true);
    }

    /// Whether something may be written now. The first time that it may not is the end.
    pub(crate) fn check(&self) -> Result<(), TermOver> {
        let now = self.clock.since_boot();
        if self.times.borrow().allow(now) {
            return Ok(());
        }
        self.end();
        Err(TermOver)
    }

    /// Waits until it is over.
    pub(crate) async fn over(&self) -> TermOver {
        let mut times = self.times.subscribe();
        loop {
            let Err(over) = self.check() else {
                let left = times.borrow().good_until.saturating_sub(self.clock.since_boot());
                // Either way it is looked at again.
                let _ = timeout(left.min(LOOK), times.wait_for(|times| times.is_over)).await;
                continue;
            };
            return over;
        }
    }

    /// Does what writes something, one step after the other as long as the term lasts.
    pub(crate) async fn within<T>(&self, write: impl Future<Output = T>) -> Result<T, TermOver> {
        let mut write = pin!(write);
        // Not only at the start: it may have been stopped while it waited for a connection, say.
        std::future::poll_fn(|cx| match self.check() {
            Ok(()) => write.as_mut().poll(cx).map(Ok),
            Err(over) => Poll::Ready(Err(over)),
        })
        .await
    }

    /// A client that asks as `client` does, and writes within the term only.
    pub(crate) fn client(&self, client: Client) -> Client {
        let (term, home) = (self.clone(), client.default_namespace().to_owned());
        let service = service_fn(move |request: Request<Body>| {
            let (client, term) = (client.clone(), term.clone());
            async move {
                if is_read(&request) {
                    return client.send(request).await;
                }
                term.within(client.send(request)).await.unwrap_or_else(|over| Err(refused(over)))
            }
        });
        Client::new(service, home)
    }

    /// The client with which `identity` gets, renews and gives back its Lease, and nothing else: from
    /// the answers it is known how long the Lease is ours.
    ///
    /// It writes within the term as well: who comes late would renew the Lease of another.
    pub(crate) fn lease_client(&self, client: Client, identity: &str) -> Client {
        let (term, home) = (self.clone(), client.default_namespace().to_owned());
        let identity: Arc<str> = identity.into();
        let service = service_fn(move |request: Request<Body>| {
            let (client, term, identity) = (client.clone(), term.clone(), Arc::clone(&identity));
            async move {
                let is_read = is_read(&request);
                let asked = (term.clock.since_boot(), Timestamp::now());
                let sent = term.renewing(is_read, client.send(request));
                let answer = sent.await.unwrap_or_else(|over| Err(refused(over)))?;
                if !answer.status().is_success() {
                    return Ok(answer);
                }
                let (parts, body) = answer.into_parts();
                let bytes = body.collect_bytes().await?;
                if let Ok(lease) = serde_json::from_slice(&bytes) {
                    term.note(is_read, remaining(&lease, &identity, asked.1), asked.0);
                }
                Ok::<_, kube::Error>(Response::from_parts(parts, Body::from(bytes)))
            }
        });
        Client::new(service, home)
    }

    /// Like [`Term::within`], but also when the process has stopped acting: it may give back what is
    /// still its own.
    async fn renewing<T>(
        &self,
        is_read: bool,
        request: impl Future<Output = T>,
    ) -> Result<T, TermOver> {
        let mut request = pin!(request);
        std::future::poll_fn(|cx| {
            let times = self.times.borrow();
            let is_ours = !times.is_bound || self.clock.since_boot() < times.good_until;
            drop(times);
            if is_read || is_ours {
                request.as_mut().poll(cx).map(Ok)
            } else {
                self.end();
                Poll::Ready(Err(TermOver))
            }
        })
        .await
    }

    /// Takes over what the API server said of the Lease when it was asked at `asked`.
    ///
    /// Once the term has begun only what was just written counts: how old a renewal is that is read
    /// says the clock on the wall, which may have been set since.
    fn note(&self, is_read: bool, left: Option<Duration>, asked: Duration) {
        self.times.send_if_modified(|times| {
            let before = times.good_until;
            match left {
                Some(_) if is_read && times.is_bound => {}
                Some(left) => times.good_until = (asked + left).saturating_sub(MARGIN),
                None => times.good_until = Duration::ZERO,
            }
            times.good_until != before
        });
    }
}

fn is_read(request: &Request<Body>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

fn refused(over: TermOver) -> kube::Error {
    kube::Error::Service(Box::new(over))
}

/// How long the Lease is still good for; `None` if somebody else holds it, or nobody.
pub(crate) fn remaining(lease: &Lease, identity: &str, now: Timestamp) -> Option<Duration> {
    let spec = lease.spec.as_ref()?;
    if spec.holder_identity.as_deref() != Some(identity) {
        return None;
    }
    let renewed = spec.renew_time.as_ref()?.0;
    let seconds = spec.lease_duration_seconds.unwrap_or(0).max(0).unsigned_abs();
    let whole = Duration::from_secs(seconds.into());
    let end = renewed.checked_add(whole).ok()?;
    Some(Duration::try_from(end.duration_since(now)).unwrap_or(Duration::ZERO).min(whole))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    /// A term whose clock goes when it is told to.
    fn term() -> (Term, impl Fn(u64)) {
        let seconds = Arc::new(AtomicU64::new(100));
        let read = Arc::clone(&seconds);
        let clock = Clock::default()
            .with_since_boot(move || Duration::from_secs(read.load(Ordering::Relaxed)));
        let advance = move |more| {
            seconds.fetch_add(more, Ordering::Relaxed);
        };
        (Term::new(clock), advance)
    }

    /// The same, bound to a Lease of 15 s that was asked for right now.
    async fn bound() -> (Term, impl Fn(u64)) {
        let (term, advance) = term();
        term.note(false, Some(Duration::from_secs(15)), term.clock.since_boot());
        term.begin().await;
        (term, advance)
    }

    fn lease(holder: &str, renewed: i64) -> Lease {
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[test]
    fn a_lease_is_good_for_its_length_and_for_its_holder() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let left = |lease: &Lease, second| remaining(lease, "a", at(second));
        assert_eq!(left(&lease("a", 100), 105), Some(Duration::from_secs(10)));
        assert_eq!(left(&lease("a", 100), 200), Some(Duration::ZERO));
        assert_eq!(left(&lease("a", 100), 90), Some(Duration::from_secs(15)), "a wrong clock");
        assert_eq!(left(&lease("b", 100), 105), None);
        assert_eq!(left(&Lease::default(), 105), None);
    }

    #[tokio::test]
    async fn a_term_ends_before_its_lease_does_and_does_not_begin_again() {
        let (term, advance) = bound().await;
        advance(12);
        assert_eq!(term.check(), Ok(()));
        advance(1);
        assert_eq!(term.check(), Err(TermOver));
        term.note(false, Some(Duration::from_secs(15)), term.clock.since_boot());
        assert_eq!(term.check(), Err(TermOver), "renewed too late");
        assert_eq!(term.over().await, TermOver);
    }

    #[tokio::test]
    async fn a_term_is_as_long_as_the_lease_was_renewed_and_not_as_it_is_said_to_be() {
        let (term, advance) = bound().await;
        advance(10);
        let asked = term.clock.since_boot();
        term.note(false, Some(Duration::from_secs(15)), asked);
        advance(10);
        assert_eq!(term.check(), Ok(()));
        term.note(true, Some(Duration::from_secs(15)), term.clock.since_boot());
        advance(3);
        assert_eq!(term.check(), Err(TermOver), "only read");
    }

    #[tokio::test]
    async fn a_term_ends_when_another_holds_the_lease() {
        let (term, _) = bound().await;
        term.note(true, None, term.clock.since_boot());
        assert_eq!(term.check(), Err(TermOver));
    }

    #[tokio::test]
    async fn who_has_no_lease_writes_for_ever() {
        let (term, advance) = term();
        advance(1_000);
        assert_eq!(term.check(), Ok(()));
    }

    #[tokio::test]
    async fn what_had_begun_does_not_go_on_after_the_term() {
        let (term, advance) = bound().await;
        let mut steps = 0;
        let write = std::future::poll_fn(|_| {
            steps += 1;
            Poll::<()>::Pending
        });
        {
            let mut write = pin!(term.within(write));
            assert!(futures::poll!(&mut write).is_pending());
            advance(13);
            assert_eq!(futures::poll!(&mut write), Poll::Ready(Err(TermOver)));
        }
        assert_eq!(steps, 1);
    }

    #[tokio::test]
    async fn one_that_stops_acting_may_still_give_back_its_lease_but_not_that_of_another() {
        let (term, advance) = bound().await;
        term.end();
        assert_eq!(term.within(async {}).await, Err(TermOver));
        assert_eq!(term.renewing(false, async {}).await, Ok(()));
        advance(13);
        assert_eq!(term.renewing(false, async {}).await, Err(TermOver));
        assert_eq!(term.renewing(true, async {}).await, Ok(()));
    }
}
