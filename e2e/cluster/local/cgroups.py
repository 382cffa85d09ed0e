"""One group of processes per set: containers of two nodes stay apart, and a node can be frozen.

Every name below is a folder in each mounted hierarchy: NAME/hub/system and NAME/nodeN/system hold a
set's own processes, NAME/nodeN/kubepods is the kubelet's.
"""

import os
import pathlib
import time

from .settings import NAME
from .shell import ClusterError, await_true


def hierarchies():
    """The mount point of each hierarchy: many with cgroup v1, a single one with v2."""
    found = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        words, kind = line.split(" - ")
        if kind.split()[0] in ("cgroup", "cgroup2"):
            found.append(pathlib.Path(words.split()[4]))
    if not found:
        raise ClusterError("no cgroup hierarchy is mounted")
    return sorted(set(found))


def freezer():
    """The hierarchy that freezes and knows all processes of a set."""
    mounts = hierarchies()
    for mount in mounts:
        if mount.name == "freezer":
            return mount
    if len(mounts) > 1:
        raise ClusterError("cgroup v1 without its freezer hierarchy")
    return mounts[0]


def create(group):
    for mount in hierarchies():
        folder = mount
        for part in (NAME, group, "system"):
            _delegate(folder)
            folder = folder / part
            folder.mkdir(exist_ok=True)
            _copy_cpuset(folder)


def _delegate(folder):
    """With cgroup v2 a folder has the controllers that its parent hands down."""
    control = folder / "cgroup.subtree_control"
    offered = folder / "cgroup.controllers"
    if control.exists() and offered.read_text().strip():
        control.write_text(" ".join(f"+{name}" for name in offered.read_text().split()))


def _copy_cpuset(folder):
    """A new cpuset of cgroup v1 is empty, and nothing can run in an empty one."""
    if not (folder / "cpuset.sched_load_balance").exists():
        return  # another hierarchy, or v2, where an empty one means its parent's
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not (folder / name).read_text().strip():
            (folder / name).write_text((folder.parent / name).read_text())


def own_processes_file(group):
    return freezer() / NAME / group / "system" / "cgroup.procs"


def processes(group=""):
    """Process ids of everything in the group and below it."""
    found = []
    for folder, _, files in os.walk(freezer() / NAME / group):
        if "cgroup.procs" in files:
            found += pathlib.Path(folder, "cgroup.procs").read_text().split()
    return [int(process) for process in found]


def freeze(group, frozen):
    folder = freezer() / NAME / group
    if (folder / "freezer.state").exists():
        state, wanted = folder / "freezer.state", "FROZEN" if frozen else "THAWED"
        state.write_text(wanted)
        await_true(f"{group} is {wanted}", lambda: state.read_text().strip() == wanted, timeout=10)
    elif (folder / "cgroup.freeze").exists():
        (folder / "cgroup.freeze").write_text("1" if frozen else "0")
        wanted = f"frozen {int(frozen)}"
        await_true(
            f"{group} is {wanted}",
            lambda: wanted in (folder / "cgroup.events").read_text(),
            timeout=10,
        )


def thaw_all():
    """A frozen process of cgroup v1 does not even take SIGKILL."""
    for folder, _, _ in os.walk(freezer() / NAME):
        freeze(pathlib.Path(folder).relative_to(freezer() / NAME), frozen=False)


def remove(group=""):
    """Removes the group's folders, deepest first; the kernel refuses while a process is in one."""
    deadline = time.monotonic() + 10
    for mount in hierarchies():
        for folder, _, _ in os.walk(mount / NAME / group, topdown=False):
            _remove_folder(folder, deadline)


def _remove_folder(folder, deadline):
    while True:
        try:
            os.rmdir(folder)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            # A group whose last process just ended stays busy for a moment.
            if time.monotonic() > deadline:
                raise ClusterError(f"cannot remove {folder}: {error.strerror}") from error
            time.sleep(0.05)


def left_behind():
    return [str(mount / NAME) for mount in hierarchies() if (mount / NAME).exists()]
