"""Answers about load, its verification and certificates: small fleets, large ones, and what is wrong with them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from monitor import wire
from tests.dashboard import samples
from tests.dashboard.samples import now


def finding(backend: str | None = "b2", kind: str = "sinkhole", **changes: Any) -> wire.LoadFinding:
    values: dict[str, Any] = {
        "kind": kind,
        "backend": backend,
        "sentence": f"{backend} is a sinkhole: it fails 80 % of its requests and draws 62 % of the traffic where 33 % is fair.",
        "since": now() - timedelta(minutes=2),
        "at": now() - timedelta(seconds=10),
    }
    return wire.LoadFinding(**(values | changes))


def crowd(size: int = 50) -> wire.LoadView:
    """Many backends, the third of which is slow and has few requests."""
    names = [f"b{number}" for number in range(1, size + 1)]
    shares = {name: (0.3 if name == "b3" else 1.0) / (size - 0.7) for name in names}
    loads = {
        name: samples.load(
            share, expected_share=1 / size, requests=round(12_000 * share), p95_ms=900.0 if name == "b3" else 120.0
        )
        for name, share in shares.items()
    }
    few = {"requests": 40.0}
    sentence = "b3 is slow: 95 of 100 requests take up to 900 ms, those of the others 120 ms. Diagnose b3."
    view = samples.load_view(**dict.fromkeys(names, 1 / size))
    return view.model_copy(
        update={
            "shares": loads,
            "total_requests": sum(load.requests for load in loads.values()),
            "findings": [finding("b3", "latency", sentence=sentence, figures=few)],
            "findings_at": now() - timedelta(seconds=20),
        }
    )


def share(
    backend: str, requests: int, of: int, expected: float | None, verdict: str, limit: float | None = 0.42
) -> wire.DistributionShare:
    return wire.DistributionShare(
        backend=backend,
        requests=requests,
        share=requests / of if of else None,
        expected_share=expected,
        deviation=requests / of / expected - 1 if of and expected else None,
        limit=limit,
        verdict=wire.ShareVerdict(verdict),
        p50_ms=4.2 if requests else None,
    )


def check(**changes: Any) -> wire.DistributionCheck:
    """One that ended: b3 was passed by."""
    values: dict[str, Any] = {
        "id": "dchk_1",
        "state": "done",
        "strategy": "round_robin",
        "requests": 100,
        "sent": 100,
        "answered": 100,
        "failures": {},
        "shares": [
            share("b1", 50, 100, 1 / 3, "as_expected"),
            share("b2", 50, 100, 1 / 3, "as_expected"),
            share("b3", 0, 100, 1 / 3, "absent"),
        ],
        "verdict": "uneven",
        "sentence": "Not as round robin promises: b3 served none where 33 % is expected (chance explains ±42 % of that).",
        "cv": 0.7,
        "noise_floor_cv": 0.14,
        "started_at": now() - timedelta(seconds=65),
        "finished_at": now() - timedelta(seconds=62),
        "estimated_s": None,
        "at": now(),
    }
    return wire.DistributionCheck(**(values | changes))


def running(sent: int = 40) -> wire.DistributionCheck:
    half = sent // 2
    shares = [share("b1", half, sent, 0.5, "as_expected"), share("b2", sent - half, sent, 0.5, "as_expected")]
    return check(
        state="running", sent=sent, answered=sent, shares=shares, verdict=None, sentence=None, finished_at=None,
        estimated_s=(100 - sent) / 40, cv=None, noise_floor_cv=None,
    )  # fmt: skip


def checks(*items: wire.DistributionCheck) -> wire.Page[wire.DistributionCheck]:
    return wire.Page[wire.DistributionCheck](items=list(items), total=len(items))


def served(name: str, print_: str, *, age_days: float = 60, **changes: Any) -> wire.Certificate:
    """One of several places of the same name: `print_` is the fingerprint's beginning, `age_days` since it was issued."""
    values: dict[str, Any] = {
        "server_name": "api.face-auth.internal",
        "fingerprint_sha256": print_.ljust(64, "0"),
        "not_before": now() - timedelta(days=age_days),
        "not_after": now() + timedelta(days=90 - age_days),
        "lifetime_left": 1 - age_days / 90,
        "chain_complete": True,
        "self_signed": False,
    }
    return samples.certificate(name, days=90 - age_days, **(values | changes))
