//! Live producers: which clients send for which producer group, as their heartbeats say.
//!
//! Fed like [`crate::consumers`]; time is an argument, in milliseconds.

use std::collections::BTreeMap;

use parking_lot::RwLock;

use crate::consumers::{MEMBER_EXPIRY_MS, Member, is_only_elsewhere};

/// All producer groups with live members.
#[derive(Debug)]
pub(crate) struct Producers<H> {
    groups: RwLock<BTreeMap<String, Vec<Member<H>>>>,
}

impl<H: Clone> Producers<H> {
    pub(crate) fn new() -> Self {
        Self { groups: RwLock::new(BTreeMap::new()) }
    }

    pub(crate) fn heartbeat(&self, group: &str, member: Member<H>) {
        let mut groups = self.groups.write();
        let members = groups.entry(group.to_owned()).or_default();
        match members.iter_mut().find(|known| known.connection == member.connection) {
            Some(known) => *known = member,
            None => members.push(member),
        }
    }

    /// Whether a client is in the group, and only through other connections.
    pub(crate) fn is_only_elsewhere(&self, group: &str, client_id: &str, connection: u64) -> bool {
        let groups = self.groups.read();
        groups.get(group).is_some_and(|members| is_only_elsewhere(members, client_id, connection))
    }

    pub(crate) fn unregister(&self, group: &str, client_id: &str, connection: u64) {
        let mut groups = self.groups.write();
        if let Some(members) = groups.get_mut(group) {
            members.retain(|m| m.connection != connection || m.client_id != client_id);
            if members.is_empty() {
                groups.remove(group);
            }
        }
    }

    pub(crate) fn disconnected(&self, connection: u64) {
        self.retain(|member| member.connection != connection);
    }

    pub(crate) fn expire(&self, now_ms: i64) {
        self.retain(|member| now_ms - member.last_heartbeat_ms <= MEMBER_EXPIRY_MS);
    }

    fn retain(&self, keep: impl Fn(&Member<H>) -> bool) {
        self.groups.write().retain(|_, members| {
            members.retain(&keep);
            !members.is_empty()
        });
    }

    /// Members of one group; empty if nobody is online.
    pub(crate) fn members(&self, group: &str) -> Vec<Member<H>> {
        self.groups.read().get(group).cloned().unwrap_or_default()
    }

    /// Every group with its members.
    pub(crate) fn all(&self) -> BTreeMap<String, Vec<Member<H>>> {
        self.groups.read().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(connection: u64, now: i64) -> Member<()> {
        Member {
            client_id: format!("c{connection}"),
            connection,
            handle: (),
            language: "JAVA",
            version: 493,
            last_heartbeat_ms: now,
        }
    }

    #[test]
    fn a_producer_stays_while_it_heartbeats_and_goes_with_its_connection() {
        let producers = Producers::new();
        producers.heartbeat("p", member(1, 0));
        producers.heartbeat("p", member(2, MEMBER_EXPIRY_MS));
        producers.expire(MEMBER_EXPIRY_MS + 1);
        assert_eq!(producers.members("p").len(), 1);
        producers.disconnected(2);
        assert!(producers.all().is_empty());
    }

    #[test]
    fn only_the_named_client_of_the_connection_is_unregistered() {
        let producers = Producers::new();
        producers.heartbeat("p", member(1, 0));
        producers.unregister("p", "c2", 1);
        assert_eq!(producers.members("p").len(), 1);
        producers.unregister("p", "c1", 1);
        assert!(producers.members("p").is_empty());
    }
}
