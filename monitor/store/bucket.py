"""Buckets of time: what samples say of each, and several as one. Pure; times are whole milliseconds since 1970, UTC.

A backend's state at a moment is that of its last sample until then, for as long as that sample is valid: until it would be
called STALE. Beyond that nobody knows, and nobody watched: such time is in no state, and a bucket of nothing else is a gap.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from monitor import histogram, wire
from monitor.histogram import IN_FLIGHT_BOUNDS, Histogram

WORST_FIRST = (wire.State.down, wire.State.degraded, wire.State.starting, wire.State.unknown, wire.State.up)
_SEVERITY = {str(state): place for place, state in enumerate(WORST_FIRST)}
# Of a sample from before samples said it: three intervals of five seconds, each with its deadline.
USUALLY_VALID_MS = 21_000
# How far back a state may reach into a bucket; also a bound on what a roll-up reads.
VALID_AT_MOST_MS = 3_600_000
AVAILABLE = wire.State.up
# Before its first verdict nothing is known of a backend that could be called available or not.
NO_VERDICT = wire.State.unknown


@dataclass(frozen=True, slots=True)
class Seen:
    """What of a sample counts here."""

    backend: str
    at_ms: int
    state: str
    up: bool
    probe_ms: float | None = None
    requests: float | None = None
    errors: float | None = None
    latency: Sequence[Any] | None = None
    in_flight: float | None = None
    valid_s: float | None = None

    @property
    def valid_until_ms(self) -> int:
        valid = USUALLY_VALID_MS if self.valid_s is None else round(self.valid_s * 1000)
        return self.at_ms + min(valid, VALID_AT_MOST_MS)


@dataclass(frozen=True, slots=True)
class Bucket:
    """`held_ms`: how long each state stood; `state`: the worst of them. Request latency in seconds.

    `requests` and `errors` are None where nothing was measured, which is not the same as nothing served.
    """

    backend: str
    at_ms: int
    state: str
    samples: int = 0
    up: int = 0
    requests: float | None = None
    errors: float | None = None
    probe_ms: Histogram = field(default_factory=Histogram.empty)
    latency: Histogram = field(default_factory=Histogram.empty)
    in_flight: Histogram = field(default_factory=Histogram.empty)
    held_ms: Mapping[str, int] = field(default_factory=dict)

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.at_ms / 1000, UTC)

    @property
    def watched_ms(self) -> int:
        return sum(self.held_ms.values())

    @property
    def availability(self) -> float | None:
        """The part of the time with a verdict in which it was UP; None where there was no such time."""
        judged = self.watched_ms - self.held_ms.get(NO_VERDICT, 0)
        return self.held_ms.get(AVAILABLE, 0) / judged if judged else None


def floor(at_ms: int, step_ms: int) -> int:
    return at_ms // step_ms * step_ms


def of_samples(samples: Iterable[Seen], *, start_ms: int, end_ms: int, step_ms: int) -> list[Bucket]:
    """Buckets of [start, end), by time; samples before the start count only for the state that they leave behind."""
    by_backend = itertools.groupby(sorted(samples, key=_backend_and_time), key=lambda one: one.backend)
    found = [
        _bucket(backend, at, *part)
        for backend, group in by_backend
        for at, part in _parted(_each_once(group), start_ms, end_ms, step_ms).items()
    ]
    return sorted(found, key=lambda one: (one.at_ms, one.backend))


def merged(buckets: Sequence[Bucket]) -> Bucket:
    """Several buckets of one backend as one, which starts where the first does."""
    held: dict[str, int] = {}
    for bucket in buckets:
        for state, ms in bucket.held_ms.items():
            held[state] = held.get(state, 0) + ms
    return Bucket(
        backend=buckets[0].backend,
        at_ms=buckets[0].at_ms,
        state=_worst(one.state for one in buckets),
        samples=sum(one.samples for one in buckets),
        up=sum(one.up for one in buckets),
        requests=_sum(one.requests for one in buckets),
        errors=_sum(one.errors for one in buckets),
        probe_ms=Histogram.merged(one.probe_ms for one in buckets),
        latency=Histogram.merged(one.latency for one in buckets),
        in_flight=Histogram.merged(one.in_flight for one in buckets),
        held_ms=held,
    )


def rebucketed(buckets: Iterable[Bucket], step_ms: int) -> list[Bucket]:
    """The same, in wider buckets, by time."""
    ordered = sorted(buckets, key=lambda one: (one.backend, one.at_ms))
    groups = itertools.groupby(ordered, key=lambda one: (one.backend, floor(one.at_ms, step_ms)))
    wide = [replace(merged(list(group)), at_ms=at) for (_, at), group in groups]
    return sorted(wide, key=lambda one: (one.at_ms, one.backend))


_Part = tuple[list[Seen], dict[str, int]]


def _parted(samples: Sequence[Seen], start_ms: int, end_ms: int, step_ms: int) -> dict[int, _Part]:
    """For each bucket of one backend: the samples in it, and how long each state held in it."""
    parts: dict[int, _Part] = {}
    for place, sample in enumerate(samples):
        if start_ms <= sample.at_ms < end_ms:
            parts.setdefault(floor(sample.at_ms, step_ms), ([], {}))[0].append(sample)
        next_at = samples[place + 1].at_ms if place + 1 < len(samples) else end_ms
        until = min(sample.valid_until_ms, next_at, end_ms)
        for at, ms in _split(max(sample.at_ms, start_ms), until, step_ms):
            held = parts.setdefault(at, ([], {}))[1]
            held[sample.state] = held.get(sample.state, 0) + ms
    return parts


def _split(begin_ms: int, until_ms: int, step_ms: int) -> Iterator[tuple[int, int]]:
    """A stretch of time cut at the borders of buckets: (bucket, length)."""
    while begin_ms < until_ms:
        at = floor(begin_ms, step_ms)
        stop = min(until_ms, at + step_ms)
        yield at, stop - begin_ms
        begin_ms = stop


def _bucket(backend: str, at_ms: int, samples: Sequence[Seen], held_ms: Mapping[str, int]) -> Bucket:
    return Bucket(
        backend=backend,
        at_ms=at_ms,
        state=_worst([*held_ms, *(sample.state for sample in samples)]),
        samples=len(samples),
        up=sum(sample.up for sample in samples),
        requests=_sum(sample.requests for sample in samples),
        errors=_sum(sample.errors for sample in samples),
        probe_ms=histogram.of_values(s.probe_ms for s in samples if s.probe_ms is not None),
        latency=Histogram.merged(Histogram.from_pairs(s.latency) for s in samples if s.latency),
        in_flight=histogram.of_values((s.in_flight for s in samples if s.in_flight is not None), IN_FLIGHT_BOUNDS),
        held_ms=held_ms,
    )


def _each_once(samples: Iterable[Seen]) -> list[Seen]:
    """A batch whose commit was in doubt is written again: one backend has one round at a time."""
    return list({sample.at_ms: sample for sample in samples}.values())


def _backend_and_time(one: Seen) -> tuple[str, int]:
    return one.backend, one.at_ms


def _worst(states: Iterable[str]) -> str:
    return min(states, key=_SEVERITY.__getitem__)


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
