//! Names that must be different everywhere: of clients, and of messages.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rocketkube_protocol::UniqueId;
use rocketkube_protocol::id::since_month_ms;

/// A name for one client. Brokers tell members of a group apart by it, and every member computes its
/// share of the queues from the sorted names, so two must never be equal.
pub(crate) fn client_id() -> String {
    let process = std::process::id();
    format!("{process}@{:016x}", rand::random::<u64>())
}

/// Makes unique ids of messages.
#[derive(Debug)]
pub(crate) struct UniqueIds {
    /// Random in place of an address: behind address translation those are not unique.
    ip: IpAddr,
    process: u16,
    loader: u32,
    counter: AtomicU32,
}

impl UniqueIds {
    pub(crate) fn new() -> Self {
        Self {
            ip: Ipv4Addr::from_bits(rand::random()).into(),
            process: std::process::id().to_le_bytes()[..2].try_into().map_or(0, u16::from_le_bytes),
            loader: rand::random(),
            counter: AtomicU32::new(0),
        }
    }

    pub(crate) fn next(&self) -> UniqueId {
        let count = self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        // More than 65,536 messages in one millisecond would repeat an id; a network cannot.
        let counter = u16::from_be_bytes([count[2], count[3]]);
        UniqueId {
            ip: self.ip,
            process: self.process,
            loader: self.loader,
            since_month_ms: since_month_ms(now_ms()),
            counter,
        }
    }
}

/// Milliseconds since the epoch by this machine's clock.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_of_one_process_differ() {
        let ids = UniqueIds::new();
        let made: HashSet<_> = (0..1000).map(|_| ids.next().to_string()).collect();
        assert_eq!(made.len(), 1000);
        assert_ne!(client_id(), client_id());
    }
}
