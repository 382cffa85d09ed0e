//! Names of the labels and annotations by which the operator knows its own.

use kube::ResourceExt as _;
use rocketkube_crds::BrokerSet;

/// What all of ours begin with that are not common to Kubernetes.
pub(crate) const PREFIX: &str = "mq.rocketkube.dev/";

/// What a program is called. All operators have [`OPERATOR`], whatever their release is called.
pub(crate) const NAME: &str = "app.kubernetes.io/name";
/// What the chart calls the pods of operators.
pub(crate) const OPERATOR: &str = "rocketkube-operator";
/// Who made an object. Watches ask for nothing else.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Which `BrokerSet` it belongs to.
pub(crate) const BROKER_SET: &str = "mq.rocketkube.dev/brokerset";
/// Which group of it, by index.
pub(crate) const GROUP: &str = "mq.rocketkube.dev/group";
/// `broker` or `namesrv`.
pub(crate) const COMPONENT: &str = "app.kubernetes.io/component";
/// What a broker is in its group. On pods only, and for people: nothing selects by it.
pub(crate) const ROLE: &str = "mq.rocketkube.dev/role";

/// On every child: hash of what was applied. If it is right, no field was dropped since.
pub(crate) const RENDERED: &str = "mq.rocketkube.dev/rendered";
/// On broker pods: hash of all that a pod has to be replaced for.
pub(crate) const ROLL: &str = "mq.rocketkube.dev/roll";
/// On broker pods: hash of the settings they were started with.
pub(crate) const SETTINGS: &str = "mq.rocketkube.dev/settings";
/// On broker pods: the state of the group that the pod should know. A change of it makes the kubelet
/// refresh mounted files at once instead of within a minute or two.
pub(crate) const STATE: &str = "mq.rocketkube.dev/state";

/// On broker pods: names of the labels that the spec asked for, separated by commas. What is in here and
/// is asked for no longer is taken off.
pub(crate) const POD_LABELS: &str = "mq.rocketkube.dev/pod-labels";
/// The same of annotations.
pub(crate) const POD_ANNOTATIONS: &str = "mq.rocketkube.dev/pod-annotations";

/// On a `BrokerSet`: `true` while it must be left as it is.
pub(crate) const PAUSED: &str = "mq.rocketkube.dev/paused";
/// On a `BrokerSet`: a time, at which its brokers are restarted. On broker pods: the last that was.
pub(crate) const RESTART_AT: &str = "mq.rocketkube.dev/restart-at";
/// On a `BrokerSet`: uids, separated by commas, of deleted claims that may go with their messages.
pub(crate) const DISCARD_DATA: &str = "mq.rocketkube.dev/discard-data";

/// Whether a `BrokerSet` is to be left as it is, with all that is in it.
pub(crate) fn is_paused(set: &BrokerSet) -> bool {
    set.annotations().get(PAUSED).is_some_and(|value| value == "true")
}
