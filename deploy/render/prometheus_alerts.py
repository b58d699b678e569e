"""What an alerting rule is, and all of them for a fleet. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.render.prometheus_pace import Pace
from monitor.fleet import Fleet
from monitor.fleet_observability import Prometheus

RUNBOOK = "docs/operations.md"
WATCHDOG = "FaceAuthWatchdog"
CRITICAL, WARNING, NONE = "critical", "warning", "none"


@dataclass(frozen=True)
class Alert:
    """One rule. `holds_s`: how long the expression must be true before it fires; `labels` join those of the expression."""

    name: str
    expression: str
    holds_s: float
    severity: str
    summary: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def rule(self, fleet: Fleet, pace: Pace) -> dict[str, Any]:
        waits = {"for": pace.of(self.holds_s)} if self.holds_s else {}
        return {
            "alert": self.name,
            "expr": self.expression,
            **waits,
            "labels": {"severity": self.severity, **self.labels},
            "annotations": {"summary": self.summary, "runbook_url": runbook_url(fleet, self.name)},
        }


def runbook_url(fleet: Fleet, alert: str) -> str:
    base = (fleet.prometheus or Prometheus()).runbook_url or RUNBOOK
    return f"{base}#{alert.lower()}"


def groups(fleet: Fleet, pace: Pace) -> list[dict[str, Any]]:
    from deploy.render import prometheus_alerts_fleet as of_fleet
    from deploy.render import prometheus_alerts_watch as of_watch

    found = {
        "face-auth-backends": of_fleet.backends(fleet),
        "face-auth-requests": of_fleet.requests(fleet, pace),
        "face-auth-capacity": of_fleet.capacity(fleet, pace),
        "face-auth-gallery": of_fleet.gallery(fleet),
        "face-auth-ledger": of_fleet.ledger(),
        "face-auth-certificates": of_watch.certificates(fleet),
        "face-auth-monitor": of_watch.monitor(fleet, pace),
        "face-auth-balancer": of_watch.balancer(fleet),
        "face-auth-prometheus": of_watch.prometheus(pace),
    }
    return [{"name": name, "rules": [one.rule(fleet, pace) for one in alerts]} for name, alerts in found.items() if alerts]
