"""Who stands out by errors or by latency: each backend against the rest, from two backends on. Pure.

A rule on the fleet's mean (Envoy's mean − 1.9σ) cannot fire with four or fewer hosts: the largest possible z is sqrt(n−1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from statistics import median

from monitor.distribution.candidate import Candidate, Kind, listed, milliseconds
from monitor.distribution.proportions import binomial_at_least, fisher_greater
from monitor.distribution.window import LEAST_REQUESTS, Comparison, Member, Window, compare
from monitor.tally import Tally

LEAST_DIFFERENCE = 0.05
LARGEST_P = 1e-3
# One window is enough from here on.
GREAT_DIFFERENCE, SMALL_P = 0.15, 1e-8

FLEET_ERROR_RATIO = 0.05
FLEET_BASE_RATIO, FLEET_P = 0.02, 1e-4
FLEET_GREAT_RATIO, FLEET_GREAT_REQUESTS = 0.2, 100

LEAST_Z = 2.5
MAD_FLOOR = 0.2  # of the logarithm: healthy machines of one kind differ by a fifth
NORMAL_MAD = 1.4826
LEAST_P95_RATIO, LEAST_MEAN_RATIO = 2.0, 1.8
LEAST_MEDIAN_RATIO = 2.0
TAIL_AFTER = 4
"""Windows in a row where the median did not move with the tail: one long request before many short ones lasts a window or two,
and under IP hash the clients may be the cause. No window is enough alone: in it such a jam looks just like a slow machine."""
LEAST_SLOW_EXCESS, SLOW_P = 0.10, 1e-4


def errors(window: Window) -> list[Candidate]:
    """Outliers by ratio of 5xx; one candidate of the fleet instead where more than a third of it fails."""
    fleet = _fleet_errors(window)
    if fleet is not None:
        return [fleet]
    found = standing_out(window, lambda tally: tally.errors)
    return [_error_candidate(window, member, comparison) for member, comparison in found][: window.most_outliers]


def standing_out(window: Window, count: Callable[[Tally], float]) -> list[tuple[Member, Comparison]]:
    """Backends whose share of `count` is above the rest's: Fisher's exact test and an effect of five points.

    Those found first are then left out of the rest, so that two failing ones do not hide each other.
    """
    first = {member.name for member in window.judged if _above(_against(window, member, set()), count)}
    found = [(member, _against(window, member, first)) for member in window.judged]
    return [(member, comparison) for member, comparison in found if _above(comparison, count)]


def _against(window: Window, member: Member, without: set[str]) -> Comparison:
    others = [other for other in window.judged if other is not member]
    return compare(member, [other for other in others if other.name not in without] or others)


def _above(comparison: Comparison, count: Callable[[Tally], float]) -> bool:
    if not comparison.enough or difference(comparison, count) < LEAST_DIFFERENCE:
        return False
    return p_value(comparison, count) < LARGEST_P


def difference(comparison: Comparison, count: Callable[[Tally], float]) -> float:
    return (count(comparison.own) - count(comparison.other)) / comparison.own.requests


def p_value(comparison: Comparison, count: Callable[[Tally], float]) -> float:
    own, other = comparison.own, comparison.other
    hits, of = round(count(own)), round(own.requests)
    return fisher_greater(min(hits, of), of, comparison.scaled_to_size(count(other)), comparison.other_size)


def _error_candidate(window: Window, member: Member, comparison: Comparison) -> Candidate:
    own, other = comparison.own, comparison.other
    ratio, rest = own.errors / own.requests, other.errors / other.requests
    p = p_value(comparison, lambda tally: tally.errors)
    sentence = (
        f"{member.name} fails {ratio:.0%} of its requests ({own.errors:.0f} of {own.requests:.0f} in {window.length_s:.0f} s), "
        f"the others {rest:.1%}: the fault is {member.name}'s own. Look at its app.log and the checks of its /ready; "
        "drain it if it goes on."
    )
    overwhelming = ratio - rest >= GREAT_DIFFERENCE and p < SMALL_P
    figures = {"error_ratio": ratio, "rest_error_ratio": rest, "requests": own.requests, "p": p}
    return Candidate(Kind.errors, member.name, sentence, overwhelming, figures)


def _fleet_errors(window: Window) -> Candidate | None:
    """Where more than a third of the backends fail five percent each, no single one is to blame."""
    failing = sum(_fails(member.all) for member in window.judged)
    whole = Tally.merged(member.all for member in window.judged)
    if failing <= window.most_outliers:
        return None
    if binomial_at_least(round(whole.errors), round(whole.requests), FLEET_BASE_RATIO) >= FLEET_P:
        return None
    ratio = whole.errors / whole.requests
    worst = sorted(window.judged, key=lambda member: -member.all.errors / max(1.0, member.all.requests))
    each = ", ".join(f"{m.name} {m.all.errors / m.all.requests:.0%}" for m in worst if m.all.requests)
    sentence = (
        f"The fleet fails {ratio:.0%} of {whole.requests:.0f} requests in {window.length_s:.0f} s ({each}): no single backend is "
        "to blame. Look at what they share: the database, the last deployment, the balancer."
    )
    overwhelming = ratio >= FLEET_GREAT_RATIO and whole.requests >= FLEET_GREAT_REQUESTS
    return Candidate(Kind.fleet_errors, None, sentence, overwhelming, {"error_ratio": ratio, "requests": whole.requests})


def _fails(tally: Tally) -> bool:
    return tally.requests >= LEAST_REQUESTS and tally.errors / tally.requests >= FLEET_ERROR_RATIO


def latency(window: Window, *, without: Collection[str] = ()) -> list[Candidate]:
    """Outliers by p95 against the others' median (robust z of the logarithm, floored MAD), each confirmed by what buckets cannot
    fake: the exact mean, and Fisher's test of how many requests are slower than the others' p95. Nobody is compared with those
    in `without`."""
    measures = [member for member in window.judged if member.name not in without]
    found = [one for member in window.judged if (one := _slow(window, member, measures)) is not None]
    if len(found) <= window.most_outliers:
        return found
    names = [str(one.backend) for one in found]
    worst = max(one.figures["p95_ratio"] for one in found)
    sentence = (
        f"{listed(names)} are up to {worst:.1f} times slower than the others ({window.length_s:.0f} s): too many for single "
        "faults. Look at what they share: host, zone, database, the last deployment."
    )
    after = min(one.after for one in found)
    return [Candidate(Kind.fleet_latency, None, sentence, figures={"backends": len(found)}, after=after)]


def _slow(window: Window, member: Member, measures: Sequence[Member]) -> Candidate | None:
    others = [other for other in measures if other is not member]
    rest = compare(member, others)
    if not rest.enough:
        return None
    mean, rest_mean = rest.own.latency_sum_s / rest.own.requests, rest.other.latency_sum_s / rest.other.requests
    if rest_mean <= 0 or mean / rest_mean < LEAST_MEAN_RATIO:
        return None
    measured = _p95s(member, others)
    if measured is None:
        return None
    own, usual, z = measured
    if own / usual < LEAST_P95_RATIO or z < LEAST_Z:
        return None
    excess, p = _slow_excess(rest, usual)
    if excess < LEAST_SLOW_EXCESS or p >= SLOW_P:
        return None
    sentence = (
        f"{member.name} is {own / usual:.1f} times slower than the others: p95 {milliseconds(own)} against "
        f"{milliseconds(usual)}, mean {milliseconds(mean)} against {milliseconds(rest_mean)} ({rest.own.requests:.0f} "
        f"requests in {window.length_s:.0f} s). Look at its CPU, its inference queue and whatever else runs on its host."
    )
    moved = _ratio(rest, 0.5) >= LEAST_MEDIAN_RATIO
    if not moved and not window.policy_promises:
        return None
    figures = {
        "p95_ms": own * 1000,
        "others_p95_ms": usual * 1000,
        "p95_ratio": own / usual,
        "mean_ratio": mean / rest_mean,
        "z": z,
    }
    return Candidate(Kind.latency, member.name, sentence, figures=figures, after=2 if moved else TAIL_AFTER)


def _ratio(rest: Comparison, q: float) -> float:
    own, other = rest.own.latency.quantile(q), rest.other.latency.quantile(q)
    return own / other if own and other else 1.0


def _p95s(member: Member, others: Sequence[Member]) -> tuple[float, float, float] | None:
    """Its p95, the median of the others' with its mix of routes, and the robust z of the logarithm."""
    pairs = [pair for other in others if (pair := compare(member, [other])).enough]
    values = [value for pair in pairs if (value := pair.other.latency.quantile(0.95))]
    owns = [value for pair in pairs if (value := pair.own.latency.quantile(0.95))]
    if not values or not owns:
        return None
    own, logs = median(owns), [math.log(value) for value in values]
    middle = median(logs)
    spread = max(MAD_FLOOR, NORMAL_MAD * median(abs(value - middle) for value in logs))
    return own, math.exp(middle), (math.log(own) - middle) / spread


def _slow_excess(rest: Comparison, usual: float) -> tuple[float, float]:
    """How many more of its requests than of the others' are slower than about `usual`, and Fisher's p.

    Buckets can be cut at their bounds alone: of the two next to `usual` the more telling one is taken, and pays for the choice.
    """
    bounds = sorted(set(rest.own.latency.counts) | set(rest.other.latency.counts))
    above = next((bound for bound in bounds if bound >= usual * 0.999), math.inf)
    below = max((bound for bound in bounds if bound < above), default=above)
    excess, p = min((_beyond(rest, limit) for limit in (above, below)), key=lambda pair: pair[1])
    return excess, min(1.0, 2 * p)


def _beyond(rest: Comparison, limit: float) -> tuple[float, float]:
    own, other = (sum(count for bound, count in part.latency.counts.items() if bound > limit) for part in (rest.own, rest.other))
    of = round(rest.own.requests)
    p = fisher_greater(min(of, round(own)), of, rest.scaled_to_size(other), rest.other_size)
    return (own - other) / rest.own.requests, p
