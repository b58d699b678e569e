"""When a case is due, by the band of its best pair and since when it waits; as values, and as SQL for the queue.

Computed, never stored: so another setting holds for what waits already. A resolved case is never due.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement
from sqlmodel import Session, and_, col, func, not_, or_, select
from sqlmodel.sql.expression import SelectOfScalar

from backend.store.clusters import waits_since
from backend.store.tables import DuplicateCase, DuplicatePair, PairState
from backend.wire import CaseState

Band = Literal["review", "certain"]

since_when: ColumnElement[datetime] = func.coalesce(DuplicateCase.opened_at, DuplicateCase.created_at)
WAITING: ColumnElement[bool] = col(DuplicateCase.state).in_([CaseState.open, CaseState.second_review, CaseState.arbitration])
_CERTAIN = (
    select(DuplicatePair.id)
    .where(DuplicatePair.case_id == DuplicateCase.id, DuplicatePair.state == PairState.open, DuplicatePair.band == "certain")
    .exists()
)


@dataclass(frozen=True)
class DueTimes:
    """How long a case may wait before it is overdue."""

    certain: timedelta = timedelta(hours=24)
    review: timedelta = timedelta(hours=72)

    def of(self, band: Band) -> timedelta:
        return self.certain if band == "certain" else self.review

    def due_at(self, case: DuplicateCase, band: Band) -> datetime | None:
        """None for a resolved case."""
        return None if case.state == CaseState.resolved else waits_since(case) + self.of(band)


DUE_TIMES = DueTimes()


def in_band(band: Band) -> ColumnElement[bool]:
    """`pairs.band_of_case` as SQL."""
    return _CERTAIN if band == "certain" else not_(_CERTAIN)


def is_overdue(due: DueTimes, now: datetime) -> ColumnElement[bool]:
    # the time first: where it is not yet, the pairs need not be looked at
    late = (and_(since_when <= now - due.of(band), in_band(band)) for band in _BANDS)
    return and_(WAITING, or_(*late))


def first_due(
    session: Session, rows: SelectOfScalar[DuplicateCase], due: DueTimes, *, after: tuple[datetime, str] | None, limit: int
) -> list[tuple[datetime, DuplicateCase]]:
    """The next `limit` of `rows` that wait, with when they are due, the soonest first; `after`: when the last one seen was due.

    One query a band, so that no database has to add a time to another.
    """
    found: list[tuple[datetime, DuplicateCase]] = []
    for band in _BANDS:
        query = rows.where(WAITING, in_band(band))
        if after is not None:
            since, case_id = after[0] - due.of(band), after[1]
            query = query.where(or_(since_when > since, and_(since_when == since, col(DuplicateCase.id) > case_id)))
        cases: Iterable[DuplicateCase] = session.exec(query.order_by(since_when, col(DuplicateCase.id)).limit(limit))
        found += [(waits_since(case) + due.of(band), case) for case in cases]
    return sorted(found, key=lambda one: (one[0], one[1].id))[:limit]


_BANDS: tuple[Band, Band] = ("certain", "review")
