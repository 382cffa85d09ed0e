"""What there is of a namespace, in a form in which two namespaces with the same history are equal."""

import re

KINDS = (
    "brokersets.mq.rocketkube.dev", "topics.mq.rocketkube.dev", "consumergroups.mq.rocketkube.dev",
    "statefulsets", "deployments", "services", "configmaps", "serviceaccounts", "endpointslices",
    "poddisruptionbudgets", "networkpolicies", "roles", "rolebindings", "persistentvolumeclaims", "pods",
)
OURS = "mq.rocketkube.dev/v1alpha1"
# Counters and marks of the API server, and what `kubectl apply` remembers.
DROPPED = {
    "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "observedGeneration",
    "kubectl.kubernetes.io/last-applied-configuration", "controller-revision-hash",
}
# Hashes of texts with addresses; a revision is one of a template that has these.
HASHES = {"mq.rocketkube.dev/rendered", "mq.rocketkube.dev/roll", "mq.rocketkube.dev/settings", "revision"}
WORDS = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
    (r"\d+-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\b\d+\.\d+\.\d+\.\d+\b", "ADDRESS"),
    (r"\bnode\d\b", "NODE"),
    (r"^z\d$", "ZONE"),
)


def state(namespace):
    """Objects by kind and name."""
    found = {}
    for kind in KINDS:
        for one in namespace.list(kind):
            metadata = one["metadata"]
            # Of controllers: their names are random.
            if "generateName" in metadata and "ownerReferences" in metadata and kind in ("pods", "endpointslices"):
                if not metadata["name"].endswith("-0"):
                    continue
            # How far Kubernetes is with a child is its own affair; that of a pod is in the BrokerSet.
            if one.get("apiVersion") != OURS:
                one.pop("status", None)
            if kind == "pods":
                one = {"metadata": {key: metadata[key] for key in ("name", "labels", "annotations")}}
            found[f"{kind}/{metadata['name']}"] = plain(one, namespace.name)
    return found


def plain(value, namespace):
    if isinstance(value, dict):
        return {
            key: "HASH" if key in HASHES else plain(inner, namespace)
            for key, inner in value.items() if key not in DROPPED
        }
    if isinstance(value, list):
        return [plain(inner, namespace) for inner in value]
    if isinstance(value, str):
        for pattern, word in WORDS:
            value = re.sub(pattern, word, value)
        return re.sub(rf"(?<![\w-]){re.escape(namespace)}(?![\w-])", "NAMESPACE", value)
    return value


def differences(expected, seen, path=""):
    """Places in which two states differ, with both values."""
    if isinstance(expected, dict) and isinstance(seen, dict):
        keys = sorted({*expected, *seen})
        return [one for key in keys for one in differences(expected.get(key), seen.get(key), f"{path}.{key}")]
    return [] if expected == seen else [f"{path}: {expected!r} without kills, {seen!r} with"]
