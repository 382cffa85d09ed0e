"""Sets of namespaces: the hub, which holds the control plane, and inside it one set per node.

A set lives as long as its first process. The kernel ends everything in the set, and in the sets
inside it, with that process: processes, mounts, interfaces, firewall rules. So the host only has to
remember one process of each set, and only those are ever killed from outside.
"""

import json
import os
import pathlib
import signal
import subprocess
import time

from . import cgroups
from .settings import STATE
from .shell import ClusterError, await_true, run, tail


class Set:
    """One set of namespaces, running or not."""

    def __init__(self, name, outer=None):
        self.name = name
        self.outer = outer
        self.folder = STATE / name

    # The first process.

    def create(self, first):
        """Starts the set with `first`, a path and its arguments, as its first process."""
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        cgroups.create(self.name)
        command = [
            *self._place_in_group(cgroups.own_processes_file(self.name)),
            *self._from_outer(),
            "unshare",
        ]
        command += [
            "--fork",
            "--kill-child",
            "--pid",
            "--mount",
            "--net",
            "--uts",
            "--ipc",
            "--mount-proc",
        ]
        command += ["--propagation", "private", "--", *map(str, first)]
        with open(self.folder / "logs/set.log", "ab") as log:
            launcher = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment(),
            )
        process = self._await_first(launcher, os.path.realpath(first[0]))
        record = {"process": process, "started": started(process)}
        (self.folder / "first.json").write_text(json.dumps(record))

    def _await_first(self, launcher, program):
        """The launcher's youngest descendant, once it has its mounts and has become the program."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if launcher.poll() is not None:
                raise ClusterError(
                    f"{self.name} did not start:\n{tail(self.folder / 'logs/set.log')}"
                )
            process = youngest(launcher.pid)
            if executable(process) == program:
                return process
            time.sleep(0.01)
        launcher.kill()
        raise ClusterError(
            f"{self.name} did not start within 10 s:\n{tail(self.folder / 'logs/set.log')}"
        )

    def first(self):
        """The first process's id; None if the set does not run. Ids are reused, start times not."""
        try:
            record = json.loads((self.folder / "first.json").read_text())
        except FileNotFoundError:
            return None
        return record["process"] if started(record["process"]) == record["started"] else None

    def destroy(self):
        """Ends the set with everything in it."""
        process = self.first()
        if process is not None:
            os.kill(process, signal.SIGKILL)
            await_true(f"{self.name} has ended", lambda: self.first() is None, timeout=20)
        (self.folder / "first.json").unlink(missing_ok=True)

    # Inside.

    def _from_outer(self):
        return self.outer.enter() if self.outer else []

    @staticmethod
    def _place_in_group(file):
        return ["sh", "-c", f'echo $$ >"{file}" && exec "$@"', "sh"]

    def enter(self):
        """The words that put a command inside the set."""
        process = self.first()
        if process is None:
            raise ClusterError(f"{self.name} is not running")
        return ["nsenter", "-t", str(process), "-a", "--"]

    def run(self, argv, **options):
        return run([*self.enter(), *argv], **options)

    def script(self, text, **options):
        """Runs a shell script inside; it ends at the first command that fails."""
        return self.run(["sh", "-ec", text], **options)

    # Processes that stay.

    def start(self, name, argv, inherited=()):
        """Starts a process that outlives this one, and remembers how, so that `start_again` can."""
        argv = [str(word) for word in argv]
        (self.folder / f"{name}.command").write_text(json.dumps(argv))
        log, group = self.folder / f"logs/{name}.log", cgroups.own_processes_file(self.name)
        # The shell ends at once, so that the process becomes a child of the set's first one. Its id
        # is kept inside the set and in its numbering: it cannot outlive the set.
        script = (
            f'echo $$ >"{group}"\nmkdir -p /run/processes\nexec </dev/null >>"{log}" 2>&1\n'
            f'setsid "$@" & echo $! >/run/processes/{name}'
        )
        run(
            [*self.enter(), "sh", "-ec", script, "sh", *argv], pass_fds=inherited, env=environment()
        )

    def start_again(self, name):
        if self.is_running(name):
            return
        try:
            argv = json.loads((self.folder / f"{name}.command").read_text())
        except FileNotFoundError:
            raise ClusterError(
                f"{self.name} has no process {name}; it has: {', '.join(self.processes())}"
            ) from None
        self.start(name, argv)

    def processes(self):
        return sorted(path.stem for path in self.folder.glob("*.command"))

    def signal(self, name, sign):
        """Sends a signal such as KILL to a process that `start` started; False if it has ended."""
        script = f"read -r id </run/processes/{name} && [ -e /proc/$id/exe ] && kill -{sign} $id"
        return self.run(["sh", "-c", script], check=False).returncode == 0

    def running(self):
        """Names of the processes that `start` started and that have not ended."""
        script = """for file in /run/processes/*; do
            read -r id <"$file" && [ -e /proc/$id/exe ] && echo "${file##*/}"
        done; true"""
        return set(self.run(["sh", "-c", script]).stdout.split())

    def is_running(self, name):
        return name in self.running()

    def stop(self, name, sign="TERM", timeout=15):
        if name not in self.processes():
            raise ClusterError(
                f"{self.name} has no process {name}; it has: {', '.join(self.processes())}"
            )
        if not self.signal(name, sign):
            return
        try:
            await_true("ended", lambda: not self.is_running(name), timeout)
        except ClusterError:
            self.signal(name, "KILL")
            await_true(
                f"{name} of {self.name} has ended", lambda: not self.is_running(name), timeout=5
            )

    def expect_running(self, *names):
        """Fails with the end of its log if one of these processes has ended."""
        for name in set(names) - self.running():
            raise ClusterError(
                f"{name} of {self.name} ended:\n{tail(self.folder / f'logs/{name}.log')}"
            )


def environment():
    """For what stays: a proxy or a secret of whoever calls is no setting of the cluster."""
    return {"PATH": os.environ["PATH"], "HOME": "/root"}


def started(process):
    """When the process started, in clock ticks since boot; None if there is no such process."""
    try:
        fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # A zombie has ended: only its parent has not noticed.
    return None if fields[0] == "Z" else int(fields[19])


def youngest(process):
    """Follows children down to the last; a launcher has one child at a time."""
    while True:
        try:
            children = pathlib.Path(f"/proc/{process}/task/{process}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            return process
        if not children:
            return process
        process = int(children[-1])


def executable(process):
    try:
        return os.readlink(f"/proc/{process}/exe")
    except OSError:
        return None
