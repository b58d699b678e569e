"""How evenly the load is spread, judged by what the balancer's policy promises; pure.

Jain's index ``J = (Σy)² / (n Σy²) = 1/(1+CV²)`` over ``y_i = x_i / w_i`` of the eligible backends. Noise floor for random
placement with weights: ``CV² ≈ (1/n) Σ (1−p_i)/(N p_i)``, with ``p_i = w_i / Σw``; for equal weights ``(n−1)/N``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from monitor.fleet import BalancerKind, Strategy
from monitor.wire import Fairness

FLOORS_BEFORE_FLAGGED = 3.0
# An effect too small to matter is never flagged, however many requests prove it.
SMALLEST_CV = 0.1
SMALLEST_IN_FLIGHT = 1.0

Measure = Literal["requests_per_weight", "in_flight_per_weight", "report_only"]


@dataclass(frozen=True)
class Served:
    """One eligible backend over the window; `in_flight` is the mean number of its requests in flight (Little: L = λW)."""

    name: str
    weight: int
    requests: int
    in_flight: float


def jain(values: Sequence[float]) -> float | None:
    """1 for an even spread, 1/n when one has it all; None when there is nothing."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares > 0 else None


def cv(values: Sequence[float]) -> float | None:
    """Coefficient of variation, population form."""
    mean = sum(values) / len(values) if values else 0.0
    if mean <= 0:
        return None
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)) / mean


def noise_floor(weights: Sequence[int], total: int) -> float | None:
    """The CV that random placement of `total` requests would show by itself."""
    if total <= 0 or not weights:
        return None
    whole = sum(weights)
    shares = [weight / whole for weight in weights]
    return math.sqrt(sum((1 - share) / (total * share) for share in shares) / len(shares))


def judge(served: Sequence[Served], *, kind: BalancerKind, strategy: Strategy) -> Fairness:
    """One verdict and one sentence; nothing below three times the noise floor is flagged, nor what no policy promises."""
    policy = "none" if kind is BalancerKind.none else strategy.value
    measure = _measure(kind, strategy)
    total = sum(one.requests for one in served)
    values = [(one.in_flight if measure == "in_flight_per_weight" else one.requests) / one.weight for one in served]
    spread, floor = cv(values), noise_floor([one.weight for one in served], total)
    flagged, sentence = _sentence(served, values, measure=measure, spread=spread, floor=floor, total=total)
    return Fairness(
        policy=policy,
        measure=measure,
        jain=jain(values),
        cv=spread,
        noise_floor_cv=floor,
        flagged=flagged,
        sentence=sentence,
    )


def _measure(kind: BalancerKind, strategy: Strategy) -> Measure:
    if kind is BalancerKind.none or strategy is Strategy.ip_hash:
        return "report_only"
    return "requests_per_weight" if strategy is Strategy.round_robin else "in_flight_per_weight"


def _sentence(
    served: Sequence[Served], values: Sequence[float], *, measure: Measure, spread: float | None, floor: float | None, total: int
) -> tuple[bool, str]:
    if total == 0:
        return False, "No traffic: there is no share to judge."
    if len(served) < 2:
        return False, f"There is nothing to compare: {len(served)} of the backends could serve for the whole window."
    most = max(zip(values, served, strict=True), key=lambda pair: pair[0])[1]
    share, expected = most.requests / total, most.weight / sum(one.weight for one in served)
    facts = f"{most.name} got {share:.0%} of {total} requests, expected by weight {expected:.0%}"
    if measure == "report_only":
        return False, f"{facts}; the policy promises no even spread."
    if measure == "in_flight_per_weight":
        if sum(one.in_flight for one in served) < SMALLEST_IN_FLIGHT * len(served):
            return False, f"{facts}; fewer than one request is in flight per backend, too few for least connections to act on."
        spread = cv([_against_promise(one, served) for one in served])
    if spread is None or floor is None:
        return False, f"{facts}; too little to judge."
    limit = max(FLOORS_BEFORE_FLAGGED * floor, SMALLEST_CV)
    what = "requests in flight" if measure == "in_flight_per_weight" else "requests"
    if spread <= limit:
        return False, f"Even: {what} per weight vary by {spread:.0%}, within {limit:.0%}."
    return True, f"Uneven: {what} per weight vary by {spread:.0%}, more than {limit:.0%}; {facts}."


def _against_promise(one: Served, served: Sequence[Served]) -> float:
    """Its requests in flight over what is promised: 1 between the weighted and the equal share, as least connections takes idle
    backends whatever their weight (HAProxy in turn) and only busy ones by weight."""
    share = one.in_flight / sum(other.in_flight for other in served)
    low, high = sorted((one.weight / sum(other.weight for other in served), 1 / len(served)))
    return share / low if share < low else max(1.0, share / high)
