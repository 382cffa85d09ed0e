"""The operator dies at any moment, and the next one goes on."""

import collections
import os
import time

from harness.audit import Audit
from harness.killer import Killer
from harness.namespace import broker_set, consumer_group, pod_is_ready, topic
from harness.scenario import scenario
from harness.shell import Failure, equal, expect, until
from harness.state import differences, state

KILLS = int(os.environ.get("ROCKETKUBE_E2E_OPERATOR_KILLS", "20"))
SEED = int(os.environ.get("ROCKETKUBE_E2E_SEED", time.time_ns() // 1000 % 1_000_000))
# How long a step may take, of which most is waiting for an operator.
STEP = 120


def live(namespace):
    """Everything that an operator does for people: create, change, restart, scale out, delete."""
    namespace.apply(
        broker_set(), topic("kept", queues=4), topic("gone", deletionPolicy="Delete"), consumer_group("readers")
    )
    namespace.until_condition("BrokerSet", "orders", seconds=STEP)
    for kind, name in (("Topic", "kept"), ("Topic", "gone"), ("ConsumerGroup", "readers")):
        namespace.until_condition(kind, name, seconds=STEP)

    namespace.patch("BrokerSet", "orders", {"spec": {"resources": {"requests": {"memory": "48Mi"}}}})
    until_pods(namespace, 1, lambda pod: "48Mi" in str(pod["spec"]["containers"][0]["resources"]))
    namespace.apply(broker_set("short"), topic("of-short", "short"))

    namespace.patch("BrokerSet", "orders", {"spec": {"groups": 2}})
    namespace.patch("Topic", "kept", {"spec": {"queues": 8}})
    # Takes as long as clients need to notice, of one operator's life: more than there is between two kills.
    namespace.kubectl("delete", "topics.mq.rocketkube.dev", "gone", "--wait=false")
    until_pods(namespace, 2)
    namespace.until_condition("BrokerSet", "orders", seconds=STEP)
    until(STEP, "both groups have the topic", lambda: namespace.get("Topic", "kept")["status"]["syncedGroups"] == "2/2")

    namespace.until_condition("Topic", "of-short", seconds=STEP)
    namespace.delete("Topic", "of-short")
    namespace.delete("BrokerSet", "short")

    moment = "2026-01-31T06:00:00Z"
    key = "mq.rocketkube.dev/restart-at"
    namespace.patch("BrokerSet", "orders", {"metadata": {"annotations": {key: moment}}})
    until_pods(namespace, 2, lambda pod: pod["metadata"]["annotations"].get(key) == moment)
    namespace.until_condition("BrokerSet", "orders", seconds=STEP)
    namespace.until_condition("Topic", "kept", seconds=STEP)


def until_gone(namespace):
    """Waits for the end of what was deleted."""
    until(STEP, "the deleted topic is gone", lambda: not namespace.exists("Topic", "gone"))
    until(STEP, "the deleted BrokerSet's pods are gone", lambda: not namespace.broker_pods("short"))


def until_pods(namespace, count, fits=lambda pod: True):
    def ask():
        pods = namespace.broker_pods().values()
        return len(pods) == count and all(pod_is_ready(pod) and fits(pod) for pod in pods)

    until(STEP, f"{count} broker pods are ready, and as asked for", ask)


def actions(namespace, audit):
    """What must not be done twice: how often each object was made, and each deleted, by the operator."""
    of_here = [write for write in audit.writes() if write.namespace == namespace.name and write.resource != "events"]
    made = [write for write in of_here if write.code == 201]
    deleted = [write for write in of_here if write.verb == "delete" and write.code == 200]
    return collections.Counter(
        f"{what} {write.resource}/{write.name}" for what, writes in (("made", made), ("deleted", deleted))
        for write in writes
    )


def until_settled(namespace, audit, seconds=12):
    """Waits until nothing was written for a while: a status may follow its cause by ten seconds."""

    def count():
        return sum(write.namespace == namespace.name for write in audit.writes())

    def ask():
        before = count()
        time.sleep(seconds)
        return count() == before

    until(60, "everything is written", ask)


def until_same(expected, namespace):
    def ask():
        found = differences(expected, state(namespace))
        if found:
            raise Failure("\n".join(found[:20]))
        return True

    return until(60, "the end state is that without kills", ask)[1]


@scenario("E12", "operators killed at random moments end where one that lives ends, and do nothing twice", alone=True)
def operator_killed(run):
    calm, audit, start = run.namespace, Audit(), time.monotonic()
    live(calm)
    until_gone(calm)
    until_settled(calm, audit)
    done = actions(calm, audit)
    run.measure("without kills", time.monotonic() - start)
    expect(done["deleted pods/orders-b0-0"] == 2, f"two restarts of group 0 were asked for: {done}")
    expect(done["deleted pods/orders-b1-0"] == 1, f"one restart of group 1 was asked for: {done}")
    run.note(f"ROCKETKUBE_E2E_SEED={SEED}")
    namespaces, audit = [], Audit()
    with Killer(KILLS, SEED) as killer:
        while killer.is_alive() or not namespaces:
            namespaces.append(run.another(f"-{len(namespaces)}"))
            live(namespaces[-1])
    run.note(f"{len(namespaces)} rounds with {sum(killer.ways.values())} kills: {killer}")
    expected = state(calm)
    for namespace in namespaces:
        until_gone(namespace)
        until_same(expected, namespace)
        equal("what was made and deleted", done, actions(namespace, audit))
        restarted = [one for one in namespace.restarts() if one[2]]
        equal("containers that were started again", [], restarted)
    run.note(f"{len(expected)} objects, {sum(done.values())} times made or deleted")
    # Each successor found one set as it should be, and nothing of what its predecessor knew.
    idle = [str(write) for write in audit.writes() if write.namespace == calm.name]
    equal("writes where nothing changed", [], idle)
    run.note(f"{killer.kills} successors wrote nothing where nothing changed")
