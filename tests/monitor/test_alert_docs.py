"""docs/alerts.md: a runbook entry for each rule, and none for what is no rule; its example of a fleet file is one."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from monitor.alerts.catalogue import RULES
from monitor.fleet import Fleet
from monitor.fleet_alerts import Thresholds
from tests.monitor.test_watch import fleet

DOCUMENT = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text("utf-8")
ENTRY = re.compile(
    r"^### (?P<name>\w+)\n\n\| severity \| fires after \| owner \|\n\|---\|---\|---\|\n"
    r"\| (?P<severity>\w+) \| (?P<after>[^|]+) \| (?P<owner>[^|]+) \|\n\n(?P<condition>.+?)\n\n\*Look at:\* (?P<look>.+?)\n",
    re.MULTILINE,
)
UNITS = {"s": 1, "min": 60, "h": 3600}


def seconds(text: str) -> float:
    number, _, unit = text.partition(" ")
    return 0.0 if text == "at once" else float(number) * UNITS[unit]


def test_every_rule_has_its_entry_with_its_severity_and_time_and_every_entry_its_rule() -> None:
    entries = {found["name"]: found for found in ENTRY.finditer(DOCUMENT)}
    assert list(entries) == list(RULES)
    assert len(re.findall(r"^### ", DOCUMENT, re.MULTILINE)) == len(RULES)
    for name, rule in RULES.items():
        found = entries[name]
        assert (found["severity"], seconds(found["after"])) == (rule.severity, rule.for_s), name
        assert rule.anchor == f"docs/alerts.md#{name.lower()}"


def test_every_threshold_that_an_entry_names_is_one() -> None:
    named = {word for found in ENTRY.finditer(DOCUMENT) for word in re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", found["condition"])}
    assert {"error_ratio", "latency_p95_ms", "least_up_ratio"} <= named
    assert named <= set(Thresholds.model_fields)


def test_the_example_of_a_fleet_file_is_taken() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    described = Fleet.model_validate(fleet("b1").model_dump() | yaml.safe_load(example))
    assert [route.name for route in described.alerts.routes] == ["operators", "alertmanager"]
    assert described.alerts.for_s == {"BackendDown": 30}


def test_every_link_of_it_leads_to_an_entry() -> None:
    anchors = re.findall(r"\]\(#(\w+)\)", DOCUMENT)
    assert anchors
    assert set(anchors) <= {name.lower() for name in RULES}
