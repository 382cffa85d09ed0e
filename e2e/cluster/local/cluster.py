"""Bringing the whole up and down."""

import concurrent.futures
import json
import pathlib
import re
import shutil

from . import build, certificates, cgroups, control_plane, image
from . import node as nodes
from .control_plane import hub, kubectl
from .faults import PAUSE_ARCHIVE
from .settings import ADMIN_KUBECONFIG, MOST_NODES, NAME, PAUSE_IMAGE, STATE, node_names
from .shell import ClusterError, await_true, lock, run

LOCK_SECONDS = 300
READY_SECONDS = 60
# Written last: a cluster without it was not finished and is not worth repairing.
COMPLETE = STATE / "complete"


def alone():
    """Only one run at a time may change clusters. Locking an existing folder leaves no file."""
    if not re.fullmatch(r"[a-z0-9-]+", NAME):
        raise ClusterError(f"ROCKETKUBE_CLUSTER={NAME}: a name is made of a-z, 0-9 and -")
    if not STATE.parent.is_absolute() or not STATE.parent.is_dir():
        raise ClusterError(
            f"ROCKETKUBE_CLUSTER_DIR={STATE.parent}: give the absolute path of a folder"
        )
    if any(str(STATE.resolve()).startswith(own) for own in ("/run/", "/var/lib/", "/var/log/")):
        raise ClusterError(
            f"ROCKETKUBE_CLUSTER_DIR={STATE.parent}: nodes have folders of their own in its place"
        )
    return lock(STATE.parent, LOCK_SECONDS)


def up(count):
    if not 0 <= count <= MOST_NODES:
        raise ClusterError(f"{count} nodes: there can be 0 to {MOST_NODES}")
    build.check_machine()
    for needed in (build.components, build.helper, build.coredns):
        needed()
    with alone():
        fresh = not is_up()
        if fresh:
            _down()
            _create_hub()
        missing = [name for name in node_names(count) if nodes.node(name).first() is None]
        certificates.create(missing)
        _start(missing, fresh)
        _await_ready(sorted({*nodes.existing(), *missing}))
        COMPLETE.touch()


def is_up():
    return COMPLETE.exists() and hub.first() is not None


def expect_up():
    if not is_up():
        raise ClusterError("the cluster is not up")


def _create_hub():
    STATE.mkdir(parents=True, mode=0o700)
    certificates.create([])
    pause = build.helper()
    image.write(
        PAUSE_ARCHIVE, PAUSE_IMAGE, [("/pause", pause)], ["/pause", "pause"], user="65535:65535"
    )
    control_plane.create()


def _start(names, fresh):
    """Nodes get ready to join while the API server starts."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=MOST_NODES) as pool:
        preparations = [pool.submit(nodes.prepare, name, PAUSE_ARCHIVE) for name in names]
        if fresh:
            control_plane.start()
        for preparation in preparations:
            preparation.result()
        list(pool.map(nodes.join, names))


def _await_ready(names):
    def ready():
        hub.expect_running(*hub.processes())
        for name in names:
            one = nodes.node(name)
            one.expect_running(*one.processes())
        return set(names) <= ready_nodes()

    await_true(f"{', '.join(names)} are Ready", ready, READY_SECONDS)
    # Pods are refused in a namespace until the controllers have given it this account.
    account = ["get", "serviceaccount", "default", "--namespace=default"]
    await_true(
        "namespaces get their accounts",
        lambda: kubectl(*account, check=False).returncode == 0,
        timeout=30,
    )


def ready_nodes():
    listed = kubectl("get", "nodes", "-o", "json", check=False)
    if listed.returncode != 0:
        return set()
    return {
        item["metadata"]["name"]
        for item in json.loads(listed.stdout)["items"]
        for condition in item["status"].get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }


def down():
    """Ends the cluster and removes all that it made. Safe when there is none, or half of one."""
    with alone():
        _down()


def _down():
    cgroups.thaw_all()
    hub.destroy()
    # Everything of the cluster ended with the hub's first process; the groups know if not.
    await_true(
        "all processes of the cluster have ended", lambda: not cgroups.processes(), timeout=20
    )
    cgroups.remove()
    mounted = [
        line
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
        if f"{STATE}/" in line
    ]
    if mounted:
        raise ClusterError(
            f"something else is mounted below {STATE}; unmount it first:\n" + "\n".join(mounted)
        )
    if STATE.exists():
        shutil.rmtree(STATE)


def left_behind():
    """What of this cluster is still on the machine: nothing after `down`."""
    found = cgroups.left_behind()
    found += [f"process {process}" for process in cgroups.processes()]
    found += [str(STATE)] if STATE.exists() else []
    found += [
        line
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
        if f"{STATE}/" in line
    ]
    links = json.loads(run(["ip", "-json", "link"]).stdout)
    names = {control_plane.BRIDGE, *(nodes.cable_in_hub(name) for name in node_names(MOST_NODES))}
    found += [f"interface {link['ifname']}" for link in links if link.get("ifname") in names]
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (
                (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
        except OSError:
            continue  # it ended while we looked
        if f"{STATE}/" in command:
            found.append(f"process {folder.name}: {command[:100]}")
    return found


def load(archives):
    expect_up()
    running = [
        nodes.node(name) for name in nodes.existing() if nodes.node(name).first() is not None
    ]
    for archive in archives:
        if not pathlib.Path(archive).is_file():
            raise ClusterError(
                f"{archive} is no image archive, as `docker save` or `run image` writes it"
            )
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda one: [nodes.load(one, archive) for archive in archives], running))


def status():
    """Lines for a person; the first word of each is stable."""
    if not STATE.exists():
        return [f"{NAME} is down"]
    ready = ready_nodes() if ADMIN_KUBECONFIG.exists() and hub.first() is not None else set()
    lines = [f"{NAME} is {'up' if is_up() else 'incomplete'}"]
    for one in [hub, *(nodes.node(name) for name in nodes.existing())]:
        if one.first() is None:
            lines.append(f"{one.name} does not run")
            continue
        note = "" if one is hub else " Ready" if one.name in ready else " not Ready"
        running = one.running()
        states = [name if name in running else f"{name} (ended)" for name in one.processes()]
        lines.append(f"{one.name}{note}: {', '.join(states)}")
    return lines
