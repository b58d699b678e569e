"""The audit trail: who did what to which object, as a chain of hashes. Opaque ids, codes and field names only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, col, select

from backend import wire
from backend.store.caller import Caller
from backend.store.paging import decode_cursor, encode_cursor, total_of
from backend.store.tables import AuditRow

if TYPE_CHECKING:
    from backend.store.database import Store

GENESIS = "0" * 64


class Audit:
    def __init__(self, store: Store) -> None:
        self._store = store

    def append(
        self, session: Session, caller: Caller, action: str, object_id: str | None, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Within the write transaction of what it records: the ledger lock keeps the chain in one line."""
        previous = session.exec(select(AuditRow.hash).order_by(col(AuditRow.seq).desc()).limit(1)).first() or GENESIS
        row = AuditRow(
            gallery_id=self._store.gallery_id,
            at=self._store.now(session),
            actor=caller.id,
            actor_kind=caller.kind,
            sid=caller.sid,
            kid=caller.kid,
            action=action,
            object_id=object_id,
            detail=dict(detail or {}),
            previous_hash=previous,
            hash="",
        )
        row.hash = chained_hash(row)
        session.add(row)
        session.flush()

    def list(self, *, cursor: str | None = None, limit: int = 50) -> wire.Page[wire.AuditEvent]:
        """Newest first."""
        query = select(AuditRow).where(AuditRow.gallery_id == self._store.gallery_id)
        with self._store.read() as session:
            total, total_is = total_of(session, query)
            if cursor is not None:
                query = query.where(col(AuditRow.seq) < decode_cursor(cursor, int)[0])
            rows = session.exec(query.order_by(col(AuditRow.seq).desc()).limit(limit + 1)).all()
        page = rows[:limit]
        following = encode_cursor(page[-1].seq or 0) if len(rows) > limit else None
        return wire.Page(items=[_event(row) for row in page], next=following, total=total, total_is=total_is)

    def broken_at(self) -> int | None:
        """The seq of the first row that does not follow from the one before it; None where the chain is whole."""
        previous = GENESIS
        rows = select(AuditRow).order_by(col(AuditRow.seq)).execution_options(yield_per=1000)
        with self._store.read() as session, closing(session.exec(rows)) as found:
            for row in found:
                if row.previous_hash != previous or row.hash != chained_hash(row):
                    return row.seq
                previous = row.hash
        return None


def chained_hash(row: AuditRow) -> str:
    """SHA-256 over the row before it and every field of this one but its places (`seq`, `position`), in canonical JSON."""
    fields = row.model_dump(exclude={"seq", "hash", "position"})
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":"), default=_stable).encode()).hexdigest()


def _stable(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"an audit row cannot hold {type(value).__name__}")


def _event(row: AuditRow) -> wire.AuditEvent:
    return wire.AuditEvent(
        seq=row.seq or 0, at=row.at, actor=row.actor, action=row.action, object_id=row.object_id, detail=row.detail, hash=row.hash
    )
