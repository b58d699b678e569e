"""Prometheus, Alertmanager and monitor over a real fleet behind HAProxy: alerts come and go, rules ask for what there is."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from deploy.render import prometheus
from tests.system.alert_faults import calm_traffic
from tests.system.alert_watch import Watching, missing, watching
from tests.system.alerts import CERTIFICATE, KILLED, STOPPED, Rehearsal, report
from tests.system.running_fleet import ROOT, eventually, running_fleet

pytestmark = pytest.mark.timeout(600)

WORDS = {"and", "or", "unless", "by", "on", "without", "ignoring", "group_left", "group_right", "bool", "offset"}
FROM_ELSEWHERE = {"nginx_up"}
"""of nginx's exporter: tests/deploy/test_prometheus.py"""
QUERIES = re.compile(r"```promql\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watching]:
    if missing():
        pytest.skip(f"{', '.join(missing())} is not installed: `make system`")
    folder = tmp_path_factory.mktemp("watch")
    with (
        running_fleet(tmp_path_factory.mktemp("run"), "--no-traffic", "--balancer", "haproxy") as fleet,
        watching(fleet, folder) as watch,
        calm_traffic(fleet),
    ):
        yield watch


def test_every_metric_in_a_rule_is_told_by_a_running_backend_monitor_haproxy_or_prometheus(watch: Watching) -> None:
    told = {name for target in _targets(watch) for name in _families(target)} | _recorded(watch)
    asked = {name for expression in _expressions(watch) for name in metrics_in(expression)}
    assert len(asked) > 40
    assert asked - told - FROM_ELSEWHERE == set()


def test_every_label_that_a_rule_asks_for_is_told_with_that_value(watch: Watching) -> None:
    told = "\n".join(_targets(watch))
    asked = {
        (metric, label, value)
        for expression in _expressions(watch)
        for metric, matchers in re.findall(r"\b(\w+)\{([^}]*)\}", expression)
        for label, value in re.findall(r'(\w+)="([^"]*)"', matchers)
        if label not in ("job", "name")  # what the scrape adds; the other tests rest on them
    }
    assert ("face_auth_monitor_backend_state", "state", "DOWN") in asked
    assert ("haproxy_server_status", "state", "DOWN") in asked
    strangers = [one for one in sorted(asked) if not re.search(rf'^{one[0]}\{{.*\b{one[1]}="{one[2]}"', told, re.MULTILINE)]
    assert strangers == []


def test_the_runbook_and_the_queries_name_metrics_that_there_are(watch: Watching) -> None:
    told = {name for target in _targets(watch) for name in _families(target)}
    text = (ROOT / "docs" / "operations.md").read_text()
    named = {name for name in re.findall(r"`[^`\n]*`", text) for name in re.findall(r"\b(?:face_auth|http)_[a-z_]+[a-z]\b", name)}
    strangers = {name for name in named if name not in told} - {
        "http_request_errors",
        "http_request_duration_seconds",
        "http_requests",
    }
    assert strangers == set()


def test_the_guides_queries_and_the_right_ones_are_answered_and_the_right_ones_say_what_they_should(watch: Watching) -> None:
    queries = [text.strip() for text in QUERIES.findall((ROOT / "docs" / "operations.md").read_text())]
    assert len(queries) == 9, "the guide's four, the right ones, and the monitor's verdict"
    rate, rate_by_name, errors, ratio, p95, p95_of_all, up, down, _ = [
        text.replace("worker1", "b1").replace("[5m]", "[1m]") for text in queries
    ]
    eventually(lambda: len(watch.query(rate_by_name)) == 3, within_s=60, every_s=1)
    assert len(watch.query(rate)) >= 3, "a series per method, route, status and backend"
    assert watch.query(errors) == [], "without an error there is no series: nothing can be told from it"
    assert [one["value"][1] for one in watch.query(ratio)] == ["0"], "one number, and 0 where all is well"
    assert len(watch.query(p95)) >= 3, "one per route and backend"
    (whole,) = watch.query(p95_of_all)
    assert 0 < float(whole["value"][1]) < 30
    assert len(watch.query(up)) == 3
    assert watch.query(down) == [], "all backends are scraped and up"
    assert len(watch.query(down.replace('name="b1"', 'name="b9"'))) == 1, "one that is not scraped at all"


def test_a_killed_backend_a_short_certificate_and_a_stopped_monitor_are_told_and_resolved(watch: Watching) -> None:
    rehearsal = Rehearsal(watch, short=True)
    seen = [rehearsal.play(expected) for expected in (KILLED, CERTIFICATE, STOPPED)]
    print(f"\n{report(seen, {})}")
    assert [one.expected.fault for one in seen if not one.holds] == []


def _targets(watch: Watching) -> list[str]:
    """The expositions of every target that Prometheus has."""
    found = httpx.get(f"{watch.url}/api/v1/targets", timeout=10).json()["data"]["activeTargets"]
    assert {one["labels"]["job"] for one in found} == {
        "face-auth-backend",
        "face-auth-monitor",
        "face-auth-balancer",
        "prometheus",
    }
    assert {one["health"] for one in found} == {"up"}
    context = ssl.create_default_context(cafile=watch.fleet.access["ca"])
    return [httpx.get(one["scrapeUrl"], verify=context, timeout=10).text for one in found]


def _families(exposition: str) -> Iterator[str]:
    for name, kind in re.findall(r"^# TYPE (\S+) (\w+)", exposition, re.MULTILINE):
        yield name
        if kind == "histogram":
            yield from (f"{name}_bucket", f"{name}_sum", f"{name}_count")


def _rules(watch: Watching) -> Iterator[dict[str, str]]:
    for file in (prometheus.RECORDING, prometheus.ALERTS):
        for group in yaml.safe_load(Path(watch.folder / file).read_text())["groups"]:
            yield from group["rules"]


def _recorded(watch: Watching) -> set[str]:
    return {rule["record"] for rule in _rules(watch) if "record" in rule} | {"up"}


def _expressions(watch: Watching) -> list[str]:
    return [rule["expr"] for rule in _rules(watch)]


def metrics_in(expression: str) -> set[str]:
    """The names of series in an expression: what is neither a function, nor a word of the language, nor a label."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]', "", re.sub(r'"[^"]*"', "", expression))
    bare = re.sub(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)
    return {name for name in re.findall(r"\b[a-z_][a-z0-9_:]*\b(?!\s*\()", bare) if name not in WORDS}
