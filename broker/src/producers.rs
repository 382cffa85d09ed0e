//! Live producers: which clients send for which producer group, as their heartbeats say.
//!
//! Fed like [`crate::consumers`]; time is an argument, in milliseconds.

use std::collections::BTreeMap;

use parking_lot::RwLock;

use crate::consumers::{MEMBER_EXPIRY_MS, Member, Members, is_only_elsewhere};

/// All producer groups with live members.
#[derive(Debug)]
pub(crate) struct Producers<H> {
    groups: RwLock<BTreeMap<String, Members<H>>>,
}

impl<H: Clone> Producers<H> {
    pub(crate) fn new() -> Self {
        Self { groups: RwLock::new(BTreeMap::new()) }
    }

    pub(crate) fn heartbeat(&self, group: &str, member: Member<H>) {
        let mut groups = self.groups.write();
        groups.entry(group.to_owned()).or_default().insert(member.connection, member);
    }

    /// Whether a client is in the group, and only through other connections.
    pub(crate) fn is_only_elsewhere(&self, group: &str, client_id: &str, connection: u64) -> bool {
        let groups = self.groups.read();
        groups.get(group).is_some_and(|members| is_only_elsewhere(members, client_id, connection))
    }

    /// Removes a client's connection from one group; false if it was not in it.
    pub(crate) fn unregister(&self, group: &str, client_id: &str, connection: u64) -> bool {
        let mut groups = self.groups.write();
        remove(&mut groups, group, connection, |member| member.client_id == client_id)
    }

    /// Removes a closed connection from the groups it joined.
    pub(crate) fn disconnected<'g>(
        &self,
        connection: u64,
        joined: impl IntoIterator<Item = &'g String>,
    ) {
        let mut groups = self.groups.write();
        for group in joined {
            remove(&mut groups, group, connection, |_| true);
        }
    }

    pub(crate) fn expire(&self, now_ms: i64) {
        self.groups.write().retain(|_, members| {
            members.retain(|_, member| now_ms - member.last_heartbeat_ms <= MEMBER_EXPIRY_MS);
            !members.is_empty()
        });
    }

    /// Members of one group; empty if nobody is online.
    pub(crate) fn members(&self, group: &str) -> Vec<Member<H>> {
        let groups = self.groups.read();
        groups.get(group).map(|members| members.values().cloned().collect()).unwrap_or_default()
    }

    /// Every group with its members.
    pub(crate) fn all(&self) -> BTreeMap<String, Members<H>> {
        self.groups.read().clone()
    }
}

/// Takes a connection out of a group, and with the last one the group.
fn remove<H>(
    groups: &mut BTreeMap<String, Members<H>>,
    name: &str,
    connection: u64,
    is_it: impl Fn(&Member<H>) -> bool,
) -> bool {
    let Some(members) = groups.get_mut(name) else { return false };
    let is_there = members.get(&connection).is_some_and(is_it);
    if is_there {
        members.remove(&connection);
    }
    if members.is_empty() {
        groups.remove(name);
    }
    is_there
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
        producers.disconnected(2, &["p".to_owned()]);
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
