//! One pass over all objects of a kind that refer to one `BrokerSet`: judge, plan, change brokers,
//! ask them what they have, report.
//!
//! Safe to end at any await: what was done shows in brokers and in the status, and the next pass
//! starts from there.

mod deletion;
mod telling;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use deletion::delete;
use futures::future::join_all;
use kube::ResourceExt as _;
use rocketkube_crds::broker_set::Counts;
use telling::{After, report_all, status};
use tokio::time::Instant;

use super::consent::{self, Labels};
use super::declared::{Declared, Next};
use super::lag::Samples;
use super::masters::Masters;
use super::own_names::OwnNames;
use super::plan::{self, Plan, Trouble};
use super::report::{Obstacle, Reason};
use super::stores::Guard;
use super::verdict::{Finalizer, Situation, Target, Verdict, judge, winners};
use super::wire::Wire;
use super::write::{Writer, Written, title};
use crate::Key;
use crate::context::News;

/// When something that waits for others is looked at again.
const RECHECK: Duration = Duration::from_secs(10);
/// When the second of two steps is taken.
const NEXT_STEP: Duration = Duration::from_secs(1);
/// When what the API server did not take is tried again.
const REWRITE: Duration = Duration::from_secs(5);
/// When a broker is asked again for what it refused, though nothing changed.
const REASK: Duration = Duration::from_mins(5);

/// What a pass is given.
pub(crate) struct Pass<'a> {
    pub(crate) key: &'a Key,
    pub(crate) target: Target<'a>,
    /// Labels of other namespaces, if they matter.
    pub(crate) labels: &'a HashMap<String, Labels>,
    pub(crate) samples: &'a Samples,
    pub(crate) writer: Writer<'a>,
}

/// What is remembered of a kind between passes.
#[derive(Debug)]
pub(crate) struct Memory<D: Declared> {
    pub(crate) written: Written<D>,
    /// What brokers refused, by UID and broker group.
    refusals: HashMap<(String, i32), Refusal>,
    /// Since when what is going to be deleted is closed everywhere, by UID.
    closed: HashMap<String, Instant>,
}

impl<D: Declared> Default for Memory<D> {
    fn default() -> Self {
        let written = Written::default();
        Self { written, refusals: HashMap::new(), closed: HashMap::new() }
    }
}

#[derive(Debug)]
struct Refusal {
    generation: Option<i64>,
    words: String,
    again: Instant,
}

/// What came of a pass.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) managed: i32,
    pub(crate) failed: i32,
    /// Names that objects declare and have a say in.
    pub(crate) declared: BTreeSet<String>,
    /// Those of them that this pass gives to every group, or takes from it. Where nothing is done for
    /// an object, a group that joins gets what the others have.
    pub(crate) looked_after: BTreeSet<String>,
    /// Broker groups that still lack something which they are going to have, with one such thing.
    pub(crate) lacking: BTreeMap<i32, String>,
    /// When the next pass is due at the latest.
    pub(crate) due: Option<Instant>,
}

impl Tally {
    pub(crate) fn counts(&self, unmanaged: usize) -> Counts {
        let unmanaged = i32::try_from(unmanaged).unwrap_or(i32::MAX);
        Counts { managed: self.managed, failed: self.failed, unmanaged }
    }

    fn look_after<D: Declared>(&mut self, object: &D) {
        self.looked_after.insert(object.wire_name().to_owned());
    }

    fn lacks<D: Declared>(&mut self, object: &D, groups: impl Iterator<Item = i32>) {
        for index in groups {
            let title = || format!("{} {}", D::NOUN, object.wire_name());
            self.lacking.entry(index).or_insert_with(title);
        }
    }

    fn due_in(&mut self, wait: Duration) {
        self.due_at(Instant::now() + wait);
    }

    fn due_at(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

/// One object in a pass.
struct Case<'a, D: Declared> {
    object: &'a D,
    verdict: Verdict,
    finalizer: Finalizer,
    plan: Option<Plan<D::Settings>>,
    /// What did not simply go well, by broker group.
    trouble: BTreeMap<i32, Trouble>,
    /// The API server did not take what has to be said before anything is done.
    held_back: bool,
}

impl<D: Declared> Case<'_, D> {
    fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }

    fn steps(&self) -> impl Iterator<Item = &(i32, Next<D::Settings>)> {
        let plan = self.plan.as_ref().filter(|_| !self.held_back);
        plan.into_iter().flat_map(|plan| &plan.steps)
    }
}

