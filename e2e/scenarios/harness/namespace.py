"""One namespace of the cluster: what a scenario has for itself."""

import json

from .cluster import kubectl
from .shell import Failure, until

# So that the pods of a namespace prove that they need no exception.
STRICT = {"pod-security.kubernetes.io/enforce": "restricted"}
KINDS = {
    "BrokerSet": "brokersets.mq.rocketkube.dev",
    "Topic": "topics.mq.rocketkube.dev",
    "ConsumerGroup": "consumergroups.mq.rocketkube.dev",
}


def api_object(kind, name, spec=None, **metadata):
    """An object of our kinds, or of core Kubernetes."""
    ours = kind in KINDS
    return {
        "apiVersion": "mq.rocketkube.dev/v1alpha1" if ours else "v1",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        **({"spec": spec or {}} if ours else {}),
    }


def broker_set(name="orders", **spec):
    return api_object("BrokerSet", name, spec)


def topic(name, broker_set="orders", **spec):
    return api_object("Topic", name, {"brokerSetRef": {"name": broker_set}, **spec})


def consumer_group(name, broker_set="orders", **spec):
    return api_object("ConsumerGroup", name, {"brokerSetRef": {"name": broker_set}, **spec})


class Namespace:
    """Talks to the API server about one namespace."""

    def __init__(self, name):
        self.name = name
        # Of pods that are gone too: files with what clients said, by pod.
        self.said = {}

    def create(self):
        labels = {**STRICT, "rocketkube.dev/e2e": "true"}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": labels}})

    def kubectl(self, *words, **options):
        return kubectl("--namespace", self.name, *words, **options)

    def apply(self, *objects):
        # As people do it: the operator is another manager of fields.
        text = "\n---\n".join(json.dumps(one) for one in objects)
        return self.kubectl("apply", "-f", "-", stdin=text)

    def refused(self, *objects):
        """What the API server says against these objects, which it must not take."""
        text = "\n---\n".join(json.dumps(one) for one in objects)
        try:
            self.kubectl("apply", "--dry-run=server", "-f", "-", stdin=text)
        except Failure as failure:
            return str(failure)
        raise Failure(f"the API server takes {text}")

    def get(self, kind, name):
        return json.loads(self.kubectl("get", KINDS.get(kind, kind), name, "-o", "json"))

    def list(self, kind, selector=""):
        kind = KINDS.get(kind, kind)
        found = self.kubectl("get", kind, "-l", selector, "-o", "json")
        return json.loads(found)["items"]

    def exists(self, kind, name):
        found = self.kubectl("get", KINDS.get(kind, kind), name, "--ignore-not-found", "-o", "name")
        return bool(found.strip())

    def patch(self, kind, name, change):
        words = ["patch", KINDS.get(kind, kind), name, "--type=merge", "-p", json.dumps(change)]
        self.kubectl(*words)

    def delete(self, kind, name, timeout=120):
        self.kubectl("delete", KINDS.get(kind, kind), name, f"--timeout={timeout}s", timeout=timeout + 10)

    def condition(self, kind, name, of_type="Ready"):
        """A condition of the object as it is now, or an empty one: `status`, `reason`, `message`.

        One that speaks of an earlier generation says nothing.
        """
        found = self.get(kind, name)
        generation = found["metadata"]["generation"]
        for condition in found.get("status", {}).get("conditions", []):
            if condition["type"] == of_type and condition.get("observedGeneration", generation) == generation:
                return condition
        return {}

    def until_condition(self, kind, name, status="True", seconds=60, of_type="Ready", reason=None):
        """Waits for a condition, and returns the seconds that took."""

        def is_so():
            seen = self.condition(kind, name, of_type)
            if seen.get("status") == status and reason in (None, seen.get("reason")):
                return seen
            raise Failure(json.dumps(seen))

        wanted = status if reason is None else f"{status} because of {reason}"
        return until(seconds, f"{kind} {name}: {of_type} is {wanted}", is_so)[1]

    def pods(self, **labels):
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return self.list("pods", selector)

    def broker_pods(self, broker_set="orders"):
        """Broker pods by name."""
        selector = f"mq.rocketkube.dev/brokerset={broker_set},app.kubernetes.io/component=broker"
        return {pod["metadata"]["name"]: pod for pod in self.list("pods", selector)}

    def restarts(self, broker_set="orders"):
        """Names, identities and restarts of broker pods: equal twice means that nothing was restarted."""
        return {
            (name, pod["metadata"]["uid"], sum(one["restartCount"] for one in pod["status"].get("containerStatuses", [])))
            for name, pod in self.broker_pods(broker_set).items()
        }

    def until_pod_ready(self, name, seconds=60):
        return until(seconds, f"pod {name} is ready", lambda: pod_is_ready(self.get("pod", name)))[1]


def pod_is_ready(pod):
    conditions = pod["status"].get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
