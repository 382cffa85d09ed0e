"""Running other programs: with a deadline, and with an error that says what failed and why."""

import contextlib
import fcntl
import os
import subprocess
import time

POLL_SECONDS = 0.05


class ClusterError(Exception):
    """What a person has to read; its text is the whole message."""


def run(argv, timeout=30, check=True, **options):
    """Runs a program to its end and returns its result, with standard output and error as text."""
    argv = [str(word) for word in argv]
    shown = " ".join(argv[:12])
    try:
        result = subprocess.run(
            argv, timeout=timeout, capture_output=True, text=True, errors="replace", **options
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"no end after {timeout} s: {shown}") from error
    if check and result.returncode != 0:
        reason = (result.stderr.strip() or result.stdout.strip())[-2000:]
        raise ClusterError(f"exit status {result.returncode}: {shown}\n{reason}")
    return result


def await_true(claim, predicate, timeout):
    """Polls until predicate() is true; claim says what was waited for."""
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            raise ClusterError(f"not so after {timeout} s: {claim}")
        time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def lock(path, timeout):
    """Holds a lock on an existing file or folder; it ends with the process at the latest."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    deadline = time.monotonic() + timeout
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ClusterError(
                        f"another run holds {path} for more than {timeout} s"
                    ) from None
                time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def tail(path, lines=15):
    try:
        return "".join(path.read_text(errors="replace").splitlines(keepends=True)[-lines:])
    except FileNotFoundError:
        return ""
