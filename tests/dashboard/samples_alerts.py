"""Alerts and what is done about them, as the monitor tells it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from monitor import wire
from tests.dashboard.samples import now


def alert(number: int = 1, **changes: Any) -> wire.Alert:
    values: dict[str, Any] = {
        "id": f"alr_{number:08d}",
        "key": f"backend:b{number}",
        "rule": "BackendDown",
        "severity": "critical",
        "state": "firing",
        "sentence": f"b{number} is DOWN: nothing listens at its address",
        "reason": "NET.REFUSED",
        "owner": "NET",
        "labels": {"backend": f"b{number}"},
        "since": now() - timedelta(minutes=7),
        "starts_at": now() - timedelta(minutes=7),
        "ends_at": None,
        "stale": False,
        "quiet": None,
        "told": "critical",
        "told_at": now() - timedelta(minutes=7),
        "runbook": "docs/alerts.md#backenddown",
    }
    return wire.Alert(**(values | changes))


def over(number: int = 9) -> wire.Alert:
    return alert(number, state="resolved", ends_at=now() - timedelta(hours=1), starts_at=now() - timedelta(hours=3), told=None)


def delivery(number: int = 1, **changes: Any) -> wire.Delivery:
    values: dict[str, Any] = {
        "id": number,
        "alert_id": "alr_00000001",
        "route": "operators",
        "kind": "firing",
        "severity": "critical",
        "idempotency_key": f"alr_00000001-{number}",
        "state": "sent",
        "created_at": now() - timedelta(minutes=7),
        "due_at": now() - timedelta(minutes=7),
        "sent_at": now() - timedelta(minutes=6),
        "attempts": 1,
        "answer": "accepted",
        "title": "[FIRING critical] BackendDown b1",
        "text": "b1 is DOWN.\nReason: NET.REFUSED.",
    }
    return wire.Delivery(**(values | changes))


def detail(number: int = 1, **changes: Any) -> wire.AlertDetail:
    steps = [
        wire.AlertStep(at=now() - timedelta(minutes=8), what="pending", severity="critical", reason="NET.REFUSED"),
        wire.AlertStep(at=now() - timedelta(minutes=7), what="firing", severity="critical", reason="NET.REFUSED"),
    ]
    values = alert(number).model_dump() | {"history": steps, "deliveries": [delivery()]}
    return wire.AlertDetail(**(values | changes))


def silence(number: int = 1, **changes: Any) -> wire.Silence:
    values: dict[str, Any] = {
        "id": f"sil_{number:08d}",
        "matchers": {"backend": "b3", "rule": "BackendDown"},
        "author": "usr_ada",
        "comment": "the rack is being moved",
        "created_at": now() - timedelta(hours=1),
        "starts_at": now() - timedelta(hours=1),
        "ends_at": now() + timedelta(hours=2),
    }
    return wire.Silence(**(values | changes))


def maintenance(number: int = 1, **changes: Any) -> wire.Maintenance:
    values: dict[str, Any] = {
        "id": f"mnt_{number:08d}",
        "backends": ["b2"],
        "author": "usr_grace",
        "comment": "new disks",
        "created_at": now(),
        "starts_at": now() + timedelta(hours=1),
        "ends_at": now() + timedelta(hours=5),
    }
    return wire.Maintenance(**(values | changes))


def page(*items: Any, following: str | None = None) -> wire.Page[Any]:
    return wire.Page[Any](items=list(items), total=len(items), next=following)


def fleet_file(**changes: Any) -> wire.FleetFileView:
    backends = [
        wire.FleetFileBackend(
            name=f"b{n}", url=f"https://b{n}.example.com", address=f"10.0.0.{n}:8000", server_name=f"b{n}.example.com",
            ca_file="/etc/face-auth/ca.pem", region="north", zone="n1", weight=100,
        )
        for n in (1, 2, 3)
    ]  # fmt: skip
    values: dict[str, Any] = {
        "path": "/etc/face-auth/fleet.yaml",
        "read_at": now() - timedelta(hours=2),
        "looked_at": now(),
        "refused_at": None,
        "mistakes": [],
        "service": "face-auth-system",
        "balancer": wire.FleetFileBalancer(
            kind="nginx", strategy="least_connections", url="https://api.example.com", listen="0.0.0.0:443",
            server_name="api.example.com", zone=None, rate_per_client=100,
        ),
        "backends": backends,
        "probes": wire.FleetFileProbes(
            interval_s=5, fast_interval_s=1, down_interval_s=5, deadline_s=2, fall=3, rise=2, start_budget_s=120
        ),
        "dashboard_url": None,
        "certificates_check_interval_s": 60,
        "certificates_watched": [],
        "alert_routes": [
            wire.AlertRoute(name="operators", kind="apprise", min_severity="warning"),
            wire.AlertRoute(name="am", kind="alertmanager", min_severity="info"),
        ],
        "disabled_rules": [],
        "slo_availability": 0.999,
        "slo_least_requests": 30,
        "runbook_url": None,
        "heartbeat_every_s": 60,
        "synthetic_interval_s": None,
        "drain_key_named": True,
    }  # fmt: skip
    return wire.FleetFileView(**(values | changes))


def whole(**changes: Any) -> dict[tuple[str, str], Any]:
    """Routes of a monitor with something of everything."""
    answers: dict[tuple[str, str], Any] = {
        ("GET", "/v1/alerts"): lambda asked: _alerts(asked.query.get("state")),
        ("GET", "/v1/alerts/{}"): lambda _: detail(),
        ("GET", "/v1/silences"): lambda _: page(silence(), silence(2, ends_at=now() - timedelta(days=1), lifted_by="usr_eve")),
        ("GET", "/v1/maintenance"): lambda _: page(maintenance()),
        ("GET", "/v1/deliveries"): lambda _: page(
            delivery(), delivery(2, state="waiting", sent_at=None, attempts=4, answer="the receiver answered 503")
        ),
        ("GET", "/v1/fleet-file"): lambda _: fleet_file(**changes),
    }
    return answers


def _alerts(state: str | None) -> wire.Page[Any]:
    if state == "firing":
        held = alert(3, severity="warning", rule="CertificateExpiring", quiet="silenced", labels={"certificate": "b3"}, told=None)
        return page(alert(2, severity="warning", rule="LoadOutlier", acknowledged_by="usr_ada"), alert(1), held)
    if state == "pending":
        return page(alert(4, state="pending", starts_at=None))
    return page(over())
