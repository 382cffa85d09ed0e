"""Running other programs, and waiting for what they say."""

import subprocess
import time

POLL_SECONDS = 0.2


class Failure(Exception):
    """Why a scenario failed; its text is for people."""


def run(*argv, timeout=60, check=True, stdin=None, environment=None):
    """Runs a program to its end and returns what it said on standard output."""
    argv = [str(word) for word in argv]
    shown = " ".join(argv[-12:])
    try:
        result = subprocess.run(
            argv, input=stdin, env=environment, timeout=timeout, capture_output=True, text=True,
            errors="replace", check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Failure(f"no end after {timeout} s: {shown}") from error
    if check and result.returncode != 0:
        said = (result.stderr.strip() or result.stdout.strip())[-3000:]
        raise Failure(f"exit status {result.returncode}: {shown}\n{said}")
    return result.stdout


def until(seconds, claim, ask):
    """Asks until the answer is true, and returns it with the seconds that took.

    `ask` may fail meanwhile; its last failure is told if the time is over.
    """
    start, last = time.monotonic(), "no answer yet"
    while True:
        try:
            answer = ask()
            if answer:
                return answer, time.monotonic() - start
            last = f"the answer was {answer!r}"
        except Failure as failure:
            last = str(failure)
        if time.monotonic() - start > seconds:
            raise Failure(f"not within {seconds} s: {claim}\n{last}")
        time.sleep(POLL_SECONDS)


def holds(seconds, claim, ask):
    """Fails if the answer becomes untrue within these seconds."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if not ask():
            raise Failure(f"no longer true after {time.monotonic() - start:.1f} s: {claim}")
        time.sleep(POLL_SECONDS)


def expect(condition, claim):
    if not condition:
        raise Failure(claim)


def equal(what, expected, seen):
    expect(expected == seen, f"{what}: expected {expected!r}, saw {seen!r}")
