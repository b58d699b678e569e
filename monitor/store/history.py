"""What the monitor keeps: the tick's batch in one transaction, the present states, events, samples and their roll-ups."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, func, insert
from sqlmodel import col, select

from monitor import wire
from monitor.store.bucket import Bucket
from monitor.store.bucket_rows import upsert
from monitor.store.database import Database
from monitor.store.retention import prune_some
from monitor.store.rollup import RollUp
from monitor.store.series import Series
from monitor.store.tables import BackendState, CertificateState, Event, Sample

EXACT_UP_TO = 10_000


@dataclass
class Batch:
    """What one tick has to write."""

    states: dict[str, BackendState] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    certificates: dict[str, wire.Certificate] = field(default_factory=dict)
    certificate_names: set[str] | None = None

    def __bool__(self) -> bool:
        return bool(self.states or self.events or self.samples or self.certificates or self.certificate_names is not None)


class History:
    """Synchronous; the monitor calls it from threads. One writer at a time is the caller's duty."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._roll_up = RollUp(database)

    def ping(self) -> None:
        """Raises SQLAlchemy's error where the database does not answer."""
        self._database.ping()

    def write(self, batch: Batch) -> None:
        """All of it, or nothing: a change of state and its event are never apart."""
        with self._database.write() as session:
            # Core statements for many rows at once: row by row this was the most that a tick cost.
            connection = session.connection()
            upsert(connection, BackendState.__table__, [one.model_dump() for one in batch.states.values()])  # type: ignore[attr-defined]
            session.add_all(Event(**event.model_dump(exclude={"id"})) for event in batch.events)
            if batch.samples:
                connection.execute(insert(Sample), [one.model_dump(exclude={"id"}) for one in batch.samples])
            for name, body in batch.certificates.items():
                session.merge(CertificateState(name=name, at=body.at, body=body.model_dump(mode="json")))
            if batch.certificate_names is not None:
                gone = col(CertificateState.name).not_in(batch.certificate_names)
                session.connection().execute(delete(CertificateState).where(gone))

    def states(self) -> dict[str, BackendState]:
        with self._database.read() as session:
            return {state.name: state for state in session.exec(select(BackendState))}

    def certificates(self) -> dict[str, wire.Certificate]:
        with self._database.read() as session:
            return {row.name: wire.Certificate.model_validate(row.body) for row in session.exec(select(CertificateState))}

    def events(self, *, backend: str | None, before_id: int | None, limit: int) -> wire.Page[wire.Event]:
        """Newest first. `next` is the id to give as `before_id`."""
        chosen = [Event.backend == backend] if backend else []
        query = select(Event).where(*chosen).order_by(col(Event.id).desc()).limit(limit + 1)
        if before_id is not None:
            query = query.where(col(Event.id) < before_id)
        counted = select(func.count()).select_from(select(Event.id).where(*chosen).limit(EXACT_UP_TO + 1).subquery())
        with self._database.read() as session:
            rows = session.exec(query).all()
            total = session.exec(counted).one()
        items = [_event(row) for row in rows[:limit]]
        return wire.Page(
            items=items,
            next=str(items[-1].id) if len(rows) > limit else None,
            total=min(total, EXACT_UP_TO),
            total_is="at_least" if total > EXACT_UP_TO else "exact",
        )

    def series(self, *, backend: str | None, since: datetime, until: datetime, step_s: int) -> list[Bucket]:
        """Buckets of `step_s` seconds, oldest first, from the one in which `since` lies; what was never watched has none."""
        return Series(self._database).read(backend=backend, since=since, until=until, step_s=step_s)

    def roll_up_some(self, now: datetime) -> int | None:
        """The next short step: how many rows it wrote; None when all that is over is rolled up."""
        return self._roll_up.step(now)

    def prune_some(self, now: datetime) -> int | None:
        """Delete a little of what is too old, in one short transaction: how many rows; None when nothing is left."""
        return prune_some(self._database, now)


def _event(row: Event) -> wire.Event:
    return wire.Event(
        id=row.id or 0,
        at=row.at,
        backend=row.backend,
        old=wire.State(row.old),
        new=wire.State(row.new),
        reason=row.reason,
        detail=row.detail,
    )
