//! Whether the API server still tells what changes.
//!
//! It ends every watch within five minutes, and a client gives up one that stays silent for longer. So
//! each watch is asked for again at least that often, and it is enough to know when that last went
//! well: what hides behind a failure, a lost right or a dead connection, is the same to whoever
//! relies on the caches. What a watch tells is not looked at here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use kube::Client;
use kube::client::Body;
use kube::runtime::watcher;
use parking_lot::Mutex;
use rocketkube_service::metrics::{Kind, Registry, Sample};
use tokio::time::Instant;
use tower::service_fn;
use tracing::{debug, warn};

/// How long a watch may be without an answer: two of the longest watches.
const LONGEST: Duration = Duration::from_mins(10);

/// The watches of this process. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watches(Arc<Mutex<BTreeMap<String, Watch>>>);

/// One watch, by the path that it asks at.
#[derive(Debug)]
struct Watch {
    kind: String,
    namespace: Option<String>,
    /// When a list or a watch last began to be answered, or the first was about to be asked for.
    answered: Instant,
    /// Whether it was said that it failed since.
    said: bool,
}

/// A watch that is followed.
pub(crate) struct Followed {
    watches: Watches,
    path: String,
}

impl Followed {
    /// Says that the watch failed and is asked for again: once, until it is answered.
    pub(crate) fn failed(&self, error: &watcher::Error) {
        let mut watches = self.watches.0.lock();
        let Some(watch) = watches.get_mut(&self.path) else { return };
        if std::mem::replace(&mut watch.said, true) {
            debug!(kind = watch.kind, %error, "watch failed again");
        } else {
            warn!(kind = watch.kind, %error, "watch failed, starting it again");
        }
    }
}

impl Watches {
    pub(crate) fn new(registry: &Registry) -> Self {
        let watches = Self::default();
        let all = watches.clone();
        registry.register(
            "mq_watch_silence_seconds",
            "Time since the API server last answered a list or a watch of a kind.",
            Kind::Gauge,
            move || all.samples(Instant::now()),
        );
        watches
    }

    /// A client that asks as `client` does, and notices what is answered.
    pub(crate) fn client(&self, client: Client) -> Client {
        let (watches, home) = (self.clone(), client.default_namespace().to_owned());
        let service = service_fn(move |request: Request<Body>| {
            let (client, watches) = (client.clone(), watches.clone());
            async move {
                let path = request.uri().path().to_owned();
                let answer = client.send(request).await?;
                if answer.status().is_success() {
                    watches.answered(&path);
                }
                Ok::<_, kube::Error>(answer)
            }
        });
        Client::new(service, home)
    }

    /// Looks from now on at the watch of a kind, which asks at `path`.
    pub(crate) fn follow(&self, kind: &str, namespace: Option<&str>, path: &str) -> Followed {
        let (kind, namespace) = (kind.to_owned(), namespace.map(str::to_owned));
        let watch = Watch { kind, namespace, answered: Instant::now(), said: false };
        self.0.lock().entry(path.to_owned()).or_insert(watch);
        Followed { watches: self.clone(), path: path.to_owned() }
    }

    fn answered(&self, path: &str) {
        if let Some(watch) = self.0.lock().get_mut(path) {
            (watch.answered, watch.said) = (Instant::now(), false);
        }
    }

    /// What has not been answered for too long, in words.
    pub(crate) fn trouble(&self, now: Instant) -> Option<String> {
        let watches = self.0.lock();
        let mut silent =
            watches.values().filter(|watch| now.duration_since(watch.answered) >= LONGEST);
        let Watch { kind, namespace, .. } = silent.next()?;
        let place =
            namespace.as_ref().map(|name| format!(" of namespace {name}")).unwrap_or_default();
        let more = silent.count();
        let others = if more == 0 { String::new() } else { format!(" and {more} other kinds") };
        let minutes = LONGEST.as_secs() / 60;
        Some(format!(
            "the API server has not answered for {minutes} minutes what {kind}{place}{others} there are"
        ))
    }

    fn samples(&self, now: Instant) -> Vec<Sample> {
        let sample = |watch: &Watch| {
            let labels = vec![
                ("kind", watch.kind.clone()),
                ("namespace", watch.namespace.clone().unwrap_or_default()),
            ];
            Sample::new(now.duration_since(watch.answered).as_secs_f64(), labels)
        };
        self.0.lock().values().map(sample).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_not_answered_for_ten_minutes_is_named() {
        let watches = Watches::default();
        watches.follow("Pod", Some("shop"), "/api/v1/namespaces/shop/pods");
        watches.follow("Topic", None, "/apis/mq.rocketkube.dev/v1alpha1/topics");
        advance(LONGEST / 2).await;
        assert_eq!(watches.trouble(Instant::now()), None);
        watches.answered("/apis/mq.rocketkube.dev/v1alpha1/topics");
        watches.answered("/api/v1/namespaces/shop/pods/orders-b0-0");
        advance(LONGEST / 2).await;
        let expected = "the API server has not answered for 10 minutes what Pod of namespace shop \
                        there are";
        assert_eq!(watches.trouble(Instant::now()).as_deref(), Some(expected));
        let silences: Vec<_> =
            watches.samples(Instant::now()).iter().map(|sample| sample.value).collect();
        assert_eq!(silences, [600.0, 300.0]);
        watches.answered("/api/v1/namespaces/shop/pods");
        assert_eq!(watches.trouble(Instant::now()), None);
    }
}
