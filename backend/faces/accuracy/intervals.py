"""A rate that was counted, and between which limits the true one lies.

Limits are Clopper and Pearson's (Biometrika 26, 1934): exact, so that they hold 95 % of the time or more however few the
trials are, where Wilson's only do so on average. They take the trials as independent. COMPARISONS ARE NOT: a person's
photographs appear in many pairs, so the true limits are wider; `by_subject.py` says how much.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy.special import betaincinv

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """`seen` of `trials`, with two-sided 95 % limits; all three figures are None without trials.

    Where nothing (or everything) was seen only the other end is unknown: it is 3/n, the one-sided 95 % limit.
    """

    seen: int
    trials: int
    rate: float | None
    low: float | None
    high: float | None


def rate(seen: int, trials: int) -> Rate:
    """Raises ValueError for more seen than tried."""
    if not 0 <= seen <= trials:
        raise ValueError(f"{seen} of {trials}")
    if not trials:
        return Rate(seen, trials, None, None, None)
    low = _low(seen, trials)
    high = 1.0 - _low(trials - seen, trials)
    return Rate(seen, trials, seen / trials, low, high)


def clopper_pearson(seen: int, trials: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Two-sided limits also where nothing (or everything) was seen; without trials nothing is known: 0 to 1.

    Raises ValueError for a count that is none of the trials.
    """
    if not 0 <= seen <= trials:
        raise ValueError(f"{seen} of {trials}: the count must be between 0 and the number of trials")
    tail = (1 - confidence) / 2
    low = 0.0 if seen == 0 else float(betaincinv(seen, trials - seen + 1, tail))
    high = 1.0 if seen == trials else float(betaincinv(seen + 1, trials - seen, 1 - tail))
    return low, high


def upper_bound(seen: int, trials: int) -> float:
    """One-sided 95 % upper limit of a rate: 3/n where nothing was seen, else Clopper and Pearson's."""
    if seen == 0:
        return min(1.0, 3 / trials)
    return 1.0 if seen == trials else float(betaincinv(seen + 1, trials - seen, CONFIDENCE))


def supports(target: float, trials: int) -> bool:
    """Whether so many trials without an error would bear out a rate of `target` at 95 %."""
    return trials >= trials_needed(target)


def trials_needed(target: float) -> int:
    return round(3 / target)


def _low(seen: int, trials: int) -> float:
    if seen == 0:
        return 0.0
    if seen == trials:
        return 1.0 - upper_bound(0, trials)
    return float(betaincinv(seen, trials - seen + 1, (1 - CONFIDENCE) / 2))
