"""How long what is kept, and its deletion in small transactions, between which the writer gets its turn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Table, delete, func, select

from monitor.store import tables
from monitor.store.bucket import VALID_AT_MOST_MS
from monitor.store.database import Database
from monitor.store.rollup import Progress

KEEP_SAMPLES = timedelta(hours=48)
KEEP_MINUTES = timedelta(days=14)
KEEP_HOURS = timedelta(days=731)
KEEP_DAYS = timedelta(days=731)
KEEP_EVENTS = timedelta(days=366)
# One delete of 750,000 rows held the writer for seconds; this many take milliseconds.
DELETE_AT_ONCE = 2000


def prune_some(database: Database, now: datetime) -> int | None:
    """Of each table at most a few thousand rows: how many went; None when nothing is left to delete."""
    with database.write() as session:
        connection = session.connection()
        progress = Progress.read(connection)
        gone = [
            _some(connection, table, min(now - age, _until(progress, level) or now))
            for table, age, level in (
                (tables.Minute.__table__, KEEP_MINUTES, "hour"),  # type: ignore[attr-defined]
                (tables.Hour.__table__, KEEP_HOURS, "day"),  # type: ignore[attr-defined]
                (tables.Day.__table__, KEEP_DAYS, None),  # type: ignore[attr-defined]
                (tables.Event.__table__, KEEP_EVENTS, None),  # type: ignore[attr-defined]
            )
        ]
        return sum(gone, _samples(connection, now, progress)) or None


def _until(progress: Progress | None, level: str | None) -> datetime | None:
    """Up to where a level is rolled up: nothing goes before the wider buckets are made of it."""
    if level is None:
        return None
    return datetime.fromtimestamp(getattr(progress, level, 0) / 1000, UTC)


def _samples(connection: Connection, now: datetime, progress: Progress | None) -> int:
    """The newest one stays: SQLite would give its id again, and the roll-up takes ids for an order of writing."""
    table: Table = tables.Sample.__table__  # type: ignore[attr-defined]
    rolled = _until(progress, "minute")
    before = min(now - KEEP_SAMPLES, (rolled or now) - timedelta(milliseconds=VALID_AT_MOST_MS))
    newest = select(func.max(table.c.id)).scalar_subquery()
    old = select(table.c.id).where(table.c.at < before, table.c.id < newest).limit(DELETE_AT_ONCE)
    return connection.execute(delete(table).where(table.c.id.in_(old))).rowcount


def _some(connection: Connection, table: Table, before: datetime) -> int:
    old = select(table.c.at).where(table.c.at < before).order_by(table.c.at).limit(DELETE_AT_ONCE)
    times = select(old.subquery().c.at)
    return connection.execute(delete(table).where(table.c.at.in_(times))).rowcount
