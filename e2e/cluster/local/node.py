"""A node: a set of namespaces inside the hub with containerd, kubelet and kube-proxy.

Its disk is a folder on the host and outlives the set, so a node can crash and boot again. Inside,
the disk is at the usual paths: /var/lib and /var/log are the node's own, /run is new at each boot.
"""

import json

from . import build, certificates, cgroups
from .certificates import certificate, key
from .control_plane import BRIDGE, hub
from .sets import Set
from .settings import (
    CONTAINERD_SOCKET,
    DNS_SERVICE,
    HUB_ADDRESS,
    MOST_NODES,
    NAME,
    PAUSE_IMAGE,
    POD_RANGE,
    STATE,
    node_address,
    node_names,
    node_number,
    pod_range,
)
from .shell import ClusterError, await_true, run

# The kubelet insists on these values, and not every machine lets it write them. Files with just
# these contents, bound over the kernel's, satisfy it and leave the machine's settings alone.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def node(name):
    return Set(name, outer=hub)


def existing():
    """Names of the nodes that have been made, running or not."""
    return [name for name in node_names(MOST_NODES) if (STATE / name).exists()]


def known(name):
    if name not in existing():
        raise ClusterError(f"there is no node {name}; there are: {', '.join(existing())}")
    return node(name)


def boot(name, pause_archive):
    """Starts a node that does not run, on the disk that it had."""
    if node(name).first() is None:
        prepare(name, pause_archive)
        join(name)


def prepare(name, pause_archive):
    """The part of a start that needs no API server."""
    one = node(name)
    # After a crash, groups of containers that are no more.
    cgroups.remove(name)
    one.create([build.helper(), "pause"])
    _mounts(one)
    _network(one)
    _write_configuration(one)
    one.start("containerd", ["containerd", "--config", one.folder / "containerd.toml"])
    _await_containerd(one)
    load(one, pause_archive)


def join(name):
    one, program = node(name), build.components() / "components"
    one.start("kubelet", [program, "kubelet", *_kubelet_flags(one)])
    one.start("kube-proxy", [program, "kube-proxy", *_proxy_flags(one)])


def load(one, archive):
    """Puts an image archive into the node's containerd."""
    # By standard input: the path may lie where the node has folders of its own.
    with open(archive, "rb") as content:
        one.run(
            ["ctr", "-a", CONTAINERD_SOCKET, "-n", "k8s.io", "images", "import", "-"],
            timeout=120,
            stdin=content,
        )


def _await_containerd(one):
    def answers():
        one.expect_running("containerd")
        return one.run(["ctr", "-a", CONTAINERD_SOCKET, "version"], check=False).returncode == 0

    await_true(f"containerd of {one.name} answers", answers, timeout=30)


def _mounts(one):
    disk, settings = one.folder, one.folder / "kernel"
    for path in ("lib/kubelet", "lib/containerd", "lib/volumes", "log"):
        (disk / path).mkdir(parents=True, exist_ok=True)
    lines = [
        "mount -t tmpfs -o mode=755 run /run",
        "mkdir -p /run/lock /run/cgroup",
        # A new sysfs shows the node's own interfaces; the control groups stay the host's.
        "mount --rbind /sys/fs/cgroup /run/cgroup",
        "mount -t sysfs sysfs /sys",
        "mount --rbind /run/cgroup /sys/fs/cgroup",
        "umount -l /run/cgroup",
        f"mount --bind '{disk}/lib' /var/lib",
        f"mount --bind '{disk}/log' /var/log",
        f"hostname {one.name}",
    ]
    for path, value in KERNEL_SETTINGS.items():
        file = settings / path.replace("/", ".")
        file.parent.mkdir(exist_ok=True)
        file.write_text(value + "\n")
        lines.append(f"mount --bind '{file}' /proc/sys/{path}")
    # Containers get the kubelet's mounts this way. Last, or the lines above would undo each other.
    lines.append("mount --make-rshared /")
    one.script("\n".join(lines))


def _network(one):
    """A cable to the hub's bridge, and a route to each other node's pods."""
    cable = cable_in_hub(one.name)
    # The kernel removes a crashed node's cable in its own time.
    hub.run(["ip", "link", "delete", cable], check=False)
    end = f"end{node_number(one.name)}"
    hub.script(f"""
        ip link add {cable} type veth peer name {end}
        ip link set {cable} master {BRIDGE} up
    """)
    # An interface is handed over by the id of a process in the other namespace, in the numbering of
    # whoever asks: the host's, as its process namespace is not entered here.
    in_hub_network = ["nsenter", "-t", str(hub.first()), "-n", "--"]
    run([*in_hub_network, "ip", "link", "set", end, "netns", str(one.first())])
    others = [other for other in node_names(MOST_NODES) if other != one.name]
    lines = [
        "ip link set lo up",
        f"ip link set {end} name eth0",
        f"ip address add {node_address(one.name)}/24 dev eth0",
        "ip link set eth0 up",
        f"ip route add default via {HUB_ADDRESS}",
        *[f"ip route add {pod_range(other)} via {node_address(other)}" for other in others],
        "echo 1 >/proc/sys/net/ipv4/ip_forward",
    ]
    one.script("\n".join(lines))


def cable_in_hub(name):
    return f"cable{node_number(name)}"


def _write_configuration(one):
    folder = one.folder
    (folder / "net.d").mkdir(exist_ok=True)
    (folder / "net.d/10-pods.conflist").write_text(json.dumps(_pod_network(one), indent=2))
    (folder / "containerd.toml").write_text(_containerd(one))
    (folder / "resolv.conf").write_text(f"nameserver {HUB_ADDRESS}\n")
    (folder / "kubelet.yaml").write_text(json.dumps(_kubelet(one), indent=2))


def _pod_network(one):
    """Pods are routed, not hidden behind the node: every pod sees the others' addresses."""
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni/addresses",
        "ranges": [[{"subnet": pod_range(one.name)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        ],
    }


def _containerd(one):
    return f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# Without the capability to raise priorities, as in many containers, no container would start.
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{one.folder}/net.d"
"""


def _kubelet(one):
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{NAME}/{one.name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": str(one.folder / "resolv.conf"),
        # The disk is the host's: how full that is says nothing about the tests.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(certificate("ca"))},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificate(one.name)),
        "tlsPrivateKeyFile": str(key(one.name)),
        # A lost node is noticed within the controllers' 12 s of grace; two renewals fit into it.
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 8,
    }


def _kubelet_flags(one):
    number = node_number(one.name)
    return [
        f"--config={one.folder / 'kubelet.yaml'}",
        f"--kubeconfig={certificates.kubeconfig(one.name)}",
        f"--hostname-override={one.name}",
        f"--node-ip={node_address(one.name)}",
        f"--node-labels=topology.kubernetes.io/zone=z{number}",
    ]


def _proxy_flags(one):
    return [
        f"--kubeconfig={certificates.kubeconfig('kube-proxy')}",
        f"--hostname-override={one.name}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={POD_RANGE}",
        # Zero leaves settings alone that belong to the whole machine.
        "--conntrack-max-per-core=0",
        "--conntrack-min=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ]
