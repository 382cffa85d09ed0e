"""What people change while brokers run."""

from harness.clients import GO, PRODUCT, Client, Load
from harness.namespace import broker_set, topic
from harness.scenario import scenario
from harness.shell import equal, expect, until

from .brokers import finish, loaded


@scenario("E07", "an image that cannot be pulled is reported, and healed by the next apply")
def bad_image(run):
    namespace = run.namespace
    namespace.apply(broker_set(), topic("t"))
    namespace.until_condition("BrokerSet", "orders", seconds=120)
    namespace.until_condition("Topic", "t")
    load = Load(namespace, "t", "p")
    load.until_acked(20)
    namespace.apply(broker_set(image="test.local/rocketkube:does-not-exist", imagePullPolicy="Never"))
    seconds = namespace.until_condition("BrokerSet", "orders", of_type="Stalled", seconds=120)
    said = namespace.condition("BrokerSet", "orders", "Stalled")
    run.note(f"reported after {seconds:.1f} s: {said['reason']}: {said['message']}")
    expect("does-not-exist" in said["message"], f"the image is not named: {said}")
    # The image is named again: a set that names none goes on with what its pods were given last.
    namespace.apply(broker_set(image=PRODUCT, imagePullPolicy="Never"))
    run.measure("healed after", namespace.until_condition("BrokerSet", "orders", seconds=120))
    load.until_acked(20, seconds=90)
    finish(run, [load])


@scenario("E08", "groups are added: with every topic before their first message, and used within a minute")
def more_groups(run):
    namespace, loads = loaded(run, ["go", "java"], messages={"autoCreateTopics": True})
    # A topic that no object declares.
    words = ["produce", "-namesrv", "orders-namesrv:9876", "-topic", "undeclared", "-name", "u", "-count", 3]
    Client(namespace, "undeclared", GO, command=["/load"], args=words).end(60)
    before = namespace.restarts()
    namespace.patch("BrokerSet", "orders", {"spec": {"groups": 3}})

    def used():
        """Groups that took messages, by language."""
        return [{one.queue.split("/")[0] for one in load.history().acked.values()} for load in loads]

    all_groups = {"orders-b0", "orders-b1", "orders-b2"}
    _, seconds = until(120, "producers use every group", lambda: all(one == all_groups for one in used()))
    run.measure("producers use the new groups after", seconds, most=60)
    run.measure("BrokerSet ready after", namespace.until_condition("BrokerSet", "orders", seconds=60))
    expect(before <= namespace.restarts(), "the first group was restarted")
    equal("groups with the topic", "3/3", namespace.get("Topic", "t")["status"]["syncedGroups"])
    # Whichever group it meets, the topic is there: creation by sending goes to one group only.
    words = ["produce", "-namesrv", "orders-namesrv:9876", "-topic", "undeclared", "-name", "v", "-count", 60]
    lines = Client(namespace, "undeclared-again", GO, command=["/load"], args=words).end(90)
    groups = {line.split()[2].split("/")[0] for line in lines if line.startswith("acked")}
    equal("groups that take the undeclared topic", all_groups, groups)
    finish(run, loads)
    for load in loads:
        failed = load.history().refused()
        expect(not failed, f"{load.language}: sends failed: {list(failed.items())[:5]}")
