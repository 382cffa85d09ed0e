"""Runs the load tool once and says how much others used the machine meanwhile."""

import json
import os
import pathlib
import subprocess

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
CPUS = os.cpu_count()


def busy_ticks():
    """CPU time of the whole machine that was not idle, and the part that was stolen from it."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    user, nice, system, _idle, _wait, irq, softirq, steal = fields
    return user + nice + system + irq + softirq, steal


def process_ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def run_load(rkctl, arguments, watched_pids=()):
    """One run of `rkctl bench`. Adds `outsiders`: cores used by neither tool nor brokers."""
    command = [rkctl, "bench", *map(str, arguments), "-o", "json"]
    before, steal_before = busy_ticks()
    watched = sum(process_ticks(pid) for pid in watched_pids)
    children = os.times()
    begin = os.times().elapsed
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = os.times().elapsed - begin
    ours = os.times()
    own = (ours.children_user + ours.children_system
           - children.children_user - children.children_system) * TICKS_PER_SECOND
    own += sum(process_ticks(pid) for pid in watched_pids) - watched
    after, steal_after = busy_ticks()
    if not done.stdout.strip():
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    report = json.loads(done.stdout)
    report["outsiders"] = max(0.0, (after - before - own) / TICKS_PER_SECOND / seconds / CPUS)
    report["steal"] = (steal_after - steal_before) / TICKS_PER_SECOND / seconds / CPUS
    # A run with errors counts, but never silently.
    report["complaint"] = done.stderr.strip() if done.returncode else ""
    return report
