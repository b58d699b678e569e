"""The review queue as SQL: its order, and which cases are free, in a state, or open to a person."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement
from sqlmodel import and_, col, not_, or_, select

from backend.store.caller import Caller
from backend.store.tables import Decision, DuplicateCase
from backend.wire import CaseState

UNDER_REVIEW = (CaseState.open, CaseState.second_review, CaseState.arbitration)
"""as they are stored; named where a case is looked for, so that the resolved ones, which are most, are not read"""
PRESSING_FIRST = (col(DuplicateCase.priority).desc(), col(DuplicateCase.id))


def after(priority: float, case_id: str) -> ColumnElement[bool]:
    same = and_(col(DuplicateCase.priority) == priority, col(DuplicateCase.id) > case_id)
    return or_(col(DuplicateCase.priority) < priority, same)


def free(now: datetime) -> ColumnElement[bool]:
    return or_(col(DuplicateCase.lease_until).is_(None), col(DuplicateCase.lease_until) <= now)


def in_state(state: CaseState | None, now: datetime) -> tuple[ColumnElement[bool], ...]:
    if state is None:
        return ()
    if state is CaseState.claimed:
        return col(DuplicateCase.state) == CaseState.open, not_(free(now))
    if state is CaseState.open:
        return col(DuplicateCase.state) == CaseState.open, free(now)
    return (col(DuplicateCase.state) == state,)


def open_to(caller: Caller) -> ColumnElement[bool]:
    """`review_policy.may_work_on` as SQL, so that claiming the next one is a single query."""
    mine = select(Decision.id).where(
        Decision.case_id == DuplicateCase.id,
        Decision.actor == caller.id,
        Decision.verdict != "undo",
        col(Decision.undone_by).is_(None),
    )
    states = [one for one in UNDER_REVIEW if caller.supervises or one is not CaseState.arbitration]
    return and_(col(DuplicateCase.state).in_(states), or_(col(DuplicateCase.state) == CaseState.open, not_(mine.exists())))
