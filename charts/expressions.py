"""What the expressions of alerts and dashboards name, and what pods tell.

testdata/metrics holds what a broker, a name server and an operator said on a real cluster.
"""

import json
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
CHART = HERE / "rocketkube"
SOURCES = ["broker/src", "namesrv/src", "operator/src", "crates/service/src"]

# What Prometheus adds to the numbers of a pod, given the chart's PodMonitors.
TARGET_LABELS = {
    "namespace", "pod", "container", "job", "instance",
    "mq_rocketkube_dev_brokerset", "app_kubernetes_io_component",
}
# Words of the language, not of ours.
LANGUAGE = set(
    "sum max min count absent topk rate increase time vector label_replace and or on by unless".split()
)


def told():
    """Labels by name of each metric that a pod tells."""
    found = {}
    for file in sorted(HERE.glob("testdata/metrics/*.txt")):
        for line in file.read_text().splitlines():
            if line and not line.startswith("#"):
                name, _, rest = line.rpartition(" ")[0].partition("{")
                found.setdefault(name, set()).update(re.findall(r'(\w+)="', rest))
    return found


def of_rules():
    """Expressions of the alerts, by name. The file has them on one line, or as a block."""
    text = (CHART / "files/rules.yaml").read_text()
    found = {}
    for part in re.split(r"^ +- alert: ", text, flags=re.M)[1:]:
        block = re.search(r"^ +expr: (?:\|\n((?: {10,}.*\n)+)|(.*)\n)", part, flags=re.M)
        found[part.split("\n", 1)[0]] = block.group(1) or block.group(2)
    return found


def of_dashboards():
    """Expressions of panels and variables, by dashboard and title."""
    found = {}
    for file in dashboards():
        board = json.loads(file.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                found[f"{file.stem}: {panel['title']} {target['refId']}"] = target["expr"]
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                # label_values(METRIC{...}, LABEL) is Grafana's; it asks for the series.
                series = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
                found[f"{file.stem}: ${variable['name']}"] = f"count by ({series[2]}) ({series[1]})"
    return found


def dashboards():
    return sorted(CHART.glob("files/dashboards/*.json"))


def plain(expression):
    """As Prometheus would be asked it."""
    return re.sub(r"\$__\w+", "5m", re.sub(r"\$(namespace|brokerset)\b", ".*", expression))


def unknown(expression, known):
    """What an expression names that no pod tells: metrics, or labels of them."""
    labels, wrong = set(), []
    for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", expression):
        for label in re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", matchers):
            if label not in known.get(name, set()) | TARGET_LABELS:
                wrong.append(f"{name}{{{label}}}")
    rest = re.sub(r'\{[^}]*\}|"[^"]*"|\[[^\]]*\]', " ", expression)
    for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", rest):
        labels |= set(re.findall(r"\w+", group))
    rest = re.sub(r"\b(by|on) \([^)]*\)", " ", rest)
    names = set(re.findall(r"[a-zA-Z_]\w*", rest)) - LANGUAGE
    wrong += sorted(names - set(known))
    had = TARGET_LABELS.union(*(known[name] for name in names if name in known))
    return wrong + sorted(labels - had)


def in_sources(names):
    """Those of the names that our sources have as a literal."""
    root = HERE.parent
    files = [file for folder in SOURCES for file in (root / folder).rglob("*.rs")]
    text = "\n".join(file.read_text() for file in files)
    return {name for name in names if f'"{name}"' in text}
