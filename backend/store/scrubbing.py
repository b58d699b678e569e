"""After an erasure SQLite's log holds the erased bytes until it is cut, PostgreSQL's tables the dead rows until a VACUUM."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from sqlmodel import Session, col, delete, func, select

from backend.errors import Unavailable
from backend.store.tables import Outbox

if TYPE_CHECKING:
    from backend.store.database import Store

SCRUB = "scrub"

log = logging.getLogger(__name__)


def ask(session: Session, *, gallery_id: str, at: datetime) -> None:
    """Within the erasing transaction: the wish survives a crash."""
    session.add(Outbox(gallery_id=gallery_id, topic=SCRUB, created_at=at))


def settle_soon(store: Store) -> None:
    """For a request, after its commit: at once where that is quick, else by the next sweep. Never raises: the commit stands."""
    if not store.scrubs_quickly:
        return
    try:
        settle(store)
    except Unavailable as error:
        log.info("scrubbing is left to the next sweep", extra={"fields": {"code": error.code()}})


def settle(store: Store) -> bool:
    """Do what was asked for, if anything; False while a reader keeps the erased bytes: the next sweep tries again."""
    with store.read() as session:
        last = session.exec(select(func.max(Outbox.seq)).where(Outbox.topic == SCRUB)).one()
    if last is None:
        return True
    if not store.scrub():
        return False
    with store.write() as session:
        session.exec(delete(Outbox).where(col(Outbox.topic) == SCRUB, col(Outbox.seq) <= last))
    return True
