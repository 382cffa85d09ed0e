"""Topics between what is declared, what brokers have, and who may."""

import time

from harness.cluster import kubectl
from harness.clients import rkctl
from harness.namespace import api_object, broker_set, topic
from harness.scenario import scenario
from harness.shell import equal, expect, until


def brokers_have(namespace, name, namesrv="orders-namesrv:9876"):
    return name in rkctl(namespace, "topic", "list", namesrv=namesrv).split()


@scenario("E22", "a topic is kept as declared, adopted or not, left or deleted as its policies say")
def topic_life(run):
    namespace, other = run.namespace, run.another("-whole")
    namespace.apply(broker_set())
    other.apply(broker_set(), topic("t", deletionPolicy="Delete"))
    namespace.until_condition("BrokerSet", "orders", seconds=120)
    for name in ("same", "larger", "never"):
        rkctl(namespace, "topic", "create", name, "-q", 8)
    namespace.apply(
        topic("kept", queues=4), topic("gone", deletionPolicy="Delete"), topic("same"),
        topic("larger", queues=4), topic("never", adoptionPolicy="Never"),
    )
    for name in ("kept", "gone", "same"):
        namespace.until_condition("Topic", name)
    equal("adopted", True, namespace.get("Topic", "same")["status"]["adopted"])
    for name in ("larger", "never"):
        namespace.until_condition("Topic", name, "False", 30, reason="AdoptionBlocked")
    expect("queues" in namespace.condition("Topic", "larger")["message"], "the difference is not told")
    namespace.patch("Topic", "larger", {"spec": {"adoptionPolicy": "Always"}})
    run.measure("adopted with fewer queues after", namespace.until_condition("Topic", "larger", seconds=90))

    # Somebody changes the brokers behind the operator's back. It looks every 30 s.
    rkctl(namespace, "topic", "delete", "kept", "-y")
    start = time.monotonic()
    whole_namespace(run, other)

    def corrected():
        return namespace.get("Topic", "kept")["status"].get("drift", {}).get("corrections", 0) > 0

    until(60, "the topic is put back", corrected)
    run.measure("put back after", time.monotonic() - start)
    expect(brokers_have(namespace, "kept"), "it is not there")

    namespace.patch("Topic", "kept", {"spec": {"queues": 2}})
    run.measure("shrunk after", namespace.until_condition("Topic", "kept", seconds=120))
    equal("queues", 2, namespace.get("Topic", "kept")["status"]["groups"][0]["queues"])

    for name in ("kept", "gone"):
        namespace.delete("Topic", name, timeout=90)
    expect(brokers_have(namespace, "kept"), "deletionPolicy Retain: the topic is gone")
    expect(not brokers_have(namespace, "gone"), "deletionPolicy Delete: the topic is still there")

    # Finalizers let go of what nobody can delete any more.
    namespace.apply(topic("last", deletionPolicy="Delete"))
    namespace.until_condition("Topic", "last")
    namespace.delete("BrokerSet", "orders")
    namespace.delete("Topic", "last", timeout=30)


def whole_namespace(run, namespace):
    """Deletes a namespace with a BrokerSet and a topic that has a finalizer: neither may hold it."""
    namespace.until_condition("BrokerSet", "orders", seconds=120)
    namespace.until_condition("Topic", "t")
    kubectl("delete", "namespace", namespace.name, "--wait=false")
    gone = lambda: not kubectl("get", "namespace", namespace.name, "--ignore-not-found").strip()  # noqa: E731
    run.measure("namespace gone after", until(150, "the namespace is gone", gone)[1], most=90)


@scenario("E24", "BrokerSets side by side share nothing but what they say, and other namespaces need consent")
def side_by_side(run):
    namespace, shop = run.namespace, run.another("-shop")
    shared = broker_set("billing", nameServer={"fromBrokerSet": {"name": "orders"}})
    namespace.apply(broker_set(), broker_set("stock"), shared)
    for name in ("orders", "stock", "billing"):
        namespace.until_condition("BrokerSet", name, seconds=150)
    namespace.apply(topic("of-orders"), topic("of-stock", "stock"), topic("of-billing", "billing"))
    for name in ("of-orders", "of-stock", "of-billing"):
        namespace.until_condition("Topic", name)
    expect(not brokers_have(namespace, "of-orders", "stock-namesrv:9876"), "a topic leaked")
    expect(not brokers_have(namespace, "of-stock"), "a topic leaked")
    # The two that share a name server are found by it, and each has its own topics only.
    said = rkctl(namespace, "topic", "list")
    expect("of-orders" in said and "of-billing" in said, said)
    equal("groups", "1/1", namespace.get("Topic", "of-billing")["status"]["syncedGroups"])

    foreign = api_object("Topic", "foreign", {"brokerSetRef": {"name": "orders", "namespace": namespace.name}})
    shop.apply(foreign)
    shop.until_condition("Topic", "foreign", "False", 30, reason="NamespaceNotAllowed")
    consent = {"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": shop.name}}}
    namespace.patch("BrokerSet", "orders", {"spec": {"access": {"topicNamespaces": consent}}})
    run.measure("let in after", shop.until_condition("Topic", "foreign", seconds=60))
    expect(brokers_have(namespace, "foreign"), "it is not there")
