"""History as the API shows it: which span was asked, at which resolution it is answered, and each bucket as a point."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from monitor import wire
from monitor.api.problems import BadRequest
from monitor.store.bucket import Bucket, merged
from monitor.store.history import History
from monitor.store.retention import KEEP_DAYS
from monitor.store.series import MOST_POINTS, step_for, watched_from

PERCENTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Span:
    """`since` is where the first bucket begins, `until` at most the present."""

    since: datetime
    until: datetime
    step_s: int

    @classmethod
    def of(cls, since: datetime | None, until: datetime | None, step_s: int | None, *, now: datetime) -> Self:
        """Of a query. Raises `BadRequest`."""
        for name, at in (("since", since), ("until", until)):
            if at is not None and at.tzinfo is None:
                raise BadRequest(f"`{name}` needs a zone: 2026-01-01T00:00:00Z")
        end = min(until or now, now)
        start = max(since or end - timedelta(hours=1), now - KEEP_DAYS)
        if start >= end:
            raise BadRequest("`since` must be earlier than `until` and than now, and not before all that is kept")
        step = step_for(start, end, now, asked_s=step_s)
        if (end - start).total_seconds() / step > MOST_POINTS:
            raise BadRequest(f"more than {MOST_POINTS} points: give a later `since`, a longer `step`, or none")
        return cls(watched_from(start, step), end, step)


def backend_history(history: History, name: str, span: Span) -> wire.HistoryView:
    """`GET /v1/backends/{name}/history`."""
    buckets = history.series(backend=name, since=span.since, until=span.until, step_s=span.step_s)
    step = timedelta(seconds=span.step_s)
    return wire.HistoryView(
        items=[_point(one, min(step, span.until - one.at)) for one in buckets],
        total=len(buckets),
        since=span.since,
        until=span.until,
        step_s=span.step_s,
        whole=_point(merged(buckets), span.until - span.since) if buckets else None,
    )


def load_series(history: History, *, window_s: float, now: datetime) -> list[wire.LoadPoint]:
    """`GET /v1/load/series`: only what was measured."""
    since = now - timedelta(seconds=window_s)
    step_s = step_for(since, now, now, asked_s=max(10, int(window_s // 90) // 10 * 10))
    buckets = history.series(backend=None, since=since, until=now, step_s=step_s)
    return [_load_point(one) for one in buckets if one.requests is not None]


def _point(one: Bucket, length: timedelta) -> wire.HistoryPoint:
    probe_p50, probe_p95, probe_p99 = one.probe_ms.quantiles(PERCENTILES)
    request_p50, request_p95, request_p99 = (_ms(seconds) for seconds in one.latency.quantiles(PERCENTILES))
    in_flight_p50, in_flight_p95 = one.in_flight.quantiles(PERCENTILES[:2])
    return wire.HistoryPoint(
        at=one.at,
        state=wire.State(one.state),
        up_ratio=one.up / one.samples if one.samples else None,
        latency_p95_ms=probe_p95,
        requests=_whole(one.requests),
        errors=_whole(one.errors),
        # A minute of before states were timed counts as a whole one, though it may be the one that still runs.
        coverage=min(1.0, round(one.watched_ms / 1000 / length.total_seconds(), 4)),
        availability=one.availability,
        seconds={wire.State(state): ms / 1000 for state, ms in one.held_ms.items()},
        probe_p50_ms=probe_p50,
        probe_p99_ms=probe_p99,
        request_p50_ms=request_p50,
        request_p95_ms=request_p95,
        request_p99_ms=request_p99,
        in_flight_p50=in_flight_p50,
        in_flight_p95=in_flight_p95,
    )


def _load_point(one: Bucket) -> wire.LoadPoint:
    return wire.LoadPoint(
        at=one.at,
        backend=one.backend,
        requests=round(one.requests or 0),
        errors=round(one.errors or 0),
        p95_ms=_ms(one.latency.quantile(0.95)),
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _whole(number: float | None) -> int | None:
    return None if number is None else round(number)
