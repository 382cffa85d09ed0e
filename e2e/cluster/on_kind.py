"""The verbs of `run` for a cluster of `kind`: nodes are containers of Docker, and kind's own names are used
for them. What kind has no means for is refused by name, with the scenarios that need it."""

import json
import os
import pathlib
import re
import shutil
import subprocess

from local.settings import ADMIN_KUBECONFIG, HERE, HUB, MOST_NODES, NAME, STATE, node_names
from local.shell import ClusterError, run

# How each program is had, where it is missing.
PROGRAMS = {
    "docker": "apt-get install --no-install-recommends -y docker.io",
    "kind": "go install sigs.k8s.io/kind@v0.30.0",
    "kubectl": "snap install kubectl --classic",
    "helm": "go install helm.sh/helm/v3/cmd/helm@v3.18.6",
}
# Making images and the helper has nothing to do with a cluster.
SHARED = {"image", "helper"}
OWNED = f"label=io.x-k8s.kind.cluster={NAME}"
CREATE_SECONDS = 900
CASES = HERE.parent / "scenarios/cases"


def act(given):
    """What a verb does here."""
    if given.verb in SHARED:
        return given.act(given)
    if given.verb not in VERBS:
        raise ClusterError(f"kind has no `{given.verb}`{_needed_by(given.verb)}")
    return VERBS[given.verb](given)


def _needed_by(verb):
    """Says which scenarios use a verb, read from the scenarios themselves."""
    # By its name, or by the harness's class for it.
    used = re.compile(rf'tool\(\s*"{verb}"|\b{verb.capitalize()}\(')
    numbers = set()
    for file in sorted(CASES.glob("*.py")):
        # What stands in front of the first scenario of a file is used by all of them.
        head, *cases = re.split(r'^@scenario\(\s*"', file.read_text(), flags=re.M)
        numbers |= {case.partition('"')[0] for case in cases if used.search(head + case)}
    who = f"scenarios {', '.join(sorted(numbers))} need it" if numbers else "no scenario needs it"
    return f": {who}; PROVIDER=local has it"


def missing(_):
    print(*sorted(name for name in PROGRAMS if shutil.which(name) is None))


def check_machine(_=None):
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        lines = [f"  {name}: {PROGRAMS[name]}" for name in absent]
        raise ClusterError("\n".join([f"missing: {' '.join(absent)}; they are had with", *lines]))


# The cluster as a whole.


def up(given):
    if not 1 <= given.nodes <= MOST_NODES:
        raise ClusterError(f"{given.nodes} nodes: there can be 1 to {MOST_NODES}")
    check_machine()
    STATE.mkdir(parents=True, mode=0o700, exist_ok=True)
    if is_up():
        run(["kind", "export", "kubeconfig", "--name", NAME, "--kubeconfig", ADMIN_KUBECONFIG])
    else:
        words = ["kind", "create", "cluster", "--name", NAME, "--kubeconfig", ADMIN_KUBECONFIG]
        run([*words, "--config", "-"], timeout=CREATE_SECONDS, input=_config(given.nodes))
    _kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s", timeout=150)
    print(f"up: {ADMIN_KUBECONFIG}")


def _config(count):
    """JSON is YAML. Each node is a zone, as with the other provider."""
    zone = "topology.kubernetes.io/zone"
    workers = [{"role": "worker", "labels": {zone: f"z{at}"}} for at in range(1, count + 1)]
    nodes = [{"role": "control-plane"}, *workers]
    return json.dumps({"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": nodes})


def is_up():
    return NAME in run(["kind", "get", "clusters"]).stdout.split()


def expect_up():
    check_machine()
    if not ADMIN_KUBECONFIG.exists() or not is_up():
        raise ClusterError("the cluster is not up")


def down(_):
    check_machine()
    run(["kind", "delete", "cluster", "--name", NAME], timeout=300)
    shutil.rmtree(STATE, ignore_errors=True)


def containers(_=None):
    check_machine()
    shown = run(["docker", "ps", "--all", "--filter", OWNED, "--format", "{{.Names}} {{.Status}}"])
    return shown.stdout.splitlines()


