"""What can go wrong in a cluster, on purpose. Every fault has a verb that takes it back."""

import ipaddress
import json

from . import cgroups
from . import node as nodes
from .control_plane import await_api_server, hub, kubectl
from .node import cable_in_hub
from .settings import CONTAINERD_SOCKET, HUB, STATE, pod_range
from .shell import ClusterError

CHAIN = "ROCKETKUBE-FAULT"
PAUSE_ARCHIVE = STATE / "pause.tar"


# A whole node.


def node_verb(name, verb):
    """crash | boot | freeze | thaw | cut | join"""
    one = nodes.known(name)
    if verb == "crash":
        cgroups.freeze(name, frozen=False)
        one.destroy()
    elif verb == "boot":
        nodes.boot(name, PAUSE_ARCHIVE)
    elif verb in ("freeze", "thaw"):
        cgroups.freeze(name, frozen=verb == "freeze")
    else:
        hub.run(["ip", "link", "set", cable_in_hub(name), "down" if verb == "cut" else "up"])


# One process of Kubernetes.


def process_verb(path, verb):
    """pause | resume | kill | start, for a process of the hub or `NODE/PROCESS`."""
    place, _, name = path.rpartition("/")
    one = hub if place in ("", HUB) else nodes.known(place)
    if verb == "start":
        if name == "relay":
            raise ClusterError(
                "the relay's socket ended with it: only `down` and `up` make a new one"
            )
        one.start_again(name)
        if name == "kube-apiserver":
            await_api_server()
        return
    if name not in one.processes():
        raise ClusterError(
            f"{one.name} has no process {name}; it has: {', '.join(one.processes())}"
        )
    if verb == "kill":
        one.stop(name, sign="KILL", timeout=5)
    elif not one.signal(name, "STOP" if verb == "pause" else "CONT"):
        raise ClusterError(f"{name} of {one.name} is not running")


# The network between pods.


def split(one, other, one_way=False):
    """Drops what goes from one to the other and, unless one_way, what comes back.

    Each is a node (all its pods), NAMESPACE/POD, an address or range, or `any`.
    """
    pairs = [(_range(one), _range(other))]
    if not one_way:
        pairs.append((pairs[0][1], pairs[0][0]))
    for name in _running():
        node = nodes.node(name)
        _chain(node)
        for source, target in pairs:
            node.run(
                [
                    "iptables",
                    "-w",
                    "-t",
                    "mangle",
                    "-A",
                    CHAIN,
                    "-s",
                    source,
                    "-d",
                    target,
                    "-j",
                    "DROP",
                ]
            )


def heal():
    """Takes back every split."""
    for name in _running():
        node = nodes.node(name)
        _chain(node)
        node.run(["iptables", "-w", "-t", "mangle", "-F", CHAIN])


def _chain(node):
    """Our rules have a chain of their own, at the two hooks that see pods' own addresses: after a
    Service's address was replaced by a pod's, before a sender's is replaced by the node's."""
    node.script(f"""
        iptables -w -t mangle -n -L {CHAIN} >/dev/null 2>&1 && exit 0
        iptables -w -t mangle -N {CHAIN}
        iptables -w -t mangle -I INPUT -j {CHAIN}
        iptables -w -t mangle -I POSTROUTING -j {CHAIN}
    """)


def _range(name):
    if name == "any":
        return "0.0.0.0/0"
    if name in nodes.existing():
        return pod_range(name)
    try:
        return str(ipaddress.ip_network(name))
    except ValueError:
        address = _pod(name)["status"].get("podIP")
    if not address:
        raise ClusterError(f"pod {name} has no address yet")
    return address


def _running():
    return [name for name in nodes.existing() if nodes.node(name).first() is not None]


# One container.


def container_verb(path, verb):
    """kill | pause | resume, for NAMESPACE/POD (its first container) or NAMESPACE/POD/CONTAINER."""
    namespace, _, rest = path.partition("/")
    name, _, container = rest.partition("/")
    pod = _pod(f"{namespace}/{name}")
    ids = {
        status["name"]: status.get("containerID", "")
        for status in pod["status"].get("containerStatuses", [])
    }
    container = container or next(iter(ids), "")
    identity = ids.get(container, "").removeprefix("containerd://")
    if not identity:
        raise ClusterError(
            f"pod {namespace}/{name} has no container {container!r}; it has: {', '.join(ids)}"
        )
    node = nodes.known(pod["spec"]["nodeName"])
    action = {"kill": ["kill", "--signal", "SIGKILL"], "pause": ["pause"], "resume": ["resume"]}[
        verb
    ]
    node.run(["ctr", "-a", CONTAINERD_SOCKET, "-n", "k8s.io", "task", *action, identity])


def _pod(path):
    namespace, _, name = path.partition("/")
    if not namespace or not name:
        raise ClusterError(f"{path!r} is neither a node, an address nor NAMESPACE/POD")
    return json.loads(kubectl("get", "pod", "-n", namespace, name, "-o", "json").stdout)
