"""Releases of the chart: one after the other, back, none, and as the chart comes."""

import tempfile

from harness import release
from harness.cluster import helm
from harness.namespace import broker_set, topic
from harness.release import operator_may
from harness.scenario import scenario
from harness.shell import equal, expect, holds, until

from .brokers import finish, loaded
from .keeping import receive, send


ORDERS = {"mq.rocketkube.dev/brokerset": "orders"}


def pods_and_restarts(namespace):
    """Pods of brokers and name servers, with their restarts: equal twice means that nothing was restarted."""
    return {
        (pod["metadata"]["uid"], sum(one["restartCount"] for one in pod["status"].get("containerStatuses", [])))
        for pod in namespace.pods(**ORDERS) if "deletionTimestamp" not in pod["metadata"]
    }


def images(pods):
    return {pod["spec"]["containers"][0]["image"] for pod in pods}


def upgrade(folder):
    """A release N of the chart after the N-1 that is installed, with an image of its own."""
    said = helm("package", release.CHART, "--version", "99.0.0", "--app-version", "99.0.0", "--destination", folder)
    repository, _, tag = release.NEXT.rpartition(":")
    release.install(said.split()[-1], changed={"image.repository": repository, "image.tag": tag})
    release.until_ready()
    until(60, "the operator has the new image", lambda: images(release.operator_pods().values()) == {release.NEXT})


@scenario(
    "E30", "an upgrade restarts nothing until somebody asks; rollback, uninstall and a new release lose nothing", alone=True
)
def helm_life(run):
    namespace, loads = loaded(run, ["go", "java"])
    before = pods_and_restarts(namespace)
    with tempfile.TemporaryDirectory() as folder:
        upgrade(folder)
    namespace.apply(topic("after-upgrade"))
    run.measure("a topic of the new release ready after", namespace.until_condition("Topic", "after-upgrade", seconds=60))
    holds(10, "nothing is restarted", lambda: pods_and_restarts(namespace) == before)
    none_failed(loads)

    namespace.patch("BrokerSet", "orders", {"spec": {"image": release.NEXT}})
    until(120, "every pod has the new image", lambda: images(namespace.pods(**ORDERS)) == {release.NEXT})
    run.measure("brokers of the new release ready after", namespace.until_condition("BrokerSet", "orders", seconds=120))
    for load in loads:
        load.until_acked(50, seconds=60)
    failed = [len(load.history().refused()) for load in loads]
    moved = pods_and_restarts(namespace)

    helm("rollback", release.NAME, "--namespace", release.NAMESPACE)
    release.until_ready()
    namespace.apply(topic("after-rollback"))
    namespace.until_condition("Topic", "after-rollback", seconds=60)
    release.uninstall()
    expect(namespace.exists("BrokerSet", "orders"), "the BrokerSet is gone")
    for load in loads:
        load.until_acked(50)
    release.install()
    release.until_ready()
    namespace.apply(topic("after-reinstall"))
    namespace.until_condition("Topic", "after-reinstall", seconds=60)
    namespace.until_condition("BrokerSet", "orders")
    equal("pods and their restarts", moved, pods_and_restarts(namespace))
    finish(run, loads)
    later = [len(load.history().refused()) for load in loads]
    equal("sends that failed but for the restart that was asked for", failed, later)


def none_failed(loads):
    for load in loads:
        expect(not load.history().refused(), f"{load.language}: sends failed meanwhile")


@scenario("WATCH", "as the chart comes, an operator looks after its own namespace and has no rights elsewhere", alone=True)
def own_namespace(run):
    namespace, other = run.namespace, run.another("-other")
    taking = ["--take-ownership"]  # of the definitions, which are another release's
    release.uninstall()
    try:
        release.install(namespace=namespace.name, words=taking, changed={"watch.mode": None})
        other.apply(broker_set("stranger"))
        namespace.apply(broker_set(), topic("t"))
        seconds = namespace.until_condition("BrokerSet", "orders", seconds=120)
        run.measure("BrokerSet ready after helm install", seconds)
        namespace.until_condition("Topic", "t")
        read = send(namespace, "first", 20)
        equal("received", read, receive(namespace, "reader", "readers", read))
        elsewhere = ("list", "brokersets.mq.rocketkube.dev"), ("patch", "statefulsets.apps"), ("get", "namespaces")
        for verb, resource in elsewhere:
            answer = operator_may(verb, resource, other.name, namespace.name)
            equal(f"in another namespace it may {verb} {resource}", "no", answer)
        expect("status" not in other.get("BrokerSet", "stranger"), "it looked after another namespace")
        before = pods_and_restarts(namespace)
    finally:
        release.uninstall(namespace.name)
        release.install(words=taking)
    release.until_ready()
    other.until_condition("BrokerSet", "stranger", seconds=120)
    namespace.until_condition("BrokerSet", "orders", seconds=120)
    equal("pods and their restarts, when another release takes over", before, pods_and_restarts(namespace))
