"""What was begun is finished: enrolments whose lease ran out, by whichever replica looks first; and housekeeping."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import timedelta

from sqlmodel import col, select, update

from backend.errors import Unavailable
from backend.store import answers, job_leases, outbox, scrubbing
from backend.store.database import Store
from backend.store.tables import Enrolment, EnrolmentState

log = logging.getLogger(__name__)

HOUSEKEEPING = "housekeeping"
HOUSEKEEPING_EVERY_S = 600.0
"""The term of its lease, which nobody renews: whoever comes first afterwards does the next."""


class Sweep:
    """`finish` does the remaining steps of an enrolment, by its id; harmless to do twice.

    `is_fit_for`: whether this replica could, of one whose last number in the log is given; else it is left to others.
    """

    def __init__(
        self,
        store: Store,
        finish: Callable[[str], object],
        *,
        is_fit_for: Callable[[int], bool],
        holder: str,
        lease_s: float,
    ) -> None:
        self._store, self._finish, self._is_fit_for = store, finish, is_fit_for
        self._holder, self._lease_s = holder, lease_s

    def run(self) -> int:
        """Finish what is abandoned, whoever began it; how many. Then the housekeeping that is due."""
        finished = 0
        for enrolment_id, last_seq in self._abandoned():
            if self._is_fit_for(last_seq):
                finished += self._take_over(enrolment_id)
        self._keep_house()
        return finished

    def rescue(self, enrolment_ids: Collection[str]) -> None:
        """Finish those of them that are abandoned: whoever waits for them need not wait for the next sweep."""
        for enrolment_id, _ in self._abandoned():
            if enrolment_id in enrolment_ids:
                self._take_over(enrolment_id)

    def _abandoned(self) -> list[tuple[str, int]]:
        """Pending enrolments whose lease ran out by the database's clock, oldest first, each with its last number in the log."""
        with self._store.read() as session:
            query = select(Enrolment.id, Enrolment.last_seq).where(
                Enrolment.gallery_id == self._store.gallery_id,
                Enrolment.state == EnrolmentState.pending,
                col(Enrolment.lease_until) <= self._store.now(session),
            )
            return list(session.exec(query.order_by(col(Enrolment.first_seq)).limit(100)))

    def _take_over(self, enrolment_id: str) -> bool:
        """Take the lease and finish it; False where somebody else took it, or it cannot be finished now."""
        if not self._take(enrolment_id):
            return False
        try:
            self._finish(enrolment_id)
        except Unavailable as error:  # it is this replica that cannot: another may at once
            self._report(enrolment_id, error)
            self._release(enrolment_id)
            return False
        except Exception as error:  # one that is damaged keeps nobody from the others; its lease is the pause until the next try
            self._report(enrolment_id, error)
            return False
        return True

    def _take(self, enrolment_id: str) -> bool:
        with self._store.write() as session:
            now = self._store.now(session)
            taken = session.exec(
                update(Enrolment)
                .where(
                    col(Enrolment.id) == enrolment_id,
                    col(Enrolment.state) == EnrolmentState.pending,
                    col(Enrolment.lease_until) <= now,
                )
                .values(lease_holder=self._holder, lease_until=now + timedelta(seconds=self._lease_s))
            )
            return bool(taken.rowcount)

    def _release(self, enrolment_id: str) -> None:
        with self._store.write() as session:
            mine = col(Enrolment.id) == enrolment_id, col(Enrolment.lease_holder) == self._holder
            session.exec(update(Enrolment).where(*mine).values(lease_until=self._store.now(session)))

    def _report(self, enrolment_id: str, error: Exception) -> None:
        """The class alone: what an error says may name what was stored."""
        log.warning("enrolment not finished", extra={"fields": {"enrolment": enrolment_id, "error": type(error).__name__}})

    def _keep_house(self) -> None:
        """What an erasure left to be done; and, by one replica in each term, away with what is old."""
        scrubbing.settle(self._store)
        if not job_leases.is_free(self._store, HOUSEKEEPING):
            return
        with self._store.write() as session:
            now = self._store.now(session)
            if job_leases.take(self._store, session, HOUSEKEEPING, holder=self._holder, seconds=HOUSEKEEPING_EVERY_S):
                answers.forget_old(self._store, session, now=now)
                outbox.delete_old(session, now=now)
