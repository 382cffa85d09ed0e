"""Names, addresses and versions that the other files agree on."""

import os
import pathlib

# `go.mod` and the replaced modules in it name the same Kubernetes version.
KUBERNETES = "v1.33.13"
COREDNS = "github.com/coredns/coredns@v1.12.4"
HELM = "helm.sh/helm/v3/cmd/helm@v3.18.6"

HERE = pathlib.Path(__file__).resolve().parent.parent

# Several clusters may run side by side under different names.
NAME = os.environ.get("ROCKETKUBE_CLUSTER", "rocketkube")
# Not below /run, /var/lib or /var/log: a node has its own in their place.
STATE = pathlib.Path(os.environ.get("ROCKETKUBE_CLUSTER_DIR", "/var/tmp")) / f"{NAME}-cluster"
CACHE = (
    pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    / "rocketkube/cluster"
)

ADMIN_KUBECONFIG = STATE / "admin.kubeconfig"

HUB = "hub"
HUB_ADDRESS = "10.250.0.1"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
POD_RANGE = "10.244.0.0/16"
MOST_NODES = 9

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "test.local/pause:1"


def node_names(count):
    return [f"node{number}" for number in range(1, count + 1)]


def node_number(node):
    return int(node.removeprefix("node"))


def node_address(node):
    return f"10.250.0.{10 + node_number(node)}"


def pod_range(node):
    return f"10.244.{node_number(node)}.0/24"
