"""What clients saw, and whether it is what was promised.

Promised: every acknowledged message is received. A message may be received more than once, and one whose send
failed may be received too: the answer may be what was lost.
"""

import collections
import dataclasses

from .shell import Failure, expect


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a message is, and when that was said, in ms since 1970."""

    queue: str
    offset: int
    time_ms: int


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

    def lost(self):
        return [key for key in self.acked if key not in self.got]

    def invented(self):
        return [key for key in self.got if key not in self.acked and key not in self.failed]

    def moved(self):
        """Keys that were received from elsewhere than where they were acknowledged."""
        def elsewhere(key, place):
            return all((one.queue, one.offset) != (place.queue, place.offset) for one in self.got[key])

        return [key for key, place in self.acked.items() if key in self.got and elsewhere(key, place)]

    def refused(self):
        """Sends that failed once one had succeeded: before that, a client may still be looking for its way."""
        first = min((place.time_ms for place in self.acked.values()), default=0)
        return {key: why for key, (time_ms, why) in self.failed.items() if time_ms > first}

    def repeated(self):
        return sum(len(places) - 1 for places in self.got.values())

    def longest_gap(self):
        """The longest time without an acknowledged send, in seconds."""
        times = sorted(place.time_ms for place in self.acked.values())
        return max((b - a for a, b in zip(times, times[1:])), default=0) / 1000

    def check(self, most_repeated=None):
        expect(self.acked, "no message was acknowledged")
        for claim, keys in (
            ("acknowledged and never received", self.lost()),
            ("received and never sent", self.invented()),
            ("acknowledged at one place and received from another", self.moved()),
        ):
            if keys:
                raise Failure(f"{len(keys)} messages were {claim}: {', '.join(keys[:10])}")
        if most_repeated is not None:
            repeated = self.repeated()
            expect(repeated <= most_repeated, f"{repeated} messages were received again")

    def __str__(self):
        return (
            f"{len(self.acked)} acknowledged, {len(self.failed)} failed, {self.repeated()} received again, "
            f"longest gap {self.longest_gap():.1f} s"
        )
