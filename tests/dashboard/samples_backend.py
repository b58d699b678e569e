"""Answers of the monitor about one backend: history, figures, events, maintenance, a drain, a diagnosis."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from monitor import wire
from tests.dashboard import samples


def point(minutes_ago: int, state: str = "UP", **changes: Any) -> wire.HistoryPoint:
    at = samples.now().replace(second=0, microsecond=0) - timedelta(minutes=minutes_ago)
    values: dict[str, Any] = {
        "at": at, "state": state, "up_ratio": 1.0, "latency_p95_ms": 3.0, "requests": 60, "errors": 0, "coverage": 1.0,
        "availability": 1.0, "seconds": {state: 60.0}, "request_p50_ms": 40.0, "request_p95_ms": 120.0, "request_p99_ms": 180.0,
    }  # fmt: skip
    return wire.HistoryPoint(**(values | changes))


def history(*points: wire.HistoryPoint, minutes: int = 60, step_s: int = 60) -> wire.HistoryView:
    until = samples.now()
    whole = None
    if points:
        seconds: dict[wire.State, float] = {}
        for one in points:
            seconds[one.state] = seconds.get(one.state, 0.0) + step_s
        whole = point(minutes, requests=sum(one.requests or 0 for one in points), seconds=seconds, availability=0.9875)
    return wire.HistoryView(
        items=list(points), total=len(points), since=until - timedelta(minutes=minutes), until=until, step_s=step_s, whole=whole
    )


def busy_history() -> wire.HistoryView:
    """An hour with an outage, a slow time, and ten minutes that nobody watched."""
    points = []
    for ago in (ago for ago in range(59, -1, -1) if not 40 <= ago < 50):
        state = "DOWN" if 30 <= ago < 34 else "DEGRADED" if 20 <= ago < 24 else "UP"
        errors = 5 if state == "DEGRADED" else 0
        points.append(
            point(ago, state, requests=0 if state == "DOWN" else 60 + ago, errors=errors, request_p95_ms=100.0 + 3 * ago)
        )
    return history(*points)


def resources(minutes_ago: int = 0, **changes: Any) -> wire.Resources:
    values: dict[str, Any] = {
        "at": samples.now() - timedelta(minutes=minutes_ago), "cpu_percent": 35.0 + minutes_ago % 7,
        "memory_bytes": (410 + minutes_ago % 11) * 2**20, "in_flight": 3, "connections": 5, "inference_busy": 1,
        "inference_waiting": 2, "gallery_size": 1200, "gallery_memory_bytes": 3 * 2**20,
        "gallery_memory_limit_bytes": 512 * 2**20, "seq": 1310, "lag_s": 0.2,
    }  # fmt: skip
    return wire.Resources(**(values | changes))


def left(*names: str, total: int = 3, refused: bool = False) -> wire.Left:
    count = len(names) or "None"
    who = f": {', '.join(names)}" if names else ""
    return wire.Left(names=list(names), total=total, sentence=f"{count} of {total} would be left{who}.", refused=refused)


def figures(name: str = "b1", **changes: Any) -> wire.Figures:
    means = {"decode": 12.0, "detect": 31.0, "embed": 24.5, "search": 1.4, "commit": 3.2}
    values: dict[str, Any] = {
        "backend": name,
        "window_s": 300,
        "stages": [wire.StageFigure(stage=stage, runs=140, mean_ms=mean, p95_ms=2.2 * mean) for stage, mean in means.items()],
        "routes": [
            wire.RouteFigure(route="POST /v1/verify", requests=90, errors=1, refused=4, mean_ms=71.0, p95_ms=130.0),
            wire.RouteFigure(route="POST /v1/subjects", requests=50, errors=0, refused=2, mean_ms=95.0, p95_ms=210.0),
        ],
        "decisions": {"verify": {"match": 75, "non_match": 10}, "enrol": {"enrolled": 45, "flagged": 3}},
        "resources": [resources(ago) for ago in range(30, -1, -1)],
        "without_it": left("b2", "b3"),
        "at": samples.now(),
    }
    return wire.Figures(**(values | changes))


def event(number: int, old: str, new: str, *, minutes_ago: int, **changes: Any) -> wire.Event:
    values: dict[str, Any] = {
        "id": number, "at": samples.now() - timedelta(minutes=minutes_ago), "backend": "b1", "old": old, "new": new,
        "reason": None if new == "UP" else "NET.REFUSED", "detail": None if new == "UP" else "Nothing listens at this address.",
    }  # fmt: skip
    return wire.Event(**(values | changes))


def events(*items: wire.Event) -> wire.Page[wire.Event]:
    return wire.Page[wire.Event](items=list(items), total=len(items))


def window(*backends: str, identifier: str = "mnt_1", **changes: Any) -> wire.Maintenance:
    values: dict[str, Any] = {
        "id": identifier, "backends": list(backends), "author": "usr_ann", "comment": "New disks",
        "created_at": samples.now(), "starts_at": samples.now() - timedelta(minutes=5),
        "ends_at": samples.now() + timedelta(minutes=55),
    }  # fmt: skip
    return wire.Maintenance(**(values | changes))


def windows(*items: wire.Maintenance) -> wire.Page[wire.Maintenance]:
    return wire.Page[wire.Maintenance](items=list(items), total=len(items))


def drained(name: str = "b1", **changes: Any) -> wire.Drained:
    values: dict[str, Any] = {
        "backend": name, "admin_state": "DRAINING", "told": True, "left": ["b2", "b3"], "total": 3,
        "sentence": "2 of 3 would be left: b2, b3.",
        "next": f"Open-source nginx does not ask: run `python -m deploy drain {name}` where it runs.", "since": samples.now(),
    }  # fmt: skip
    return wire.Drained(**(values | changes))


def returned(name: str = "b1", **changes: Any) -> wire.Drained:
    said = {"admin_state": "ACTIVE", "next": "It was told, and serves again as soon as its /ready passes.", "since": None}
    return drained(name, **(said | changes))


def diagnosis(*, passed: bool = False) -> wire.Diagnosis:
    steps = [
        wire.DiagnosisStep(name="name", status="ok", detail="127.0.0.1 is an address.", took_ms=0.1),
        wire.DiagnosisStep(name="tcp", status="ok", detail="Connected.", took_ms=1.2),
        wire.DiagnosisStep(
            name="certificate", status="ok" if passed else "fail", code=None if passed else "TLS.EXPIRED",
            detail="It is valid." if passed else "It expired two days ago.",
            look=None if passed else "Renew it: `openssl x509 -enddate -noout -in b1.pem` shows the file's date.", took_ms=8.0,
        ),
        wire.DiagnosisStep(name="http", status="ok" if passed else "skipped", detail="After the certificate."),
    ]  # fmt: skip
    return wire.Diagnosis(
        url="https://127.0.0.1:8001", address="127.0.0.1:8001", server_name="b1",
        sentence="It answers." if passed else "Its certificate expired.", steps=steps, took_ms=31.0, at=samples.now(),
    )  # fmt: skip


def findings(*items: wire.LoadFinding) -> wire.LoadView:
    return samples.load_view(b1=0.5, b2=0.5).model_copy(update={"findings": list(items)})


def finding(backend: str | None, sentence: str, kind: str = "latency") -> wire.LoadFinding:
    return wire.LoadFinding(
        kind=wire.FindingKind(kind), backend=backend, sentence=sentence, since=samples.now(), at=samples.now()
    )


def drift(sentence: str, *backends: str) -> wire.DriftFinding:
    since = samples.now() - timedelta(minutes=3)
    return wire.DriftFinding(
        kind=wire.DriftKind.version, code="APP.DRIFT.VERSION", sentence=sentence, backends=list(backends), since=since
    )
