"""What the backends' logs say of who serves, judged by the strategy. Real log lines, written by the backend's own logger."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend import logs
from deploy.operate.distribution import in_the_logs, judge
from deploy.sentence import Sentence
from monitor.fleet import Fleet

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def fleet(strategy: str, *weights: int) -> Fleet:
    rows: list[dict[str, Any]] = [
        {
            "name": f"b{number}", "url": f"http://10.0.0.{number}", "address": f"10.0.0.{number}:8000", "server_name": "b",
            "weight": weight,
        }
        for number, weight in enumerate(weights or (100, 100, 100), start=1)
    ]  # fmt: skip
    return Fleet.from_data({"version": 1, "balancer": {"kind": "none", "strategy": strategy}, "backends": rows}, base=Path("/"))


@pytest.mark.parametrize(
    ("strategy", "counts", "fine", "word"),
    [
        ("round_robin", (100, 101, 99), True, "spread"),
        ("round_robin", (150, 80, 70), False, "b1"),
        ("round_robin", (150, 150, 0), False, "b3 served none"),
        ("round_robin", (2, 1, 0), True, "spread"),
        ("least_connections", (200, 60, 40), True, "Everybody serves"),
        ("least_connections", (200, 100, 0), False, "b3 served none"),
        ("ip_hash", (300, 0, 0), True, "no shares"),
        ("round_robin", (0, 0, 0), False, "nothing to compare"),
    ],
)
def test_shares_are_judged_by_the_strategy(strategy: str, counts: tuple[int, ...], fine: bool, word: str) -> None:
    judged = judge(Counter({f"b{number}": count for number, count in enumerate(counts, start=1)}), fleet(strategy))
    assert (judged.fine, word in judged.sentence) == (fine, True), judged.sentence


def test_weights_are_what_is_expected() -> None:
    judged = judge(Counter({"b1": 200, "b2": 100}), fleet("round_robin", 200, 100))
    assert judged.fine
    assert not judge(Counter({"b1": 150, "b2": 150}), fleet("round_robin", 200, 100)).fine


def logged(form: str, at: datetime, message: str = "Request completed", **fields: object) -> str:
    """A line as the backend writes it."""
    record = logging.LogRecord(logs.ACCESS, logging.INFO, "", 0, message, None, None)
    record.created = at.timestamp()
    record.fields = {"method": "POST", "route": "/v1/verify", "status": 200, "traffic": "client"} | fields
    return (logs._Json() if form == "json" else logs._Plain()).format(record)


@pytest.mark.parametrize("form", ["plain", "json"])
def test_only_clients_requests_within_the_time_are_counted(form: str, tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    lines = [
        logged(form, NOW), logged(form, NOW, traffic="probe"), logged(form, NOW, traffic="synthetic"),
        logged(form, NOW - timedelta(hours=1)), logged(form, NOW, "Something else"), logged(form, NOW)[:70], "",
        logged(form, NOW),
    ]  # fmt: skip
    file.write_text("\n".join(lines))
    assert in_the_logs({"b1": file}, since=NOW - timedelta(minutes=15)) == {"b1": 2}


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(Sentence, match="--logs b1=FILE"):
        in_the_logs({"b1": tmp_path / "none.log"}, since=NOW)
