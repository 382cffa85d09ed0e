"""Kills the operator that acts, again and again."""

import random
import threading
import time

from . import cluster, release
from .shell import until


class Killer(threading.Thread):
    """So many kills at random moments, in the background; for `with`, which waits for the last.

    In place, and with its pod so that it is not started again, a process is given no chance to say anything.
    By deletion it has two seconds, and lets the next one go on at once.
    """

    def __init__(self, kills, seed):
        super().__init__(daemon=True)
        self.kills, self.random = kills, random.Random(seed)
        self.failure, self.stopped = None, False
        self.longest, self.ways = 0.0, {"in place": 0, "with its pod": 0, "by deletion": 0}

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.stopped = kind is not None
        self.join()
        if self.failure and kind is None:
            raise self.failure

    def run(self):
        try:
            for _ in range(self.kills):
                if self.stopped:
                    return
                time.sleep(self.random.uniform(0.1, 4))
                self.longest = max(self.longest, self.kill())
        except Exception as failure:  # noqa: BLE001: it belongs to whoever started this
            self.failure = failure

    def kill(self):
        """Kills once, and returns the seconds until one acts again."""
        name = release.leader()
        restarts = release.restarts()[name]
        # The kubelet would wait longer each time.
        way = self.random.choice(["with its pod", "by deletion", "by deletion"]) if restarts else "in place"
        self.ways[way] += 1
        if way != "by deletion":
            cluster.tool("container", f"{release.NAMESPACE}/{name}", "kill")
        before = release.renewed()
        if way == "in place":
            # The Lease is still its own.
            return until(60, "it runs again", lambda: release.restarts().get(name) > restarts)[1]
        release.delete(name)
        # The Lease may still be renewed or given back by one whose pod is gone already.
        acts = lambda: release.renewed() != before and release.leader() in release.operator_pods()  # noqa: E731
        return until(60, "an operator acts", acts)[1]

    def __str__(self):
        ways = ", ".join(f"{count} {way}" for way, count in self.ways.items())
        return f"{ways}; an operator acted again after {self.longest:.1f} s at most"
