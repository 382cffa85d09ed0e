//! The end of what objects declared: closed in brokers, so that clients learn that it goes, then
//! deleted there, and then the objects let go. Many at a time: whole applications go at once.

use std::collections::{BTreeMap, HashMap};

use futures::future::join_all;
use kube::ResourceExt as _;
use tokio::time::Instant;

use super::super::masters::{Masters, Refused};
use super::super::verdict::{Target, Verdict};
use super::super::wire::Wire;
use super::{Case, Pass};

/// Requests to one name server that are under way at a time.
const AT_ONCE: usize = 64;
/// What is told while nobody may use it any more.
const CLOSED: &str = "clients learn that it goes";

/// Why something is not deleted yet, by its case; `None` where nothing of it is left.
pub(super) type Deletions = BTreeMap<usize, Option<String>>;

/// One thing that is to be deleted.
struct End<'a, D: Wire> {
    at: usize,
    case: &'a Case<'a, D>,
    /// Masters that have it.
    holders: Vec<i32>,
    /// What to put, and where, so that nobody uses it any more.
    open: Vec<(i32, D::Settings)>,
    /// Why it is not deleted yet.
    left: Option<String>,
}

impl<'a, D: Wire> End<'a, D> {
    fn of(masters: &Masters, at: usize, case: &'a Case<'a, D>) -> Self {
        let mut end = Self { at, case, holders: Vec::new(), open: Vec::new(), left: None };
        for held in masters.held::<D>(end.name()) {
            match held.what {
                Err(silence) => end.left = Some(format!("b{}: {}", held.index, silence.why)),
                Ok(None) => {}
                Ok(Some(what)) => {
                    end.holders.push(held.index);
                    end.open.extend(D::closed(what).map(|closed| (held.index, closed)));
                }
            }
        }
        end
    }

    fn name(&self) -> &'a str {
        self.case.object.wire_name()
    }
}

/// Deletes in brokers what is to be deleted there, and lets the objects go. `closed` remembers since
/// when what is going is closed everywhere, by UID.
pub(super) async fn delete<D: Wire>(
    pass: &Pass<'_>,
    masters: &mut Masters,
    closed: &mut HashMap<String, Instant>,
    cases: &[Case<'_, D>],
) -> Deletions {
    let ending = cases.iter().enumerate().filter(|(_, case)| case.verdict == Verdict::Delete);
    let mut ends: Vec<End<'_, D>> = ending.map(|(at, case)| End::of(masters, at, case)).collect();
    close(masters, closed, &mut ends).await;
    delete_closed(masters, &mut ends).await;
    forget(pass, masters, &mut ends).await;
    let let_go = ends.into_iter().map(|end| async move {
        let left = match end.left {
            Some(left) => Some(left),
            None if pass.writer.finalizer::<D>(end.case.object.meta(), false).await => None,
            None => Some("it is deleted in the brokers, and this object goes next".to_owned()),
        };
        (end.at, left)
    });
    join_all(let_go).await.into_iter().collect()
}

/// Those of which nothing is in the way.
fn going<'a, 'b, D: Wire>(
    ends: &'b mut [End<'a, D>],
) -> impl Iterator<Item = (usize, &'b mut End<'a, D>)> {
    ends.iter_mut().enumerate().filter(|(_, end)| end.left.is_none())
}

/// Keeps clients away from what goes. Only what they have had time to notice goes on.
async fn close<D: Wire>(
    masters: &mut Masters,
    closed: &mut HashMap<String, Instant>,
    ends: &mut [End<'_, D>],
) {
    let mut puts: BTreeMap<i32, Vec<D::Settings>> = BTreeMap::new();
    let mut owners = HashMap::new();
    for (nth, end) in going(ends) {
        let is_open = !end.open.is_empty();
        for (index, settings) in std::mem::take(&mut end.open) {
            owners.insert((index, end.name()), nth);
            puts.entry(index).or_default().push(settings);
        }
        let uid = end.case.uid();
        let since = *closed
            .entry(uid)
            .and_modify(|since| {
                if is_open {
                    *since = Instant::now();
                }
            })
            .or_insert_with(Instant::now);
        if is_open || !end.holders.is_empty() && since.elapsed() < D::GRACE {
            end.left = Some(CLOSED.to_owned());
        }
    }
    if puts.is_empty() {
        return;
    }
    for (index, refused) in masters.put::<D>(puts).await {
        for Refused { name, words, .. } in refused {
            if let Some(nth) = owners.get(&(index, &*name)) {
                ends[*nth].left = Some(format!("b{index}: {words}"));
            }
        }
    }
}

async fn delete_closed<D: Wire>(masters: &mut Masters, ends: &mut [End<'_, D>]) {
    let mut names: BTreeMap<i32, Vec<&str>> = BTreeMap::new();
    let mut owners = HashMap::new();
    for (nth, end) in going(ends) {
        owners.insert(end.name(), nth);
        for index in &end.holders {
            names.entry(*index).or_default().push(end.name());
        }
    }
    for (index, left) in masters.delete::<D>(names).await {
        for (name, why) in left {
            if let Some(nth) = owners.get(name) {
                ends[*nth].left = Some(format!("b{index}: {why}"));
            }
        }
    }
}

/// Tells name servers that hear of deletions from nobody.
async fn forget<D: Wire>(pass: &Pass<'_>, masters: &Masters, ends: &mut [End<'_, D>]) {
    let Target::Present(set) = pass.target else { return };
    let cluster = set.spec.cluster_name.clone().unwrap_or_else(|| set.name_any());
    let given = set.spec.name_server.as_ref().and_then(|given| given.addresses.as_ref());
    for namesrv in given.into_iter().flatten() {
        let mut silence = None;
        let mut going: Vec<_> = going(ends).map(|(_, end)| end).collect();
        for part in going.chunks_mut(AT_ONCE) {
            if silence.is_some() {
                for end in part {
                    end.left.clone_from(&silence);
                }
                continue;
            }
            let names = part.iter().map(|end| end.name());
            let told = names.map(|name| D::forget(masters.changes(), namesrv, &cluster, name));
            let answers = join_all(told).await;
            for (end, answer) in part.iter_mut().zip(answers) {
                let Err(error) = answer else { continue };
                end.left = Some(format!("name server {namesrv}: {error}"));
                if error.refusal().is_none() {
                    silence.clone_from(&end.left);
                }
            }
        }
    }
}
