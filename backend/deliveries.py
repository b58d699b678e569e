"""The background job that tells the webhook: one replica at a time, in the order of what happened, each at least once.

A message is deleted after its 2xx. A replica that dies between the two leaves it to another, which sends it again with the same
id. What came of an attempt is written whoever has the lease by then: that the receiver has it stays true, and spares a repeat.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from sqlmodel import Session

from backend.delivery import Answer, Outcome, asked_pause_s, next_try, outcome_of
from backend.endpoint import Endpoint, Message
from backend.store import job_leases, outbox
from backend.store.database import Store
from backend.store.tables import Outbox

JOB = "webhook"
LEASE_S = 30.0
"""At least half of it is left when a message goes out, and that takes no longer than the endpoint's timeout."""

log = logging.getLogger(__name__)


class Deliveries:
    """`count` is told the outcome of each attempt."""

    def __init__(self, store: Store, endpoint: Endpoint, *, holder: str, count: Callable[[Outcome], None]) -> None:
        self._store, self._endpoint, self._holder, self._count = store, endpoint, holder, count
        self._stopping = threading.Event()

    def stop(self) -> None:
        """No further message goes out."""
        self._stopping.set()

    def run(self) -> int:
        """Deliver what is due, until something fails, where no other replica does; how many were delivered."""
        delivered = 0
        if self._due() is None:
            return delivered
        with self._endpoint.connected() as connection:
            while self._may_go_on():
                row = self._due()  # read under the lease: nobody else has just sent it
                if row is None or row.event_id is None or row.body is None:
                    break
                answer = connection.post(Message(row.event_id, row.body))
                if self._write(row, answer) is not Outcome.delivered:
                    break
                delivered += 1
        return delivered

    def _may_go_on(self) -> bool:
        return not self._stopping.is_set() and (
            job_leases.hold(self._store, JOB, holder=self._holder, seconds=LEASE_S) is not None
        )

    def _due(self) -> Outbox | None:
        with self._store.read() as session:
            return outbox.due(self._store, session)

    def _write(self, row: Outbox, answer: Answer) -> Outcome | None:
        """None where it is gone by now: with a person who was erased, or another replica delivered it."""
        with self._store.write() as session:
            present = session.get(Outbox, row.seq)
            outcome = self._settle(session, present, answer) if present is not None else None
        if outcome is not None:
            self._count(outcome)
            _report(row, answer, outcome)
        return outcome

    def _settle(self, session: Session, row: Outbox, answer: Answer) -> Outcome:
        now, event_id = self._store.now(session), row.event_id or ""
        attempts = row.attempts + 1
        next_at = next_try(event_id, attempts, answer, now=now)
        outcome = outcome_of(answer, next_at=next_at, give_up_at=row.give_up_at or now)
        if outcome is Outcome.delivered:
            session.delete(row)
            return outcome
        row.attempts, row.last_result, row.next_at = attempts, answer.word, next_at
        if outcome is Outcome.dropped:
            row.dropped_at = now
        if (asked := asked_pause_s(answer, now=now)) > 0:  # of everything, and for no longer than was asked
            session.flush()
            outbox.put_off(self._store, session, until=now + timedelta(seconds=asked))
        return outcome


def _report(row: Outbox, answer: Answer, outcome: Outcome) -> None:
    about = {"fields": {"event": row.event_id, "topic": row.topic, "attempts": row.attempts + 1, "result": answer.word}}
    if outcome is Outcome.dropped:
        log.error("webhook given up: `python -m backend webhooks retry` tries again", extra=about)
    elif outcome is Outcome.retried:
        log.warning("webhook not delivered", extra=about)
