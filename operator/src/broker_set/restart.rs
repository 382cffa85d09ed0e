//! Replaces broker pods that do not run what the spec says: one group at a time, and announced,
//! because a group of one member does not answer meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolumeClaim, Pod, PodSpec};
use kube::api::{DeleteParams, Preconditions};
use kube::{Error, ResourceExt as _};
use tracing::info;

use super::apply;
use super::build::names;
use super::claims;
use super::name_servers::NameServerView;
use super::observe::{Observed, is_ready, live_of};
use super::validate::Problem;
use crate::context::{Hindrance, News};
use crate::{Context, labels};

/// How long a group has been back before the next is restarted. Clients refresh their routes every 30 s,
/// and one that did so while a group was away does not know it: if the next went before the client asks
/// again, it would have no group to send to. And a margin.
const ROUTE_GRACE: SignedDuration = SignedDuration::from_secs(35);

/// A group: what its pod should be, and its pod.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) wanted: StatefulSet,
    pub(crate) pod: Option<Pod>,
    /// Whether messages would go with the pod.
    pub(crate) keeps_pod: bool,
    /// Whether clients send to the group once its pod is ready.
    pub(crate) takes_messages: bool,
}

/// The pods that have to go now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) restarts: Vec<Restart>,
    /// After which time there may be more, if there is nothing else to wait for.
    pub(crate) wait: Option<Duration>,
}

/// What came of the restarts that were due.
#[derive(Debug, Default)]
pub(crate) struct Restarted {
    /// What the API server does not allow.
    pub(crate) problems: Vec<Problem>,
    /// See [`Due::wait`]. Nobody tells when that has passed.
    pub(crate) wait: Option<Duration>,
}

/// A pod that has to go, so that one with the right template comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Restart {
    pub(crate) pod: String,
    pub(crate) uid: Option<String>,
    pub(crate) reason: &'static str,
    pub(crate) serves: bool,
}

