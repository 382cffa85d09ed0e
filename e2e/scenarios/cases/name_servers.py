"""Name servers come and go; brokers are not restarted for it."""

from harness.clients import GO, Client
from harness.namespace import pod_is_ready, topic
from harness.scenario import scenario
from harness.shell import equal, expect, until

from .brokers import finish, loaded


def name_servers(namespace):
    return {pod["metadata"]["name"]: pod for pod in namespace.pods(**{"app.kubernetes.io/component": "namesrv"})}


def until_ready(namespace, count, seconds=90):
    def ask():
        pods = name_servers(namespace).values()
        return len(pods) == count and all(pod_is_ready(pod) for pod in pods)

    return until(seconds, f"{count} name servers are ready", ask)[1]


@scenario("E20", "name servers die one by one and all at once, and more are added, without a broker's restart")
def name_servers_come_and_go(run):
    namespace, loads = loaded(run, ["go", "java"])
    until_ready(namespace, 2)
    before = namespace.restarts()

    victim = next(iter(name_servers(namespace)))
    namespace.kubectl("delete", "pod", victim, "--grace-period=0", "--force")
    run.measure("one killed, ready again after", until_ready(namespace, 2))
    for load in loads:
        load.until_acked(50)

    namespace.kubectl("delete", "pod", *name_servers(namespace), "--grace-period=0", "--force")
    for load in loads:
        load.until_acked(50)  # those who know the way need nobody to ask
    run.measure("all killed, ready again after", until_ready(namespace, 2))
    newcomer(namespace, "after-all-were-killed")

    namespace.patch("BrokerSet", "orders", {"spec": {"nameServer": {"managed": {"replicas": 4}}}})
    run.measure("two more ready after", until_ready(namespace, 4))
    # A name server is ready when it knows the way: whichever a newcomer meets, it finds its topic.
    for number in range(3):
        newcomer(namespace, f"newcomer-{number}")
    namespace.apply(topic("young"))
    namespace.until_condition("Topic", "young")
    equal("broker pods and their restarts", before, namespace.restarts())
    finish(run, loads)
    for load in loads:
        failed = load.history().refused()
        expect(not failed, f"{load.language}: sends failed: {list(failed.items())[:5]}")


def newcomer(namespace, name):
    """A client that knows nothing yet sends and is done."""
    words = ["produce", "-namesrv", "orders-namesrv:9876", "-topic", "t", "-name", name, "-count", 5]
    lines = Client(namespace, name, GO, command=["/load"], args=words).end(60)
    failed = [line for line in lines if line.startswith("failed")]
    expect(not failed, f"{name}: {failed}")
