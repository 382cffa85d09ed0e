"""What clients saw: read while it comes, and judged at the end.

What is promised of messages is in the checker of crates/testkit alone. Here is only what a scenario has to know
meanwhile.
"""

import collections
import dataclasses
import functools
import json
import subprocess

from .cluster import ROOT
from .shell import Failure, run


# Broken promises in the text of a failure; the logs are kept, and the checker shows more.
SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a message is, and when that was said, in ms since 1970."""

    queue: str
    offset: int
    time_ms: int = dataclasses.field(compare=False)


class History:
    def __init__(self):
        self.acked = {}
        self.failed = {}
        self.got = collections.defaultdict(list)

    @classmethod
    def read(cls, lines, producer=""):
        """Of lines of the load programs; others, and a last line that is cut, are no events.

        Messages of other producers are none of it: several may use a topic.
        """
        history = cls()
        for line in lines:
            words = line.split()
            if len(words) < 3 or not words[1].startswith(producer):
                continue
            if words[:1] == ["acked"] and len(words) == 5:
                history.acked[words[1]] = Place(words[2], int(words[3]), int(words[4]))
            elif words[:1] == ["got"] and len(words) == 5:
                history.got[words[1]].append(Place(words[2], int(words[3]), int(words[4])))
            elif words[:1] == ["failed"] and len(words) >= 3:
                history.failed[words[1]] = (int(words[2]), " ".join(words[3:]))
        return history

    def awaited(self):
        """Keys that were acknowledged and were not received yet from where they are."""
        return [key for key, place in self.acked.items() if place not in self.got.get(key, ())]

    def refused(self):
        """Sends that failed once one had succeeded: before that, a client may still be looking for its way."""
        first = min((place.time_ms for place in self.acked.values()), default=0)
        return {key: why for key, (time_ms, why) in self.failed.items() if time_ms > first}


@functools.cache
def checker():
    """The program that judges, built if it has to be."""
    # Where it is called decides which toolchain it is.
    cargo = ["env", f"--chdir={ROOT}", "cargo", "build", "--locked"]
    words = ["--package=rocketkube-testkit", "--bin=check-history", "--message-format=json-render-diagnostics"]
    said = run(*cargo, *words, timeout=3600)
    # Where it is depends on variables and files of cargo's.
    [path] = [path for path in (json.loads(line).get("executable") for line in said.splitlines()) if path]
    return path


def judge(logs, others=()):
    """Fails unless these logs of one producer and one consumer group say what was promised; else says how much.

    Messages of other producers may be received too, if these are named.
    """
    words = [checker(), *(f"--other={name}" for name in others), *logs]
    result = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    if result.returncode not in (0, 1) or not result.stdout:
        raise Failure(f"what clients saw cannot be judged: {result.stderr.strip()}")
    verdict = json.loads(result.stdout)
    numbers = "{acknowledged} acknowledged, {failed} failed, {repeated} received again".format_map(verdict)
    numbers = f"{numbers}, longest gap {verdict['longest_gap_ms'] / 1000:.1f} s"
    if result.returncode == 1:
        raise Failure("\n".join([f"promises broken: {verdict['violations']}, with {numbers}", *verdict["shown"][:SHOWN]]))
    return numbers
