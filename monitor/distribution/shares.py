"""Who gets a share that the balancer's policy does not explain, and the sinkhole. Pure.

Round robin promises requests by weight. Least connections promises requests in flight by weight while the fleet is busy; while it
is idle all are tied at none, and HAProxy then takes them in turn, whatever their weight, nginx by weight. Between the two it
promises a mixture. So there a share is unfair only where *both*, requests and requests in flight, are off in the same direction,
and beyond both the weighted and the equal share: a slow backend has fewer requests, but as many in flight. IP hash promises
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.distribution.candidate import Candidate, Kind, listed
from monitor.distribution.outliers import GREAT_DIFFERENCE, SMALL_P, difference, p_value, standing_out
from monitor.distribution.window import LEAST_REQUESTS, Comparison, Member, Window
from monitor.fleet import Strategy
from monitor.tally import Tally

FLOORS = 3.0
LEAST_DEVIATION = 0.2
LEAST_OF_TWO = 0.15  # where two measures must agree
GREAT_FACTOR = 2.0
IN_FLIGHT_FLOORS = 1.0
SINKHOLE_FLOORS, SINKHOLE_DEVIATION = 3.0, 0.15


@dataclass(frozen=True)
class Share:
    """Deviations are relative: −0.6 is 40 % of the fair share. Floors: what chance alone would show (one sigma)."""

    member: Member
    expected: float
    share: float
    deviation: float
    floor: float
    least: float
    in_flight: float
    in_flight_deviation: float
    in_flight_floor: float

    @property
    def limit(self) -> float:
        return max(FLOORS * self.floor, self.least)


def shares_of(window: Window) -> list[Share]:
    """Of the judged backends; empty where there is nothing to compare."""
    members = window.judged
    total = sum(member.all.requests for member in members)
    busy = sum(member.all.latency_sum_s for member in members)
    weight = sum(member.weight for member in members)
    if len(members) < 2 or total < LEAST_REQUESTS:
        return []
    spread = _second_moment(members)
    return [_share(member, member.weight / weight, total=total, busy=busy, spread=spread, window=window) for member in members]


def _share(member: Member, expected: float, *, total: float, busy: float, spread: float, window: Window) -> Share:
    own = member.all
    promised = [expected] if window.strategy is Strategy.round_robin else [expected, 1 / len(window.judged)]
    return Share(
        member=member,
        expected=expected,
        share=own.requests / total,
        deviation=_deviation(own.requests / total, promised),
        floor=math.sqrt((1 - expected) / (total * expected)),
        least=LEAST_DEVIATION if window.strategy is Strategy.round_robin else LEAST_OF_TWO,
        in_flight=own.latency_sum_s / window.length_s,
        in_flight_deviation=_deviation(own.latency_sum_s / busy, promised) if busy else 0.0,
        in_flight_floor=math.sqrt(spread / (total * expected)),
    )


def _deviation(share: float, promised: Sequence[float]) -> float:
    """Relative, from the nearest of what is promised; 0 between them."""
    if share < min(promised):
        return share / min(promised) - 1
    return max(0.0, share / max(promised) - 1)


def _second_moment(members: Sequence[Member]) -> float:
    """E[s²]/E[s]² = 1+CV² of the time of one request, from the fleet's buckets: how noisy a sum of them is."""
    whole = Tally.merged(member.all for member in members).latency
    lower, first, second = 0.0, 0.0, 0.0
    for bound in sorted(whole.counts):
        value = lower if math.isinf(bound) else (lower + bound) / 2
        first, second = first + whole.counts[bound] * value, second + whole.counts[bound] * value * value
        lower = bound
    return max(1.0, second * whole.total / first**2) if first else 1.0


