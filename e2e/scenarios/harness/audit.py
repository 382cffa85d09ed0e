"""What pods wrote at the API server, by its own account: nothing is overlooked, events and failed tries included."""

import dataclasses
import datetime
import json

from . import cluster

OPERATOR = "system:serviceaccount:rocketkube:rocketkube-operator"


@dataclasses.dataclass(frozen=True)
class Write:
    """A request of the operator that was to change something, and what came of it."""

    at: str
    pod: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int

    def __str__(self):
        return f"{self.at} {self.pod} {self.verb} {self.resource} {self.namespace}/{self.name}: {self.code}"


class Audit:
    """Writes of the operator from now on."""

    def __init__(self, user=OPERATOR):
        self.user, self.path = user, cluster.tool("audit").strip()
        with open(self.path, "rb") as log:
            self.start = log.seek(0, 2)

    @staticmethod
    def now():
        """This moment, as writes tell theirs."""
        return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def writes(self):
        """All until now, but for the Lease by which operators agree on the one that acts."""
        return [write for write in self.everything() if write.resource != "leases"]

    def everything(self):
        with open(self.path, "rb") as log:
            log.seek(self.start)
            # The last line may still be under way.
            lines = log.read().rpartition(b"\n")[0].splitlines()
        entries = (json.loads(line) for line in lines)
        return [read(entry) for entry in entries if entry["user"]["username"] == self.user]


def read(entry):
    about = entry.get("objectRef", {})
    pods = entry["user"].get("extra", {}).get("authentication.kubernetes.io/pod-name", [""])
    resource = "/".join(filter(None, (about.get("resource"), about.get("subresource"))))
    code = entry.get("responseStatus", {}).get("code", 0)
    where, name = about.get("namespace", ""), about.get("name", "")
    return Write(entry["stageTimestamp"], pods[0], entry["verb"], resource, where, name, code)
