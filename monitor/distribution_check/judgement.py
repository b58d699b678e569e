"""What a counted number of requests says of the balancer's strategy: one verdict and one sentence. Pure.

The shares are judged as the fleet's real traffic is (`monitor.distribution.shares`, docs/load-findings.md): a backend stands out
beyond three times what chance alone does, ``3 √((1−p)/(N p))``, and beyond 20 %. Here every request comes from one address, all
are alike, and they are few: under least connections others' requests may explain a difference, under IP hash one backend has all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from monitor import fairness, wire
from monitor.distribution.shares import FLOORS, LEAST_DEVIATION
from monitor.fleet import Strategy
from monitor.wire import DistributionVerdict as Verdict
from monitor.wire import ShareVerdict


@dataclass(frozen=True)
class Member:
    """A backend of the fleet file; `eligible`: clients' requests were meant to reach it all the time."""

    name: str
    weight: int
    eligible: bool


@dataclass(frozen=True)
class Counted:
    """What came of the requests: how long each took in ms, by who answered it; how many failed, by reason code.

    One that a backend answered with an error of its own is in both.
    """

    served_ms: Mapping[str, Sequence[float]]
    failures: Mapping[str, int]

    @property
    def answered(self) -> int:
        return sum(len(times) for times in self.served_ms.values())


@dataclass(frozen=True)
class Judged:
    verdict: Verdict
    sentence: str
    cv: float | None
    noise_floor_cv: float | None


def shares(counted: Counted, members: Sequence[Member], strategy: Strategy) -> list[wire.DistributionShare]:
    """Each backend of the fleet file in its order, then who answered though the file does not name it."""
    known = {member.name for member in members}
    total = counted.answered
    eligible = [member for member in members if member.eligible]
    strangers = [Member(name, 0, eligible=False) for name in sorted(counted.served_ms) if name not in known]
    found = []
    for member in [*members, *strangers]:
        times = counted.served_ms.get(member.name, ())
        share = len(times) / total if total else None
        expected = _expected(member, eligible, strategy, share)
        limit = (
            None if not expected or not total else max(FLOORS * math.sqrt((1 - expected) / (total * expected)), LEAST_DEVIATION)
        )
        deviation = None if share is None or not expected else share / expected - 1
        found.append(
            wire.DistributionShare(
                backend=member.name,
                requests=len(times),
                share=share,
                expected_share=expected,
                deviation=deviation,
                limit=limit,
                verdict=_verdict(member, known, len(times), deviation, limit),
                p50_ms=round(median(times), 2) if times else None,
            )
        )
    return found


def judge(counted: Counted, members: Sequence[Member], strategy: Strategy, *, sent: int) -> Judged:
    """Of the whole run."""
    eligible = [member for member in members if member.eligible]
    requests = [len(counted.served_ms.get(member.name, ())) for member in eligible]
    spread = fairness.cv([count / member.weight for count, member in zip(requests, eligible, strict=True)])
    floor = fairness.noise_floor([member.weight for member in eligible], sum(requests))
    verdict, sentence = _whole(counted, shares(counted, members, strategy), members, strategy, sent=sent)
    return Judged(verdict, " ".join([sentence, *_besides(counted, members, sent=sent)]), spread, floor)


def _expected(member: Member, eligible: Sequence[Member], strategy: Strategy, share: float | None) -> float | None:
    """By weight. Idle backends are tied under least connections; some balancers then ignore weights: the nearer one counts."""
    if strategy is Strategy.ip_hash or not eligible:
        return None
    if not member.eligible:
        return 0.0
    weighted, equal = member.weight / sum(one.weight for one in eligible), 1 / len(eligible)
    if strategy is Strategy.round_robin or share is None:
        return weighted
    return min((weighted, equal), key=lambda one: abs(share - one))


def _verdict(member: Member, known: set[str], requests: int, deviation: float | None, limit: float | None) -> ShareVerdict:
    if member.name not in known:
        return ShareVerdict.not_in_fleet
    if not member.eligible:
        return ShareVerdict.not_in_service
    if deviation is None or limit is None:
        return ShareVerdict.not_judged
    if abs(deviation) <= limit:
        return ShareVerdict.as_expected
    return ShareVerdict.absent if requests == 0 else ShareVerdict.fewer if deviation < 0 else ShareVerdict.more