def status(given):
    print(*(containers(given) or ["the cluster is not up"]), sep="\n")


def left(given):
    found = [*containers(given), *([str(STATE)] if STATE.exists() else [])]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


def kubeconfig(_):
    expect_up()
    print(ADMIN_KUBECONFIG)


def tools(_):
    """One folder for PATH, wherever the programs are."""
    check_machine()
    folder = STATE / "tools"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("kubectl", "helm"):
        link = folder / name
        link.unlink(missing_ok=True)
        # One that is found in this very folder would become a link to itself.
        path = os.pathsep.join(
            one for one in os.environ["PATH"].split(os.pathsep) if pathlib.Path(one) != folder
        )
        link.symlink_to(shutil.which(name, path=path))
    print(folder)


def kubectl(given):
    expect_up()
    os.execvp("kubectl", ["kubectl", "--kubeconfig", str(ADMIN_KUBECONFIG), *given.arguments])


def _kubectl(*words, timeout=60):
    return run(["kubectl", "--kubeconfig", ADMIN_KUBECONFIG, *words], timeout=timeout)


def load(given):
    expect_up()
    for archive in given.archive:
        run(["kind", "load", "image-archive", archive, "--name", NAME], timeout=600)


# Nodes and containers.


def _container_of(place):
    """The container that is a node, by our name for it or kind's, or the hub."""
    ours = {HUB: f"{NAME}-control-plane"}
    for at, name in enumerate(node_names(MOST_NODES), start=1):
        ours[name] = f"{NAME}-worker{'' if at == 1 else at}"
    container = ours.get(place, place)
    known = run(["kind", "get", "nodes", "--name", NAME]).stdout.split()
    if container not in known:
        raise ClusterError(f"there is no node {place}; there are: {', '.join(known)}")
    return container


def execute(given):
    expect_up()
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    if not command:
        raise ClusterError("no command is given")
    words = ["docker", "exec", "--interactive", _container_of(given.place), *command]
    code = subprocess.run(words, check=False).returncode
    if code in (126, 127):
        raise ClusterError(
            f"{command[0]} is not in the image of the node, and programs of this machine cannot be "
            f"run there{_needed_by('exec')}"
        )
    return code


def node(given):
    expect_up()
    name = _container_of(given.node)
    whole = {"crash": "kill", "boot": "start", "freeze": "pause", "thaw": "unpause"}
    if given.what in whole:
        run(["docker", whole[given.what], name])
        return
    # Taking the interface down would take its routes along.
    for table, chain, way in (("raw", "PREROUTING", "-i"), ("mangle", "POSTROUTING", "-o")):
        change = "-I" if given.what == "cut" else "-D"
        rule = ["-t", table, change, chain, way, "eth0", "-j", "DROP"]
        run(["docker", "exec", name, "iptables", "-w", *rule])


def container(given):
    expect_up()
    namespace, _, rest = given.container.partition("/")
    pod_name, _, wanted = rest.partition("/")
    if not pod_name:
        raise ClusterError(f"{given.container!r} is not NAMESPACE/POD or NAMESPACE/POD/CONTAINER")
    pod = json.loads(_kubectl("get", "pod", "-n", namespace, pod_name, "-o", "json").stdout)
    statuses = pod["status"].get("containerStatuses", [])
    ids = {one["name"]: one.get("containerID", "") for one in statuses}
    wanted = wanted or next(iter(ids), "")
    identity = ids.get(wanted, "").removeprefix("containerd://")
    if not identity:
        raise ClusterError(f"pod {pod_name} has no container {wanted!r}; it has: {', '.join(ids)}")
    task = {"kill": ["kill", "--signal", "SIGKILL"], "pause": ["pause"], "resume": ["resume"]}
    inside = ["ctr", "--namespace", "k8s.io", "task", *task[given.what], identity]
    run(["docker", "exec", pod["spec"]["nodeName"], *inside])


VERBS = {
    "build": check_machine,
    "packages": missing,
    "up": up,
    "down": down,
    "status": status,
    "left": left,
    "kubeconfig": kubeconfig,
    "tools": tools,
    "kubectl": kubectl,
    "exec": execute,
    "load": load,
    "node": node,
    "container": container,
}