/// Settings for masters by index, and whose they are.
type Puts<S> = BTreeMap<i32, Vec<(usize, S)>>;

/// Runs one pass over these objects.
pub(crate) async fn pass<D: Wire>(
    pass: &Pass<'_>,
    masters: &mut Masters,
    memory: &mut Memory<D>,
    guards: &[Arc<Guard<D>>],
) -> Tally {
    let read = guards.iter().filter_map(|guard| guard.0.as_ref().ok());
    let objects: Vec<Cow<'_, D>> = read
        .map(|object| memory.written.newer(object).map_or(Cow::Borrowed(object), Cow::Owned))
        .collect();
    let mut tally = Tally::default();
    let mut cases = judge_all(pass, masters, &objects);
    settle_finalizers(pass, &mut cases, &mut tally).await;
    plan_all(masters, &mut cases);
    claim(pass, memory, &mut cases, &mut tally).await;
    let mut changed = change(masters, memory, &mut cases, &mut tally).await;
    let deletions = delete(pass, masters, &mut memory.closed, &cases).await;
    if deletions.values().any(Option::is_some) {
        tally.due_in(RECHECK);
    }
    changed |= !deletions.is_empty();
    if changed {
        masters.refresh().await;
    }
    report_all(pass, masters, memory, &cases, &deletions, &mut tally).await;
    let uids: BTreeSet<String> = cases.iter().map(Case::uid).collect();
    memory.written.keep(|uid| uids.contains(uid));
    memory.refusals.retain(|(uid, _), _| uids.contains(uid));
    memory.closed.retain(|uid, _| uids.contains(uid));
    tally
}

fn judge_all<'a, D: Wire>(
    pass: &Pass<'_>,
    masters: &Masters,
    objects: &'a [Cow<'a, D>],
) -> Vec<Case<'a, D>> {
    let refusals: Vec<Option<String>> =
        objects.iter().map(|object| refusal(pass, object.as_ref())).collect();
    let contenders = objects.iter().zip(&refusals).map(|(object, refused)| {
        (object.is_managed() && refused.is_none()).then_some(object.as_ref())
    });
    let winners = winners(contenders.flatten());
    let no_brokers = masters.iter().next().is_none();
    let own = match pass.target {
        Target::Present(set) => OwnNames::of(set, masters),
        _ => OwnNames::default(),
    };
    let case = |(object, refused): (&'a Cow<'a, D>, &Option<String>)| {
        let object = object.as_ref();
        let winner = winners.get(object.wire_name()).copied();
        let winner = winner.filter(|winner| winner.uid() != object.uid()).map(title);
        let situation = Situation {
            key: pass.key,
            target: pass.target,
            refused: refused.as_deref(),
            winner: winner.as_deref(),
            is_own: D::is_own(object.wire_name(), &own),
        };
        let (mut verdict, mut finalizer) = judge(object, &situation);
        if no_brokers && matches!(verdict, Verdict::Apply | Verdict::Delete) {
            let message = format!("the BrokerSet {} has no brokers yet", pass.key);
            verdict = Verdict::Wait(Obstacle::new(Reason::BrokerSetNotReady, message));
            if finalizer == Finalizer::Add {
                finalizer = Finalizer::Keep;
            }
        }
        let trouble = BTreeMap::new();
        Case { object, verdict, finalizer, plan: None, trouble, held_back: false }
    };
    objects.iter().zip(&refusals).map(case).collect()
}

/// Why the `BrokerSet` does not take an object of that namespace.
fn refusal<D: Declared>(pass: &Pass<'_>, object: &D) -> Option<String> {
    let Target::Present(set) = pass.target else { return None };
    let namespace = object.namespace().unwrap_or_default();
    consent::refusal(set, &namespace, pass.labels.get(&namespace))
}

/// Adds finalizers before the first change, and removes them after the last.
async fn settle_finalizers<D: Wire>(pass: &Pass<'_>, cases: &mut [Case<'_, D>], tally: &mut Tally) {
    let changes = cases.iter_mut().filter(|case| case.finalizer != Finalizer::Keep);
    let done = join_all(changes.map(|case| async move {
        let add = case.finalizer == Finalizer::Add;
        case.held_back = !pass.writer.finalizer::<D>(case.object.meta(), add).await;
        if let (Finalizer::Drop(Some(why)), false) = (&case.finalizer, case.held_back) {
            let news = News::warning("FinalizerDropped", why.clone());
            pass.writer.event(case.object, news).await;
        }
        !case.held_back
    }));
    if !done.await.into_iter().all(|done| done) {
        tally.due_in(REWRITE);
    }
}

