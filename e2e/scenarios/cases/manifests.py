"""Manifests that cannot be."""

from harness.namespace import api_object, broker_set, topic
from harness.rules import check_all
from harness.scenario import scenario
from harness.shell import expect, holds

LONG = "x" * 41

# What the API server refuses, and what it has to say of it.
REFUSED = [
    (broker_set(LONG), "40"),
    (broker_set(groups=65), "spec.groups"),
    (broker_set(replicasPerGroup=2), "spec.replicasPerGroup"),
    (broker_set(flush={"mode": "Sometimes"}), "spec.flush.mode"),
    (broker_set(nameServer={"managed": {}, "addresses": ["a:1"]}), "spec.nameServer"),
    (broker_set(storage={"size": "much"}), "spec.storage.size"),
    (broker_set(messages={"retention": "soon"}), "spec.messages.retention"),
    (topic("t", queues=0), "spec.queues"),
    (topic("t", queues=8, readQueues=4), "spec"),
    (topic("t", topicName="%RETRY%x"), "spec.topicName"),
    (topic("t", messageType="Fifo"), "spec"),
    (api_object("ConsumerGroup", "g", {"brokerSetRef": {"name": "orders"}, "groupName": "a b"}), "spec.groupName"),
    (api_object("ConsumerGroup", "g", {}), "spec.brokerSetRef"),
]


@scenario("E21", "manifests that cannot be are refused or reported with the field, and neighbours live on")
def bad_manifests(run):
    namespace = run.namespace
    good = broker_set("good")
    namespace.apply(good, topic("fine", "good"))
    namespace.until_condition("BrokerSet", "good", seconds=120)
    namespace.until_condition("Topic", "fine")
    for bad, expected in REFUSED:
        said = namespace.refused(bad)
        expect(expected in said, f"{bad['kind']} {bad['spec']}: nothing of {expected!r} in {said}")
    run.note(f"{len(REFUSED)} manifests refused by name")
    for kind, (rules, cases) in check_all(run.another("-rules")).items():
        run.note(f"{kind}: {rules} rules do what {cases} cases say")

    # What only the operator can know.
    namespace.apply(topic("orphan", "nobody"))
    namespace.until_condition("Topic", "orphan", "False", 30, reason="BrokerSetNotFound")
    expect("nobody" in namespace.condition("Topic", "orphan")["message"], "the BrokerSet is not named")
    namespace.apply(topic("twin", "good", topicName="fine"))
    namespace.until_condition("Topic", "twin", "False", 30, reason="NameConflict")
    expect("fine" in namespace.condition("Topic", "twin")["message"], "the other topic is not named")
    namespace.apply(broker_set("stuck", storage={"storageClassName": "no-such-class"}))
    namespace.until_condition("BrokerSet", "stuck", "False", 60)

    before = namespace.restarts("good")
    namespace.patch("BrokerSet", "good", {"metadata": {"annotations": {"example.com/touched": "now"}}})
    holds(5, "neighbours stay ready", lambda: namespace.condition("BrokerSet", "good").get("status") == "True")
    expect(before == namespace.restarts("good"), "a neighbour was restarted")
    namespace.patch("Topic", "twin", {"metadata": {"annotations": {"mq.rocketkube.dev/managed": "false"}}})
    namespace.delete("Topic", "twin")
    namespace.delete("BrokerSet", "stuck")
