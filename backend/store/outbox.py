"""Events for the webhook: written with what they tell, in one transaction, and kept until they are delivered or given up."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from sqlalchemy import ColumnElement, String, cast
from sqlmodel import Session, and_, col, delete, func, or_, select, update
from sqlmodel.sql.expression import SelectOfScalar

from backend.events import EventType
from backend.store.ids import new_id
from backend.store.scrubbing import SCRUB
from backend.store.tables import Outbox

if TYPE_CHECKING:
    from backend.store.database import Store

TOLD = "webhook_events"
"""Of a session: the events that somebody wants. Nobody listens: nothing is written."""
GIVE_UP_AFTER = timedelta(days=3)
DROPPED_KEPT_FOR = timedelta(days=30)
UNREAD_KEPT_FOR = timedelta(days=1)
OVERTAKEN_AFTER = 5
"""attempts; until then all that happened later waits behind, so that a short outage changes no order"""


# --- writing ------------------------------------------------------------------------------------------------------


def wants(session: Session, event: EventType) -> bool:
    return event in session.info.get(TOLD, ())


def tell(
    session: Session,
    event: EventType,
    data: BaseModel,
    *,
    gallery_id: str,
    object_id: str,
    at: datetime,
    subject_id: str | None = None,
) -> None:
    """Within the transaction that does what is told, and only where somebody wants it; `subject_id`: with whom it goes."""
    if not wants(session, event):
        return
    row = Outbox(
        gallery_id=gallery_id,
        topic=event,
        object_id=object_id,
        subject_id=subject_id,
        created_at=at,
        event_id=new_id("evt"),
        body={"type": event, "timestamp": at.isoformat(), "data": data.model_dump(mode="json")},
        give_up_at=at + GIVE_UP_AFTER,
    )
    session.add(row)
    session.flush()


def forget(session: Session, subject_ids: Sequence[str]) -> None:
    """Of people who are erased: events of theirs go, and their ids out of what waits to be told about others' cases."""
    session.exec(delete(Outbox).where(col(Outbox.subject_id).in_(subject_ids)))
    gone = frozenset(subject_ids)
    text = cast(col(Outbox.body), String)
    mentions = or_(*(text.contains(subject_id, autoescape=True) for subject_id in subject_ids))
    for row in session.exec(select(Outbox).where(col(Outbox.event_id).is_not(None), mentions)).all():
        row.body = without(row.body, gone)
    session.flush()


def without(value: Any, gone: Collection[str]) -> Any:
    """JSON without these ids: out of lists, with what is said of them there; null where a field was one."""
    if isinstance(value, dict):
        return {name: without(one, gone) for name, one in value.items()}
    if isinstance(value, list):
        return [without(one, gone) for one in value if not _is_of(one, gone)]
    return None if isinstance(value, str) and value in gone else value


def _is_of(value: Any, gone: Collection[str]) -> bool:
    subject = value.get("subject_id") if isinstance(value, dict) else value
    return isinstance(subject, str) and subject in gone


# --- delivering ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Backlog:
    waiting: int
    oldest_s: float
    """age of the oldest that waits; 0 where none does"""
    dropped: int


def due(store: Store, session: Session) -> Outbox | None:
    """What to send now: in their order; those that failed too often to be waited for come when nothing else does."""
    now = store.now(session)
    fresh = session.exec(_waiting(store, col(Outbox.attempts) < OVERTAKEN_AFTER).order_by(col(Outbox.seq)).limit(1)).first()
    if fresh is not None and (fresh.next_at is None or fresh.next_at <= now):
        return fresh
    overtaken = _waiting(store, col(Outbox.attempts) >= OVERTAKEN_AFTER, col(Outbox.next_at) <= now)
    return session.exec(overtaken.order_by(col(Outbox.next_at), col(Outbox.seq)).limit(1)).first()


def put_off(store: Store, session: Session, *, until: datetime) -> None:
    """The receiver asked to be left alone: nothing goes out before."""
    sooner = or_(col(Outbox.next_at).is_(None), col(Outbox.next_at) < until)
    session.exec(update(Outbox).where(*_waits(store), sooner).values(next_at=until))


def backlog(store: Store) -> Backlog:
    with store.read() as session:
        waiting, oldest = session.exec(select(func.count(), func.min(Outbox.created_at)).where(*_waits(store))).one()
        dropped = session.exec(select(func.count()).select_from(Outbox).where(*_dropped(store))).one()
        return Backlog(waiting, 0.0 if oldest is None else max(0.0, (store.now(session) - oldest).total_seconds()), dropped)


def undelivered(store: Store, *, limit: int) -> tuple[list[Outbox], int]:
    """Oldest first, with how many there are in all."""
    with store.read() as session:
        theirs = select(Outbox).where(*_events(store))
        total = session.exec(select(func.count()).select_from(theirs.subquery())).one()
        return list(session.exec(theirs.order_by(col(Outbox.seq)).limit(limit))), total


def revive(store: Store, event_ids: Sequence[str] | None) -> int:
    """Try again, from the beginning, what was given up: these, or all; how many."""
    with store.write() as session:
        theirs = _dropped(store) if event_ids is None else (*_dropped(store), col(Outbox.event_id).in_(event_ids))
        give_up_at = store.now(session) + GIVE_UP_AFTER
        again = update(Outbox).where(*theirs).values(attempts=0, next_at=None, dropped_at=None, give_up_at=give_up_at)
        return session.exec(again).rowcount


def delete_old(session: Session, *, now: datetime) -> None:
    """Events that were given up long ago, or have no webhook to go to any more; and what an earlier program wrote for nobody."""
    over = and_(col(Outbox.event_id).is_not(None), col(Outbox.give_up_at) < now - DROPPED_KEPT_FOR)
    unread = and_(col(Outbox.event_id).is_(None), col(Outbox.topic) != SCRUB, col(Outbox.created_at) < now - UNREAD_KEPT_FOR)
    session.exec(delete(Outbox).where(or_(over, unread)))


def _waiting(store: Store, *conditions: ColumnElement[bool]) -> SelectOfScalar[Outbox]:
    return select(Outbox).where(*_waits(store), *conditions)


def _events(store: Store) -> tuple[ColumnElement[bool], ...]:
    return col(Outbox.gallery_id) == store.gallery_id, col(Outbox.event_id).is_not(None)


def _waits(store: Store) -> tuple[ColumnElement[bool], ...]:
    return *_events(store), col(Outbox.dropped_at).is_(None)


def _dropped(store: Store) -> tuple[ColumnElement[bool], ...]:
    return *_events(store), col(Outbox.dropped_at).is_not(None)
