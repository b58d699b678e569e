"""What one backend answered on one route: counts that can be added, subtracted and cut. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from monitor.histogram import Histogram

Decision = tuple[str, str]
"""(operation, decision), e.g. ("verify", "non_match"); codes only."""


@dataclass(frozen=True)
class Tally:
    """`errors`: answers of status 5xx; `refused`: of status 422 (no usable face). Latency in seconds."""

    requests: float = 0.0
    errors: float = 0.0
    refused: float = 0.0
    latency: Histogram = field(default_factory=Histogram.empty)
    latency_sum_s: float = 0.0

    @classmethod
    def merged(cls, parts: Iterable[Tally]) -> Self:
        parts = list(parts)
        return cls(
            sum(part.requests for part in parts),
            sum(part.errors for part in parts),
            sum(part.refused for part in parts),
            Histogram.merged(part.latency for part in parts),
            sum(part.latency_sum_s for part in parts),
        )

    def minus(self, earlier: Tally) -> Tally:
        """What came since `earlier`, which was of the same counters."""
        return Tally(
            max(0.0, self.requests - earlier.requests),
            max(0.0, self.errors - earlier.errors),
            max(0.0, self.refused - earlier.refused),
            self.latency.minus(earlier.latency),
            max(0.0, self.latency_sum_s - earlier.latency_sum_s),
        )

    def scaled(self, factor: float) -> Tally:
        if factor == 1.0:
            return self
        return Tally(
            self.requests * factor,
            self.errors * factor,
            self.refused * factor,
            self.latency.scaled(factor),
            self.latency_sum_s * factor,
        )


@dataclass(frozen=True)
class Served:
    """All that one backend answered in a span of time, by route, what it decided, and what it spent its time on.

    `stages`: of each, how often it ran (`requests`) and how long it took.
    """

    routes: Mapping[str, Tally] = field(default_factory=dict)
    decisions: Mapping[Decision, float] = field(default_factory=dict)
    stages: Mapping[str, Tally] = field(default_factory=dict)

    def minus(self, earlier: Served) -> Served:
        return Served(
            {route: tally.minus(earlier.routes.get(route, Tally())) for route, tally in self.routes.items()},
            {key: max(0.0, count - earlier.decisions.get(key, 0.0)) for key, count in self.decisions.items()},
            {stage: tally.minus(earlier.stages.get(stage, Tally())) for stage, tally in self.stages.items()},
        )

    def scaled(self, factor: float) -> Served:
        return Served(
            {route: tally.scaled(factor) for route, tally in self.routes.items()},
            {key: count * factor for key, count in self.decisions.items()},
            {stage: tally.scaled(factor) for stage, tally in self.stages.items()},
        )

    @classmethod
    def merged(cls, parts: Iterable[Served]) -> Self:
        parts = list(parts)
        keys = {key for part in parts for key in part.decisions}
        return cls(
            _merged([part.routes for part in parts]),
            {key: sum(part.decisions.get(key, 0.0) for part in parts) for key in sorted(keys)},
            _merged([part.stages for part in parts]),
        )


def _merged(parts: Sequence[Mapping[str, Tally]]) -> dict[str, Tally]:
    names = {name for part in parts for name in part}
    return {name: Tally.merged(part[name] for part in parts if name in part) for name in sorted(names)}
