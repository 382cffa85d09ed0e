//! `spec.offsetReset` of consumer groups: done once in every broker group.
//!
//! That a reset is begun is in the status before the first broker hears of it, and each request names
//! it, so that a broker which has done it already leaves it at that: whenever the operator dies, the
//! next one goes on, and nothing is done twice. Brokers remember names while they run; a reset is
//! repeated only if both die between its being done and the next writing of the status.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use rocketkube_client::ResetTo;
use rocketkube_client::protocol::ResponseCode;
use rocketkube_crds::{
    ConsumerGroup, ConsumerGroupStatus, LastReset, OffsetReset, ResetState, ResetTarget,
};
use rocketkube_service::logs::chain;
use tokio::time::Instant;

use super::changes::{ChangeError, Changes};
use super::declared::Declared as _;
use super::masters::{Masters, refusal};
use super::pass::{Memory, Pass};
use super::report::Reason;
use super::stores::Guard;
use crate::context::News;
use crate::text::shortened;

/// Names of resets that a status remembers. The schema has the same bound.
const REMEMBERED: usize = 32;
/// When what could not be done is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// What to do about the reset that a group asks for.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Nothing,
    Begin,
    /// Tell the brokers that have not done it.
    Go(LastReset),
    /// It is no longer asked for, and not done everywhere.
    Withdrawn(LastReset),
}

/// Does what groups ask for, and says when to look again.
pub(crate) async fn run(
    pass: &Pass<'_>,
    masters: &mut Masters,
    memory: &mut Memory<ConsumerGroup>,
    guards: &[Arc<Guard<ConsumerGroup>>],
) -> Option<Instant> {
    let mut due = None;
    for group in guards.iter().filter_map(|guard| guard.0.as_ref().ok()) {
        let newest = memory.written.newer(group);
        let group = newest.as_ref().unwrap_or(group);
        if !one(pass, masters, memory, group).await {
            due = Some(Instant::now() + AGAIN);
        }
    }
    due
}

/// False: there is something left to do, later.
async fn one(
    pass: &Pass<'_>,
    masters: &mut Masters,
    memory: &mut Memory<ConsumerGroup>,
    group: &ConsumerGroup,
) -> bool {
    let mut work = Work { pass, masters, memory, group };
    let reset = match step(group) {
        Step::Nothing => return true,
        Step::Withdrawn(last) => {
            let message = "it was taken back before every broker group had done it";
            return work.finish(last, ResetState::Failed, Some(message.to_owned())).await;
        }
        Step::Begin => match work.begin().await {
            Ok(reset) => reset,
            Err(is_settled) => return is_settled,
        },
        Step::Go(last) => last,
    };
    work.tell(reset).await
}

fn step(group: &ConsumerGroup) -> Step {
    let history = group.history();
    // Until everything is as the spec says, a broker may not have the group.
    let is_in = |reasons: &[Reason]| {
        let reason = history.ready_reason();
        history.generation == group.metadata.generation
            && reasons.iter().any(|it| reason == Some(it.name()))
    };
    if group.is_being_deleted() || !is_in(&[Reason::Synced, Reason::PartiallySynced]) {
        return Step::Nothing;
    }
    let Some(status) = &group.status else { return Step::Nothing };
    let asked = group.spec.offset_reset.as_ref();
    if let Some(last) = status.last_reset.as_ref().filter(|it| it.state == ResetState::Executing) {
        return match asked {
            Some(asked) if asked.request_id == last.request_id => Step::Go(last.clone()),
            _ => Step::Withdrawn(last.clone()),
        };
    }
    match asked {
        Some(asked) if !is_finished(status, asked) && is_in(&[Reason::Synced]) => Step::Begin,
        _ => Step::Nothing,
    }
}

fn is_finished(status: &ConsumerGroupStatus, asked: &OffsetReset) -> bool {
    let last = status.last_reset.as_ref();
    last.is_some_and(|last| last.request_id == asked.request_id)
        || status.finished_resets.contains(&asked.request_id)
}

