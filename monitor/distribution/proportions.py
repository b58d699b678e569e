"""Exact tests of proportions, light enough for the monitor's image: log-gamma instead of scipy. Pure."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, lgamma, log, log1p

NEGLIGIBLE = 1e-12


def fisher_greater(hits: int, of: int, other_hits: int, other_of: int) -> float:
    """Fisher's exact test, one-sided: the chance of so many `hits` among these `of`, were both groups alike.

    The hypergeometric tail P(X >= hits), with all margins fixed.
    """
    drawn, whole = hits + other_hits, of + other_of
    if hits * whole > of * drawn:
        return min(1.0, _hypergeometric_tail(hits, of, drawn, whole))
    return 1.0 - min(1.0, _hypergeometric_tail(of - hits + 1, of, whole - drawn, whole))


def _hypergeometric_tail(hits: int, of: int, drawn: int, whole: int) -> float:
    """P(X >= hits), for `hits` beyond the mean, where the terms fall."""
    last, others = min(of, drawn), whole - of
    if hits > last:
        return 0.0
    term = exp(_log_choose(of, hits) + _log_choose(others, drawn - hits) - _log_choose(whole, drawn))
    total = 0.0
    for x in range(hits, last + 1):
        total += term
        if term <= total * NEGLIGIBLE:
            break
        term *= (of - x) * (drawn - x) / ((x + 1) * (others - drawn + x + 1))
    return total


def binomial_at_least(hits: int, of: int, chance: float) -> float:
    """P(X >= hits) of a binomial; its inverse in `chance` gives Clopper and Pearson's limits. The smaller tail is added up."""
    if hits <= 0 or chance >= 1:
        return 1.0
    if hits > of * chance:
        return min(1.0, _tail(hits, of, chance))
    return 1.0 - min(1.0, _tail(of - hits + 1, of, 1 - chance))


def _tail(hits: int, of: int, chance: float) -> float:
    """P(X >= hits), for `hits` beyond the mean, where the terms fall."""
    if hits > of or chance <= 0:
        return 0.0
    term = exp(_log_choose(of, hits) + log(chance) * hits + log1p(-chance) * (of - hits))
    total = 0.0
    for x in range(hits, of + 1):
        total += term
        if term <= total * NEGLIGIBLE:
            break
        term *= chance / (1 - chance) * (of - x) / (x + 1)
    return total


def upper_limit(hits: int, of: int, *, confidence: float = 0.95) -> float:
    """Clopper and Pearson's one-sided upper limit of a proportion; 1 where nothing was tried."""
    return 1.0 if hits >= of else _solved(lambda chance: binomial_at_least(hits + 1, of, chance) < confidence)


def lower_limit(hits: int, of: int, *, confidence: float = 0.95) -> float:
    """The one-sided lower limit; 0 where nothing was tried."""
    return 0.0 if of == 0 else 1.0 - upper_limit(of - hits, of, confidence=confidence)


def _solved(below: Callable[[float], bool]) -> float:
    """The chance at which `below` turns false, by halving."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) else (low, middle)
    return high


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
