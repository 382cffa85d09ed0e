"""What nodes tell of pods."""

import json

from .cluster import kubectl
from .shell import until


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