/// One group's reset.
struct Work<'a, 'p> {
    pass: &'a Pass<'p>,
    masters: &'a mut Masters,
    memory: &'a mut Memory<ConsumerGroup>,
    group: &'a ConsumerGroup,
}

impl Work<'_, '_> {
    /// Writes down that it begins. Otherwise says whether nothing is left to do.
    async fn begin(&mut self) -> Result<LastReset, bool> {
        let Some(asked) = &self.group.spec.offset_reset else { return Err(true) };
        let reset = LastReset {
            request_id: asked.request_id.clone(),
            state: ResetState::Executing,
            groups_done: Vec::new(),
            message: None,
            time: Some(Time(self.pass.writer.context.clock.now())),
        };
        if !self.masters.all_reached() {
            return Err(false);
        }
        let holders = self.holders(&asked.topic);
        if holders.is_empty() {
            let message = format!("no broker group has a topic {}", asked.topic);
            return Err(self.finish(reset, ResetState::Failed, Some(message)).await);
        }
        if !asked.allow_online {
            let members = self.members(&holders).await.ok_or(false)?;
            if members > 0 {
                let message = format!(
                    "GroupOnline: consumers are connected ({members}); stop them, or write \
                     allowOnline: true, and another requestID"
                );
                return Err(self.finish(reset, ResetState::Failed, Some(message)).await);
            }
        }
        if self.write(reset.clone()).await { Ok(reset) } else { Err(false) }
    }

    /// Broker groups that have the topic, of those that answer.
    fn holders(&self, topic: &str) -> BTreeSet<i32> {
        let has = |tables: &super::masters::Tables| tables.topics.contains_key(topic);
        let masters = self.masters.iter();
        let holders = masters.filter(|(_, master)| master.tables().is_ok_and(has));
        holders.map(|(index, _)| index).collect()
    }

    /// How many consumers are connected; `None` if a broker does not say.
    async fn members(&mut self, holders: &BTreeSet<i32>) -> Option<usize> {
        let mut members = BTreeSet::new();
        for index in holders {
            let addr = self.masters.addr(*index)?.to_owned();
            match self.masters.admin().members(&addr, self.group.wire_name()).await {
                Ok(connected) => {
                    members.extend(connected.connection_set.into_iter().map(|it| it.client_id));
                }
                Err(error) if error.code() == Some(ResponseCode::CONSUMER_NOT_ONLINE) => {}
                Err(error) => {
                    if refusal(&error).is_none() {
                        self.masters.failed(*index, &error);
                    }
                    return None;
                }
            }
        }
        Some(members.len())
    }

    /// Has every broker group do it that has not done it yet.
    async fn tell(&mut self, mut reset: LastReset) -> bool {
        let Some(asked) = &self.group.spec.offset_reset else { return true };
        let before = reset.clone();
        let (mut waits, mut refused) = (Vec::new(), Vec::new());
        let known: Vec<(i32, Result<bool, String>)> = self
            .masters
            .iter()
            .map(|(index, master)| {
                let has = master.tables().map(|it| it.topics.contains_key(&asked.topic));
                (index, has.map_err(str::to_owned))
            })
            .collect();
        for (index, has) in known {
            if reset.groups_done.contains(&index) {
                continue;
            }
            match has {
                Ok(true) => match self.tell_one(index, asked).await {
                    Ok(()) => reset.groups_done.push(index),
                    Err(Failure::ForNow(words)) => waits.push(format!("b{index}: {words}")),
                    Err(Failure::ForGood(words)) => refused.push(format!("b{index}: {words}")),
                },
                Ok(false) => {}
                Err(why) => waits.push(format!("b{index}: {why}")),
            }
        }
        if !refused.is_empty() {
            return self.finish(reset, ResetState::Failed, Some(refused.join("; "))).await;
        }
        if waits.is_empty() && reset.groups_done.is_empty() {
            let message = format!("no broker group has a topic {} any more", asked.topic);
            return self.finish(reset, ResetState::Failed, Some(message)).await;
        }
        if waits.is_empty() {
            return self.finish(reset, ResetState::Succeeded, None).await;
        }
        reset.message = Some(shortened(waits.join("; ")));
        if reset != before {
            self.write(reset).await;
        }
        false
    }

