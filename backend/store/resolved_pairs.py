"""What reviewers said of pairs that a search flagged, and what still waits for them: scores only, one gallery, one model.

A pair that a person put before reviewers was chosen by something else than its score, and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy
from sqlalchemy import ColumnElement
from sqlmodel import Session, case, col, func, select

from backend.store.ids import first_id
from backend.store.tables import CaseKind, Decision, DuplicateCase, DuplicatePair, Enrolment, PairState
from backend.store.verdicts import DIFFERENT
from backend.wire import CaseState, Verdict

if TYPE_CHECKING:
    from backend.store.database import Store

CLOCKS_DIFFER = timedelta(days=1)
"""at most, between a replica that makes an id and the database"""


@dataclass(frozen=True)
class Flagged:
    """One pair: its score, and the threshold by which it was found."""

    score: float
    threshold: float


@dataclass(frozen=True)
class Resolved:
    same: list[Flagged]
    different: list[Flagged]


@dataclass(frozen=True)
class Waiting:
    """`…_spared`: what lies below another threshold, cases with all their pairs; `searched` is the highest threshold by which
    any was found, None where nothing waits."""

    cases: int
    cases_spared: int
    pairs: int
    pairs_spared: int
    searched: float | None


def resolved(store: Store, session: Session, *, model_id: str) -> Resolved:
    """By decisions that are applied and stand; the last of a case counts. Nothing that is hidden is applied."""
    query = (
        select(DuplicatePair.score, DuplicatePair.threshold, DuplicatePair.case_id)
        .join(DuplicateCase, col(DuplicateCase.id) == DuplicatePair.case_id)
        .where(*_flagged(store, model_id), DuplicateCase.state == CaseState.resolved)
    )
    verdicts = _verdicts(store, session)
    found = Resolved([], [])
    for score, threshold, case_id in session.exec(query):
        verdict = verdicts.get(case_id or "")
        if verdict == Verdict.same:
            found.same.append(Flagged(score, threshold))
        elif verdict in DIFFERENT:
            found.different.append(Flagged(score, threshold))
    return found


def waiting(store: Store, session: Session, *, model_id: str, threshold: float) -> Waiting:
    """Of cases that are not resolved: counted by the database, for a queue may be long."""
    spared = case((col(DuplicatePair.score) < threshold, 1), else_=0)
    by_case = (
        sqlalchemy.select(
            func.count().label("pairs"),
            func.sum(spared).label("spared"),
            func.min(spared).label("case_spared"),
            func.max(DuplicatePair.threshold).label("searched"),
        )
        .join_from(DuplicatePair, DuplicateCase, col(DuplicateCase.id) == DuplicatePair.case_id)
        .where(*_flagged(store, model_id), col(DuplicateCase.state) != CaseState.resolved)
        .group_by(col(DuplicatePair.case_id))
        .subquery()
    )
    sums = [func.coalesce(func.sum(by_case.c[name]), 0) for name in ("case_spared", "pairs", "spared")]
    query = sqlalchemy.select(func.count(), *sums, func.max(by_case.c.searched)).select_from(by_case)
    cases, cases_spared, pairs, pairs_spared, searched = session.connection().execute(query).one()
    return Waiting(cases, int(cases_spared), int(pairs), int(pairs_spared), searched)


def searched_since(store: Store, session: Session, *, days: int) -> int:
    """Pictures that were enrolled, and so searched for, within the last `days`; by the index of ids, which begin with a time."""
    since = store.now(session) - timedelta(days=days)
    # The gallery is no condition: SQLite would go by the index that begins with it, through every enrolment there ever was.
    pictures = case((col(Enrolment.gallery_id) == store.gallery_id, col(Enrolment.last_seq) - Enrolment.first_seq + 1), else_=0)
    query = select(func.coalesce(func.sum(pictures), 0)).where(
        Enrolment.id >= first_id("enr", since - CLOCKS_DIFFER),
        Enrolment.created_at > since,
    )
    return int(session.exec(query).one())


def _flagged(store: Store, model_id: str) -> tuple[ColumnElement[bool], ...]:
    return (
        col(DuplicatePair.gallery_id) == store.gallery_id,
        col(DuplicatePair.kind) == CaseKind.duplicate,
        col(DuplicatePair.state) == PairState.open,
        col(DuplicatePair.source) != "manual",
        col(DuplicatePair.model_id) == model_id,
    )


def _verdicts(store: Store, session: Session) -> dict[str, str]:
    query = select(Decision.case_id, Decision.verdict).where(
        Decision.gallery_id == store.gallery_id,
        col(Decision.applied).is_(True),
        col(Decision.undone_by).is_(None),
        Decision.verdict != "undo",
    )
    return dict(session.exec(query.order_by(col(Decision.at), col(Decision.id))).all())
