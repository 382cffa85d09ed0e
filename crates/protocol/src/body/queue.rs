//! Message queues, and maps that have them as keys.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// One queue of a topic on one broker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueue {
    /// Name of the replication group.
    pub broker_name: String,
    /// Queue within the topic.
    pub queue_id: i32,
    /// Topic.
    pub topic: String,
}

/// A map keyed by message queues, in the order of the wire.
///
/// It is read from the form with object keys (after [`normalise`](crate::fastjson::normalise)) and
/// from a list of pairs `[[queue, value], …]`, and written by
/// [`write_queue_map`](crate::fastjson::write_queue_map).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMap<V>(pub Vec<(MessageQueue, V)>);

impl<V> Default for QueueMap<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, V: DeserializeOwned> Deserialize<'de> for QueueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<V>(Vec<(MessageQueue, V)>);

        impl<'de, V: DeserializeOwned> Visitor<'de> for Pairs<V> {
            type Value = QueueMap<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map keyed by message queues")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(QueueMap(self.0))
            }

            fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
                while let Some(key) = map.next_key::<String>()? {
                    let queue = serde_json::from_str(&key).map_err(A::Error::custom)?;
                    self.0.push((queue, map.next_value()?));
                }
                Ok(QueueMap(self.0))
            }

            fn visit_seq<A: SeqAccess<'de>>(
                mut self,
                mut list: A,
            ) -> Result<Self::Value, A::Error> {
                while let Some(pair) = list.next_element()? {
                    self.0.push(pair);
                }
                Ok(QueueMap(self.0))
            }
        }

        deserializer.deserialize_any(Pairs(Vec::new()))
    }
}
