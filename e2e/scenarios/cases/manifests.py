"""Manifests that cannot be."""

import json

from harness.clients import Load
from harness.cluster import kubectl
from harness.namespace import api_object, broker_set, topic
from harness.rules import check_all
from harness.scenario import scenario
from harness.shell import Failure, equal, expect, until

LONG = "x" * 41

# What the API server refuses because of a field's type or bounds, and what it has to say of it.
REFUSED = [
    (broker_set(LONG), "40"),
    (broker_set(groups=65), "spec.groups"),
    (broker_set(flush={"mode": "Sometimes"}), "spec.flush.mode"),
    (broker_set(flush={"Mode": "Sync"}), "spec.flush.Mode"),
    (broker_set(storage={"size": "much"}), "spec.storage.size"),
    (broker_set(messages={"retention": "soon"}), "spec.messages.retention"),
    (topic("t", queues=0), "spec.queues"),
    (topic("t", topicName="%RETRY%x"), "spec.topicName"),
    (api_object("ConsumerGroup", "g", {"brokerSetRef": {"name": "orders"}, "groupName": "a b"}), "spec.groupName"),
    (api_object("ConsumerGroup", "g", {}), "spec.brokerSetRef"),
]

RESTART_AT = "mq.rocketkube.dev/restart-at"
# What only the operator can know, by name: the spec, the reason, and what has to be said of it: field and remedy.
REPORTED = {
    "nobodys": ({"nameServer": {"fromBrokerSet": {"name": "nobody"}}}, "ReferenceNotFound",
                ["spec.nameServer.fromBrokerSet.name", "nobody", "managed: {}"]),
    "itself": ({"nameServer": {"fromBrokerSet": {"name": "itself"}}}, "NameServerConflict",
               ["spec.nameServer.fromBrokerSet.name", "managed: {}"]),
    "forbidden": ({"pod": {"annotations": {"mq.rocketkube.dev/roll": "mine"}}}, "InvalidValue",
                  ["spec.pod.annotations", "mq.rocketkube.dev/roll"]),
    "untyped": ({"pod": {"affinity": {"nodeAffinity": "near"}}}, "Rejected", ["spec.pod", "nodeAffinity"]),
    "taken": ({}, "NameConflict", ["metadata.name", "taken-namesrv", "choose another name"]),
}


@scenario(
    "E21", "manifests that cannot be are refused or reported, neighbours live on, and the next apply heals", alone=True
)
def bad_manifests(run):
    namespace = run.namespace
    namespace.apply(broker_set("good"), topic("fine", "good"))
    namespace.until_condition("BrokerSet", "good", seconds=120)
    namespace.until_condition("Topic", "fine")
    before = namespace.restarts("good")
    load = Load(namespace, "fine", "neighbour", broker_set="good")
    load.until_acked(20)

    for bad, expected in REFUSED:
        said = namespace.refused(bad)
        expect(expected in said, f"{bad['kind']} {bad['spec']}: nothing of {expected!r} in {said}")
    run.note(f"{len(REFUSED)} manifests refused by name of the field")
    for kind, (rules, cases) in check_all(run.another("-rules")).items():
        run.note(f"{kind}: {rules} rules do what {cases} cases say")
    reported(run)
    references(run)
    missing_class(run)
    undecodable(run)

    equal("broker pods of the neighbour and their restarts", before, namespace.restarts("good"))
    namespace.until_condition("BrokerSet", "good")
    run.note(f"neighbour: {load.stop()}")
    expect(not load.history().refused(), "sends to the neighbour failed")


def reported(run):
    """Each is told with its field and what to write, and well again as soon as that is written."""
    namespace = run.another("-reported")
    namespace.apply(api_object("Service", "taken-namesrv") | {"spec": {"ports": [{"port": 9876}]}})
    namespace.apply(*(broker_set(name, **spec) for name, (spec, _, _) in REPORTED.items()))
    for name, (_, reason, words) in REPORTED.items():
        namespace.until_condition("BrokerSet", name, "False", 30, "SpecValid", reason)
        said = namespace.condition("BrokerSet", name)["message"]
        for word in words:
            expect(word in said, f"BrokerSet {name}: nothing of {word!r} in {said!r}")
    namespace.delete("service", "taken-namesrv")
    for name in REPORTED:
        namespace.apply(broker_set(name))
    for name in REPORTED:
        namespace.until_condition("BrokerSet", name, seconds=60, of_type="SpecValid")
    run.note(f"{len(REPORTED)} specs reported with their field, and healed by the next apply")


