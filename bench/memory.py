"""Gives the machine the full page cache that a broker in production has."""

import pathlib
import sys
import time

CHUNK = 1 << 24
# What stays free, so that filling does not itself push anything out.
KEEP_FREE = 3 << 30
# Some hosts take memory back as fast as it is filled.
PATIENCE_SECONDS = 20


def free_bytes():
    lines = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8").split("\n")
    fields = dict(line.split(":") for line in lines if line)
    return int(fields["MemFree"].split()[0]) * 1024


def fill_page_cache(directory):
    """Reads holes of a sparse file until little memory is free.

    A virtual machine may have given memory that is free back to its host. The first write to each
    such page then waits for the host, which takes longer than all the rest of a message, and a broker
    that writes more is punished more. Pages of holes are clean: they are taken away as soon as
    somebody needs them.
    """
    path = pathlib.Path(directory) / "holes"
    with open(path, "ab") as holes:
        holes.truncate(1 << 40)
    buffer = bytearray(CHUNK)
    begin = time.monotonic()
    with open(path, "rb", buffering=0) as holes:
        # Where an earlier call ended does not matter: what is still cached costs almost nothing.
        while free_bytes() > KEEP_FREE and holes.readinto(buffer):
            if time.monotonic() - begin > PATIENCE_SECONDS:
                free = free_bytes() / 2**30
                print(f"  the page cache is not full, {free:.0f} GiB are free", file=sys.stderr)
                break
