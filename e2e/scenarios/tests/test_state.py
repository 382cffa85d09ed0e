"""What counts as the same state, and whose writes are counted."""

import json
import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import audit, cluster, rules  # noqa: E402
from harness.state import differences, plain  # noqa: E402

POD = {
    "metadata": {
        "name": "orders-b0-0", "namespace": "a", "uid": "1", "resourceVersion": "7",
        "annotations": {"mq.rocketkube.dev/roll": "c0ffee"},
    },
    "spec": {"nodeName": "node1", "args": ["--advertise=10.96.0.7:10911", "orders-namesrv.a.svc"]},
}


class State(unittest.TestCase):
    def test_twins_in_two_namespaces_are_equal(self):
        twin = json.loads(json.dumps(POD).replace("10.96.0.7", "10.96.3.9").replace("node1", "node2"))
        twin["metadata"].update(namespace="b-0", uid="2", resourceVersion="9")
        twin["spec"]["args"][1] = "orders-namesrv.b-0.svc"
        self.assertEqual([], differences(plain(POD, "a"), plain(twin, "b-0")))

    def test_what_is_missing_or_other_is_told_with_its_place(self):
        changed = {**POD, "spec": {"nodeName": "node1", "args": ["--advertise=10.96.0.7:9999"]}}
        [found] = differences(plain(POD, "a"), plain(changed, "a"))
        self.assertTrue(found.startswith(".spec.args: "), found)
        self.assertEqual([".metadata: None without kills, {} with"], differences({}, {"metadata": {}}))

    def test_a_name_that_begins_like_the_namespace_is_left_alone(self):
        self.assertEqual("e12-0 of NAMESPACE", plain("e12-0 of e12", "e12"))


def entry(user, resource, verb="patch", code=200):
    return json.dumps({
        "user": {"username": user, "extra": {"authentication.kubernetes.io/pod-name": ["operator-1"]}},
        "verb": verb, "stageTimestamp": "2026-01-01T00:00:00Z", "responseStatus": {"code": code},
        "objectRef": {"resource": resource, "namespace": "a", "name": "x"},
    }) + "\n"


class Writes(unittest.TestCase):
    def test_only_those_of_the_operator_since_then_count_and_no_lease(self):
        with tempfile.NamedTemporaryFile("w") as log:
            log.write(entry(audit.OPERATOR, "topics"))
            log.flush()
            tool, cluster.tool = cluster.tool, lambda *_: log.name + "\n"
            self.addCleanup(setattr, cluster, "tool", tool)
            since = audit.Audit()
            log.write(entry(audit.OPERATOR, "pods", "delete") + entry("system:serviceaccount:a:b", "pods"))
            log.write(entry(audit.OPERATOR, "leases") + entry(audit.OPERATOR, "pods")[:20])
            log.flush()
            [write] = since.writes()
            self.assertEqual(("operator-1", "delete", "pods"), (write.pod, write.verb, write.resource))


class Rules(unittest.TestCase):
    def test_rules_are_found_wherever_a_schema_has_them(self):
        rule = lambda message: {"x-kubernetes-validations": [{"message": message}]}  # noqa: E731
        schema = {
            **rule("a"), "properties": {"x": {**rule("b"), "items": rule("c")}, "y": {"additionalProperties": rule("d")}},
        }
        self.assertEqual(["a", "b", "c", "d"], sorted(rules.messages(schema)))


if __name__ == "__main__":
    unittest.main()
