"""Numbers for the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import ColumnElement, Row
from sqlmodel import Session, case, col, func, select

from backend import wire
from backend.store.due import DUE_TIMES, DueTimes, is_overdue, since_when
from backend.store.tables import Decision, DuplicateCase, Enrolment, EnrolmentState, Subject

if TYPE_CHECKING:
    from backend.store.database import Store


RECENTLY = timedelta(hours=1)


def stats(store: Store, due: DueTimes = DUE_TIMES) -> wire.Stats:
    """Counts of what is in force: people (merged records count once), their samples, cases by state, decisions not undone.

    Nothing of a decision that is still hidden is in any of the numbers, but that the case waits for another.
    """
    with store.read() as session:
        gallery, now = store.gallery_id, store.now(session)
        subjects = select(func.count()).where(Subject.gallery_id == gallery, Subject.state == wire.SubjectState.active)
        decisions = select(func.count()).where(
            Decision.gallery_id == gallery, Decision.verdict != "undo", col(Decision.undone_by).is_(None)
        )
        cases = _cases(store, session, due, now)
        opened, resolved = _last_hour(store, session, now)
        return wire.Stats(
            subjects=session.exec(subjects).one(),
            samples=store.gallery(session).active_templates,
            cases=_by_state(cases),
            oldest_open_case_at=min((row.oldest for row in cases if row.state == wire.CaseState.open), default=None),
            decisions=session.exec(decisions).one(),
            overdue=sum(row.overdue for row in cases),
            oldest_waiting_case_at=min((row.waits_since for row in cases if row.state != wire.CaseState.resolved), default=None),
            opened_last_hour=opened,
            resolved_last_hour=resolved,
        )


def pending_enrolments(store: Store) -> tuple[int, float]:
    """How many are between their two transactions, and the age of the oldest in seconds."""
    with store.read() as session:
        query = select(func.count(), func.min(Enrolment.created_at)).where(
            Enrolment.gallery_id == store.gallery_id, Enrolment.state == EnrolmentState.pending
        )
        count, oldest = session.exec(query).one()
        return count, 0.0 if oldest is None else max(0.0, (store.now(session) - oldest).total_seconds())


def _cases(store: Store, session: Session, due: DueTimes, now: datetime) -> Sequence[Row[Any]]:
    """What the counts come from, a row for each state that there is: one pass, for a queue may be long."""
    query: sqlalchemy.Select[*tuple[Any, ...]] = (
        sqlalchemy.select(
            col(DuplicateCase.state).label("state"),
            func.count().label("cases"),
            _how_many(col(DuplicateCase.lease_until) > now).label("leased"),
            _how_many(is_overdue(due, now)).label("overdue"),
            func.min(DuplicateCase.created_at).label("oldest"),
            func.min(since_when).label("waits_since"),
        )
        .where(*_here(store))
        .group_by(col(DuplicateCase.state))
    )
    return session.connection().execute(query).all()


def _by_state(rows: Sequence[Row[Any]]) -> dict[wire.CaseState, int]:
    """Every state is named, with 0 where there is none; an open case with a running lease counts as claimed."""
    counts = dict.fromkeys(wire.CaseState, 0)
    for row in rows:
        leased = row.leased if row.state == wire.CaseState.open else 0
        counts[wire.CaseState(row.state)] += row.cases - leased
        counts[wire.CaseState.claimed] += leased
    return counts


def _last_hour(store: Store, session: Session, now: datetime) -> tuple[int, int]:
    """How many cases were opened, and how many resolved; by the index of changes, few of all cases there ever were."""
    since = now - RECENTLY
    opened = _how_many(since_when > since)
    resolved = _how_many(col(DuplicateCase.state) == wire.CaseState.resolved)
    return session.exec(select(opened, resolved).where(*_here(store), DuplicateCase.changed_at > since)).one()


def _here(store: Store) -> tuple[ColumnElement[bool], ...]:
    return (col(DuplicateCase.gallery_id) == store.gallery_id, col(DuplicateCase.joined_into).is_(None))


def _how_many(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
