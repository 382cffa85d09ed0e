"""Cases of the validation rules in `crds/testdata`, and what the API server says of them."""

import json
import pathlib
import tempfile

from .api import GROUP, Api
from .cluster import ROOT, helm, kubectl
from .namespace import KINDS
from .shell import Failure, expect

# Helm reads YAML, which Python on its own does not: a line of JSON is all that it renders.
CHART = {
    "Chart.yaml": "{apiVersion: v2, name: cases, version: 1.0.0}",
    "templates/cases.yaml": '{{ dict "cases" (.Files.Get "cases.yaml" | fromYamlArray) | toJson }}',
}
# An operator leaves these objects alone, which are there for moments.
LEFT_ALONE = {"mq.rocketkube.dev/paused": "true", "mq.rocketkube.dev/managed": "false"}


def cases(plural):
    """By the message of each rule: what it accepts and what it refuses."""
    with tempfile.TemporaryDirectory() as folder:
        testdata = (ROOT / f"crds/testdata/{plural}.yaml").read_text()
        for name, text in {**CHART, "cases.yaml": testdata}.items():
            path = pathlib.Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        rendered = helm("template", folder)
    return next(json.loads(line) for line in rendered.splitlines() if line.startswith("{"))["cases"]


def messages(schema):
    """Messages of all rules in a schema."""
    for rule in schema.get("x-kubernetes-validations", []):
        yield rule["message"]
    children = [schema.get("items"), schema.get("additionalProperties"), *schema.get("properties", {}).values()]
    for child in children:
        if isinstance(child, dict):
            yield from messages(child)


class Rules:
    """Tries every case of one kind in a namespace."""

    def __init__(self, api, namespace, kind):
        self.api, self.kind, self.plural = api, kind, KINDS[kind].partition(".")[0]
        self.path = f"{GROUP}/namespaces/{namespace.name}/{self.plural}"
        definition = json.loads(kubectl("get", "crd", KINDS[kind], "-o", "json"))
        self.rules = set(messages(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]))

    def check(self):
        """Fails if a rule does not do what its cases say; returns how many rules and cases there are."""
        tried, count = set(), 0
        for rule in cases(self.plural):
            for case in rule["accepts"]:
                code, said = self.attempt(case)
                expect(code < 300, f"{self.kind} {case} is refused: {said.get('message')}")
            for case in rule["refuses"]:
                code, said = self.attempt(case)
                causes = said.get("details", {}).get("causes", [])
                broken = [one["field"] for one in causes if rule["rule"] in one["message"]]
                expect(code == 422 and broken and broken[0], f"{self.kind} {case}: {code} {said.get('message', 'accepted')}")
            count += len(rule["accepts"]) + len(rule["refuses"])
            tried.add(rule["rule"])
        if tried != self.rules:
            raise Failure(f"{self.kind}: rules without a case, or cases without a rule: {tried ^ self.rules}")
        return len(tried), count

    def attempt(self, case):
        case = dict(case)
        before = case.pop("before", None)
        name = {**(before or {}), **case}.get("metadata", {}).get("name", "case")
        if before is None:
            return self.api.ask("POST", f"{self.path}?dryRun=All", self.manifest(case, name))
        code, there = self.api.ask("POST", self.path, self.manifest(before, name))
        expect(code == 201, f"{self.kind} {before} is refused: {there.get('message')}")
        try:
            return self.update(self.manifest(case, name), name)
        finally:
            self.api.ask("DELETE", f"{self.path}/{name}")

    def update(self, changed, name):
        """Somebody may write the status meanwhile."""
        for _ in range(10):
            _, there = self.api.ask("GET", f"{self.path}/{name}")
            changed["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"]
            code, said = self.api.ask("PUT", f"{self.path}/{name}?dryRun=All", changed)
            if code != 409:
                break
        return code, said

    def manifest(self, case, name):
        metadata = {"annotations": LEFT_ALONE, **case.get("metadata", {}), "name": name}
        return {"apiVersion": "mq.rocketkube.dev/v1alpha1", "kind": self.kind, **case, "metadata": metadata}


def check_all(namespace):
    """By kind: how many rules and cases there are, all of which hold."""
    with Api() as api:
        return {kind: Rules(api, namespace, kind).check() for kind in KINDS}