    async fn tell_one(&mut self, index: i32, asked: &OffsetReset) -> Result<(), Failure> {
        let Some(addr) = self.masters.addr(index).map(str::to_owned) else {
            return Err(Failure::ForNow("it does not answer".to_owned()));
        };
        // Another object of that name asks for something of its own.
        let id = format!("{}/{}", self.group.uid().unwrap_or_default(), asked.request_id);
        let told = reset(self.masters.changes(), &addr, self.group.wire_name(), asked, &id).await;
        let Err(error) = told else { return Ok(()) };
        match error.refusal() {
            Some(words) if error.is_about_everything() => Err(Failure::ForNow(words)),
            Some(words) => Err(Failure::ForGood(words)),
            None => {
                self.masters.not_told(index, &error);
                Err(Failure::ForNow(chain(&error)))
            }
        }
    }

    /// Writes down how it ended. False: the API server did not take it.
    async fn finish(
        &mut self,
        reset: LastReset,
        state: ResetState,
        message: Option<String>,
    ) -> bool {
        let time = Some(Time(self.pass.writer.context.clock.now()));
        let message = message.map(shortened);
        let id = reset.request_id.clone();
        if !self.write(LastReset { state, message: message.clone(), time, ..reset }).await {
            return false;
        }
        let news = match message {
            Some(why) => News::warning("OffsetResetFailed", format!("{id}: {why}")),
            None => News::normal("OffsetReset", format!("{id}: every broker group has done it")),
        };
        self.pass.writer.event(self.group, news).await;
        true
    }

    /// Writes the status with this reset in it. False: the API server did not take it.
    async fn write(&mut self, reset: LastReset) -> bool {
        let (writer, group) = (&self.pass.writer, self.group);
        let status = with(group.status.clone().unwrap_or_default(), reset);
        let Some(version) = writer.status(group, &status).await else { return false };
        self.memory.written.note(group, version, status);
        true
    }
}

/// A status with this reset as the last one.
fn with(mut status: ConsumerGroupStatus, reset: LastReset) -> ConsumerGroupStatus {
    if reset.state != ResetState::Executing {
        status.finished_resets.retain(|id| *id != reset.request_id);
        status.finished_resets.push(reset.request_id.clone());
        let many = status.finished_resets.len().saturating_sub(REMEMBERED);
        status.finished_resets.drain(..many);
    }
    status.last_reset = Some(reset);
    status
}

/// Why a broker has not done it.
enum Failure {
    ForNow(String),
    ForGood(String),
}

async fn reset(
    changes: &Changes,
    addr: &str,
    group: &str,
    asked: &OffsetReset,
    id: &str,
) -> Result<(), ChangeError> {
    let to = target(asked);
    let told =
        changes.make(|admin| admin.reset_offsets(addr, group, &asked.topic, to, Some(id))).await;
    told.map(|_| ())
}

