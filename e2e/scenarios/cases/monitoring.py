"""What Prometheus sees."""

import json
import os
import re
import subprocess
import tempfile
import urllib.parse

from harness import cluster, release
from harness.clients import Load
from harness.namespace import broker_set, topic
from harness.scenario import scenario
from harness.shell import Failure, expect, until

ADDRESS = "127.0.0.1:9090"
RULES = cluster.ROOT / "charts/rocketkube/files/rules.yaml"


class Prometheus:
    """A Prometheus in the hub of the cluster, from where pods can be reached."""

    def __init__(self, folder, targets):
        jobs = [
            {
                "job_name": "rocketkube",
                "honor_labels": True,
                "static_configs": [{"targets": [address], "labels": labels} for address, labels in targets],
            }
        ]
        config = os.path.join(folder, "prometheus.yaml")
        with open(config, "w") as file:
            # JSON is YAML.
            json.dump({"global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                       "rule_files": [str(RULES)], "scrape_configs": jobs}, file)
        self.log = open(os.path.join(folder, "prometheus.log"), "w")
        self.process = subprocess.Popen(
            [cluster.TOOL, "exec", "hub", "--", "prometheus", f"--config.file={config}",
             f"--storage.tsdb.path={folder}/data", f"--web.listen-address={ADDRESS}"],
            stdout=self.log, stderr=self.log,
        )

    def ask(self, path, **parameters):
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        helper = cluster.tool("helper").strip()
        said = cluster.tool("exec", "hub", "--", helper, "get", f"http://{ADDRESS}/api/v1/{path}{query}")
        return json.loads(said)["data"]

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=20)
        self.log.close()


def targets(namespace):
    """Addresses and labels of all pods, as the chart's PodMonitors give them."""
    for owner, selector in ((release.namespace(), release.SELECTOR), (namespace, "app.kubernetes.io/managed-by=rocketkube-operator")):
        for pod in owner.list("pods", selector):
            labels = pod["metadata"]["labels"]
            more = {"mq_rocketkube_dev_brokerset": labels["mq.rocketkube.dev/brokerset"]} if owner is namespace else {}
            yield f"{pod['status']['podIP']}:8080", {"namespace": owner.name, "pod": pod["metadata"]["name"], **more}


@scenario("E26", "Prometheus scrapes every pod, knows every number of the alerts, and none of them fires", alone=True)
def scraped(run):
    namespace = run.namespace
    namespace.apply(broker_set(), topic("t"))
    namespace.until_condition("BrokerSet", "orders", seconds=120)
    namespace.until_condition("Topic", "t")
    load = Load(namespace, "t", "p")
    load.until_acked(100)
    with tempfile.TemporaryDirectory() as folder:
        expected = list(targets(namespace))
        prometheus = Prometheus(folder, expected)
        try:
            look(run, prometheus, len(expected))
        finally:
            prometheus.end()
    run.note(load.stop())


def look(run, prometheus, count):
    def up():
        states = [one["health"] for one in prometheus.ask("targets")["activeTargets"]]
        if states != ["up"] * count:
            raise Failure(f"targets: {states}")
        return True

    until(60, "every pod is scraped", up)
    names = set(re.findall(r"\(((?:mq|rocketmq)_[a-z_]+)(?=[{)])", RULES.read_text()))
    for name in sorted({*names, "rocketmq_messages_in_total", "mq_consumer_lag_messages"}):
        found = until(30, f"there is {name}", lambda name=name: prometheus.ask("query", query=name)["result"])[0]
        expect(found, name)

    def quiet():
        rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
        states = {rule["name"]: (rule["state"], rule["health"]) for rule in rules}
        if not states or {*states.values()} != {("inactive", "ok")}:
            raise Failure(f"alerts: {states}")
        return states

    # BrokerSets of the scenario before may still be on their way out, which is not available.
    rules, _ = until(90, "no alert is on its way", quiet)
    run.note(f"{count} targets, {len(names)} numbers of {len(rules)} alerts")