fn plan_all<D: Wire>(masters: &Masters, cases: &mut [Case<'_, D>]) {
    for case in cases.iter_mut().filter(|case| case.verdict == Verdict::Apply) {
        let held = masters.held::<D>(case.object.wire_name());
        case.plan = Some(plan::plan(case.object, &held));
    }
}

/// Writes down what is about to be made, where a crash in between would look like somebody else's.
async fn claim<D: Wire>(
    pass: &Pass<'_>,
    memory: &mut Memory<D>,
    cases: &mut [Case<'_, D>],
    tally: &mut Tally,
) {
    let claims =
        cases.iter_mut().filter(|case| case.plan.as_ref().is_some_and(|it| it.claim_first));
    // Many at a time: somebody may have declared hundreds at once.
    let done = join_all(claims.map(|case| async move {
        let obstacle = Obstacle::new(Reason::PartiallySynced, "it is about to be made");
        let adopted = case.plan.as_ref().and_then(|plan| plan.adopted);
        let after = After { groups: None, adopted, set_back: Vec::new() };
        let status = status(pass, case, Some(&obstacle), after);
        let version = pass.writer.status(case.object, &status).await;
        case.held_back = version.is_none();
        version.map(|version| (case.object, version, status))
    }));
    for claimed in done.await {
        match claimed {
            Some((object, version, status)) => memory.written.note(object, version, status),
            None => tally.due_in(REWRITE),
        }
    }
}

/// Takes the steps of all plans. True if brokers were told anything.
async fn change<D: Wire>(
    masters: &mut Masters,
    memory: &mut Memory<D>,
    cases: &mut [Case<'_, D>],
    tally: &mut Tally,
) -> bool {
    let mut puts: Puts<D::Settings> = BTreeMap::new();
    for (at, case) in cases.iter_mut().enumerate() {
        let mut trouble = Vec::new();
        for (index, next) in case.steps() {
            let settings = match next {
                Next::Keep => continue,
                Next::Put(settings) => settings,
                Next::Drain { queues, then } => {
                    let name = case.object.wire_name();
                    if let Some(left) = masters.unread(*index, name, queues).await {
                        tally.due_in(RECHECK);
                        trouble.push((*index, Trouble::Draining(left)));
                        continue;
                    }
                    then
                }
            };
            match memory.refusals.get(&(case.uid(), *index)) {
                Some(refusal) if refusal.holds(case.object) => {
                    tally.due_at(refusal.again);
                    trouble.push((*index, Trouble::Rejected(refusal.words.clone())));
                }
                _ => puts.entry(*index).or_default().push((at, settings.clone())),
            }
        }
        case.trouble.extend(trouble);
    }
    give(masters, memory, cases, puts, tally).await
}

impl Refusal {
    /// Whether asking again would be answered the same.
    fn holds<D: Declared>(&self, object: &D) -> bool {
        self.generation == object.meta().generation && self.again > Instant::now()
    }
}

/// Gives settings to masters, and remembers what they refuse.
async fn give<D: Wire>(
    masters: &mut Masters,
    memory: &mut Memory<D>,
    cases: &mut [Case<'_, D>],
    puts: Puts<D::Settings>,
    tally: &mut Tally,
) -> bool {
    if puts.is_empty() {
        return false;
    }
    let mut owners: HashMap<(i32, String), usize> = HashMap::new();
    let mut settings = BTreeMap::new();
    for (index, puts) in puts {
        for (at, put) in &puts {
            owners.insert((index, D::name_of(put).to_owned()), *at);
            memory.refusals.remove(&(cases[*at].uid(), index));
        }
        settings.insert(index, puts.into_iter().map(|(_, put)| put).collect());
    }
    for (index, refused) in masters.put::<D>(settings).await {
        for refused in refused {
            let Some(at) = owners.get(&(index, refused.name)) else { continue };
            let case = &mut cases[*at];
            let again = Instant::now() + if refused.for_now { RECHECK } else { REASK };
            tally.due_at(again);
            let (generation, words) = (case.object.meta().generation, refused.words);
            let refusal = Refusal { generation, words: words.clone(), again };
            memory.refusals.insert((case.uid(), index), refusal);
            case.trouble.insert(index, Trouble::Rejected(words));
        }
    }
    true
}
