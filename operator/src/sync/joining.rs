//! A broker group that joins gets what the others have, so that it can take messages of every topic.

use std::collections::{BTreeMap, BTreeSet};

use rocketkube_crds::broker_set::GroupState;
use tracing::warn;

use super::masters::Masters;
use super::wire::Wire;

/// Whether groups that join are to be filled from another, and whether that can be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// No group serves yet: there is nothing that only brokers know.
    Nothing,
    /// This one serves, and answers.
    Group(i32),
    /// Groups serve, and none of them answers.
    Silent,
}

impl Source {
    pub(crate) fn of(masters: &Masters) -> Self {
        let mut serving = masters
            .iter()
            .filter(|(_, master)| master.state == Some(GroupState::Active))
            .peekable();
        if serving.peek().is_none() {
            return Self::Nothing;
        }
        serving
            .find(|(_, master)| master.tables().is_ok())
            .map_or(Self::Silent, |(index, _)| Self::Group(index))
    }
}

/// Gives every group that joins what the source has, but for what is looked after for an object. `refused` remembers what
/// a group did not take, which must not keep it from joining. True if brokers were told anything.
pub(crate) async fn fill<D: Wire>(
    masters: &mut Masters,
    source: i32,
    is_looked_after: impl Fn(&str) -> bool,
    refused: &mut BTreeSet<(i32, String)>,
) -> bool {
    let missing = missing::<D>(masters, source, is_looked_after, refused);
    if missing.is_empty() {
        return false;
    }
    for (index, all) in masters.put::<D>(missing).await {
        for it in all.into_iter().filter(|it| !it.for_now) {
            let (name, words) = (&it.name, &it.words);
            warn!(group = index, name, words, "{} was not taken by a group that joins", D::NOUN);
            refused.insert((index, it.name));
        }
    }
    true
}

/// What groups that join still lack, by their index.
pub(crate) fn missing<D: Wire>(
    masters: &Masters,
    source: i32,
    is_looked_after: impl Fn(&str) -> bool,
    refused: &BTreeSet<(i32, String)>,
) -> BTreeMap<i32, Vec<D::Settings>> {
    let tables = |index| masters.iter().find(|it| it.0 == index).map(|(_, master)| master.tables());
    let Some(Ok(from)) = tables(source) else { return BTreeMap::new() };
    let mut missing = BTreeMap::new();
    let joins = masters.iter().filter(|(_, it)| it.state != Some(GroupState::Active));
    for (index, master) in joins {
        let Ok(has) = master.tables() else { continue };
        let has = D::table(has);
        let lacks = |(name, _): &(&String, &D::Settings)| {
            !has.contains_key(*name)
                && !is_looked_after(name)
                && !refused.contains(&(index, (*name).clone()))
        };
        let settings: Vec<D::Settings> =
            D::table(from).iter().filter(lacks).map(|(_, settings)| settings.clone()).collect();
        if !settings.is_empty() {
            missing.insert(index, settings);
        }
    }
    missing
}
