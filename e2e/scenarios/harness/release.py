"""The release of the chart that the scenarios share."""

from .cluster import ROOT, helm, kubectl
from .clients import PRODUCT
from .namespace import KINDS, Namespace
from .shell import until

# The release that comes after: the same image under another name.
NEXT = "test.local/rocketkube:next"
# The same under the name that the documentation gives it.
DOCUMENTED = "registry.example.com/rocketkube:0.1.0"
NAMESPACE = "rocketkube"
NAME = "rocketkube"
OPERATOR = "rocketkube-operator"
CHART = ROOT / "charts/rocketkube"
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


def install(chart=CHART, namespace=NAMESPACE, words=(), changed=None):
    """As a user does it, and no longer than that takes: nothing is waited for. A value of None is left to
    the chart."""
    given = {**values(), **(changed or {})}
    settings = [f"--set={key}={value}" for key, value in given.items() if value is not None]
    helm("upgrade", "--install", NAME, chart, "--namespace", namespace, "--create-namespace", *words, *settings)


def uninstall(namespace=NAMESPACE):
    helm("uninstall", NAME, "--namespace", namespace, "--wait", "--ignore-not-found")
    until(60, "the operator is gone", lambda: not operator_pods(namespace))


def give_definitions(namespace):
    """Lets the release of another namespace have the definitions, which outlive the one that made them."""
    kubectl("annotate", "crd", *KINDS.values(), f"meta.helm.sh/release-namespace={namespace}", "--overwrite")


def namespace():
    return Namespace(NAMESPACE)


def operator_pods(where=NAMESPACE):
    return {pod["metadata"]["name"]: pod for pod in Namespace(where).list("pods", SELECTOR)}


def leader():
    """The operator's pod that acts."""
    lease = namespace().get("lease", OPERATOR)
    return lease["spec"].get("holderIdentity", "")


def renewed():
    """Who held the Lease when: another value means that somebody acts."""
    spec = namespace().get("lease", OPERATOR)["spec"]
    return spec.get("holderIdentity"), spec.get("renewTime")


def delete(pod):
    """Deletes a pod of the operator as if its node were lost."""
    namespace().kubectl("delete", "pod", pod, "--grace-period=0", "--force")


def restarts():
    """How often each pod's container was started again."""
    pods = operator_pods().items()
    return {name: sum(one["restartCount"] for one in pod["status"].get("containerStatuses", [])) for name, pod in pods}


def until_ready(seconds=90):
    namespace().kubectl("rollout", "status", f"deployment/{OPERATOR}", f"--timeout={seconds}s", timeout=seconds + 10)


def started(pod):
    """When the process of a pod was started; None while there is none."""
    [container] = operator_pods()[pod]["status"]["containerStatuses"]
    return container["state"].get("running", {}).get("startedAt")


def operator_may(verb, resource, namespace, where=NAMESPACE):
    """`yes` or `no`: whether the operator of a release may do that in a namespace."""
    account = f"--as=system:serviceaccount:{where}:{OPERATOR}"
    return kubectl("auth", "can-i", verb, resource, account, "--namespace", namespace, check=False).strip()
