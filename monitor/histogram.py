"""Histograms that can be added and subtracted: a p95 is never averaged, it is read off a merged histogram. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Histogram:
    """Counts per bucket by upper bound (not cumulative); the last bound is infinity. Bounds in the unit of what was measured."""

    counts: Mapping[float, float]

    @classmethod
    def empty(cls) -> Self:
        return cls({})

    @classmethod
    def from_cumulative(cls, cumulative: Mapping[float, float]) -> Self:
        """From Prometheus' `le` buckets."""
        counts, below = {}, 0.0
        for bound in sorted(cumulative):
            counts[bound] = max(0.0, cumulative[bound] - below)
            below = cumulative[bound]
        return cls(counts)

    @classmethod
    def merged(cls, parts: Iterable[Histogram]) -> Self:
        counts: dict[float, float] = {}
        for part in parts:
            for bound, count in part.counts.items():
                counts[bound] = counts.get(bound, 0.0) + count
        return cls(counts)

    @property
    def total(self) -> float:
        return sum(self.counts.values())

    def minus(self, earlier: Histogram) -> Histogram:
        """What came since `earlier`, which was of the same counter."""
        return Histogram({bound: max(0.0, count - earlier.counts.get(bound, 0.0)) for bound, count in self.counts.items()})

    def scaled(self, factor: float) -> Histogram:
        return Histogram({bound: count * factor for bound, count in self.counts.items()})

    def quantile(self, q: float) -> float | None:
        """Linear within the bucket, as Prometheus' `histogram_quantile`; in the last bucket its lower bound; None when empty."""
        return self.quantiles((q,))[0]

    def quantiles(self, rising: Sequence[float]) -> list[float | None]:
        """Several, smallest first, in one pass."""
        total = self.total
        if total <= 0:
            return [None] * len(rising)
        found: list[float | None] = []
        below, lower = 0.0, 0.0
        for bound, count in sorted(self.counts.items()):
            while count > 0 and len(found) < len(rising) and below + count >= (rank := rising[len(found)] * total):
                found.append(lower if math.isinf(bound) else lower + (bound - lower) * max(0.0, rank - below) / count)
            below, lower = below + count, lower if math.isinf(bound) else bound
        return found + [lower] * (len(rising) - len(found))

    def to_pairs(self) -> list[list[float | str]]:
        """For JSON, which has no infinity. Empty buckets are left out but for those just below a full one: they bound it."""
        bounds = sorted(self.counts)
        above = [*(self.counts[bound] for bound in bounds[1:]), 0.0]
        return [
            ["inf" if math.isinf(bound) else _short(bound), _short(self.counts[bound])]
            for bound, next_count in zip(bounds, above, strict=False)
            if self.counts[bound] or next_count
        ]

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[float | str, float]]) -> Self:
        return cls({float(bound): float(count) for bound, count in pairs})


def _short(number: float) -> float:
    """`4` instead of `4.0`: millions of these are stored."""
    return int(number) if number == int(number) else number


IN_FLIGHT_BOUNDS = (0, 1, 2, 4, 8, 16, 32, 64, 128, math.inf)
LATENCY_BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, math.inf)


def of_values(values: Iterable[float], bounds: Iterable[float] = LATENCY_BOUNDS_MS) -> Histogram:
    """Sort single measurements into buckets."""
    counts = dict.fromkeys(bounds, 0.0)
    for value in values:
        counts[next(bound for bound in counts if value <= bound)] += 1
    return Histogram(counts)
