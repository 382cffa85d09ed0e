"""The cluster as a whole: how it comes up, gets images, and is broken."""

import functools
import os
import pathlib
import subprocess

from .shell import run

E2E = pathlib.Path(__file__).resolve().parents[2]
ROOT = E2E.parent
TOOL = E2E / "cluster/run"


def tool(*words, timeout=300, check=True):
    """A verb of e2e/cluster/run; see its README for all of them."""
    return run(TOOL, *words, timeout=timeout, check=check)


def up(nodes):
    # Builds Kubernetes the first time.
    tool("up", "--nodes", nodes, timeout=3600)


def down():
    tool("down")


@functools.cache
def environment():
    """Variables with which kubectl and helm mean this cluster."""
    folder = tool("tools", timeout=1800).strip()
    path = f"{folder}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "KUBECONFIG": tool("kubeconfig").strip()}


def kubectl(*words, timeout=60, check=True, stdin=None):
    words = ["kubectl", "--request-timeout=20s", *words]
    return run(*_found(words), timeout=timeout, check=check, stdin=stdin, environment=environment())


def kubectl_process(*words, **options):
    """kubectl in the background."""
    return subprocess.Popen(_found(["kubectl", *words]), stderr=subprocess.DEVNULL, env=environment(), **options)


def follow(*words, output):
    """kubectl in the background, until what it follows ends."""
    return kubectl_process(*words, stdout=output)


def helm(*words, timeout=120, check=True):
    return run(*_found(["helm", *words]), timeout=timeout, check=check, environment=environment())


def _found(words):
    """The program itself: its name would be looked up in the PATH of this process."""
    folder = environment()["PATH"].split(":")[0]
    return [f"{folder}/{words[0]}", *words[1:]]
