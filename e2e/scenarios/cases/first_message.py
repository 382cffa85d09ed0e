"""From nothing to a message, and what official clients can do then."""

import time

from harness import clients, document, metrics, release
from harness.namespace import Namespace, broker_set, consumer_group, topic
from harness.scenario import scenario
from harness.shell import equal, expect, until


@scenario("E01", "what the documentation types, word for word, installs, and sends and receives with stock clients", alone=True)
def first_message(run):
    # That of the documentation; as strict as the others.
    namespace = Namespace("mq")
    namespace.create()
    run.namespaces.append(namespace)
    release.uninstall()
    release.give_definitions(namespace.name)
    try:
        as_documented(run, namespace)
        stock_clients(run, namespace)
        memory(run, namespace)
    finally:
        release.uninstall(namespace.name)
        release.install(words=["--take-ownership"])
        release.until_ready()


def as_documented(run, namespace):
    """Types what install.md and first-message.md show, in an empty namespace."""
    start = time.monotonic()
    [install] = [one for one in document.blocks("install.md", "sh") if "helm install" in one]
    declare, exchange = document.blocks("first-message.md", "sh")
    document.type_in(install, 150)
    run.measure("operator ready after helm install began", time.monotonic() - start)
    declared = time.monotonic()
    said = document.type_in(declare, 150)
    run.measure("BrokerSet, topic and group ready after", time.monotonic() - declared, most=30)
    for claim, times in ((" created", 3), (" condition met", 3)):
        equal(f"lines with{claim!r} in {said!r}", times, said.count(claim))
    said = document.type_in(exchange, 90)
    expect(said.rstrip().endswith(" first message"), said)
    run.measure("first message after helm install began", time.monotonic() - start, most=90)


def stock_clients(run, namespace):
    """The Go program of first-message.md, and the Java program of the README."""
    said = clients.run_to_end(namespace, "first-message-go", clients.GO, 60, command=["/first-message"])
    expect(any(line.startswith("sent ") for line in said), "\n".join(said))
    namespace.apply(topic("greetings", topicName="Greetings"), consumer_group("readers"))
    run.measure("a topic ready after", namespace.until_condition("Topic", "greetings", seconds=60), most=5)
    run.measure("a group ready after", namespace.until_condition("ConsumerGroup", "readers", seconds=60), most=5)
    said = clients.run_to_end(
        namespace, "first-message-java", clients.JAVA, 90, args=["FirstMessage", "orders-namesrv:9876"]
    )
    expect("sent SEND_OK" in said and "received hello" in said, "\n".join(said))


def memory(run, namespace):
    for component, most in (("broker", 30), ("namesrv", 20)):
        for pod in namespace.pods(**{"app.kubernetes.io/component": component}):
            run.measure(f"memory of {pod['metadata']['name']}", metrics.memory_mib(pod), most, "MiB")
    for name, pod in release.operator_pods(namespace.name).items():
        run.measure(f"memory of {name}", metrics.memory_mib(pod), 40, "MiB")


@scenario("E02", "topics applied before, with and after their BrokerSet are there with what they ask for")
def topics_in_any_order(run):
    namespace = run.namespace
    namespace.apply(topic("before", queues=3))
    namespace.until_condition("Topic", "before", "False", 30, reason="BrokerSetNotFound")
    namespace.apply(broker_set(groups=2), topic("with", queues=5, access="ReadOnly"))
    namespace.until_condition("BrokerSet", "orders", seconds=120)
    for name in ("before", "with"):
        run.measure(f"{name} ready after its BrokerSet", namespace.until_condition("Topic", name), most=10)
    namespace.apply(topic("after", topicName="After_it", queues=16, readQueues=20))
    run.measure("after ready", namespace.until_condition("Topic", "after"), most=5)
    namespace.kubectl("wait", "--for=condition=Ready", "topics.mq.rocketkube.dev", "--all", "--timeout=5s")
    for name, topic_name, queues, read, access in (
        ("before", "before", 3, 3, "ReadWrite"),
        ("with", "with", 5, 5, "ReadOnly"),
        ("after", "After_it", 16, 20, "ReadWrite"),
    ):
        status = namespace.get("Topic", name)["status"]
        expect(status["topicName"] == topic_name and status["syncedGroups"] == "2/2", f"{name}: {status}")
        seen = [(one["queues"], one["readQueues"], one["access"]) for one in status["groups"]]
        expect(seen == [(queues, read, access)] * 2, f"{name}: {seen}")


# The one thing that the cases take for granted and a pod does not have: that client and broker are on one machine.
ELSEWHERE = "born host: expected 127.0.0.1"


@scenario("E03", "every case of the official Java and Go clients passes in pods")
def official_clients(run):
    namespace = run.namespace
    # The cases make topics and groups by using them.
    namespace.apply(broker_set(clusterName="DefaultCluster", messages={"autoCreateTopics": True, "autoCreateGroups": True}))
    namespace.until_condition("BrokerSet", "orders", seconds=120)
    # The Go client's admin takes addresses only.
    service = namespace.get("service", "orders-namesrv")["spec"]["clusterIP"]
    broker = namespace.get("service", "orders-b0-master")["spec"]["clusterIP"]
    java = clients.Client(
        namespace, "java", clients.JAVA, args=["dev.rocketkube.interop.Main", "--namesrv", "orders-namesrv:9876"]
    )
    go = clients.Client(
        namespace, "go", clients.GO, command=["/interop"],
        args=["-namesrv", f"{service}:9876", "-broker", f"{broker}:10911"],
    )
    for name, client in (("Java 5.4.0", java), ("Go", go)):
        until(400, f"{name} ended", lambda client=client: client.phase() in ("Succeeded", "Failed"))
        lines = client.lines()
        failed = [line for line in lines if line.startswith("FAIL") and ELSEWHERE not in line]
        ended = bool(lines) and lines[-1].endswith(" failed")
        expect(ended and not failed, "\n".join([f"{name}:", *failed, *lines[-3:]]))
        excused = sum(ELSEWHERE in line for line in lines)
        run.note(f"{name}: {lines[-1]}, of which {excused} because client and broker are on different machines")
