"""Retention: people whose period is over are erased as the API erases them, by one replica at a time, each audited.

A person's own `retain_until` holds where it is set, before or after the period of the settings, which counts from the
enrolment. People who were merged go together, when the survivor's time is over: their own times hold again after an undo.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement
from sqlmodel import Session, and_, col, func, or_, select

from backend.store import erasure, job_leases, scrubbing
from backend.store.audit import Audit
from backend.store.caller import SYSTEM
from backend.store.database import Store
from backend.store.forest import tree
from backend.store.tables import Subject
from backend.wire import SubjectState

LEASE = "subject-retention"
LEASE_S = 60.0
BATCH = 20
"""people erased in one transaction: nobody waits long for the ledger lock"""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Periods:
    subject: timedelta | None
    """since the enrolment, for those without a `retain_until`; None: for ever"""
    rejected: timedelta
    """since the enrolment: what is left of a rejected one are ids, its pairs and its answer"""


class Retention:
    def __init__(self, store: Store, periods: Periods, *, holder: str) -> None:
        self._store = store
        self._periods = periods
        self._holder = holder
        self._audit = Audit(store)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """No further batch begins."""
        self._stopping.set()

    def due(self, *, within: timedelta = timedelta(0)) -> int:
        """How many people (or rejected enrolments) will be erased in that time; a merged set counts once."""
        with self._store.read() as session:
            query = select(func.count()).select_from(Subject).where(*self._over(self._store.now(session) + within))
            return session.exec(query).one()

    def erase_due(self) -> int:
        """Erase all who are due, in batches; how many. 0 where another replica is at it."""
        erased = 0
        if self.due() > 0:
            while not self._stopping.is_set() and (gone := self._erase_batch()):
                erased += gone
            scrubbing.settle(self._store)
            log.info("retention periods were over", extra={"fields": {"erased": erased}})
        return erased

    def _erase_batch(self) -> int:
        epoch = job_leases.hold(self._store, LEASE, holder=self._holder, seconds=LEASE_S)
        if epoch is None:
            return 0
        with self._store.write() as session:
            if not job_leases.holds(self._store, session, LEASE, holder=self._holder, epoch=epoch):
                return 0
            now = self._store.now(session)
            due = session.exec(select(Subject).where(*self._over(now)).order_by(col(Subject.id)).limit(BATCH)).all()
            for subject in due:
                self._erase(session, subject, now)
        return len(due)

    def _erase(self, session: Session, subject: Subject, now: datetime) -> None:
        reason = "rejected" if subject.state == SubjectState.rejected else "retention"
        records = tree(session, subject.id)
        erasure.erase(self._store, session, records, at=now)
        self._audit.append(session, SYSTEM, "subject.erase", records[0], {"records": records, "reason": reason})

    def _over(self, at: datetime) -> tuple[ColumnElement[bool], ...]:
        over = col(Subject.retain_until) <= at
        if self._periods.subject is not None:
            own = col(Subject.retain_until).is_(None)
            over = or_(over, and_(own, col(Subject.created_at) <= at - self._periods.subject))
        active = and_(col(Subject.state) == SubjectState.active, over)
        rejected = and_(col(Subject.state) == SubjectState.rejected, col(Subject.created_at) <= at - self._periods.rejected)
        return col(Subject.gallery_id) == self._store.gallery_id, or_(active, rejected)
