"""What pods tell of themselves, and nodes of pods."""

import json
import re

from .cluster import kubectl
from .shell import expect, until


def number(text, name):
    """The value of the one series of this name in what a pod tells Prometheus."""
    found = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, flags=re.M)
    expect(len(found) == 1, f"{len(found)} series are called {name}")
    return float(found[0])


def memory_mib(pod):
    """Memory of a pod's container as its node counts it: everything but files that it could drop."""
    path = f"/api/v1/nodes/{pod['spec']['nodeName']}/proxy/stats/summary"
    identity = pod["metadata"]["uid"]

    def ask():
        stats = json.loads(kubectl("get", "--raw", path))["pods"]
        containers = [one for pod in stats if pod["podRef"]["uid"] == identity for one in pod.get("containers", [])]
        return [one["memory"]["workingSetBytes"] for one in containers if "memory" in one]

    # A new container is counted after some seconds.
    [used], _ = until(60, f"the node counts pod {pod['metadata']['name']}", ask)
    return used / 2**20
