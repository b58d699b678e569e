"""What a count of errors says of their rate, at 95 %."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

STEPS = 60


def clopper_pearson(seen: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Exact limits of a binomial rate, both sides together missing the true one in 1 - `confidence` of all cases at most.

    Clopper and Pearson, Biometrika 26 (1934). Without trials nothing is known: 0 to 1. Raises ValueError for a count that is
    none of the trials.
    """
    if not 0 <= seen <= trials:
        raise ValueError("the count must be between 0 and the number of trials")
    if trials == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    ways = _log_ways(trials, seen)
    low = 0.0 if seen == 0 else _where(lambda rate: 1 - _at_most(seen - 1, trials, rate, ways) >= tail)
    high = 1.0 if seen == trials else _where(lambda rate: _at_most(seen, trials, rate, ways) <= tail)
    return low, high


def _where(true: Callable[[float], bool]) -> float:
    """The rate from which on it is true."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if true(middle) else (middle, high)
    return high


def _log_ways(trials: int, seen: int) -> NDArray[np.float64]:
    """(seen + 1,): the logarithm of how many ways there are to choose 0, 1, … of the trials."""
    chosen = np.arange(1, seen + 1, dtype=np.float64)
    return np.concatenate([[0.0], np.cumsum(np.log((trials - chosen + 1) / chosen))])


def _at_most(count: int, trials: int, rate: float, ways: NDArray[np.float64]) -> float:
    numbers = np.arange(count + 1, dtype=np.float64)
    logs = ways[: count + 1] + numbers * math.log(rate) + (trials - numbers) * math.log1p(-rate)
    return min(1.0, float(np.exp(logs).sum()))
