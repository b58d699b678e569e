"""The decisions on a case that stand: those that nobody took back.

A decision on a case that was joined into another goes along, with its version made negative: it answers no request about the
case that lives on, and settled only what it was about.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from backend.review_policy import Round
from backend.store.tables import Decision

_STANDING = (
    select(Decision)
    .where(Decision.case_id == bindparam("case_id"), Decision.verdict != "undo", col(Decision.undone_by).is_(None))
    .order_by(col(Decision.at), col(Decision.id))
)
_LAST_OF = (
    select(Decision)
    .where(Decision.case_id == bindparam("case_id"), Decision.actor == bindparam("actor"))
    .order_by(col(Decision.at).desc(), col(Decision.id).desc())
    .limit(1)
)


def standing(session: Session, case_id: str) -> Sequence[Decision]:
    """Oldest first."""
    return session.exec(_STANDING, params={"case_id": case_id}).all()


def last_of(session: Session, case_id: str, *, actor: str, version: int) -> Decision | None:
    """What `actor` said last on the case, if it was on this `version`: its answer was lost, and the request came again.

    Others may have said more since.
    """
    last = session.exec(_LAST_OF, params={"case_id": case_id, "actor": actor}).first()
    return last if last is not None and last.version == version else None


def waiting(rows: Sequence[Decision]) -> list[Decision]:
    """Of those that stand: what was said since the case was last settled, and led to nothing yet.

    What was settled on a case that was joined away settles nothing that was said of this one.
    """
    applied = [place for place, row in enumerate(rows) if row.applied]
    any_case = max(applied, default=-1)
    this_case = max((place for place in applied if rows[place].version >= 0), default=-1)
    return [row for place, row in enumerate(rows) if place > (this_case if row.version >= 0 else any_case)]


def with_its_first(rows: Sequence[Decision], last: Decision) -> list[Decision]:
    """`last`, and the one that it was the second to, if it was one: two who judged blind are taken back together."""
    same_case = [row for row in rows if (row.version < 0) == (last.version < 0) and row.id != last.id]
    firsts = [row for row in same_case if row.round == Round.first and not row.applied]
    return [last, *firsts[-1:]] if last.round == Round.second else [last]
