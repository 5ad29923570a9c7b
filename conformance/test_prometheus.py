"""Prometheus (Debian) scrapes a hub under load; the alert rules and the dashboard of `ops` ask it.

The rules fire as `ops/prometheus/alerts.test.yml` says, by promtool. Each metric that a rule or a panel names
exists on the hub, and each expression of the dashboard is one that Prometheus evaluates.
"""

import contextlib
import http.client
import json
import re
import subprocess
import threading
import time
import urllib.parse

import pytest

from support import mercure
from support.hub import ROOT, free_port
from support.mercure import Stream, ask, publish
from support.waiting import DEADLINE_SECS, until

RULES = ROOT / "ops/prometheus/alerts.yml"
RULE_TESTS = ROOT / "ops/prometheus/alerts.test.yml"
DASHBOARD = ROOT / "ops/grafana/tidings.json"
GUIDE = ROOT / "docs/guide/alerts.md"
METRIC = re.compile(r"\b(?:tidings|process)_[a-z0-9_]+")
SUBSCRIBERS = 20
UPDATES = 50


def test_promtool_accepts_the_rules():
    for command in (["check", "rules", RULES], ["test", "rules", RULE_TESTS]):
        result = subprocess.run(
            ["promtool", *map(str, command)],
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECS,
            cwd=RULES.parent,
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_each_alert_has_a_test_that_it_fires_and_a_paragraph(check):
    tested = RULE_TESTS.read_text().split("\n  - name: ")
    for alert in alerts():
        fires = [part for part in tested if f"- alertname: {alert}\n" in part]
        check(f"{alert} is tested", len(fires), 1)
        paragraph = GUIDE.read_text().partition(f"\n## {alert}\n")[2].partition("\n## ")[0]
        check(f"{alert} is explained", "Meaning:" in paragraph and "What to do:" in paragraph)
    headings = re.findall(r"^## (Tidings\w+)$", GUIDE.read_text(), re.MULTILINE)
    check("no paragraph is of an alert that is gone", headings, alerts())


@pytest.fixture(scope="module")
def scraped(module_hub):
    """A Prometheus that has scraped the hub while it was under load."""
    with Prometheus(module_hub) as prometheus:
        load(module_hub)
        # A scrape in the middle of the last update would show only some of what it counts.
        loaded = time.time()
        after = f"timestamp(tidings_updates_total >= {UPDATES}) > {loaded}"
        assert until(lambda: prometheus.query(after)), prometheus.log()
        # A rate needs two scrapes, the later one with the load.
        rate = "rate(tidings_publish_duration_seconds_count[1m]) > 0"
        assert until(lambda: prometheus.query(rate)), prometheus.log()
        yield prometheus


@pytest.fixture(scope="module")
def module_hub(start_hub):
    return start_hub(mercure.configuration())


def load(hub):
    """Publishes to subscribers, some of which resume; and does what is refused."""
    streams = [Stream(hub) for _ in range(SUBSCRIBERS)]
    publishers = [
        threading.Thread(target=publish_many, args=(hub, UPDATES // 2)) for _ in range(2)
    ]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    for stream in streams:
        assert len(stream.data(UPDATES)) == UPDATES
    resumed = Stream(hub, "match=*&last_event_id=earliest")
    assert len(resumed.data(UPDATES)) == UPDATES
    assert ask(hub, "GET", "/nothing").status == 404
    for stream in [*streams, resumed]:
        stream.close()


def publish_many(hub, count):
    for number in range(count):
        publish(hub, topic="https://example.com/a", data=str(number))


def test_prometheus_reads_every_metric_of_the_hub(scraped, module_hub, check):
    check("the scrape succeeds", scraped.value('up{job="tidings"}'), 1)
    shown = set(re.findall(r"^# TYPE (\S+)", metrics(module_hub), re.MULTILINE))
    known = set(scraped.get("/api/v1/metadata"))
    check("families that Prometheus does not know", sorted(shown - known), [])
    count = scraped.value("tidings_publish_duration_seconds_count")
    check("publications in the histogram", count, UPDATES)
    quantile = scraped.value(
        "histogram_quantile(0.99, sum by (le) (tidings_publish_duration_seconds_bucket))"
    )
    check("99 % of publishers waited less than the deadline", 0 < quantile < DEADLINE_SECS)
    delivered = scraped.value("tidings_delivery_duration_seconds_count")
    shards = delivered / UPDATES
    check("deliveries are counted by shard", shards == int(shards) and 1 <= shards < SUBSCRIBERS)
    check("memory", scraped.value("process_resident_memory_bytes") > 1_000_000)


def test_each_metric_of_rules_and_dashboard_is_on_the_hub(module_hub, check):
    shown = {line.split("{")[0].split(" ")[0] for line in metrics(module_hub).splitlines()}
    texts = [RULES.read_text(), *expressions()]
    named = {name for text in texts for name in METRIC.findall(text)}
    assert len(named) > 30
    check("metrics that are nowhere", sorted(named - shown), [])


def test_prometheus_loads_the_rules_and_none_fires_for_a_healthy_hub(scraped, check):
    def evaluated():
        (group,) = scraped.get("/api/v1/rules")["groups"]
        return [rule for rule in group["rules"] if rule["health"] != "unknown"]

    assert until(lambda: len(evaluated()) == len(alerts())), scraped.log()
    rules = evaluated()
    check("names", [rule["name"] for rule in rules], alerts())
    check("errors", [rule["lastError"] for rule in rules if rule["health"] != "ok"], [])
    check("firing", [rule["name"] for rule in rules if rule["state"] == "firing"], [])


def test_prometheus_evaluates_each_expression_of_the_dashboard(scraped, check):
    for expression in expressions():
        asked = expression.replace("$__rate_interval", "1m")
        asked = asked.replace("$job", ".*").replace("$instance", ".*")
        check(expression, scraped.query(asked) is not None)
        # What is refused, dropped or not configured has no value on a healthy hub.
        if "> 0" not in expression:
            check(f"{expression} has a value", bool(scraped.query(asked)))


def alerts():
    """Returns the names of the alerts, in order."""
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def expressions():
    """Returns the expressions of the dashboard's panels, annotations and variables."""
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    targets = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(targets) > 40
    return targets + [each["expr"] for each in dashboard["annotations"]["list"]]


def metrics(hub):
    return ask(hub, "GET", "/metrics", kind="admin").text


class Prometheus(contextlib.AbstractContextManager):
    """`prometheus` with the rules, which scrapes one hub several times a second."""

    def __init__(self, hub):
        self.port = free_port()
        folder = hub.folder.name
        config = {
            "global": {"scrape_interval": "250ms", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {
                    "job_name": "tidings",
                    "static_configs": [{"targets": [f"127.0.0.1:{hub.port('admin')}"]}],
                }
            ],
        }
        # JSON is YAML.
        with open(f"{folder}/prometheus.yml", "w") as file:
            json.dump(config, file)
        self.output = open(f"{folder}/prometheus.log", "w+")
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/prometheus",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=self.output,
            stderr=subprocess.STDOUT,
            env={},
        )

    def __enter__(self):
        assert until(lambda: self.query('up{job="tidings"} == 1')), self.log()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(DEADLINE_SECS)
        self.output.close()

    def log(self):
        with open(self.output.name) as file:
            return file.read()

    def get(self, path):
        """Returns the data of an answer, or None while there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, DEADLINE_SECS)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path)
                answer = json.loads(connection.getresponse().read())
            except (OSError, ValueError):
                return None
        return answer["data"] if answer["status"] == "success" else None

    def query(self, expression):
        """Returns the samples, or None if the expression is refused."""
        data = self.get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        return None if data is None else data["result"]

    def value(self, expression):
        """Returns the value of the one sample."""
        (sample,) = self.query(expression)
        return float(sample["value"][1])
