"""Starts and stops the two brokers that are compared, each as its users start it.

Both listen on loopback only, on ports that were free a moment ago, with asynchronous flush and a
fresh data directory. Knows nothing of load.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from probe import await_send

ROOT = pathlib.Path(__file__).resolve().parent.parent
APACHE = ROOT / "e2e" / "apache"
STOP_SECONDS = 30
START_SECONDS = 90


def rkctl_binary(given):
    """The binary to measure: the given one, or a release build of this tree."""
    if given:
        return pathlib.Path(given).resolve()
    subprocess.run(["cargo", "build", "--release", "-p", "rkctl"], cwd=ROOT, check=True)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "rkctl"


def port_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# Both are set up before either listens, so each has offsets of its own. The highest port stays below
# those that Linux gives to outgoing connections.
OUR_OFFSETS = range(16_000, 21_800, 100)
THEIR_OFFSETS = range(10_000, 16_000, 100)


def free_offset(ports, offsets):
    """The first offset at which every port of `ports` is free."""
    for offset in offsets:
        if all(port_is_free(port + offset) for port in ports):
            return offset
    raise SystemExit("no free ports: is another comparison running?")


def stop(process, how=signal.SIGTERM):
    """Ends one process; a stop that hangs is an error, not a reason to wait for ever."""
    process.send_signal(how)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise SystemExit(f"process {process.pid} did not stop within {STOP_SECONDS} s") from None


class RocketKube:
    """`rkctl dev`: name server and broker in one process."""

    name = "RocketKube"

    def __init__(self, rkctl, directory):
        self.rkctl = rkctl
        self.data = pathlib.Path(directory) / "rocketkube"
        self.log = pathlib.Path(directory) / "rocketkube.log"
        self.offset = free_offset([9876, 10911, 10909, 8080], OUR_OFFSETS)
        self.broker = f"127.0.0.1:{10911 + self.offset}"
        self.process = None

    def start(self, fresh=True):
        """Returns the seconds from exec to the first accepted send."""
        if fresh:
            shutil.rmtree(self.data, ignore_errors=True)
        command = [self.rkctl, "dev", "--data-dir", self.data, "--flush", "async"]
        command += ["--port-offset", str(self.offset)]
        with open(self.log, "ab") as log:
            begin = time.monotonic()
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        return await_send(self.broker, begin, START_SECONDS, self.process)

    def stop(self, how=signal.SIGTERM):
        if self.process:
            stop(self.process, how)
            self.process = None

    @property
    def pid(self):
        return self.process.pid


class Apache:
    """Apache's broker as `e2e/apache/up` starts it; its name server stays up meanwhile."""

    name = "Apache"

    def __init__(self, directory, heap):
        self.directory = pathlib.Path(directory) / "apache"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.offset = free_offset([9876, 10909, 10911, 10912], THEIR_OFFSETS)
        self.broker = f"127.0.0.1:{10911 + self.offset}"
        self.heap = heap
        self.command = None
        self.process = None
        self.pid = None

    def up(self):
        """Starts both servers by the repository's script and learns the broker's command line."""
        subprocess.run(
            [APACHE / "up", "--namesrv-port", str(9876 + self.offset), "--broker-port",
             str(10911 + self.offset), "--dir", self.directory, "--heap", self.heap],
            check=True, stdout=subprocess.DEVNULL)
        self.pid = int((self.directory / "broker.pid").read_text())
        arguments = pathlib.Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")
        self.command = [argument.decode() for argument in arguments if argument]

    def start(self):
        """Starts the broker again with an empty store; seconds from exec to the first send."""
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.directory / "store", ignore_errors=True)
        environment = {**os.environ, "ROCKETMQ_HOME": str(self.directory / "home")}
        with open(self.directory / "broker.out", "ab") as log:
            begin = time.monotonic()
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=environment)
        self.pid = self.process.pid
        (self.directory / "broker.pid").write_text(f"{self.pid}\n")
        return await_send(self.broker, begin, START_SECONDS, self.process)

    def stop(self, how=signal.SIGTERM):
        if self.process:
            stop(self.process, how)
            self.process = None
        elif self.pid:
            # Started by the script, so not a child: only the kernel knows when it has ended.
            os.kill(self.pid, how)
            deadline = time.monotonic() + STOP_SECONDS
            while is_running(self.pid):
                if time.monotonic() > deadline:
                    raise SystemExit(f"Apache's broker ({self.pid}) does not stop")
                time.sleep(0.05)
        self.pid = None

    def down(self):
        self.stop()
        subprocess.run([APACHE / "down", "--dir", self.directory], check=False)


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except FileNotFoundError:
        return False


def rss_anon_mib(pid):
    """Resident anonymous memory: no page cache, no mapped files."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) / 1024
