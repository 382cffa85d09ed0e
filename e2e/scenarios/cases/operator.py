"""The operator: its rights, its death, its silence."""

import time

from harness import cluster, release
from harness.audit import Audit
from harness.clients import JAVA, Client
from harness.history import History
from harness.namespace import api_object, broker_set, consumer_group, topic
from harness.release import operator_may
from harness.scenario import scenario
from harness.shell import Failure, equal, expect, until

from .groups import TOLD
from .keeping import send


@scenario(
    "E31", "pods can do nothing that is not theirs; an operator without its optional rights says so and goes on", alone=True
)
def rights(run):
    namespace = run.namespace
    namespace.apply(broker_set())
    namespace.until_condition("BrokerSet", "orders", seconds=120)
    for pod in namespace.pods(**{"mq.rocketkube.dev/brokerset": "orders"}):
        expect("serviceAccountToken" not in str(pod["spec"]["volumes"]), f"{pod['metadata']['name']} has a token")
    account = f"--as=system:serviceaccount:{namespace.name}:orders-b0"
    questions = (
        ("update", "leases.coordination.k8s.io/orders-b0", "yes"),
        ("update", "endpointslices.discovery.k8s.io/orders-b0-master", "yes"),
        ("update", "leases.coordination.k8s.io/orders-b1", "no"),
        ("create", "leases.coordination.k8s.io", "no"),
        ("get", "pods", "no"),
        ("patch", "pods/orders-b0-0", "no"),
        ("get", "secrets", "no"),
    )
    for verb, resource, expected in questions:
        answer = namespace.kubectl("auth", "can-i", verb, resource, account, check=False).strip()
        equal(f"a broker may {verb} {resource}", expected, answer)
    for verb, resource in (("list", "secrets"), ("create", "pods/exec"), ("create", "pods"), ("delete", "pvc")):
        equal(f"the operator may {verb} {resource}", "no", operator_may(verb, resource, namespace.name))
    without_namespaces(run)


def without_namespaces(run):
    """The chart's only optional right in the cluster: labels of namespaces, which consent may go by."""
    namespace, shop = run.namespace, run.another("-shop")
    by_label = {"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": shop.name}}}
    reference = {"brokerSetRef": {"name": "orders", "namespace": namespace.name}}
    release.install(changed={"rbac.namespaces": "false"})
    try:
        equal("the operator may get namespaces", "no", operator_may("get", "namespaces", namespace.name))
        # A new process: what an earlier one knew does not help it.
        release.namespace().kubectl("rollout", "restart", f"deployment/{release.OPERATOR}")
        release.until_ready()
        before = namespace.restarts()
        namespace.patch("BrokerSet", "orders", {"spec": {"access": {"topicNamespaces": by_label}}})
        shop.apply(api_object("Topic", "foreign", reference))
        shop.until_condition("Topic", "foreign", "False", 60, reason="NamespaceNotAllowed")
        said = shop.condition("Topic", "foreign")["message"]
        for word in (f"labels of namespace {shop.name} cannot be read", 'cannot get resource "namespaces"'):
            expect(word in said, f"nothing of {word!r} in {said!r}")
        # Everything else goes on.
        namespace.apply(topic("own"), broker_set("more"))
        run.measure("own topic ready without the right after", namespace.until_condition("Topic", "own"))
        run.measure("BrokerSet ready without the right after", namespace.until_condition("BrokerSet", "more", seconds=120))
        namespace.until_condition("BrokerSet", "orders")
        equal("restarts of the operator", {0}, set(release.restarts().values()))
    finally:
        release.install()
    run.measure("let in after the right is back", shop.until_condition("Topic", "foreign", seconds=90))
    equal("broker pods and their restarts", before, namespace.restarts())


def another_acts(run, what, first, seconds=20):
    """Waits until another operator than `first` has the Lease, and a topic that asks for it is there."""
    _, took = until(60, "another acts", lambda: release.leader() not in ("", first))
    run.measure(f"{what}: another acts after", took, most=seconds)


