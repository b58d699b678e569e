"""How far rates would differ with other people: the subjects are drawn anew, not the pairs.

Pairs of one person stand or fall together: her one bad photograph is in all of them. So the limits that take every pair
as a trial of its own are too narrow, and the people are what was sampled. The bootstrap draws as many subjects as there
are, with replacement, 1,000 times (Bolle, Ratha, Pankanti: Error analysis of pattern recognition systems, CVIU 93, 2004).
Without any error there is nothing to draw. Then each person with genuine pairs is one trial: 3/n of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.faces.accuracy.comparisons import Comparisons, Counts
from backend.faces.accuracy.intervals import upper_bound

DRAWS = 1000
_SEED = 0


@dataclass(frozen=True)
class Limits:
    """95 %: by percentiles of the draws, or 3/n where no error was seen."""

    low: float
    high: float
    people: int
    """how many took part"""


def fnmr_limits(comparisons: Comparisons, threshold: float) -> Limits | None:
    """At a named threshold. None without genuine pairs."""
    tried, lost = comparisons.genuine_of, comparisons.lost_of[threshold]
    taking_part = tried > 0
    tried, lost = tried[taking_part], lost[taking_part]

    def drawn(times: Counts) -> tuple[float, float]:
        return float(times @ lost), float(times @ tried)

    if not lost.any():
        return Limits(0.0, upper_bound(0, len(tried)), len(tried)) if len(tried) else None
    return _limits(len(tried), drawn)


def fmr_limits(comparisons: Comparisons, threshold: float, photographs: Counts) -> Limits | None:
    """At a named threshold; `photographs`: (s,) templates of each subject.

    None without any false match, or with too many to keep. A pair of two people counts as often as both were drawn;
    who was drawn twice is no impostor of himself.
    """
    kept = comparisons.confusions
    if kept is None:
        return None
    reached = kept.scores >= np.float32(threshold)
    first, second = kept.first[reached], kept.second[reached]

    def drawn(times: Counts) -> tuple[float, float]:
        taken = (times * photographs).astype(np.float64)
        pairs = (taken.sum() ** 2 - (taken**2).sum()) / 2
        return float((times[first] * times[second]).sum()), float(pairs)

    return _limits(len(photographs), drawn) if reached.any() else None


def _limits(subjects: int, drawn: Callable[[Counts], tuple[float, float]]) -> Limits | None:
    rng = np.random.default_rng(_SEED)  # the same photographs give the same report
    rates = []
    for _ in range(DRAWS):
        times: NDArray[np.int64] = np.bincount(rng.integers(subjects, size=subjects), minlength=subjects)
        seen, tried = drawn(times)
        if tried:
            rates.append(seen / tried)
    if not rates:
        return None
    low, high = np.percentile(rates, [2.5, 97.5])
    return Limits(float(low), float(high), subjects)
