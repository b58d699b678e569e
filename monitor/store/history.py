"""What the monitor keeps: the tick's batch in one transaction, the present states, events, samples and their roll-ups."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func
from sqlmodel import Session, col, select

from monitor import histogram, wire
from monitor.histogram import Histogram
from monitor.store.database import Database
from monitor.store.tables import BackendState, CertificateState, Event, Minute, Sample

KEEP_SAMPLES = timedelta(hours=48)
KEEP_MINUTES = timedelta(days=90)
KEEP_EVENTS = timedelta(days=366)
# One delete of 750,000 rows held the writer for seconds; this many take milliseconds.
DELETE_AT_ONCE = 2000
EXACT_UP_TO = 10_000

WORST_FIRST = (wire.State.down, wire.State.degraded, wire.State.starting, wire.State.unknown, wire.State.up)


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

    def ping(self) -> None:
        """Raises SQLAlchemy's error where the database does not answer."""
        self._database.ping()

    def write(self, batch: Batch) -> None:
        """All of it, or nothing: a change of state and its event are never apart."""
        with self._database.write() as session:
            for state in batch.states.values():
                session.merge(state)
            session.add_all(Event(**event.model_dump(exclude={"id"})) for event in batch.events)
            session.add_all(Sample(**sample.model_dump(exclude={"id"})) for sample in batch.samples)
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

    def minutes(self, *, backend: str | None, since: datetime) -> list[Minute]:
        """Oldest first. Minutes that are not rolled up yet are made of their samples on the way."""
        by_backend = [Minute.backend == backend] if backend else []
        with self._database.read() as session:
            done = session.exec(select(Minute).where(col(Minute.at) >= since, *by_backend)).all()
            until = session.exec(select(func.max(Minute.at))).one()
            fresh = max(since, until + timedelta(minutes=1)) if until else since
            return sorted([*done, *_rolled(_samples(session, backend, fresh), 60)], key=lambda row: (row.at, row.backend))

    def buckets(self, *, backend: str | None, since: datetime, step_s: int) -> list[Minute]:
        """Samples since `since` in buckets of `step_s` seconds, oldest first."""
        with self._database.read() as session:
            return _rolled(_samples(session, backend, since), step_s)

    def roll_up(self, now: datetime) -> int:
        """Write the minutes that are over and not rolled up yet; gives how many rows."""
        this_minute = _floor(now, 60)
        with self._database.write() as session:
            last = session.exec(select(func.max(Minute.at))).one()
            since = last + timedelta(minutes=1) if last else this_minute - KEEP_SAMPLES
            rows = _rolled([one for one in _samples(session, None, since) if one.at < this_minute], 60)
            for row in rows:
                session.merge(row)
            return len(rows)

    def prune(self, now: datetime) -> int:
        """Delete what is too old, in small transactions; gives how many rows went."""
        gone = 0
        while True:
            with self._database.write() as session:
                some = sum(_delete_some(session, now))
            gone += some
            if some == 0:
                return gone


def merged(rows: Sequence[Minute]) -> Minute:
    """Several buckets of one backend as one, which starts where the first does."""
    return Minute(
        backend=rows[0].backend,
        at=rows[0].at,
        state=_worst(row.state for row in rows),
        samples=sum(row.samples for row in rows),
        up=sum(row.up for row in rows),
        probe_ms=Histogram.merged(Histogram.from_pairs(row.probe_ms) for row in rows).to_pairs(),
        requests=_sum(row.requests for row in rows),
        errors=_sum(row.errors for row in rows),
        latency=Histogram.merged(Histogram.from_pairs(row.latency) for row in rows).to_pairs(),
    )


def rebucketed(rows: Iterable[Minute], step_s: int) -> list[Minute]:
    """The same, in wider buckets."""
    ordered = sorted(rows, key=lambda row: (row.backend, row.at))
    groups = itertools.groupby(ordered, key=lambda row: (row.backend, _floor(row.at, step_s)))
    wide = []
    for (_, at), group in groups:
        bucket = merged(list(group))
        bucket.at = at
        wide.append(bucket)
    return sorted(wide, key=lambda row: (row.at, row.backend))


def _samples(session: Session, backend: str | None, since: datetime) -> Sequence[Sample]:
    query = select(Sample).where(col(Sample.at) >= since).order_by(col(Sample.backend), col(Sample.at))
    return session.exec(query.where(Sample.backend == backend) if backend else query).all()


def _rolled(samples: Iterable[Sample], step_s: int) -> list[Minute]:
    ordered = sorted(samples, key=lambda one: (one.backend, one.at))
    groups = itertools.groupby(ordered, key=lambda one: (one.backend, _floor(one.at, step_s)))
    rows = [_bucket(backend, at, list(group)) for (backend, at), group in groups]
    return sorted(rows, key=lambda row: (row.at, row.backend))


def _bucket(backend: str, at: datetime, samples: Sequence[Sample]) -> Minute:
    return Minute(
        backend=backend,
        at=at,
        state=_worst(sample.state for sample in samples),
        samples=len(samples),
        up=sum(sample.up for sample in samples),
        probe_ms=histogram.of_values(s.probe_ms for s in samples if s.probe_ms is not None).to_pairs(),
        requests=_sum(sample.requests for sample in samples),
        errors=_sum(sample.errors for sample in samples),
        latency=Histogram.merged(Histogram.from_pairs(s.latency) for s in samples if s.latency).to_pairs(),
    )


def _delete_some(session: Session, now: datetime) -> Iterable[int]:
    for table, key, at, age in (
        (Sample, col(Sample.id), col(Sample.at), KEEP_SAMPLES),
        (Event, col(Event.id), col(Event.at), KEEP_EVENTS),
        (Minute, col(Minute.at), col(Minute.at), KEEP_MINUTES),
    ):
        old = select(key).where(at < now - age).limit(DELETE_AT_ONCE)
        yield session.connection().execute(delete(table).where(key.in_(old))).rowcount


def _floor(at: datetime, step_s: int) -> datetime:
    return datetime.fromtimestamp(at.timestamp() // step_s * step_s, UTC)


def _worst(states: Iterable[str]) -> str:
    return min(states, key=lambda state: WORST_FIRST.index(wire.State(state)))


def _sum(values: Iterable[float | None]) -> float | None:
    """None where nothing was measured, which is not the same as nothing served."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


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
