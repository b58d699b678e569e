"""The outbox: a sender claims what is due, sends it, marks it. At least once; the idempotency key lets a receiver count once.

Claims run by the database's clock: a sender that died with one loses it when its time is over, and another sends again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, func
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from monitor.store.alert_tables import Delivery
from monitor.store.database import Database

# So many requests that take their whole time must end before the claim does.
CLAIM_S = 30.0
FIRST_RETRY_S = 2.0
LONGEST_RETRY_S = 600.0
GIVE_UP_AFTER = timedelta(days=7)
ANSWER_LENGTH = 200


@dataclass(frozen=True)
class Claimed:
    """Ours until `claimed_until`."""

    id: int
    alert_id: str
    kind: str
    severity: str
    idempotency_key: str
    body: dict[str, Any]


class Outbox:
    """Synchronous; safe from several threads and several processes."""

    def __init__(self, database: Database, *, claim_s: float = CLAIM_S, first_retry_s: float = FIRST_RETRY_S) -> None:
        self._database = database
        self._claim = timedelta(seconds=claim_s)
        self._first_retry_s = first_retry_s

    def claim(self, route: str, *, limit: int = 3) -> list[Claimed]:
        """What is due on `route`, oldest first. Of one key only the oldest that is not done: they arrive in their order."""
        earlier = aliased(Delivery)
        unfinished = exists().where(
            col(earlier.alert_key) == col(Delivery.alert_key),
            col(earlier.route) == col(Delivery.route),
            col(earlier.id) < col(Delivery.id),
            col(earlier.sent_at).is_(None),
            col(earlier.given_up_at).is_(None),
        )
        with self._database.write() as session:
            now = self._database.now(session)
            free = col(Delivery.claimed_until).is_(None) | (col(Delivery.claimed_until) <= now)
            query = select(Delivery).where(Delivery.route == route, *_waiting(), col(Delivery.due_at) <= now, free, ~unfinished)
            rows = session.exec(query.order_by(col(Delivery.id)).limit(limit)).all()
            for row in rows:
                row.claimed_until = now + self._claim
            return [Claimed(row.id or 0, row.alert_id, row.kind, row.severity, row.idempotency_key, row.body) for row in rows]

    def sent(self, delivery_id: int, answer: str) -> None:
        """The receiver took it."""
        self._finish(delivery_id, answer, arrived=True)

    def failed(self, delivery_id: int, answer: str) -> None:
        """It comes again, later each time; after a week it is given up, and says so."""
        self._finish(delivery_id, answer, arrived=False)

    def _finish(self, delivery_id: int, answer: str, *, arrived: bool) -> None:
        with self._database.write() as session:
            row = session.get(Delivery, delivery_id)
            if row is None or row.sent_at is not None:
                return
            now = self._database.now(session)
            row.attempts += 1
            row.claimed_until = None
            row.answer = answer[:ANSWER_LENGTH]
            if arrived:
                row.sent_at = now
            elif now - row.created_at > GIVE_UP_AFTER:
                row.given_up_at = now
            else:
                row.due_at = now + retry_after(row.attempts, self._first_retry_s)

    def give_up_routes(self, present: Sequence[str], now: datetime) -> int:
        """What waits for a route that the fleet file no longer has cannot arrive; gives how many."""
        with self._database.write() as session:
            gone = session.exec(select(Delivery).where(*_waiting(), col(Delivery.route).not_in(present))).all()
            for row in gone:
                row.given_up_at, row.answer = now, "the fleet file has no such route any more"
            return len(gone)

    def undelivered(self) -> dict[str, int]:
        """By route: the most attempts that anything which still waits has failed."""
        query = select(Delivery.route, func.max(Delivery.attempts)).where(*_waiting()).group_by(Delivery.route)
        with self._database.read() as session:
            return {route: attempts or 0 for route, attempts in session.exec(query)}


def retry_after(attempts: int, first_s: float = FIRST_RETRY_S) -> timedelta:
    """2 s, 4 s, 8 s … ten minutes."""
    return timedelta(seconds=min(first_s * 2 ** min(attempts - 1, 16), LONGEST_RETRY_S))


def _waiting() -> tuple[Any, Any]:
    return col(Delivery.sent_at).is_(None), col(Delivery.given_up_at).is_(None)
