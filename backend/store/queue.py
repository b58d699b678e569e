"""The review queue as SQL: its order, and which cases are free, in a state, or open to a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypedDict

from sqlalchemy import ColumnElement
from sqlalchemy.orm import aliased
from sqlmodel import Session, and_, col, not_, or_, select

from backend.errors import BadCursor
from backend.store.caller import Caller
from backend.store.due import Band, DueTimes, in_band, is_overdue
from backend.store.paging import decode_cursor
from backend.store.sides import of_either
from backend.store.tables import Decision, DuplicateCase, DuplicatePair
from backend.wire import CaseState

Order = Literal["priority", "due"]
UNDER_REVIEW = (CaseState.open, CaseState.second_review, CaseState.arbitration)
"""as they are stored; named where a case is looked for, so that the resolved ones, which are most, are not read"""
FIRST_YEAR, LAST_YEAR = 2000, 9000
"""of a cursor: others would leave what databases and clocks know"""
PRESSING_FIRST = (col(DuplicateCase.priority).desc(), col(DuplicateCase.id))


class Filters(TypedDict, total=False):
    """Which cases are asked for; None, like what is not there, asks for nothing.

    `assignee`: who holds the case now; `held`: whether anybody does. The times are aware, of when the case was made.
    """

    state: CaseState | None
    min_score: float | None
    max_score: float | None
    created_from: datetime | None
    created_until: datetime | None
    source: Literal["enrolment", "scan", "manual"] | None
    band: Band | None
    assignee: str | None
    held: bool | None
    overdue: bool | None
    subject_id: str | None
    """who is concerned; `of_subject` has it as SQL, as it takes the records that were merged"""


def narrowed(filters: Filters, *, due: DueTimes, now: datetime) -> list[ColumnElement[bool]]:
    """`filters` as SQL: all of it must hold."""
    found = list(in_state(filters.get("state"), now))
    if (least := filters.get("min_score")) is not None:
        found.append(col(DuplicateCase.score) >= least)
    if (most := filters.get("max_score")) is not None:
        found.append(col(DuplicateCase.score) <= most)
    if (since := filters.get("created_from")) is not None:
        found.append(col(DuplicateCase.created_at) >= since)
    if (until := filters.get("created_until")) is not None:
        found.append(col(DuplicateCase.created_at) < until)
    if (source := filters.get("source")) is not None:
        found.append(col(DuplicateCase.source) == source)
    if (band := filters.get("band")) is not None:
        found.append(in_band(band))
    if (assignee := filters.get("assignee")) is not None:
        found += [col(DuplicateCase.state).in_(UNDER_REVIEW), col(DuplicateCase.lease_holder) == assignee, not_(free(now))]
    if (held := filters.get("held")) is not None:
        found += [col(DuplicateCase.state).in_(UNDER_REVIEW), not_(free(now)) if held else free(now)]
    if (overdue := filters.get("overdue")) is not None:
        found.append(is_overdue(due, now) if overdue else not_(is_overdue(due, now)))
    return found


def of_subject(session: Session, records: Sequence[str], *, gallery_id: str) -> ColumnElement[bool]:
    """Cases in which one of `records` stands in a pair, resolved ones too.

    The ids are read first: with a condition in their place SQLite would go through every case of the gallery.
    """
    pairs = select(DuplicatePair.case_id).where(of_either(DuplicatePair, gallery_id=gallery_id, records=records))
    return col(DuplicateCase.id).in_(sorted({case_id for case_id in session.exec(pairs) if case_id is not None}))


def after(priority: float, case_id: str) -> ColumnElement[bool]:
    same = and_(col(DuplicateCase.priority) == priority, col(DuplicateCase.id) > case_id)
    return or_(col(DuplicateCase.priority) < priority, same)


def due_cursor(cursor: str) -> tuple[datetime, str]:
    """When the last case seen was due, and its id. Raises BadCursor."""
    due_at, case_id = decode_cursor(cursor, str, str)
    try:
        found = datetime.fromisoformat(due_at)
    except ValueError as error:
        raise BadCursor() from error
    if found.tzinfo is None or not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise BadCursor()
    return found, case_id


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
    later = aliased(Decision)
    settled = select(later.id).where(
        later.case_id == Decision.case_id,
        later.applied,
        col(later.undone_by).is_(None),
        later.at >= Decision.at,
        or_(later.version >= 0, Decision.version < 0),  # as `decisions.waiting` has it
    )
    mine = select(Decision.id).where(
        Decision.case_id == DuplicateCase.id,
        Decision.actor == caller.id,
        Decision.verdict != "undo",
        col(Decision.undone_by).is_(None),
        not_(settled.exists()),
    )
    states = [one for one in UNDER_REVIEW if caller.supervises or one is not CaseState.arbitration]
    return and_(col(DuplicateCase.state).in_(states), or_(col(DuplicateCase.state) == CaseState.open, not_(mine.exists())))
