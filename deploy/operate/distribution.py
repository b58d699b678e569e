"""Who serves the clients' requests: asked through the balancer by way of the monitor, or counted in the backends' own logs."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from deploy.operate.waiting import POLL_S
from deploy.say import Say
from deploy.sentence import Sentence
from monitor.fleet import Fleet, Strategy

MESSAGE = "Request completed"
CHECK_S = 90.0
FINE = ("even", "sticky")
NOISE = 3.0
"""How many times what chance explains a share may differ before it is said."""
LEAST = 0.10
"""… and at least this much, relative to what was expected."""


@dataclass(frozen=True)
class Share:
    backend: str
    requests: int
    share: float
    expected: float
    fine: bool


@dataclass(frozen=True)
class Judged:
    fine: bool
    sentence: str
    shares: list[Share]


def through_the_balancer(monitor_url: str, *, key: str, requests: int, say: Say) -> dict[str, Any]:
    """The monitor sends that many requests through the balancer; its answer at the end. Raises `Sentence`."""
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=monitor_url, headers=headers, timeout=10, trust_env=False) as http:
        check = _answer(http, "POST", "/v1/distribution-checks", json={"requests": requests})
        until, told = time.monotonic() + CHECK_S, 0
        while check["state"] == "running" and time.monotonic() < until:
            time.sleep(POLL_S * 5)
            check = _answer(http, "GET", f"/v1/distribution-checks/{check['id']}")
            if check["sent"] - told >= requests / 4:
                told = check["sent"]
                say(f"{told} of {requests} requests sent")
        return check


def _answer(http: httpx.Client, method: str, path: str, **what: Any) -> dict[str, Any]:
    try:
        answer = http.request(method, path, **what)
    except httpx.TransportError as error:
        raise Sentence(f"the monitor at {http.base_url} does not answer: {error}") from None
    told: dict[str, Any] = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    if answer.is_error:
        raise Sentence(f"the monitor answers {answer.status_code}: {told.get('detail') or told.get('title') or ''}")
    return told


def in_the_logs(files: Mapping[str, Path], *, since: datetime) -> Counter[str]:
    """Clients' requests by backend: the lines "Request completed" of each backend's access.log. Raises `Sentence`."""
    counted: Counter[str] = Counter()
    for name, file in files.items():
        try:
            with file.open(encoding="utf-8", errors="replace") as lines:
                counted[name] = sum(_counts(line, since) for line in lines)
        except OSError as error:
            raise Sentence(f"{file}: {error.strerror}: name the log of {name} with --logs {name}=FILE") from None
    return counted


def _counts(line: str, since: datetime) -> bool:
    """A whole line of a client's request, in either form of the log; one that a rotation cut off counts for nothing."""
    if MESSAGE not in line:
        return False
    try:
        when, traffic = _json(line) if line.startswith("{") else _plain(line)
        return traffic == "client" and datetime.fromisoformat(when) >= since
    except (ValueError, KeyError, TypeError):
        return False


def _json(line: str) -> tuple[str, str]:
    told = json.loads(line)
    return told["time"], told["traffic"]


def _plain(line: str) -> tuple[str, str]:
    """`TIME LEVEL LOGGER Request completed name=value …`"""
    when, *words = line.split()
    return when, dict(word.split("=", 1) for word in words if "=" in word)["traffic"]


def judge(counted: Mapping[str, int], fleet: Fleet) -> Judged:
    """Against what the strategy promises: shares by weight, except where unequal ones are its purpose.

    Noise of a share of N independent requests: `sqrt((1 − p) / (p N))` relative to p.
    """
    total, weights = sum(counted.values()), {backend.name: backend.weight for backend in fleet.backends}
    if total == 0:
        return Judged(False, "No client's request stands in the logs: nothing to compare.", [])
    shares = [_share(name, counted.get(name, 0), total, weight / sum(weights.values())) for name, weight in weights.items()]
    if fleet.balancer.strategy is Strategy.ip_hash:
        return Judged(True, f"{total} requests; a hash of the address promises no shares.", shares)
    absent = [one.backend for one in shares if one.requests == 0 and one.expected * total > 10]
    if absent:
        return Judged(False, f"{_named(absent)} served none of {total} requests.", shares)
    if fleet.balancer.strategy is Strategy.least_connections:
        return Judged(True, f"Everybody serves: {total} requests; least connections promises equal waiting, not shares.", shares)
    uneven = [one.backend for one in shares if not one.fine]
    if uneven:
        return Judged(False, f"Of {total} requests {_named(uneven)} served more or fewer than chance explains.", shares)
    return Judged(True, f"{total} requests, spread as round robin promises.", shares)


def _share(name: str, requests: int, total: int, expected: float) -> Share:
    allowed = max(LEAST, NOISE * math.sqrt((1 - expected) / (expected * total)))
    share = requests / total
    return Share(name, requests, share, expected, abs(share / expected - 1) <= allowed)


def _named(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def ago(minutes: float, now: datetime) -> datetime:
    return now - timedelta(minutes=minutes)
