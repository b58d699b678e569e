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
_LAST = (
    select(Decision)
    .where(Decision.case_id == bindparam("case_id"))
    .order_by(col(Decision.at).desc(), col(Decision.id).desc())
    .limit(1)
)


def standing(session: Session, case_id: str) -> Sequence[Decision]:
    """Oldest first."""
    return session.exec(_STANDING, params={"case_id": case_id}).all()


def was_undone(session: Session, case_id: str, *, actor: str, version: int) -> bool:
    """Whether the last that was said on the case is this very undo: its answer was lost, and the request came again."""
    last = session.exec(_LAST, params={"case_id": case_id}).first()
    return last is not None and (last.verdict, last.actor, last.version) == ("undo", actor, version)


def waiting(rows: Sequence[Decision]) -> list[Decision]:
    """Of those that stand: what was said since the case was last settled, and led to nothing yet."""
    settled = max((place for place, row in enumerate(rows) if row.applied), default=-1)
    return list(rows[settled + 1 :])