@scenario("E32", "a standby goes on within 20 s after the operator that acts was deleted, killed or paused", alone=True)
def leader_lost(run):
    namespace = run.namespace
    namespace.apply(broker_set())
    namespace.until_condition("BrokerSet", "orders", seconds=120)
    before = namespace.restarts()

    first = release.leader()
    release.delete(first)
    namespace.apply(topic("deleted"))
    another_acts(run, "deleted", first)
    run.measure("a topic applied meanwhile is ready after", namespace.until_condition("Topic", "deleted"))
    release.until_ready()

    killed_for_good(run)
    release.until_ready()
    paused(run)
    equal("broker pods and their restarts", before, namespace.restarts())
    release.until_ready()


def killed_for_good(run):
    """Killed without a chance to give the Lease back, and not started again."""
    namespace, first = run.namespace, release.leader()
    start = time.monotonic()
    cluster.tool("container", f"{release.NAMESPACE}/{first}", "kill")
    release.delete(first)
    namespace.apply(topic("killed"))
    another_acts(run, "killed", first, 20)
    namespace.until_condition("Topic", "killed", seconds=30)
    run.measure("killed: a topic applied meanwhile is ready after", time.monotonic() - start, most=20)

    # In place, it is the same one that goes on, and sooner.
    first, start = release.leader(), time.monotonic()
    cluster.tool("container", f"{release.NAMESPACE}/{first}", "kill")
    namespace.apply(topic("killed-in-place"))
    namespace.until_condition("Topic", "killed-in-place", seconds=30)
    run.measure("killed in place: a topic applied meanwhile is ready after", time.monotonic() - start, most=20)


def paused(run):
    """One that does not know that its time is over: it has to find out before it does anything."""
    namespace, first, audit = run.namespace, release.leader(), Audit()
    path, began = f"{release.NAMESPACE}/{first}", release.started(first)
    cluster.tool("container", path, "pause")
    try:
        # What it would act upon as soon as it moves again.
        namespace.apply(topic("paused", queues=4))
        another_acts(run, "paused", first)
        namespace.until_condition("Topic", "paused", seconds=30)
        namespace.patch("Topic", "paused", {"spec": {"queues": 8}})
        namespace.until_condition("Topic", "paused", seconds=30)
        second = release.leader()
    finally:
        resumed = audit.now()
        cluster.tool("container", path, "resume")
    _, seconds = until(30, "the paused one ends", lambda: release.started(first) != began)
    run.measure("the paused one ended after", seconds, most=5)
    # From its first moment on, and neither events nor the Lease, which is another's.
    late = [str(write) for write in audit.everything() if write.pod == first and write.at > resumed]
    expect(not late, "\n".join(["it acted although another did:", *late]))
    equal("the operator that acts", second, release.leader())


@scenario("IDLE", "an operator with nothing to do writes at most once a minute, also with a consumer that waits", alone=True)
def idle(run):
    namespace = run.namespace
    namespace.apply(broker_set(), topic("t"), consumer_group("readers"))
    for kind, name in (("BrokerSet", "orders"), ("Topic", "t"), ("ConsumerGroup", "readers")):
        namespace.until_condition(kind, name, seconds=120)
    # Members and lag of a group are sampled all the time: its status could be written all the time.
    sent = send(namespace, "sender", 20)
    reader = Client(namespace, "reader", JAVA, args=["Load", "consume", "orders-namesrv:9876", "t", "readers"])
    reader.until_says(60, "it received them", lambda lines: sent <= set(History.read(lines).got))
    writes, renewals = quiet()
    run.note(f"{len(writes)} writes in a minute, besides {renewals} of the Lease")

    def told():
        status = namespace.get("ConsumerGroup", "readers")["status"]
        return status.get("members"), status.get("lag", {}).get("total")

    run.measure("its member was told after", until(TOLD, "the status tells of one member, and no lag", lambda: told() == (1, 0))[1])
    reader.stop()


def quiet(seconds=60, most=1):
    """Waits for a minute with so few writes; a status may follow its cause for a while.

    Returns them, and the number of renewals of the Lease.
    """

    def ask():
        audit, start = Audit(), time.monotonic()
        while time.monotonic() - start < seconds:
            writes = audit.writes()
            if len(writes) > most:
                raise Failure("\n".join(map(str, writes)))
            time.sleep(1)
        renewals = len(audit.everything()) - len(writes)
        expect(renewals, "not even the Lease was renewed: nobody acts, or nothing is audited")
        return writes, renewals

    return until(3 * seconds, f"{seconds} s with at most {most} write", ask)[0]