/// Deletes the pods that are due now. Decided on what the API server says at this moment: what a cache
/// says may be older than the last restart.
pub(crate) async fn restart(observed: &Observed, context: &Context) -> Result<Restarted, Error> {
    let hindered = context.sync.report_on(&observed.set).unwrap_or_default().hindered;
    let cached = |index| {
        let takes_messages = takes_messages(observed, &hindered, index);
        Some(Member { takes_messages, ..Member::of(observed, index)? })
    };
    let cached: Vec<_> = (0..observed.set.spec.groups).filter_map(cached).collect();
    // Name servers go first: with an image that does not work, brokers are left as they are.
    let may_serve = NameServerView::of(observed).complete;
    let allowed = |restart: &Restart| may_serve || !restart.serves;
    let mut now = due(&cached, context.clock.now());
    if now.restarts.iter().any(allowed) {
        let members = members(observed, &hindered, context).await?;
        now = due(&members, context.clock.now());
    }
    let mut problems = Vec::new();
    for restart in now.restarts.into_iter().filter(allowed) {
        let Restart { pod, uid, reason, .. } = restart.clone();
        let preconditions = Some(Preconditions { uid, resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        match context.api::<Pod>(&observed.key.namespace).delete(&pod, &params).await {
            // Somebody else was faster.
            Err(Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => {
                let what = format!("Pod {pod}");
                problems.extend(apply::problem::<()>(Err(error), "spec.pod", what)?);
            }
            Ok(_) => {
                context.metrics.restarted();
                // What is refused is tried again and again: only what happens is announced. The broker
                // still answers what waits for it when people read this.
                announce(&restart, observed, context).await;
                info!(broker_set = %observed.key, pod, reason, "deleted, to come back as it should be");
            }
        }
    }
    Ok(Restarted { problems, wait: now.wait })
}

fn takes_messages(observed: &Observed, hindered: &BTreeMap<i32, Hindrance>, index: i32) -> bool {
    observed.was_active(index) && !hindered.contains_key(&index)
}

async fn members(
    observed: &Observed,
    hindered: &BTreeMap<i32, Hindrance>,
    context: &Context,
) -> Result<Vec<Member>, Error> {
    let key = &observed.key;
    let sets: Vec<StatefulSet> = live_of(context, key).await?;
    let pods: Vec<Pod> = live_of(context, key).await?;
    let claims: Vec<PersistentVolumeClaim> = live_of(context, key).await?;
    let named = |index| {
        let wanted = sets.iter().find(|set| set.name_any() == names::group(&key.name, index))?;
        let pod = pods.iter().find(|pod| pod.name_any() == names::pod(&key.name, index));
        let keeps_pod = claims::protected(&claims, &observed.set, index).is_some();
        let takes_messages = takes_messages(observed, hindered, index);
        Some(Member { wanted: wanted.clone(), pod: pod.cloned(), keeps_pod, takes_messages })
    };
    Ok((0..observed.set.spec.groups).filter_map(named).collect())
}

async fn announce(restart: &Restart, observed: &Observed, context: &Context) {
    let note = if restart.serves {
        format!("pod {} is replaced; its group does not answer until it is back", restart.pod)
    } else {
        format!("pod {} does not serve and is replaced by one of the new template", restart.pod)
    };
    let pod = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(restart.pod.clone()),
        namespace: Some(observed.key.namespace.clone()),
        uid: restart.uid.clone(),
        ..ObjectReference::default()
    };
    let news = News { related: Some(pod), ..News::warning(restart.reason, note) };
    context.event(&*observed.set, news).await;
}

/// The pods that have to go now: all that serve nothing anyway, so that broken groups do not wait for
/// each other; and else one that serves, if clients know all other groups.
pub(crate) fn due(members: &[Member], now: Timestamp) -> Due {
    let outdated = |member: &&Member| member.is_outdated() && !member.keeps_pod;
    let broken: Vec<_> =
        members.iter().filter(outdated).filter(|member| !member.serves()).collect();
    if !broken.is_empty() {
        let restarts = broken.into_iter().filter_map(Member::restart).collect();
        return Due { restarts, wait: None };
    }
    let mut wait = None;
    for member in members.iter().filter(outdated) {
        let others = members.iter().filter(|it| !std::ptr::eq(*it, member) && !it.is_stopped());
        // A group that takes no messages does not wait for others of the kind: a restart may mend it.
        let is_there = |it: &Member| it.serves() && (it.takes_messages || !member.takes_messages);
        let known_in = |it: &Member| is_there(it).then(|| it.known_in(now));
        let Some(waits) = others.map(known_in).collect::<Option<Vec<_>>>() else { continue };
        let longest = waits.into_iter().max().unwrap_or_default();
        if longest.is_zero() {
            return Due { restarts: member.restart().into_iter().collect(), wait: None };
        }
        wait = Some(wait.map_or(longest, |wait: Duration| wait.min(longest)));
    }
    Due { restarts: Vec::new(), wait }
}

impl Member {
    /// What caches have of a group.
    pub(crate) fn of(observed: &Observed, index: i32) -> Option<Self> {
        Some(Self {
            wanted: observed.stateful_set(index)?,
            pod: observed.pod(index).cloned(),
            keeps_pod: observed.keeps_pod(index),
            takes_messages: observed.was_active(index),
        })
    }

    /// In what time clients that were connected have heard that its pod is there; none if they have.
    fn known_in(&self, now: Timestamp) -> Duration {
        let since = self.pod.as_ref().and_then(ready_since);
        let left = since.map(|since| ROUTE_GRACE - now.duration_since(since));
        left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default()
    }

    /// Whether it should have no pod.
    fn is_stopped(&self) -> bool {
        self.wanted.spec.as_ref().and_then(|spec| spec.replicas) == Some(0)
    }

    fn serves(&self) -> bool {
        self.pod.as_ref().is_some_and(is_ready)
    }

    /// Whether its pod was made from another template, and is not on its way out already. A pod that is
    /// to be stopped is left to that.
    pub(crate) fn is_outdated(&self) -> bool {
        let Some(pod) = &self.pod else { return false };
        !self.is_stopped()
            && pod.metadata.deletion_timestamp.is_none()
            && self.differs(pod)
            // The StatefulSet would make the same pod again before it has seen its new template.
            && self.is_observed()
    }

    /// Whether its pod was made from the template there is now.
    pub(crate) fn is_current(&self) -> bool {
        self.is_observed() && self.pod.as_ref().is_some_and(|pod| !self.differs(pod))
    }

    /// Whether a pod is not what would be made now. A restart that nobody asks for any more makes no
    /// difference.
    fn differs(&self, pod: &Pod) -> bool {
        let asked = self.template(labels::RESTART_AT);
        self.template(labels::ROLL) != annotation(pod, labels::ROLL)
            || asked.is_some() && asked != annotation(pod, labels::RESTART_AT)
    }

    /// Whether the `StatefulSet`'s controller knows the template.
    fn is_observed(&self) -> bool {
        let observed = self.wanted.status.as_ref().and_then(|status| status.observed_generation);
        observed == self.wanted.metadata.generation
    }

    fn template(&self, key: &str) -> Option<&String> {
        self.wanted.spec.as_ref()?.template.metadata.as_ref()?.annotations.as_ref()?.get(key)
    }

    fn restart(&self) -> Option<Restart> {
        let pod = self.pod.as_ref()?;
        let serves = self.serves();
        let reason = if serves { self.change(pod) } else { "RevisionRepair" };
        Some(Restart { pod: pod.name_any(), uid: pod.uid(), reason, serves })
    }

    /// What changed, the most telling first.
    fn change(&self, pod: &Pod) -> &'static str {
        let wanted = self.wanted.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let differs =
            |what: fn(&PodSpec) -> String| wanted.map(what) != pod.spec.as_ref().map(what);
        let noted = |key| self.template(key) != annotation(pod, key);
        if differs(|spec| format!("{:?}", broker(spec).map(|container| &container.image))) {
            "ImageChanged"
        } else if noted(labels::SETTINGS) {
            "ConfigChanged"
        } else if noted(labels::RESTART_AT) {
            "ManualRestart"
        } else if differs(|spec| {
            format!("{:?}", broker(spec).map(|container| &container.resources))
        }) {
            "ResourcesChanged"
        } else {
            "PodChanged"
        }
    }
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let ready = conditions.find(|condition| condition.type_ == "Ready")?;
    Some(ready.last_transition_time.as_ref()?.0)
}

/// Ours: somebody else may have added others.
fn broker(spec: &PodSpec) -> Option<&k8s_openapi::api::core::v1::Container> {
    spec.containers.iter().find(|container| container.name == "broker")
}

fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a String> {
    pod.metadata.annotations.as_ref()?.get(key)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A group whose pod was made from template `has` and should be of `wants`.
    fn member(index: i32, wants: &str, has: &str, ready: bool) -> Member {
        let template = |roll: &str, image: &str| {
            json!({
                "metadata": { "annotations": { labels::ROLL: roll } },
                "spec": { "containers": [{ "name": "broker", "image": image }] },
            })
        };
        let wanted = json!({
            "metadata": { "generation": 2 },
            "spec": {
                "replicas": 1,
                "selector": {},
                "serviceName": "x",
                "template": template(wants, wants),
            },
            "status": { "observedGeneration": 2, "replicas": 1 },
        });
        let mut pod: Value = template(has, has);
        pod["metadata"]["name"] = format!("set-b{index}-0").into();
        pod["metadata"]["uid"] = format!("uid-{index}").into();
        let status = if ready { "True" } else { "False" };
        let ready =
            json!({ "type": "Ready", "status": status, "lastTransitionTime": at(0).to_string() });
        pod["status"] = json!({ "conditions": [ready] });
        Member {
            wanted: serde_json::from_value(wanted).unwrap(),
            pod: Some(serde_json::from_value(pod).unwrap()),
            keeps_pod: false,
            takes_messages: true,
        }
    }

    fn names(members: &[Member]) -> Vec<String> {
        names_at(members, 1_000)
    }

    fn names_at(members: &[Member], second: i64) -> Vec<String> {
        due(members, at(second)).restarts.into_iter().map(|restart| restart.pod).collect()
    }

    #[test]
    fn one_group_is_restarted_at_a_time() {
        let members =
            [member(0, "b", "b", true), member(1, "b", "a", true), member(2, "b", "a", true)];
        assert_eq!(names(&members), ["set-b1-0"]);
        assert_eq!(due(&members, at(1_000)).restarts[0].reason, "ImageChanged");
    }

    #[test]
    fn nobody_is_restarted_while_another_group_does_not_serve() {
        let mut members = [member(0, "b", "b", false), member(1, "b", "a", true)];
        assert_eq!(names(&members), Vec::<String>::new());
        members[0].pod = None;
        assert_eq!(names(&members), Vec::<String>::new());
    }

    #[test]
    fn the_next_group_waits_until_clients_know_the_one_that_came_back() {
        let members = [member(0, "b", "b", true), member(1, "b", "a", true)];
        assert_eq!(
            due(&members, at(34)),
            Due { restarts: vec![], wait: Some(Duration::from_secs(1)) }
        );
        assert_eq!(names_at(&members, 35), ["set-b1-0"]);
        assert_eq!(names_at(&members[1..], 0), ["set-b1-0"], "the only one waits for nobody");
        let mut broken = [member(0, "b", "b", true), member(1, "b", "a", false)];
        assert_eq!(names_at(&broken, 0), ["set-b1-0"], "nobody sends to that");
        broken[0].wanted.spec.as_mut().unwrap().replicas = Some(0);
        broken[1] = member(1, "b", "a", true);
        assert_eq!(names_at(&broken, 0), ["set-b1-0"], "the other is to be stopped");
    }

    #[test]
    fn a_group_that_takes_no_messages_keeps_those_that_do_and_not_its_like() {
        let mut members = [member(0, "b", "a", true), member(1, "b", "b", true)];
        members[1].takes_messages = false;
        assert_eq!(due(&members, at(1_000)), Due::default());
        members[0].takes_messages = false;
        assert_eq!(names(&members), ["set-b0-0"]);
        let mut members = [member(0, "b", "a", true), member(1, "b", "a", true)];
        members[1].takes_messages = false;
        assert_eq!(names(&members), ["set-b1-0"], "it goes first, and may be mended by that");
    }

    #[test]
    fn pods_that_serve_nothing_are_all_replaced_at_once() {
        let members =
            [member(0, "b", "a", true), member(1, "b", "a", false), member(2, "b", "a", false)];
        assert_eq!(names(&members), ["set-b1-0", "set-b2-0"]);
        assert_eq!(due(&members, at(1_000)).restarts[0].reason, "RevisionRepair");
    }

    #[test]
    fn a_pod_that_messages_would_go_with_is_left_and_the_others_go_on() {
        let mut members = [member(0, "b", "a", true), member(1, "b", "a", true)];
        members[0].keeps_pod = true;
        assert_eq!(names(&members), ["set-b1-0"]);
        let mut broken = [member(0, "b", "a", false), member(1, "b", "a", false)];
        broken[0].keeps_pod = true;
        assert_eq!(names(&broken), ["set-b1-0"]);
    }

    #[test]
    fn a_template_that_its_controller_has_not_seen_waits() {
        let mut members = [member(0, "b", "a", true)];
        members[0].wanted.metadata.generation = Some(3);
        assert_eq!(names(&members), Vec::<String>::new());
        assert!(!members[0].is_current());
    }

    #[test]
    fn a_pod_that_goes_anyway_is_left_to_go() {
        let mut stopped = [member(0, "b", "a", true)];
        stopped[0].wanted.spec.as_mut().unwrap().replicas = Some(0);
        assert_eq!(names(&stopped), Vec::<String>::new());
        let mut leaving = [member(0, "b", "a", true)];
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
        leaving[0].pod.as_mut().unwrap().metadata.deletion_timestamp = Some(now);
        assert_eq!(names(&leaving), Vec::<String>::new());
    }
}
