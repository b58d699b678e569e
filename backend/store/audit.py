"""The audit trail: who did what to which object. Opaque ids, codes and field names only.

Rows are written here, within the transaction of what they record, and sealed into a chain a moment later: `audit_chain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, col, select

from backend import wire
from backend.store.caller import Caller
from backend.store.paging import decode_cursor, encode_cursor, total_of
from backend.store.rows import insert
from backend.store.tables import AuditRow

if TYPE_CHECKING:
    from backend.store.database import Store


@dataclass(frozen=True)
class Asked:
    """Which events: all that fit every condition given. `after` is inclusive, `before` is not."""

    actor: str | None = None
    action: str | None = None
    object_id: str | None = None
    after: datetime | None = None
    before: datetime | None = None

    def conditions(self) -> list[Any]:
        equal = {AuditRow.actor: self.actor, AuditRow.action: self.action, AuditRow.object_id: self.object_id}
        wanted: list[Any] = [col(column) == value for column, value in equal.items() if value is not None]
        if self.after is not None:
            wanted.append(col(AuditRow.at) >= self.after)
        if self.before is not None:
            wanted.append(col(AuditRow.at) < self.before)
        return wanted


def append(
    session: Session,
    caller: Caller,
    action: str,
    object_id: str | None,
    detail: Mapping[str, Any] | None = None,
    *,
    gallery_id: str,
    at: datetime,
) -> None:
    """Within the write transaction of what it records: either both are there or neither."""
    session.flush()
    row = {
        "gallery_id": gallery_id,
        "at": at,
        "actor": caller.id,
        "actor_kind": caller.kind,
        "sid": caller.sid,
        "kid": caller.kid,
        "action": action,
        "object_id": object_id,
        "detail": dict(detail or {}),
        "previous_hash": "",
        "hash": "",
    }
    insert(session, AuditRow, row)


class Audit:
    def __init__(self, store: Store) -> None:
        self._store = store

    def append(
        self, session: Session, caller: Caller, action: str, object_id: str | None, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Within the write transaction of what it records: either both are there or neither."""
        at = self._store.now(session)
        append(session, caller, action, object_id, detail, gallery_id=self._store.gallery_id, at=at)

    def record(self, caller: Caller, action: str, object_id: str | None, detail: Mapping[str, Any] | None = None) -> None:
        """A transaction of its own, for what changes nothing else in the ledger."""
        with self._store.write() as session:
            self.append(session, caller, action, object_id, detail)

    def list(self, *, cursor: str | None = None, limit: int = 50, asked: Asked | None = None) -> wire.Page[wire.AuditEvent]:
        """Newest first. Raises BadCursor."""
        query = select(AuditRow).where(AuditRow.gallery_id == self._store.gallery_id, *(asked or Asked()).conditions())
        with self._store.read() as session:
            total, total_is = total_of(session, query)
            if cursor is not None:
                query = query.where(col(AuditRow.seq) < decode_cursor(cursor, int)[0])
            rows = session.exec(query.order_by(col(AuditRow.seq).desc()).limit(limit + 1)).all()
        page = rows[:limit]
        following = encode_cursor(page[-1].seq or 0) if len(rows) > limit else None
        return wire.Page(items=[_event(row) for row in page], next=following, total=total, total_is=total_is)


def _event(row: AuditRow) -> wire.AuditEvent:
    return wire.AuditEvent(
        seq=row.seq or 0,
        position=row.position,
        at=row.at,
        actor=row.actor,
        action=row.action,
        object_id=row.object_id,
        detail=row.detail,
        hash=row.hash or None,
    )
