"""Who may work on a case in which state, and what a verdict leads to: pure functions, the one place where the policy stands.

Today one review applies what is clear (`same`, `different`, `twin_or_relative`, `poor_image`); what a reviewer cannot settle
(`unsure`, `suspected_fraud`) goes to a supervisor who has not decided it yet. A blind second review is the state
`second_review`: its rules are here, `single_review=False` asks for one.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from backend.wire import CaseState, Verdict

SETTLED_BY = frozenset({Verdict.same, Verdict.different, Verdict.twin_or_relative, Verdict.poor_image})


class Round(StrEnum):
    first = "first"
    second = "second"
    arbitration = "arbitration"


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
    """Undo is a decision under the same rules: a reviewer overrules no supervisor, and calls nobody's case back from one."""
    if undone_in is Round.arbitration:
        return supervises
    return applied or own or supervises


def state_after(state: CaseState, verdict: Verdict, *, earlier: Verdict | None = None, single_review: bool = True) -> CaseState:
    """`earlier`: the first decision's verdict, where this is the second. Only `resolved` applies anything."""
    if state is CaseState.arbitration:
        return CaseState.resolved
    if state is CaseState.second_review:
        return CaseState.resolved if verdict is earlier and verdict in SETTLED_BY else CaseState.arbitration
    if verdict not in SETTLED_BY:
        return CaseState.arbitration
    return CaseState.resolved if single_review else CaseState.second_review


def decisions_are_hidden(state: CaseState) -> bool:
    """Until the second decision is in, the first is hidden from everybody."""
    return state is CaseState.second_review
