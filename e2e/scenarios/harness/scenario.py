"""Scenarios: their names, their run, and what is kept of one that failed."""

import concurrent.futures
import dataclasses
import pathlib
import shutil
import time
import traceback

from .cluster import kubectl
from .namespace import KINDS, Namespace
from .shell import Failure

SCENARIOS = []
# Of the release that all share.
OPERATOR_NAMESPACE = "rocketkube"


@dataclasses.dataclass(frozen=True)
class Scenario:
    number: str
    sentence: str
    act: callable
    alone: bool


def scenario(number, sentence, alone=False):
    """Marks a function as a scenario. It is given a Run, and fails by an exception.

    One that looks at, or changes, what all have in common has to run alone: the operator above all.
    """

    def mark(act):
        SCENARIOS.append(Scenario(number, sentence, act, alone))
        return act

    return mark


class Run:
    """One scenario under way: its namespaces, and what it measured."""

    def __init__(self, number):
        self.number, self.namespaces, self.measured = number, [], []
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


def execute_all(chosen, lanes, *settings):
    """Runs scenarios in order, neighbours beside each other as far as they allow; whether each passed."""
    results = []
    while chosen:
        count = next((at for at, one in enumerate(chosen) if one.alone), len(chosen)) or 1
        together, chosen = chosen[:count], chosen[count:]
        with concurrent.futures.ThreadPoolExecutor(lanes) as pool:
            results += pool.map(lambda one: execute(one, *settings), together)
    return results


def execute(one, folder, keep):
    """Runs a scenario, prints how it ended, and returns whether it passed."""
    begin, error = time.monotonic(), None
    run = None
    try:
        run = Run(one.number)
        one.act(run)
    except Failure as failure:
        error = str(failure)
    except Exception:  # noqa: BLE001: the others have to run
        error = traceback.format_exc()
    seconds = time.monotonic() - begin
    said = [f"{'FAIL' if error else 'ok'}  {one.number}  {seconds:6.1f} s  {one.sentence}"]
    said += [f"      {line}" for line in [*(run.measured if run else []), *(error or "").splitlines()]]
    # At once: another may be running.
    print("\n".join(said), flush=True)
    if error:
        keep_evidence(run, pathlib.Path(folder) / one.number)
    if run and not (keep and error):
        for namespace in run.namespaces:
            kubectl("delete", "namespace", namespace.name, "--wait=false", check=False)
    return error is None


def keep_evidence(run, folder):
    """Writes what the namespaces of a scenario look like, and what their pods said."""
    shutil.rmtree(folder, ignore_errors=True)
    operator = [Namespace(OPERATOR_NAMESPACE)] if run else []
    for namespace in (run.namespaces if run else []) + operator:
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
