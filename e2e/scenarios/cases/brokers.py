"""A broker that dies under load: with one member it is away for a while, and nothing is lost."""

import os

from harness import cluster, metrics
from harness.clients import Load
from harness.history import History
from harness.namespace import broker_set, topic
from harness.scenario import scenario
from harness.shell import equal, until

from .keeping import receive, send

# More of them is a matter of time: `make test-long`.
KILLS = int(os.environ.get("ROCKETKUBE_E2E_KILLS", "2"))
DELETIONS = int(os.environ.get("ROCKETKUBE_E2E_DELETIONS", "20"))


def loaded(run, languages, **spec):
    """A BrokerSet with a topic that clients of these languages use."""
    namespace = run.namespace
    namespace.apply(broker_set(**spec), topic("t"))
    namespace.until_condition("BrokerSet", "orders", seconds=120)
    namespace.until_condition("Topic", "t")
    loads = [Load(namespace, "t", f"p-{language}", language) for language in languages]
    for load in loads:
        load.until_acked(100)
    return namespace, loads


def finish(run, loads):
    for load in loads:
        run.note(f"{load.language}: {load.stop()}")


@scenario("E05", "a killed broker process comes back by itself, and nothing acknowledged is lost")
def killed_process(run):
    namespace, loads = loaded(run, ["go", "java"])
    for _ in range(KILLS):
        cluster.tool("container", f"{namespace.name}/orders-b0-0", "kill")
        for load in loads:
            # The kubelet lets a container that ends again and again wait longer each time.
            load.until_acked(50, seconds=150)
    finish(run, loads)


@scenario("E05D", "a broker pod that is deleted under load, with and without grace, comes back with everything")
def deleted_pod(run):
    namespace, loads = loaded(run, ["go", "java"])
    for number in range(DELETIONS):
        delete(namespace, ["--grace-period=0", "--force"] if number % 2 else ["--grace-period=75"])
        equal("damaged ranges of the log", 0, damaged_ranges(namespace))
        for load in loads:
            load.until_acked(50, seconds=60)
    finish(run, loads)
    offsets_kept(run, namespace, loads)


def delete(namespace, grace):
    """Deletes the broker's pod and waits for the next one."""
    before = namespace.get("pod", "orders-b0-0")["metadata"]["uid"]
    namespace.kubectl("delete", "pod", "orders-b0-0", "--wait=false", *grace)
    until(90, "there is another pod", lambda: namespace.get("pod", "orders-b0-0")["metadata"]["uid"] != before)
    namespace.until_pod_ready("orders-b0-0", 90)


def damaged_ranges(namespace):
    """Damaged ranges of the log that the broker found when it started."""
    path = f"/api/v1/namespaces/{namespace.name}/pods/orders-b0-0:8080/proxy/metrics"
    return metrics.number(namespace.kubectl("get", "--raw", path), "mq_store_damaged_ranges")


def offsets_kept(run, namespace, loads):
    """After one deletion more, a group whose members have left is given nothing again that it had."""
    # In Java: what the Go client consumed last, it may not have committed when it leaves.
    [load] = [load for load in loads if load.language == "java"]
    had = set(History.read(load.consumer.lines()).got)
    delete(namespace, ["--grace-period=0", "--force"])
    fresh = send(namespace, "fresh", 20)
    given = receive(namespace, "member-again", load.group, fresh, comes_back=True)
    equal("received again", set(), given & had)
    run.note(f"after a deletion, {load.group} was given {len(given)} messages, and none of the {len(had)} it had")