def _whole(
    counted: Counted, found: Sequence[wire.DistributionShare], members: Sequence[Member], strategy: Strategy, *, sent: int
) -> tuple[Verdict, str]:
    if not counted.answered:
        why = ", ".join(sorted(counted.failures)) or "nothing was sent"
        return (
            Verdict.failed,
            f"None of {sent} requests through the balancer was answered by a backend ({why}): diagnose the balancer.",
        )
    serving = [one.backend for one in found if one.requests]
    if strategy is Strategy.ip_hash:
        return _sticky(serving, counted.answered)
    eligible = sum(member.eligible for member in members)
    if eligible < 2:
        return Verdict.nothing_to_compare, f"There is nothing to compare: {eligible} of {len(members)} backends could serve."
    off = [one for one in found if one.verdict in (ShareVerdict.absent, ShareVerdict.fewer, ShareVerdict.more)]
    if off:
        return Verdict.uneven, _off(off, strategy)
    need = _needed(members)
    if counted.answered < need:
        return Verdict.too_few, (
            f"Within what chance does, but {counted.answered} requests among {eligible} backends are too few to tell one that "
            f"gets none: that takes {need}."
        )
    widest = max(abs(one.deviation) for one in found if one.deviation is not None)
    return Verdict.even, (
        f"As {strategy.value.replace('_', ' ')} promises: no share is more than {widest:.0%} off, and chance alone explains "
        f"{max(one.limit for one in found if one.limit is not None):.0%}."
    )


def _needed(members: Sequence[Member]) -> int:
    """From how many requests on a backend that gets none stands out: more than ``9 (1−p)/p`` of the smallest share."""
    weights = [member.weight for member in members if member.eligible]
    smallest = min(weights) / sum(weights)
    return math.floor(round(FLOORS**2 * (1 - smallest) / smallest, 6)) + 1


def _sticky(serving: Sequence[str], answered: int) -> tuple[Verdict, str]:
    if len(serving) == 1:
        return Verdict.sticky, (
            f"As IP hash promises: all {answered} requests came from one address, and {serving[0]} served them all. How many "
            "clients each backend has is no promise of this strategy."
        )
    return Verdict.uneven, (
        f"IP hash promises that one address stays with one backend, but {', '.join(serving)} served this one: a backend came or "
        "went meanwhile, or the hash is not in force. Compare the balancer's running configuration with what `render` writes."
    )


def _off(off: Sequence[wire.DistributionShare], strategy: Strategy) -> str:
    said = "; ".join(
        f"{one.backend} served {'none' if not one.requests else f'{one.share:.0%}'} where {one.expected_share:.0%} is expected "
        f"(chance explains ±{one.limit:.0%} of that)"
        for one in off[:3]
    )
    if len(off) > 3:
        said += f"; and {len(off) - 3} more"
    if any(one.verdict is ShareVerdict.absent for one in off):
        advice = (
            "One that gets nothing is out in the balancer's eyes: look at its health there and at the balancer's configuration."
        )
    elif strategy is Strategy.least_connections:
        advice = "Least connections sends fewer to who is busier: compare the requests in flight before you look for a fault."
    else:
        advice = "Look at the weights in force and at failed attempts in the balancer's log."
    return f"Not as {strategy.value.replace('_', ' ')} promises: {said}. {advice}"


def _besides(counted: Counted, members: Sequence[Member], *, sent: int) -> list[str]:
    """What has to be said whatever the shares are."""
    known = {member.name: member for member in members}
    strangers = [name for name in sorted(counted.served_ms) if name not in known]
    out = [name for name in sorted(counted.served_ms) if name in known and not known[name].eligible]
    said = []
    if counted.answered and counted.failures:
        codes = ", ".join(f"{code} {count}" for code, count in sorted(counted.failures.items()))
        said.append(f"{sum(counted.failures.values())} of {sent} requests failed ({codes}).")
    if strangers:
        said.append(f"Who answered calls itself {', '.join(strangers)}, which the fleet file does not name.")
    if out:
        said.append(f"{', '.join(out)} answered though it is not in service: the balancer does not know.")
    return said
