//! What the API server has of ours, kept up to date by watches.
//!
//! Only objects with the operator's label are here, so that memory grows with `BrokerSets` and not
//! with the cluster. A cache lags behind: what must not be done twice is asked for again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject};
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::context::{Context, Key, Mark, Scope};
use crate::kind::Kind;
use crate::{FIELD_MANAGER, labels};

/// How long until who waits for a cache looks again by itself.
const AGAIN: Duration = Duration::from_millis(250);

/// All objects of ours in a scope.
pub(crate) struct Caches {
    stores: BTreeMap<Kind, Store<DynamicObject>>,
}

impl Caches {
    /// Starts the watches of a scope, in `tasks`. A change marks the `BrokerSet` it belongs to.
    pub(crate) fn start(
        context: &Context,
        scope: &Arc<Scope>,
        tasks: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) -> Arc<Self> {
        let mut stores = BTreeMap::new();
        for kind in Kind::ALL {
            let resource = kind.resource();
            let writer = Writer::new(resource.clone());
            stores.insert(kind, writer.as_reader());
            let api: Api<DynamicObject> = match &scope.namespace {
                Some(namespace) => {
                    Api::namespaced_with(context.client.clone(), namespace, &resource)
                }
                None => Api::all_with(context.client.clone(), &resource),
            };
            let of = scope.namespace.as_deref();
            let watch = context.watches.follow(&resource.kind, of, api.resource_url());
            let config = watcher::Config::default()
                .labels(&format!("{}={FIELD_MANAGER}", labels::MANAGED_BY));
            let objects = watcher(api, config)
                .default_backoff()
                .modify(|object| object.managed_fields_mut().clear())
                .reflect(writer)
                .touched_objects();
            let (scope, shutdown) = (Arc::clone(scope), shutdown.clone());
            tasks.spawn(async move {
                let objects = objects.take_until(shutdown.cancelled());
                let mut objects = std::pin::pin!(objects);
                while let Some(object) = objects.next().await {
                    match object {
                        Ok(object) => mark_owner(&scope, &object),
                        Err(error) => watch.failed(&error),
                    }
                }
            });
        }
        Arc::new(Self { stores })
    }

    /// Waits until every cache has been filled once; false if it never will be.
    pub(crate) async fn filled(&self) -> bool {
        for store in self.stores.values() {
            // A store wakes only the last of those that wait for it: the others look again.
            let filled = loop {
                if let Ok(filled) = timeout(AGAIN, store.wait_until_ready()).await {
                    break filled;
                }
            };
            if filled.is_err() {
                return false;
            }
        }
        true
    }

    /// All objects with the label of a `BrokerSet`, of whatever owner.
    pub(crate) fn labelled(&self, key: &Key) -> Vec<(Kind, Arc<DynamicObject>)> {
        let belongs = |object: &DynamicObject| {
            object.metadata.namespace.as_deref() == Some(&key.namespace)
                && object.labels().get(labels::BROKER_SET) == Some(&key.name)
        };
        let of = |(kind, store): (&Kind, &Store<DynamicObject>)| {
            let kind = *kind;
            store.state_filter(belongs).into_iter().map(move |object| (kind, object))
        };
        self.stores.iter().flat_map(of).collect()
    }
}

fn mark_owner(scope: &Scope, object: &DynamicObject) {
    if let (Some(namespace), Some(name)) =
        (object.namespace(), object.labels().get(labels::BROKER_SET))
    {
        scope.marks.set(Mark::One(Key::new(namespace, name)));
    }
}