fn target(asked: &OffsetReset) -> ResetTo {
    // The schema has the field that belongs to each of them.
    let at = asked.timestamp.as_ref().map_or(0, |at| at.0.as_millisecond());
    match asked.to {
        ResetTarget::Earliest => ResetTo::Earliest,
        ResetTarget::Latest => ResetTo::Latest,
        // Nothing was stored before 1970, and brokers take -1 for something else.
        ResetTarget::Timestamp => ResetTo::Time(at.max(0)),
        ResetTarget::Offset => ResetTo::Offset(asked.offset.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn group(asked: &Value, status: &Value) -> ConsumerGroup {
        let mut group = json!({
            "apiVersion": "mq.rocketkube.dev/v1alpha1", "kind": "ConsumerGroup",
            "metadata": {"name": "billing", "namespace": "shop", "generation": 2},
            "spec": {"brokerSetRef": {"name": "orders"}},
            "status": {"observedGeneration": 2, "conditions": [{
                "type": "Ready", "status": "True", "reason": "Synced", "message": "",
                "lastTransitionTime": "2030-01-31T06:00:00Z",
            }]},
        });
        if !asked.is_null() {
            group["spec"]["offsetReset"] =
                json!({"topic": "t", "to": "Latest", "requestID": asked});
        }
        let fields = group["status"].as_object_mut().unwrap();
        fields.extend(status.as_object().unwrap().clone());
        serde_json::from_value(group).unwrap()
    }

    fn last(id: &str, state: &str) -> Value {
        json!({"lastReset": {"requestID": id, "state": state}})
    }

    fn told(asked: &Value, status: &Value) -> String {
        match step(&group(asked, status)) {
            Step::Nothing => "nothing".to_owned(),
            Step::Begin => "begin".to_owned(),
            Step::Go(last) => format!("go {}", last.request_id),
            Step::Withdrawn(last) => format!("withdrawn {}", last.request_id),
        }
    }

    #[test]
    fn a_reset_is_begun_once_and_gone_on_with_until_it_is_through() {
        let (a, b, none) = (json!("a"), json!("b"), Value::Null);
        for (asked, status, expected) in [
            (&none, json!({}), "nothing"),
            (&a, json!({}), "begin"),
            (&a, last("a", "Executing"), "go a"),
            (&a, last("a", "Succeeded"), "nothing"),
            (&a, last("a", "Failed"), "nothing"),
            (&b, last("a", "Succeeded"), "begin"),
            (&b, last("a", "Executing"), "withdrawn a"),
            (&none, last("a", "Executing"), "withdrawn a"),
            (&none, last("a", "Succeeded"), "nothing"),
        ] {
            assert_eq!(told(asked, &status), expected, "{asked} {status}");
        }
        let mut status = last("b", "Succeeded");
        status["finishedResets"] = json!(["a", "b"]);
        assert_eq!(told(&a, &status), "nothing", "a was done before b");
    }

    #[test]
    fn nothing_is_begun_before_brokers_have_what_the_spec_says() {
        let ready = |reason: &str| {
            json!([{"type": "Ready", "status": "False", "reason": reason, "message": "",
                    "lastTransitionTime": "2030-01-31T06:00:00Z"}])
        };
        let a = json!("a");
        for reason in ["Paused", "BrokerSetNotReady", "NameConflict", "PartiallySynced"] {
            assert_eq!(told(&a, &json!({"conditions": ready(reason)})), "nothing", "{reason}");
        }
        assert_eq!(told(&a, &json!({"observedGeneration": 1})), "nothing");
        // What was begun does not wait for brokers that are down.
        let mut status = last("a", "Executing");
        status["conditions"] = ready("PartiallySynced");
        assert_eq!(told(&a, &status), "go a");
        status["conditions"] = ready("Paused");
        assert_eq!(told(&a, &status), "nothing");
    }

    #[test]
    fn the_last_names_are_remembered() {
        let mut status = ConsumerGroupStatus::default();
        for n in 0..40 {
            let reset = |state| LastReset {
                request_id: n.to_string(),
                state,
                groups_done: Vec::new(),
                message: None,
                time: None,
            };
            status = with(status, reset(ResetState::Executing));
            status = with(status, reset(ResetState::Succeeded));
        }
        assert_eq!(status.finished_resets.len(), REMEMBERED);
        assert_eq!(status.finished_resets.first().unwrap(), "8");
        assert_eq!(status.finished_resets.last().unwrap(), "39");
    }

    #[test]
    fn times_before_1970_do_not_mean_the_end() {
        let asked = |to: &str, key: &str, value: Value| {
            let mut asked = json!({"requestID": "a", "topic": "t", "to": to});
            asked[key] = value;
            target(&serde_json::from_value(asked).unwrap())
        };
        let time = |text: &str| asked("Timestamp", "timestamp", json!(text));
        assert_eq!(time("1969-12-31T23:59:59.999Z"), ResetTo::Time(0));
        assert_eq!(time("1970-01-01T00:00:01Z"), ResetTo::Time(1_000));
        assert_eq!(asked("Offset", "offset", json!(7)), ResetTo::Offset(7));
    }
}
