"""The operator: its rights, its death, its silence."""

from harness import release
from harness.namespace import broker_set, topic
from harness.scenario import scenario
from harness.shell import Failure, equal, expect, until


@scenario("E31", "pods of a set can do nothing at the API server that is not theirs")
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
    operator = f"--as=system:serviceaccount:{release.NAMESPACE}:{release.OPERATOR}"
    for verb, resource in (("list", "secrets"), ("create", "pods/exec"), ("create", "pods"), ("delete", "pvc")):
        answer = namespace.kubectl("auth", "can-i", verb, resource, operator, check=False).strip()
        equal(f"the operator may {verb} {resource}", "no", answer)


@scenario("E32", "a standby goes on within 20 s after the operator that acts was killed")
def leader_killed(run):
    namespace = run.namespace
    namespace.apply(broker_set())
    namespace.until_condition("BrokerSet", "orders", seconds=120)
    before = namespace.restarts()
    first = release.leader()
    release.namespace().kubectl("delete", "pod", first, "--grace-period=0", "--force")
    namespace.apply(topic("t"))
    _, seconds = until(60, "another acts", lambda: release.leader() not in ("", first))
    run.measure("another acts after", seconds, most=20)
    run.measure("a topic applied meanwhile is ready after", namespace.until_condition("Topic", "t"))
    equal("broker pods and their restarts", before, namespace.restarts())
    release.until_ready()


@scenario("IDLE", "an operator with nothing to do writes nothing")
def idle(run):
    namespace = run.namespace
    namespace.apply(broker_set(), topic("t"))
    namespace.until_condition("BrokerSet", "orders", seconds=120)
    namespace.until_condition("Topic", "t")
    kinds = "brokersets.mq.rocketkube.dev,topics.mq.rocketkube.dev,all,configmaps,endpointslices,networkpolicies"

    def versions():
        template = "{range .items[*]}{.kind}/{.metadata.name}={.metadata.resourceVersion} {end}"
        return set(namespace.kubectl("get", kinds, "-o", f"jsonpath={template}").split())

    quiet(versions)


def quiet(versions, seconds=60):
    """Waits for a whole minute in which nothing changes; a status may follow its cause for a while."""

    def ask():
        before = versions()
        try:
            until(seconds, "something changes", lambda: versions() != before)
        except Failure:
            return True
        return False

    until(3 * seconds, "a minute without a write", ask)


