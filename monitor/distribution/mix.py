"""Drift of the decision mix: a backend that decides otherwise than the rest on the same stream. Pure.

A rejected impostor or a poor image is a decision, no error; but where the balancer spreads requests blindly, every backend should
reject as many. Under IP hash each serves its own people, and nothing follows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from monitor.distribution.candidate import Candidate, Kind, listed
from monitor.distribution.outliers import difference, p_value, standing_out
from monitor.distribution.proportions import fisher_greater
from monitor.distribution.window import Comparison, Member, Window
from monitor.tally import Tally

LEAST_DECISIONS = 100
LEAST_DIFFERENCE = 0.15
LARGEST_P = 1e-6


def drifted(window: Window) -> list[Candidate]:
    """At most one per backend, its largest difference; never overwhelming: two windows in a row, always."""
    if not window.policy_promises:
        return []
    blind = [_blind(window, member, comparison) for member, comparison in standing_out(window, _refused) if _clearly(comparison)]
    named = {one.backend for one in blind}
    found = [*blind, *(one for one in _peeled(window) if one.backend not in named)]
    names = sorted({str(one.backend) for one in found})
    if len(names) <= window.most_outliers and not (len(window.judged) == 2 and len(found) > len(blind)):
        return found
    sentence = (
        f"{listed(names)} decide differently from the rest ({window.length_s:.0f} s), e.g. {found[0].sentence[0].lower()}"
        f"{found[0].sentence[1:]}"
    )
    return [Candidate(Kind.fleet_mix, None, sentence, figures={"backends": len(names)})]


def _refused(tally: Tally) -> float:
    return tally.refused


def _clearly(comparison: Comparison) -> bool:
    return difference(comparison, _refused) >= LEAST_DIFFERENCE and p_value(comparison, _refused) < LARGEST_P


def _blind(window: Window, member: Member, comparison: Comparison) -> Candidate:
    share, usual = comparison.own.refused / comparison.own.requests, comparison.other.refused / comparison.own.requests
    sentence = (
        f"{member.name} finds no usable face in {share:.0%} of its {comparison.own.requests:.0f} requests, the others in "
        f"{usual:.0%} ({window.length_s:.0f} s): its answers 422 are its own fault. "
        "Compare its engine, model and version with theirs."
    )
    return Candidate(Kind.decision_mix, member.name, sentence, figures={"share": share, "rest_share": usual})


def _peeled(window: Window) -> list[Candidate]:
    """The one that differs most is taken out before the others are compared: it would make all of them look different."""
    left, found = list(window.judged), []
    while len(left) >= 2:
        drifts = [(size, one) for member in left if (measured := _drift(window, member, left)) for size, one in [measured]]
        if not drifts:
            break
        worst = max(drifts, key=lambda pair: pair[0])[1]
        found.append(worst)
        left = [member for member in left if member.name != worst.backend]
    return found


def _drift(window: Window, member: Member, among: Sequence[Member]) -> tuple[float, Candidate] | None:
    own, rest = _mixes([member]), _mixes(other for other in among if other is not member)
    found = [
        (abs(share - usual), operation, decision, share, usual)
        for operation in own
        for decision, share, usual in _differences(own[operation], rest.get(operation, {}))
    ]
    if not found:
        return None
    size, operation, decision, share, usual = max(found)
    sentence = (
        f"{member.name} answers {operation} with {decision} in {share:.0%} of its decisions, the others in {usual:.0%} "
        f"({window.length_s:.0f} s): on evenly spread traffic they should agree. Compare model, threshold and gallery."
    )
    figures = {"share": share, "rest_share": usual, "difference": size}
    return size, Candidate(Kind.decision_mix, member.name, sentence, figures=figures)


def _mixes(members: Iterable[Member]) -> Mapping[str, Mapping[str, float]]:
    """Counts of decisions by operation."""
    mixes: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for member in members:
        for (operation, decision), count in member.served.decisions.items():
            mixes[operation][decision] += count
    return mixes


def _differences(own: Mapping[str, float], rest: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """(decision, share here, share among the others) where the difference is no chance."""
    of, other_of = round(sum(own.values())), round(sum(rest.values()))
    if of < LEAST_DECISIONS or other_of < LEAST_DECISIONS:
        return []
    found = []
    for decision in {*own, *rest}:
        hits, other = round(own.get(decision, 0.0)), round(rest.get(decision, 0.0))
        more = (hits, of, other, other_of) if hits / of > other / other_of else (other, other_of, hits, of)
        if abs(hits / of - other / other_of) >= LEAST_DIFFERENCE and fisher_greater(*_bounded(*more)) < LARGEST_P:
            found.append((decision, hits / of, other / other_of))
    return found


def _bounded(hits: int, of: int, other: int, other_of: int) -> tuple[int, int, int, int]:
    return min(hits, of), of, min(other, other_of), other_of
