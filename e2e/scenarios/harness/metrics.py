"""What pods tell of themselves."""

from .shell import Failure


def scrape(namespace, pod):
    """All metrics of a pod: value by name with labels."""
    path = f"/api/v1/namespaces/{namespace.name}/pods/{pod}:8080/proxy/metrics"
    values = {}
    for line in namespace.kubectl("get", "--raw", path).splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            values[name] = float(value)
    return values


def value(namespace, pod, name):
    """The only value of a metric, whatever its labels."""
    found = [value for key, value in scrape(namespace, pod).items() if key.partition("{")[0] == name]
    if len(found) != 1:
        raise Failure(f"pod {pod} has {len(found)} values of {name}")
    return found[0]


def memory_mib(namespace, pod):
    """Memory that is no file's: what is left of a file in memory is the kernel's to drop."""
    return value(namespace, pod, "mq_process_anonymous_memory_bytes") / 2**20