def references(run):
    """Topics between themselves, and without a BrokerSet."""
    namespace = run.namespace
    namespace.apply(topic("orphan", "nobody"), topic("twin", "good", topicName="fine"))
    namespace.until_condition("Topic", "orphan", "False", 30, reason="BrokerSetNotFound")
    expect("nobody" in namespace.condition("Topic", "orphan")["message"], "the BrokerSet is not named")
    namespace.until_condition("Topic", "twin", "False", 30, reason="NameConflict")
    expect("fine" in namespace.condition("Topic", "twin")["message"], "the other topic is not named")
    namespace.apply(broker_set("nobody"))
    seconds = namespace.until_condition("Topic", "orphan", seconds=120)
    run.measure("a topic is ready after its BrokerSet was applied", seconds)
    namespace.delete("Topic", "twin")


def missing_class(run):
    namespace, name = run.namespace, "no-such-class"
    namespace.apply(broker_set("stuck", storage={"storageClassName": name}))
    namespace.until_condition("BrokerSet", "stuck", "False", 60, "StorageReady", "ClaimPending")
    said = namespace.condition("BrokerSet", "stuck", "StorageReady")["message"]
    for part in ("spec.storage.storageClassName", f"is {name}.", "kubectl delete pvc data-stuck-b0-0"):
        expect(part in said, f"nothing of {part!r} in: {said}")
    namespace.until_condition("BrokerSet", "stuck", "False", 60)
    [default] = json.loads(kubectl("get", "storageclass", "-o", "json"))["items"]
    made = {key: default[key] for key in ("apiVersion", "kind", "provisioner", "volumeBindingMode", "reclaimPolicy")}
    namespace.apply({**made, "metadata": {"name": name}})
    try:
        run.measure("ready after its class was made", namespace.until_condition("BrokerSet", "stuck", seconds=120))
    finally:
        kubectl("delete", "storageclass", name)


DEFINITION = "brokersets.mq.rocketkube.dev"
MODES = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/flush/properties/mode/enum"


def undecodable(run):
    """An object of a later release, say: the API server takes what the operator cannot read."""
    namespace = run.another("-undecodable")
    modes = json.loads(kubectl("get", "crd", DEFINITION, "-o", "json"))
    for key in MODES.strip("/").split("/"):
        modes = modes[int(key)] if isinstance(modes, list) else modes[key]
    change_definition({"op": "remove", "path": MODES})
    try:
        def is_taken():
            namespace.apply(broker_set("unreadable", flush={"mode": "Sometimes"}))
            return True

        until(30, "the API server takes it", is_taken)
        found = until(30, "an event tells of it", lambda: unreadable_event(namespace))[0]
        for word in ("Sometimes", "Auto, Sync, Async"):
            expect(word in found, f"nothing of {word!r} in {found!r}")
        namespace.apply(broker_set("beside"))
        namespace.until_condition("BrokerSet", "beside", seconds=120)
    finally:
        change_definition({"op": "add", "path": MODES, "value": modes})
    namespace.apply(broker_set("unreadable", flush={"mode": "Sync"}))
    seconds = namespace.until_condition("BrokerSet", "unreadable", seconds=120)
    run.measure("an undecodable object is ready after the next apply", seconds)


def change_definition(change):
    kubectl("patch", "crd", DEFINITION, "--type=json", "-p", json.dumps([change]))


def unreadable_event(namespace):
    for event in namespace.list("events.events.k8s.io"):
        if event["reason"] == "Undecodable" and event["regarding"]["name"] == "unreadable":
            return event["note"]
    raise Failure("there is no such event")
