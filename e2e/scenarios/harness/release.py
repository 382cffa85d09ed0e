"""The release of the chart that the scenarios share."""

from .cluster import ROOT, helm, kubectl
from .clients import PRODUCT
from .namespace import Namespace

NAMESPACE = "rocketkube"
NAME = "rocketkube"
OPERATOR = "rocketkube-operator"
SELECTOR = "app.kubernetes.io/name=rocketkube-operator"


def values():
    repository, _, tag = PRODUCT.rpartition(":")
    return {
        "image.repository": repository,
        "image.tag": tag,
        "image.pullPolicy": "Never",
        # Each scenario has namespaces of its own.
        "watch.mode": "Cluster",
    }


def install():
    """As a user does it, and no longer than that takes: nothing is waited for."""
    settings = [f"--set={key}={value}" for key, value in values().items()]
    helm("upgrade", "--install", NAME, ROOT / "charts/rocketkube", "--namespace", NAMESPACE,
         "--create-namespace", *settings)


def namespace():
    return Namespace(NAMESPACE)


def operator_pods():
    return {pod["metadata"]["name"]: pod for pod in namespace().list("pods", SELECTOR)}


def scale(replicas):
    namespace().kubectl("scale", f"deployment/{OPERATOR}", f"--replicas={replicas}")


def leader():
    """The operator's pod that acts."""
    lease = namespace().get("lease", OPERATOR)
    return lease["spec"].get("holderIdentity", "")


def definitions():
    return kubectl("get", "crd", "-o", "name").split()


def until_ready(seconds=90):
    namespace().kubectl("rollout", "status", f"deployment/{OPERATOR}", f"--timeout={seconds}s", timeout=seconds + 10)
