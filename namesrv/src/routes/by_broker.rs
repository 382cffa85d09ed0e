//! The queues of one topic, broker by broker.

use std::sync::Arc;

use super::Queues;

/// Queues by broker, sorted by its name, because answers list them in order. Most topics are on one
/// broker or a few, where a list takes a tenth of the memory of a tree.
#[derive(Debug, Default)]
pub(super) struct ByBroker(Vec<(Arc<str>, Queues)>);

/// Up to so many brokers there is no room for more than there are.
const FEW: usize = 4;

impl ByBroker {
    fn place(&self, broker: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(name, _)| (**name).cmp(broker))
    }

    pub(super) fn get_mut(&mut self, broker: &str) -> Option<&mut Queues> {
        let place = self.place(broker).ok()?;
        Some(&mut self.0[place].1)
    }

    pub(super) fn insert(&mut self, broker: Arc<str>, queues: Queues) {
        match self.place(&broker) {
            Ok(place) => self.0[place].1 = queues,
            Err(place) => {
                if self.0.len() < FEW {
                    self.0.reserve_exact(1);
                }
                self.0.insert(place, (broker, queues));
            }
        }
    }

    /// Whether there was something to remove.
    pub(super) fn remove(&mut self, broker: &str) -> bool {
        let place = self.place(broker);
        if let Ok(place) = place {
            self.0.remove(place);
        }
        place.is_ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Queues)> {
        self.0.iter().map(|(name, queues)| (name, queues))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().map(|(name, _)| name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
