"""After an erasure: the database's write-ahead log still holds the erased bytes until it is written back and cut."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlmodel import Session, col, delete, func, select

from backend.store.tables import Outbox

if TYPE_CHECKING:
    from backend.store.database import Store

SCRUB = "scrub"


def ask(session: Session, *, gallery_id: str, at: datetime) -> None:
    """Within the erasing transaction: the wish survives a crash."""
    session.add(Outbox(gallery_id=gallery_id, topic=SCRUB, created_at=at))


def settle(store: Store) -> bool:
    """Do what was asked for, if anything; False while a reader holds the log: the next sweep tries again."""
    with store.read() as session:
        last = session.exec(select(func.max(Outbox.seq)).where(Outbox.topic == SCRUB)).one()
    if last is None:
        return True
    if not store.scrub():
        return False
    with store.write() as session:
        session.exec(delete(Outbox).where(col(Outbox.topic) == SCRUB, col(Outbox.seq) <= last))
    return True
