"""The decisions on a case that stand: those that nobody took back."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

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
    """Of those that stand: what was said since the case was last settled, and led to nothing yet."""
    settled = max((place for place, row in enumerate(rows) if row.applied), default=-1)
    return list(rows[settled + 1 :])
