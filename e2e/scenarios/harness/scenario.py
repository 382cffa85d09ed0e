"""Scenarios: their names, their run, and what is kept of one that failed."""

import dataclasses
import pathlib
import shutil
import time
import traceback

from .cluster import kubectl
from .namespace import KINDS, Namespace
from .shell import Failure

SCENARIOS = []


@dataclasses.dataclass(frozen=True)
class Scenario:
    number: str
    sentence: str
    act: callable


def scenario(number, sentence):
    """Marks a function as a scenario. It is given a Run, and fails by an exception."""

    def mark(act):
        SCENARIOS.append(Scenario(number, sentence, act))
        return act

    return mark


class Run:
    """One scenario under way: its namespaces, and what it measured."""

    def __init__(self, number, started):
        self.number, self.helm_started = number, started
        self.namespaces, self.measured = [], []
        self.namespace = self.another()

    def another(self, suffix=""):
        """A namespace more; the first is there from the start."""
        namespace = Namespace(f"{self.number.lower().replace('+', '-')}{suffix}")
        namespace.create()
        self.namespaces.append(namespace)
        return namespace

    def measure(self, what, value, most=None, unit="s"):
        """Notes a number; one that is too large fails the scenario."""
        self.measured.append(f"{what} {value:.1f} {unit}")
        if most is not None and value > most:
            raise Failure(f"{what}: {value:.1f} {unit}, and {most} {unit} are allowed")

    def note(self, what):
        self.measured.append(str(what))


def execute(one, started, folder, keep):
    """Runs a scenario, prints how it ended, and returns whether it passed."""
    begin, error = time.monotonic(), None
    run = None
    try:
        run = Run(one.number, started)
        one.act(run)
    except Failure as failure:
        error = str(failure)
    except Exception:  # noqa: BLE001: the others have to run
        error = traceback.format_exc()
    seconds = time.monotonic() - begin
    print(f"{'FAIL' if error else 'ok'}  {one.number}  {seconds:6.1f} s  {one.sentence}", flush=True)
    for line in run.measured if run else []:
        print(f"      {line}", flush=True)
    if error:
        print("\n".join(f"      {line}" for line in error.splitlines()), flush=True)
        keep_evidence(run, pathlib.Path(folder) / one.number)
    if run and not (keep and error):
        for namespace in run.namespaces:
            kubectl("delete", "namespace", namespace.name, "--wait=false", check=False)
    return error is None


def keep_evidence(run, folder):
    """Writes what the namespaces of a scenario look like, and what their pods said."""
    shutil.rmtree(folder, ignore_errors=True)
    for namespace in run.namespaces if run else []:
        place = folder / namespace.name
        place.mkdir(parents=True, exist_ok=True)
        kinds = ",".join(["all", "configmaps", "endpointslices", "pvc", "events", *KINDS.values()])
        (place / "objects.yaml").write_text(namespace.kubectl("get", kinds, "-o", "yaml", check=False))
        (place / "events.txt").write_text(
            namespace.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)
        )
        for pod in namespace.kubectl("get", "pods", "-o", "name", check=False).split():
            name = pod.removeprefix("pod/")
            for suffix, words in (("", []), (".previous", ["--previous"])):
                text = namespace.kubectl("logs", name, *words, check=False)
                (place / f"{name}{suffix}.log").write_text(text)
        for name, said in namespace.said.items():
            shutil.copy(said.name, place / f"{name}.log")
    print(f"      evidence: {folder}", flush=True)
