//! Who uses whose name servers. Those of a `BrokerSet` know all brokers that announce themselves
//! there before clients come to them, and stay while any of these is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;
use rocketkube_crds::BrokerSet;

use super::build::Sharer;
use super::build::name_server;
use crate::context::{Key, Mark};

type Guarded = DeserializeGuard<BrokerSet>;

/// Those that use the name servers of a `BrokerSet` besides itself, ordered by name; none if it runs
/// none.
pub(crate) fn sharers(set: &BrokerSet, key: &Key, all: &Store<Guarded>) -> Vec<Sharer> {
    if name_server::managed(set.spec.name_server.as_ref()).is_none() {
        return Vec::new();
    }
    let used = |guarded: &Arc<Guarded>| usage(guarded.0.as_ref().ok()?);
    let mut sharers: Vec<_> = all
        .state()
        .iter()
        .filter_map(used)
        .filter(|usage| usage.owner == *key)
        .filter_map(|usage| usage.sharer)
        .collect();
    sharers.sort();
    sharers
}

/// What a `BrokerSet` wants of the name servers of another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Usage {
    owner: Key,
    /// None while it has no brokers and is to have none.
    sharer: Option<Sharer>,
}

/// Only those of the same namespace can be referred to.
fn usage(set: &BrokerSet) -> Option<Usage> {
    let key = Key::of(set);
    let other = set.spec.name_server.as_ref()?.from_broker_set.as_ref()?;
    let owner = Key::new(&key.namespace, &other.name);
    let status = set.status.as_ref();
    let has_pods = status
        .is_some_and(|status| status.group_status.iter().any(|group| !group.replicas.is_empty()));
    let is_used = !set.spec.hibernate || has_pods;
    // Groups that there are: what a spec asks for may never come.
    let groups = status.and_then(|status| status.groups).unwrap_or(0);
    let sharer = is_used.then_some(Sharer { name: key.name.clone(), groups });
    (owner != key).then_some(Usage { owner, sharer })
}

/// What each `BrokerSet` wanted when it was last heard of, by those that share.
#[derive(Debug, Default)]
pub(crate) struct Sharing(BTreeMap<Key, Usage>);

impl Sharing {
    /// Takes in what changed, after the store has, and names those that are to be looked at.
    pub(crate) fn heard(&mut self, mark: Mark, all: &Store<Guarded>) -> BTreeSet<Key> {
        let now = |guarded: &Guarded| usage(guarded.0.as_ref().ok()?);
        match mark {
            Mark::One(key) => {
                let usage = all.get(&key.reference()).and_then(|guarded| now(&guarded));
                let mut due = self.note(key.clone(), usage);
                due.insert(key);
                due
            }
            Mark::All => {
                let all = all.state();
                let usages = all.iter().map(|guarded| (Key::of(&**guarded), now(guarded)));
                self.0 = usages.filter_map(|(key, usage)| Some((key, usage?))).collect();
                all.iter().map(|guarded| Key::of(&**guarded)).collect()
            }
        }
    }

    fn note(&mut self, key: Key, now: Option<Usage>) -> BTreeSet<Key> {
        let before = match now.clone() {
            Some(usage) => self.0.insert(key, usage),
            None => self.0.remove(&key),
        };
        if before == now {
            return BTreeSet::new();
        }
        [before, now].into_iter().flatten().map(|usage| usage.owner).collect()
    }
}
