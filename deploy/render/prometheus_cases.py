"""The rules' own tests, for `promtool test rules`: of each alert a case in which it fires and one in which it is silent. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.render import prometheus_alerts
from deploy.render.prometheus_pace import PRODUCTION
from monitor.fleet import Fleet

INTERVAL = "1m"
Series = Mapping[str, str]
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Fires:
    """`labels`: those of the expression; the rule's own join them. `shown`: what the summary makes of the value."""

    labels: Labels
    shown: str = ""
    rule: Labels | None = None
    """Which of several rules of this name: labels that it adds."""


@dataclass(frozen=True)
class Case:
    """At `at` minutes of `series` (promtool's notation, a value a minute) the alert fires with exactly these, or not at all."""

    alert: str
    what: str
    series: Series
    at: int
    fires: Sequence[Fires] = ()


def pair(alert: str, bad: Series, good: Series, labels: Labels, *, shown: str = "", at: int = 12) -> list[Case]:
    """The same alert with what is wrong and with what is right."""
    return [Case(alert, "fires", bad, at, (Fires(labels, shown),)), Case(alert, "is silent", good, at)]


def document(fleet: Fleet, rule_files: list[str]) -> dict[str, Any]:
    from deploy.render import prometheus_cases_fleet as of_fleet
    from deploy.render import prometheus_cases_watch as of_watch

    rules = {
        (rule["alert"], _own(rule["labels"])): rule
        for group in prometheus_alerts.groups(fleet, PRODUCTION)
        for rule in group["rules"]
    }
    known = {name for name, _ in rules}
    cases = [case for case in (*of_fleet.cases(fleet), *of_watch.cases(fleet)) if case.alert in known]
    return {"rule_files": rule_files, "evaluation_interval": INTERVAL, "tests": [_test(case, rules) for case in cases]}


def _own(labels: Labels) -> frozenset[tuple[str, str]]:
    return frozenset((name, value) for name, value in labels.items() if name != "severity")


def _test(case: Case, rules: Mapping[tuple[str, frozenset[tuple[str, str]]], Mapping[str, Any]]) -> dict[str, Any]:
    expected = [_expected(one, rules[case.alert, _own(one.rule or {})]) for one in case.fires]
    return {
        "name": f"{case.alert} {case.what}",
        "interval": INTERVAL,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [{"eval_time": f"{case.at}m", "alertname": case.alert, "exp_alerts": expected}],
    }


def _expected(one: Fires, rule: Mapping[str, Any]) -> dict[str, Any]:
    filled: Callable[[str], str] = lambda text: re.sub(  # noqa: E731
        r"\{\{ \$(labels\.(\w+)|value)[^}]*\}\}", lambda found: one.labels[found[2]] if found[2] else one.shown, text
    )
    return {
        "exp_labels": {**one.labels, **rule["labels"]},
        "exp_annotations": {name: filled(text) for name, text in rule["annotations"].items()},
    }
