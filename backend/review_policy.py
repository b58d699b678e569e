"""Who may work on a case in which state, and what a verdict leads to: pure functions, the one place where the policy stands.

One review applies what is clear (`same`, `different`, `twin_or_relative`, `poor_image`), unless the case's band asks for a
second, blind one; what a reviewer cannot settle (`unsure`, `suspected_fraud`), and what two settle differently, goes to a
supervisor who has not decided it yet. Nothing is applied before the case is resolved.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from backend.wire import CaseState, Verdict

SETTLED_BY = frozenset({Verdict.same, Verdict.different, Verdict.twin_or_relative, Verdict.poor_image})


DECIDED = "decided"
"""why a case was closed that people settled"""


class Round(StrEnum):
    first = "first"
    second = "second"
    arbitration = "arbitration"


class SecondReview(StrEnum):
    """Which cases two people must judge alike: by the band of their best pair."""

    none = "none"
    certain = "certain"
    review = "review"
    all = "all"


@dataclass(frozen=True)
class Judged:
    """What a decision says: two agree only where they would do the same."""

    verdict: Verdict
    survivor_id: str | None = None


def needs_second(policy: SecondReview, band: Literal["review", "certain"]) -> bool:
    return policy in (SecondReview.all, SecondReview(band))


def round_of(state: CaseState) -> Round:
    return {CaseState.second_review: Round.second, CaseState.arbitration: Round.arbitration}.get(state, Round.first)


def may_work_on(state: CaseState, *, actor: str, supervises: bool, deciders: Collection[str]) -> bool:
    """A later round is for somebody who has not decided yet; arbitration needs a supervisor."""
    if state is CaseState.open:
        return True
    if state is CaseState.second_review:
        return actor not in deciders
    return state is CaseState.arbitration and supervises and actor not in deciders


def may_undo(undone_in: Round, *, applied: bool, own: bool, supervises: bool) -> bool:
    """Undo is a decision under the same rules: a reviewer overrules no supervisor, and calls nobody's case back from one.

    Nor does the second of two who disagreed take his own back: he has seen the first by then, and would no longer judge blind.
    """
    if undone_in is Round.arbitration or (undone_in is Round.second and not applied):
        return supervises
    return applied or own or supervises


def state_after(state: CaseState, judged: Judged, *, earlier: Judged | None = None, two_must_agree: bool = False) -> CaseState:
    """`earlier`: the first decision, where this is the second. Only `resolved` applies anything."""
    if state is CaseState.arbitration:
        return CaseState.resolved
    if judged.verdict not in SETTLED_BY:
        return CaseState.arbitration
    if state is CaseState.second_review:
        return CaseState.resolved if judged == earlier else CaseState.arbitration
    return CaseState.second_review if two_must_agree else CaseState.resolved


def state_left(waiting: Collection[Verdict]) -> CaseState:
    """Of a case whose last decision was taken back; `waiting`: those that stand and were not applied."""
    if not waiting:
        return CaseState.open
    return CaseState.second_review if len(waiting) == 1 and SETTLED_BY.issuperset(waiting) else CaseState.arbitration


def decisions_are_hidden(state: CaseState, closed_reason: str | None = None) -> bool:
    """Whether what was decided, but not applied, is hidden from everybody: whoever judges next must not have seen it.

    A case that was closed without a decision, as a picture was erased, say, may be opened again by better evidence.
    """
    return state in (CaseState.open, CaseState.claimed, CaseState.second_review) or closed_reason not in (None, DECIDED)
