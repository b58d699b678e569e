"""A stretch of the audit chain at a time, for whoever asks over HTTP: short transactions, an end in time, and a way to go on.

What `audit_chain.verify` does at the command line in one go. A stretch that ends before the chain does says where to go on:
with the place and the hash of the last row that it followed, so that the next stretch must follow from exactly that one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlmodel import col, select

from backend.errors import BadCursor
from backend.store import audit_chain
from backend.store.audit_chain import RESTORED, Verdict, trouble
from backend.store.paging import decode_cursor, encode_cursor
from backend.store.tables import AuditRow

if TYPE_CHECKING:
    from backend.store.database import Store

CHUNK = 500
"""rows in one transaction: the others of this process have their turn between two of them"""
BUDGET_S = 1.5
FURTHEST = 2**63
"""no database has a place beyond"""


@dataclass
class Stretch:
    """`verdict` stands at the last row that was followed; `next` is None at the end of the chain, and where it is broken."""

    verdict: Verdict = field(default_factory=Verdict)
    checked: int = 0
    next: str | None = None


def follow(
    store: Store, cursor: str | None = None, *, budget_s: float = BUDGET_S, monotonic: Callable[[], float] = time.monotonic
) -> Stretch:
    """From the beginning, or from where the stretch before ended; at least one chunk. Raises BadCursor."""
    stretch, until = _begun(cursor), monotonic() + budget_s
    if cursor is not None and not _is_still_there(store, stretch.verdict):
        return stretch
    while True:
        rows = _chunk(store, after=stretch.verdict.position)
        for row in rows:
            if not _step(stretch, row):
                return stretch
        if len(rows) < CHUNK or not stretch.verdict.holds:
            return stretch
        if monotonic() >= until:
            stretch.next = encode_cursor(stretch.verdict.position, stretch.verdict.hash)
            return stretch


def _begun(cursor: str | None) -> Stretch:
    if cursor is None:
        return Stretch()
    position, hash_ = decode_cursor(cursor, int, str)
    if not 0 <= position < FURTHEST:
        raise BadCursor
    return Stretch(Verdict(position=position, hash=hash_))


def _step(stretch: Stretch, row: AuditRow) -> bool:
    verdict = stretch.verdict
    if why := trouble(row, verdict):
        verdict.broken_at, verdict.why = verdict.position + 1, why
        return False
    verdict.position, verdict.hash = row.position or 0, row.hash
    if row.action == RESTORED:
        verdict.restores.append(verdict.position)
    stretch.checked += 1
    return True


def _is_still_there(store: Store, verdict: Verdict) -> bool:
    """Whether the chain still reaches the place where the stretch before ended.

    Asked before the rows after it are read: events that are sealed meanwhile lengthen the chain, and are no cut.
    """
    head = audit_chain.head(store)
    if head.position > verdict.position or (head.position, head.hash) == (verdict.position, verdict.hash):
        return True
    verdict.broken_at = min(head.position, verdict.position) + 1
    verdict.why = f"the chain ends at {head.position}, and place {verdict.position} was there a moment ago: its end was cut off"
    return False


def _chunk(store: Store, *, after: int) -> list[AuditRow]:
    rows = select(AuditRow).where(AuditRow.gallery_id == store.gallery_id, col(AuditRow.position) > after)
    with store.read() as session:
        return list(session.exec(rows.order_by(col(AuditRow.position)).limit(CHUNK)).all())