def unfair(window: Window) -> list[Candidate]:
    """The starved ones, or, where nobody is, those who get too much. More than a third: the spread as a whole is wrong."""
    if not window.policy_promises:
        return []
    shares = shares_of(window)
    found = [one for one in shares if _off(one, window.strategy, -1)] or [one for one in shares if _off(one, window.strategy, 1)]
    if len(found) <= window.most_outliers:
        return [_unfair(window, one, shares) for one in found]
    each = ", ".join(f"{one.member.name} {one.share:.0%} of {one.expected:.0%}" for one in shares)
    sentence = (
        f"{listed([one.member.name for one in found])} are off their fair shares ({each} expected, {window.length_s:.0f} s): the "
        "balancer spreads by other weights than the fleet file's. Render and reload its configuration."
    )
    return [Candidate(Kind.fleet_share, None, sentence, False, {"backends": len(found)})]


def _off(one: Share, strategy: Strategy, sign: int) -> bool:
    if sign * one.deviation <= one.limit:
        return False
    in_flight = max(IN_FLIGHT_FLOORS * one.in_flight_floor, one.least)
    return strategy is Strategy.round_robin or sign * one.in_flight_deviation > in_flight


def _unfair(window: Window, one: Share, shares: Sequence[Share]) -> Candidate:
    name, total = one.member.name, sum(share.member.requests for share in shares)
    flight = f"; {one.in_flight:.1f} in flight, {1 + one.in_flight_deviation:.0%} of the others' measure"
    sentence = (
        f"{name} got {one.share:.0%} of {total} requests in {window.length_s:.0f} s, its weight promises {one.expected:.0%} "
        f"(chance explains ±{one.limit:.0%} of that){flight if window.strategy is Strategy.least_connections else ''}: "
        + (
            "the balancer holds it back. Look at its weight, its health in the balancer's eyes and failed connections."
            if one.deviation < 0
            else "the balancer prefers it. Look at the weights in force and at who else is out."
        )
    )
    figures = {
        "share": one.share,
        "expected_share": one.expected,
        "deviation": one.deviation,
        "in_flight_deviation": one.in_flight_deviation,
        "requests": float(total),
    }
    return Candidate(Kind.unfair_share, name, sentence, abs(one.deviation) > GREAT_FACTOR * one.limit, figures)


def sinkholes(window: Window) -> list[Candidate]:
    """Least connections: who fails fast is free soonest and draws more; share *and* errors (or 422s) are above the rest's."""
    if window.strategy is not Strategy.least_connections or not window.policy_promises:
        return []
    drawn = {
        one.member.name: one for one in shares_of(window) if one.deviation > max(SINKHOLE_FLOORS * one.floor, SINKHOLE_DEVIATION)
    }
    found = {}
    for what, count in (("fails", _errors), ("finds no usable face in", _refused)):
        for member, comparison in standing_out(window, count):
            if member.name in drawn and member.name not in found:
                found[member.name] = _sinkhole(window, drawn[member.name], comparison, what)
    return list(found.values()) if len(found) <= window.most_outliers else []


def _errors(tally: Tally) -> float:
    return tally.errors


def _refused(tally: Tally) -> float:
    return tally.refused


def _sinkhole(window: Window, one: Share, comparison: Comparison, what: str) -> Candidate:
    count = _errors if what == "fails" else _refused
    own, rest = count(comparison.own) / comparison.own.requests, count(comparison.other) / comparison.other.requests
    name = one.member.name
    sentence = (
        f"{name} is a sinkhole: it {what} {own:.0%} of its requests (the others {rest:.1%}) and, being free soonest, draws "
        f"{one.share:.0%} of the traffic where {one.expected:.0%} is fair ({window.length_s:.0f} s). Drain {name} now: each "
        "request that it takes is one that another would have answered."
    )
    overwhelming = difference(comparison, count) >= GREAT_DIFFERENCE and p_value(comparison, count) < SMALL_P
    figures = {"share": one.share, "expected_share": one.expected, "ratio": own, "rest_ratio": rest}
    return Candidate(Kind.sinkhole, name, sentence, overwhelming, figures)
