"""Load from counters: differences between scrapes, added up over a window, and each backend's share of the whole. Pure.

Only client requests count (`http_requests_total`), never the probes' own. A counter that went back, or a new process,
means a restart: what it shows now came since, and the increment is marked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor import wire
from monitor.histogram import Histogram
from monitor.probe.scrape import Scrape

KEEP = timedelta(hours=1)
NO_TRAFFIC = "no traffic"
NOT_SCRAPED = "not scraped yet"


@dataclass(frozen=True)
class Increment:
    """What one backend served between two scrapes. Latency in seconds."""

    since: datetime
    until: datetime
    requests: float
    errors: float
    latency: Histogram
    latency_sum_s: float
    restarted: bool = False

    def part_after(self, start: datetime) -> Increment:
        """The part that falls after `start`, as if it had come evenly."""
        length = (self.until - self.since).total_seconds()
        inside = (self.until - max(self.since, start)).total_seconds()
        if length <= 0 or inside >= length:
            return self
        part = max(0.0, inside / length)
        return Increment(
            max(self.since, start),
            self.until,
            self.requests * part,
            self.errors * part,
            self.latency.scaled(part),
            self.latency_sum_s * part,
            self.restarted,
        )


def increment(before: Scrape, after: Scrape) -> Increment:
    """The difference of two scrapes of one backend, in the order in which they were taken."""
    restarted = _restarted(before, after)
    return Increment(
        since=before.at,
        until=after.at,
        requests=after.requests - (0 if restarted else before.requests),
        errors=after.errors - (0 if restarted else min(before.errors, after.errors)),
        latency=after.latency if restarted else after.latency.minus(before.latency),
        latency_sum_s=after.latency_sum_s - (0 if restarted else min(before.latency_sum_s, after.latency_sum_s)),
        restarted=restarted,
    )


def _restarted(before: Scrape, after: Scrape) -> bool:
    if after.requests < before.requests or after.latency.total < before.latency.total:
        return True
    a, b = before.process_started_at, after.process_started_at
    # Linux gives the start in clock ticks since boot: a step of the wall clock shifts it a little.
    return a is not None and b is not None and abs(b - a) > timedelta(seconds=1)


@dataclass(frozen=True)
class Sum:
    """One backend over a window; `covered_s` is how much of the window was really seen."""

    requests: int
    errors: int
    latency: Histogram
    latency_sum_s: float
    covered_s: float


class LoadHistory:
    """The increments of one backend over the last hour, and its last scrape."""

    def __init__(self) -> None:
        self.last: Scrape | None = None
        self._increments: deque[Increment] = deque()

    def add(self, scrape: Scrape) -> Increment | None:
        """Take in a scrape; gives what came since the one before, None for the first."""
        before, self.last = self.last, scrape
        if before is None or scrape.at <= before.at:
            return None
        new = increment(before, scrape)
        self._increments.append(new)
        while self._increments and self._increments[0].until < scrape.at - KEEP:
            self._increments.popleft()
        return new

    def over(self, window_s: float, now: datetime) -> Sum | None:
        """The sum over the last `window_s` seconds; None where nothing of it was seen."""
        start = now - timedelta(seconds=window_s)
        parts = [piece.part_after(start) for piece in self._increments if piece.until > start]
        if not parts:
            return None
        return Sum(
            requests=round(sum(part.requests for part in parts)),
            errors=round(sum(part.errors for part in parts)),
            latency=Histogram.merged(part.latency for part in parts),
            latency_sum_s=sum(part.latency_sum_s for part in parts),
            covered_s=sum((part.until - part.since).total_seconds() for part in parts),
        )


@dataclass(frozen=True)
class Member:
    """One backend as the distribution sees it; only the eligible ones are expected to serve."""

    name: str
    weight: int
    eligible: bool
    last: Scrape | None
    sum: Sum | None


def loads(members: Iterable[Member], *, window_s: float) -> dict[str, wire.Load]:
    """Each backend's load and its share of the fleet's, beside the share that its weight would give it."""
    members = list(members)
    total = sum(member.sum.requests for member in members if member.sum)
    expected = expected_shares(members)
    return {member.name: _load(member, total, expected[member.name], window_s) for member in members}


def expected_shares(members: Iterable[Member]) -> Mapping[str, float | None]:
    """By weight over the eligible ones; 0 for the others; None where nobody is eligible."""
    members = list(members)
    weight = sum(member.weight for member in members if member.eligible)
    return {m.name: None if weight == 0 else (m.weight / weight if m.eligible else 0.0) for m in members}


def _load(member: Member, fleet_total: int, expected: float | None, window_s: float) -> wire.Load:
    last, figures = member.last, member.sum
    if figures is None:
        return wire.Load(
            window_s=window_s,
            requests=0,
            rate=None,
            share=None,
            expected_share=expected,
            errors=0,
            error_ratio=None,
            p50_ms=None,
            p95_ms=None,
            p99_ms=None,
            connections=last.connections if last else None,
            reason=NOT_SCRAPED,
            at=last.at if last else None,
        )
    p50, p95, p99 = (_ms(figures.latency.quantile(q)) for q in (0.5, 0.95, 0.99))
    return wire.Load(
        window_s=window_s,
        requests=figures.requests,
        rate=figures.requests / figures.covered_s,
        share=figures.requests / fleet_total if fleet_total else None,
        expected_share=expected,
        errors=figures.errors,
        error_ratio=figures.errors / figures.requests if figures.requests else None,
        p50_ms=p50 if figures.requests else None,
        p95_ms=p95 if figures.requests else None,
        p99_ms=p99 if figures.requests else None,
        connections=last.connections if last else None,
        in_flight=figures.latency_sum_s / figures.covered_s,
        reason=None if fleet_total else NO_TRAFFIC,
        at=last.at if last else None,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
