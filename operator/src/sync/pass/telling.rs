//! What is said of objects after a pass: statuses, events, and what their `BrokerSet` is to know.

use futures::future::join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::declared::{GroupReport, History, Report};
use super::super::masters::Masters;
use super::super::plan::{self, Plan, outcome};
use super::super::report::{self, Obstacle, Reason};
use super::super::verdict::Verdict;
use super::super::wire::Wire;
use super::deletion::Deletions;
use super::{Case, Memory, NEXT_STEP, Pass, REWRITE, Tally};
use crate::context::News;

/// Statuses that are written at a time.
const AT_ONCE: usize = 64;

/// Writes every status that changed, and tells what is news in it.
pub(super) async fn report_all<D: Wire>(
    pass: &Pass<'_>,
    masters: &Masters,
    memory: &mut Memory<D>,
    cases: &[Case<'_, D>],
    deletions: &Deletions,
    tally: &mut Tally,
) {
    let mut writes = Vec::new();
    for (at, case) in cases.iter().enumerate() {
        let left = match deletions.get(&at) {
            Some(None) => continue,
            Some(Some(left)) => Some(left),
            None => None,
        };
        let Some(told) = tell(pass, masters, case, left, tally) else { continue };
        if case.object.status() != Some(&told.status) {
            writes.push((case, told));
        }
    }
    while !writes.is_empty() {
        let rest = writes.split_off(writes.len().min(AT_ONCE));
        let written = join_all(writes.into_iter().map(|(case, told)| async move {
            let version = pass.writer.status(case.object, &told.status).await;
            if version.is_some() {
                for news in told.news {
                    pass.writer.event(case.object, news).await;
                }
            }
            (case.object, version, told.status)
        }));
        for (object, version, status) in written.await {
            match version {
                Some(version) => memory.written.note(object, version, status),
                None => tally.due_in(REWRITE),
            }
        }
        writes = rest;
    }
}

/// What is to be told of one object.
struct Told<S> {
    status: S,
    news: Vec<News>,
}

/// The status of one object after the pass, and the events of it. `None`: there is nothing to tell.
fn tell<D: Wire>(
    pass: &Pass<'_>,
    masters: &Masters,
    case: &Case<'_, D>,
    left: Option<&String>,
    tally: &mut Tally,
) -> Option<Told<D::Status>> {
    let (object, history) = (case.object, case.object.history());
    let mut set_back = Vec::new();
    let (groups, obstacle, adopted) = match (&case.verdict, &case.plan) {
        (Verdict::Gone, _) => return None,
        (Verdict::Apply, Some(plan)) if !case.held_back => {
            let held = masters.held::<D>(object.wire_name());
            let outcome = outcome(object, plan, &held, |index| case.trouble.get(&index).cloned());
            if !plan.is_stopped() {
                tally.look_after(object);
                tally.lacks(object, lacking(case, plan, &outcome.groups));
            }
            let shrinks = outcome.obstacle.as_ref().map(|it| it.reason);
            if shrinks == Some(Reason::QueueShrinkInProgress) && case.trouble.is_empty() {
                tally.due_in(NEXT_STEP);
            }
            set_back = outcome.set_back;
            (Some(outcome.groups), outcome.obstacle, outcome.adopted)
        }
        // The next pass does what this one could not begin.
        (Verdict::Apply, _) => {
            tally.look_after(object);
            tally.lacks(object, masters.iter().map(|(index, _)| index));
            return None;
        }
        (Verdict::Wait(obstacle), _) => (None, Some(obstacle.clone()), history.adopted),
        (Verdict::Delete, _) => {
            tally.look_after(object);
            let left = left.cloned().unwrap_or_default();
            (None, Some(Obstacle::new(Reason::Deleting, left)), history.adopted)
        }
    };
    count(case, obstacle.as_ref(), tally);
    if !set_back.is_empty() {
        pass.writer.context.numbers.drift(D::NOUN);
    }
    let after = After { groups, adopted, set_back };
    let news = news(object, &history, obstacle.as_ref(), &after);
    Some(Told { status: status(pass, case, obstacle.as_ref(), after), news })
}

/// Groups that do not have it, and are going to.
fn lacking<D: Wire>(
    case: &Case<'_, D>,
    plan: &Plan<D::Settings>,
    groups: &[GroupReport<D::Settings>],
) -> impl Iterator<Item = i32> {
    let is_blocked = |index: i32| plan.blocked.iter().any(|(other, _)| *other == index);
    let lacks = move |group: &&GroupReport<D::Settings>| {
        !group.synced && !is_blocked(group.index) && !case.trouble.contains_key(&group.index)
    };
    groups.iter().filter(lacks).map(|group| group.index)
}

/// What people are to hear of, besides the status.
fn news<D: Wire>(
    object: &D,
    history: &History,
    obstacle: Option<&Obstacle>,
    after: &After<D::Settings>,
) -> Vec<News> {
    let mut news = Vec::new();
    if history.adopted.is_none() && after.adopted == Some(true) {
        let note = format!("took over {} {}, which was there", D::NOUN, object.wire_name());
        news.push(News::normal(D::ADOPTED, note));
    }
    if !after.set_back.is_empty() {
        let fields = after.set_back.join(", ");
        let note = format!("somebody changed it in brokers, set back: {fields}");
        news.push(News::warning("DriftCorrected", note));
    }
    let was = history.ready_reason();
    let is_news = |it: &&Obstacle| it.reason.is_alarming() && was != Some(it.reason.name());
    let obstacle = obstacle.filter(is_news);
    news.extend(obstacle.map(|it| News::warning(it.reason.name(), it.message.clone())));
    news
}

fn count<D: Wire>(case: &Case<'_, D>, obstacle: Option<&Obstacle>, tally: &mut Tally) {
    match obstacle.map(|obstacle| obstacle.reason) {
        // A pause is no failure.
        None | Some(Reason::Paused) => tally.managed += 1,
        // They have no say: what they name is as if nobody had declared it.
        Some(Reason::Unmanaged | Reason::NamespaceNotAllowed) => return,
        Some(_) => tally.failed += 1,
    }
    tally.declared.insert(case.object.wire_name().to_owned());
}

/// What a pass found or did, besides what keeps the object from being ready.
pub(super) struct After<S> {
    /// `None` keeps what the status has.
    pub(super) groups: Option<Vec<GroupReport<S>>>,
    pub(super) adopted: Option<bool>,
    pub(super) set_back: Vec<&'static str>,
}

pub(super) fn status<D: Wire>(
    pass: &Pass<'_>,
    case: &Case<'_, D>,
    obstacle: Option<&Obstacle>,
    after: After<D::Settings>,
) -> D::Status {
    let (object, history) = (case.object, case.object.history());
    let now = pass.writer.context.clock.now();
    let After { groups, adopted, set_back } = after;
    let generation = object.meta().generation;
    let drift = plan::drifted(history.drift.as_ref(), &set_back, Time(now));
    let mut status = object.reported(&Report { generation, groups, adopted, drift });
    let extra = object.sampled(&mut status, pass.samples, now);
    let conditions = report::conditions(&history.conditions, generation, now, obstacle, &extra);
    D::set_conditions(&mut status, conditions);
    status
}
