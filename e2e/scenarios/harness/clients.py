"""Official clients in pods, and what they say."""

import itertools
import tempfile

from . import cluster
from .history import History, judge
from .namespace import consumer_group
from .shell import Failure, expect, until

GO, JAVA = "test.local/go-client:e2e", "test.local/java-client:e2e"
PRODUCT = "test.local/rocketkube:e2e"


def pod(name, image, command=None, args=()):
    """A pod that runs to its end, under the restricted Pod Security profile."""
    container = {
        "name": "client",
        "image": image,
        "imagePullPolicy": "Never",
        "args": [str(word) for word in args],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "env": [{"name": "HOME", "value": "/tmp"}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    if command:
        container["command"] = command
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 30,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


class Client:
    """A pod with an official client, made when the object is. What it says is kept on this machine, so
    that nothing is lost when the pod is deleted."""

    def __init__(self, namespace, name, image, command=None, args=()):
        self.namespace, self.name = namespace, name
        namespace.apply(pod(name, image, command, args))
        until(60, f"pod {name} started", lambda: self.phase() != "Pending")
        self._said = tempfile.NamedTemporaryFile(prefix=f"{name}-", suffix=".log")  # gone with the scenario
        namespace.said[name] = self._said
        self._follower = cluster.follow(
            "--namespace", namespace.name, "logs", "--follow", name, output=self._said
        )

    def phase(self):
        return self.namespace.get("pod", self.name)["status"].get("phase")

    @property
    def log(self):
        return self._said.name

    def lines(self):
        return lines_of(self.log)

    def until_says(self, seconds, claim, says):
        """Waits until `says` is true of its lines, and returns the seconds that took."""

        def ask():
            if says(self.lines()):
                return True
            if self.phase() == "Failed":
                raise Failure("\n".join(["it ended in failure:", *self.lines()[-20:]]))
            return False

        return until(seconds, f"pod {self.name}: {claim}", ask)[1]

    def end(self, seconds):
        """Waits for its end, which must be a good one, and returns its lines."""
        until(seconds, f"pod {self.name} ended", lambda: self.phase() in ("Succeeded", "Failed"))
        self._follower.wait(timeout=20)
        lines = self.lines()
        expect(self.phase() == "Succeeded", "\n".join([f"pod {self.name} failed:", *lines[-30:]]))
        return lines

    def stop(self):
        """Asks it to end, as a deployment does, and returns its lines."""
        self.namespace.delete("pod", self.name)
        self._follower.wait(timeout=20)
        lines = self.lines()
        expect(lines[-1:] == ["done"], "\n".join([f"{self.name} did not end well:", *lines[-10:]]))
        return lines


def lines_of(path):
    with open(path, errors="replace") as said:
        return said.read().splitlines()


def producers(namespace):
    """Names of all that sent something in a namespace: a consumer may meet messages of each."""
    histories = [History.read(lines_of(said.name)) for said in namespace.said.values()]
    return sorted({key.rpartition("-")[0] for one in histories for key in {**one.acked, **one.failed}})


class Load:
    """A producer and a consumer of one topic, whose histories are compared at the end."""

    def __init__(self, namespace, topic, name, language="go", broker_set="orders", rate=50, count=0):
        namesrv = f"{broker_set}-namesrv:9876"
        self.namespace, self.name, self.group = namespace, name, f"{name}-readers"
        self.language, self.namesrv, self.topic = language, namesrv, topic
        # Groups are declared, like topics: whoever consumes has to have said so.
        namespace.apply(consumer_group(self.group, broker_set))
        namespace.until_condition("ConsumerGroup", self.group)
        self.consumer = self._client("consume", self.group)
        self.producer = self._client("produce", name, count, rate)

    def _client(self, verb, name, count=0, rate=0):
        pod_name = f"{name.lower()}-{verb}"
        if self.language == "java":
            words = ["Load", verb, self.namesrv, self.topic, name, *([count, rate] if rate else [])]
            return Client(self.namespace, pod_name, JAVA, args=words)
        words = [verb, "-namesrv", self.namesrv, "-topic", self.topic, "-name", name]
        if rate:
            words += ["-count", count, "-rate", rate]
        return Client(self.namespace, pod_name, GO, command=["/load"], args=words)

    def history(self):
        return History.read(self.producer.lines() + self.consumer.lines(), f"{self.name}-")

    def until_acked(self, more, seconds=60):
        """Waits until so many more messages were acknowledged."""
        wanted = len(self.history().acked) + more
        claim = f"{more} more messages are acknowledged"
        return until(seconds, claim, lambda: len(self.history().acked) >= wanted)[1]

    def stop(self, seconds=60):
        """Stops the producer, waits until the consumer has everything, stops it, and has judged what both saw.

        Returns how much that was, for people.
        """
        self.producer.stop()
        try:
            until(seconds, "every acknowledged message was received", lambda: not self.history().awaited())
        except Failure:
            pass  # the checker says what is missing
        self.consumer.stop()
        return judge([self.producer.log, self.consumer.log], producers(self.namespace))


def run_to_end(namespace, name, image, seconds, command=None, args=()):
    return Client(namespace, name, image, command, args).end(seconds)


_numbers = itertools.count()


def rkctl(namespace, *words, namesrv="orders-namesrv:9876"):
    """A command of rkctl in a pod of the product's image; what it says, as JSON where it is asked for."""
    name = f"rkctl-{next(_numbers)}"
    client = Client(namespace, name, PRODUCT, command=["/rkctl"], args=[*words, "-n", namesrv])
    return "\n".join(client.end(60))
