"""Answers of the two APIs, made of wire models with everything in them that a page shows."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

from PIL import Image

from backend import wire as backend_wire
from monitor import wire as monitor_wire

MODEL = "offline/dlib-resnet-v1"


def now() -> datetime:
    return datetime.now(UTC)


def jpeg(colour: tuple[int, int, int] = (180, 150, 120)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (96, 96), colour).save(out, "JPEG")
    return out.getvalue()


# --- monitor --------------------------------------------------------------------------------------------------------


def load(share: float | None = 1 / 3, **changes: Any) -> monitor_wire.Load:
    quiet = share is None
    values: dict[str, Any] = {
        "window_s": 60,
        "requests": 0 if quiet else 120,
        "rate": 0.0 if quiet else 2.0,
        "share": share,
        "expected_share": 1 / 3,
        "errors": 0,
        "error_ratio": None if quiet else 0.0,
        "p50_ms": None if quiet else 40.0,
        "p95_ms": None if quiet else 123.0,
        "p99_ms": None if quiet else 180.0,
        "connections": 3,
        "in_flight": None if quiet else 0.4,
        "reason": "no traffic" if quiet else None,
        "at": now(),
    }
    return monitor_wire.Load(**(values | changes))


def probe(kind: str, up: bool | None = True, **changes: Any) -> monitor_wire.Probe:
    values: dict[str, Any] = {"kind": kind, "up": up, "health": 4 if up else 0, "rise": 2, "fall": 3, "at": now()}
    return monitor_wire.Probe(**(values | changes))


def backend(name: str = "b1", **changes: Any) -> monitor_wire.Backend:
    values: dict[str, Any] = {
        "name": name,
        "url": f"https://127.0.0.1:800{name[-1]}",
        "region": "local",
        "zone": "a",
        "weight": 100,
        "state": "UP",
        "stale": False,
        "admin_state": "ACTIVE",
        "since": now() - timedelta(minutes=42),
        "reason": None,
        "detail": None,
        "verdicts": {"probes": "up", "balancer": "up", "readiness": "up", "traffic": "up"},
        "probes": [probe("live"), probe("health"), probe("ready")],
        "load": load(),
        "identity": monitor_wire.Identity(version="0.1.0", model_id=MODEL, gallery_size=12, seq=14),
        "certificate_days_left": 364.0,
        "last_sample_at": now() - timedelta(seconds=1),
    }
    return monitor_wire.Backend(**(values | changes))


def down(name: str = "b2") -> monitor_wire.Backend:
    failing = {"reason": "NET.REFUSED", "detail": "connection refused"}
    return backend(
        name,
        state="DOWN",
        reason="NET.REFUSED",
        detail="Nothing listens at this address.",
        since=now() - timedelta(seconds=7),
        disagreement="the balancer still sends it traffic while the probes fail",
        verdicts={"probes": "down", "balancer": "up", "readiness": None, "traffic": "no traffic"},
        probes=[
            probe("live", up=False, **failing),
            probe("health", up=False, **failing),
            probe("ready", up=True, progress="2/3 before down"),
        ],
        load=load(None),
    )


def fleet(*backends: monitor_wire.Backend, **changes: Any) -> monitor_wire.FleetView:
    items = list(backends)
    up = sum(one.state is monitor_wire.State.up for one in items)
    values: dict[str, Any] = {
        "items": items,
        "total": len(items),
        "sentence": f"{up} of {len(items)} backends are up.",
        "balancer": monitor_wire.BalancerView(
            kind="nginx", strategy="least_connections", url="https://127.0.0.1:8443", state="UP", reason=None, connections=7,
            cpu_percent=1.5, memory_bytes=24 * 2**20, at=now(),
        ),
        "interval_s": 2.0,
        "fall": 3,
        "rise": 2,
        "at": now(),
    }  # fmt: skip
    return monitor_wire.FleetView(**(values | changes))


def load_view(**shares: float | None) -> monitor_wire.LoadView:
    loads = {name: load(share) for name, share in shares.items()}
    busy = any(share for share in shares.values())
    return monitor_wire.LoadView(
        window_s=60,
        total_requests=sum(one.requests for one in loads.values()),
        shares=loads,
        fairness=monitor_wire.Fairness(
            policy="least_connections",
            measure="in_flight_per_weight",
            jain=0.998 if busy else None,
            cv=0.04 if busy else None,
            noise_floor_cv=0.09 if busy else None,
            flagged=False,
            sentence="The load is even within the noise." if busy else "There is no traffic to judge.",
        ),
        at=now(),
    )


def series(*names: str, requests: int = 30, errors: int = 0) -> monitor_wire.Page[monitor_wire.LoadPoint]:
    points = [
        monitor_wire.LoadPoint(
            at=now() - timedelta(seconds=15 * (20 - step)),
            backend=name,
            requests=requests + step % 5,
            errors=errors,
            p95_ms=100.0 + step,
        )
        for step in range(20)
        for name in names
    ]
    return monitor_wire.Page[monitor_wire.LoadPoint](items=points, total=len(points))


def certificate(name: str = "b1", state: str = "ok", days: float | None = 300.0, **changes: Any) -> monitor_wire.Certificate:
    start = now() - timedelta(days=60)
    end = now() + timedelta(days=days or 0)
    link = {"issuer": "CN=local CA", "not_before": start, "not_after": end}
    values: dict[str, Any] = {
        "name": name,
        "endpoint": "127.0.0.1:8001",
        "server_name": f"{name}.face-auth.internal",
        "state": state,
        "reason": None if state == "ok" else "TLS.EXPIRING",
        "detail": None if state == "ok" else "Renew it.",
        "fingerprint_sha256": "ab" * 32,
        "subject": f"CN={name}",
        "issuer": "CN=local CA",
        "sans": [f"{name}.face-auth.internal", "localhost", "127.0.0.1"],
        "key_type": "EC P-256",
        "not_before": start,
        "not_after": end,
        "days_left": days,
        "chain": [{"subject": f"CN={name}", "serial": "01", **link}, {"subject": "CN=local CA", "serial": "02", **link}],
        "at": now(),
    }
    return monitor_wire.Certificate(**(values | changes))


def certificates(*items: monitor_wire.Certificate) -> monitor_wire.Page[monitor_wire.Certificate]:
    return monitor_wire.Page[monitor_wire.Certificate](items=list(items), total=len(items))


# --- backend --------------------------------------------------------------------------------------------------------


def quality(overall: int = 82) -> backend_wire.Quality:
    reasons = [] if overall > 50 else [backend_wire.QualityReason(code="LOW_SHARPNESS", advice="Hold the camera still.")]
    return backend_wire.Quality(
        overall=overall, components={"sharpness": overall, "illumination_uniformity": 70}, reasons=reasons
    )


def subject(number: int = 1, **changes: Any) -> backend_wire.Subject:
    identifier = f"sub_0000000{number}"
    values: dict[str, Any] = {
        "id": identifier,
        "gallery_id": "main",
        "external_id": f"EMP-{number}",
        "metadata": {"name": f"Person {number}", "site": "north"},
        "state": "active",
        "samples": [
            backend_wire.Sample(
                id=f"smp_0000000{number}", created_at=now() - timedelta(days=number), quality=quality(),
                image=f"/v1/subjects/{identifier}/samples/smp_0000000{number}/image",
            )
        ],
        "version": 1,
        "created_at": now() - timedelta(days=10 - number),
    }  # fmt: skip
    return backend_wire.Subject(**(values | changes))


def pair(a: int = 1, b: int = 2, score: float = 0.71) -> backend_wire.CasePair:
    return backend_wire.CasePair(
        a=backend_wire.CaseSide(subject_id=f"sub_0000000{a}", sample_id=f"smp_0000000{a}"),
        b=backend_wire.CaseSide(subject_id=f"sub_0000000{b}", sample_id=f"smp_0000000{b}"),
        score=score,
        threshold=0.5,
        band="review",
        gallery_size=120,
        expected_fpir=0.001,
        model_id=MODEL,
        found_at=now(),
    )


def lease(holder: str = "ada", seconds: float = 180) -> backend_wire.Lease:
    return backend_wire.Lease(holder=f"usr_{holder}", holder_name=holder, until=now() + timedelta(seconds=seconds))


def case(number: int = 1, **changes: Any) -> backend_wire.Case:
    values: dict[str, Any] = {
        "id": f"case_0000000{number}",
        "state": "open",
        "version": 1,
        "priority": 0.7,
        "score": 0.71,
        "source": "enrolment",
        "created_at": now() - timedelta(hours=3),
        "subjects": [subject(1), subject(2, metadata={"name": "Person 1", "site": "south"})],
        "pairs": [pair()],
    }
    return backend_wire.Case(**(values | changes))


def summary(case: backend_wire.Case) -> backend_wire.CaseSummary:
    values = case.model_dump(exclude={"subjects", "pairs", "decisions"})
    return backend_wire.CaseSummary(**values, subject_ids=[one.id for one in case.subjects])


def stats(**cases: int) -> backend_wire.Stats:
    counts = {backend_wire.CaseState(name): count for name, count in cases.items()}
    return backend_wire.Stats(subjects=12, samples=14, cases=counts, oldest_open_case_at=now() - timedelta(hours=5), decisions=4)


def verification(score: float = 0.83, decision: str = "match") -> backend_wire.Verification:
    return backend_wire.Verification(
        score=score, threshold=0.6, decision=decision, expected_fmr=0.0001, faces_in_image=1, model_id=MODEL  # type: ignore[arg-type]
    )  # fmt: skip


def identification(*candidates: backend_wire.Candidate) -> backend_wire.Identification:
    face = backend_wire.DetectedFace(
        box=backend_wire.Box(x=1, y=1, width=80, height=80), landmarks=[(1.0, 1.0)] * 5, confidence=0.99, quality=quality()
    )
    return backend_wire.Identification(
        faces=[backend_wire.FaceCandidates(face=face, candidates=list(candidates))],
        threshold=0.6, expected_fpir=0.002, gallery_size=12, seq=14, model_id=MODEL,
    )  # fmt: skip


def enrolment(**changes: Any) -> backend_wire.Enrolment:
    values: dict[str, Any] = {
        "subject_id": "sub_00000009",
        "state": "active",
        "sample_ids": ["smp_00000009"],
        "duplicates": [],
        "seq": 15,
        "review_threshold": 0.5,
        "model_id": MODEL,
        "quality": [quality(40)],
    }
    return backend_wire.Enrolment(**(values | changes))
