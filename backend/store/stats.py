"""Numbers for the dashboard."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlmodel import Session, col, func, select

from backend import wire
from backend.store.due import DUE_TIMES, WAITING, DueTimes, is_overdue, since_when
from backend.store.tables import Decision, DuplicateCase, Enrolment, EnrolmentState, Sample, SampleState, Subject

if TYPE_CHECKING:
    from backend.store.database import Store


RECENTLY = timedelta(hours=1)


def stats(store: Store, due: DueTimes = DUE_TIMES) -> wire.Stats:
    """Counts of what is in force: people (merged records count once), their samples, cases by state, decisions not undone.

    Nothing of a decision that is still hidden is in any of the numbers, but that the case waits for another.
    """
    with store.read() as session:
        gallery, now = store.gallery_id, store.now(session)
        here = (DuplicateCase.gallery_id == gallery, col(DuplicateCase.joined_into).is_(None))
        counting = select(func.count()).select_from(DuplicateCase).where(*here)
        recent = counting.where(DuplicateCase.changed_at > now - RECENTLY)  # by the index: few of all cases there ever were
        oldest = select(func.min(DuplicateCase.created_at)).where(
            DuplicateCase.gallery_id == gallery, DuplicateCase.state == wire.CaseState.open
        )
        decisions = select(func.count()).select_from(Decision)
        return wire.Stats(
            subjects=session.exec(
                select(func.count()).where(Subject.gallery_id == gallery, Subject.state == wire.SubjectState.active)
            ).one(),
            samples=session.exec(
                select(func.count()).where(Sample.gallery_id == gallery, Sample.state == SampleState.active)
            ).one(),
            cases=_cases(store, session),
            oldest_open_case_at=session.exec(oldest).one(),
            decisions=session.exec(
                decisions.where(Decision.gallery_id == gallery, Decision.verdict != "undo", col(Decision.undone_by).is_(None))
            ).one(),
            overdue=session.exec(counting.where(is_overdue(due, now))).one(),
            oldest_waiting_case_at=session.exec(select(func.min(since_when)).where(*here, WAITING)).one(),
            opened_last_hour=session.exec(recent.where(since_when > now - RECENTLY)).one(),
            resolved_last_hour=session.exec(recent.where(DuplicateCase.state == wire.CaseState.resolved)).one(),
        )


def pending_enrolments(store: Store) -> tuple[int, float]:
    """How many are between their two transactions, and the age of the oldest in seconds."""
    with store.read() as session:
        query = select(func.count(), func.min(Enrolment.created_at)).where(
            Enrolment.gallery_id == store.gallery_id, Enrolment.state == EnrolmentState.pending
        )
        count, oldest = session.exec(query).one()
        return count, 0.0 if oldest is None else max(0.0, (store.now(session) - oldest).total_seconds())


def _cases(store: Store, session: Session) -> dict[wire.CaseState, int]:
    """Every state is named, with 0 where there is none; an open case with a running lease counts as claimed."""
    counts = dict.fromkeys(wire.CaseState, 0)
    here = (DuplicateCase.gallery_id == store.gallery_id, col(DuplicateCase.joined_into).is_(None))
    for state, count in session.exec(select(DuplicateCase.state, func.count()).where(*here).group_by(DuplicateCase.state)):
        counts[wire.CaseState(state)] = count
    leased = select(func.count()).where(
        *here, DuplicateCase.state == wire.CaseState.open, col(DuplicateCase.lease_until) > store.now(session)
    )
    claimed = session.exec(leased).one()
    counts[wire.CaseState.open] -= claimed
    counts[wire.CaseState.claimed] += claimed
    return counts
