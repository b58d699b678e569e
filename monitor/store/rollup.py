"""Minutes out of samples, hours out of minutes, days out of hours: in short steps, each a transaction that says how far it is.

What a step makes depends on nothing but the rows below it, so doing it again changes nothing. A sample that comes late, or
whose writing the database refused for a while, takes the mark back to its minute, and what follows is made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Table
from sqlmodel import select

from monitor.store.bucket import Bucket, floor, of_samples, rebucketed
from monitor.store.bucket_rows import (
    DAY_MS,
    HOUR_MS,
    LEVELS,
    MINUTE_MS,
    SAMPLE,
    first_time,
    read_buckets,
    read_samples,
    sample_edges,
    upsert,
    write_buckets,
)
from monitor.store.database import Database
from monitor.store.tables import RollUpProgress

# A round that began in the last second of a minute ends some seconds into the next, and is written then.
GRACE_S = 10
MINUTES_AT_ONCE_MS = 10 * MINUTE_MS
# Older samples are about to be deleted, so a minute could no longer be made again of all of them.
LATE_AT_MOST = timedelta(hours=47)
PROGRESS = RollUpProgress.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Progress:
    """Everything before each of these times is rolled up, in milliseconds; `seen_id`: the last sample that was looked at."""

    minute: int
    hour: int
    day: int
    seen_id: int = 0

    @classmethod
    def read(cls, connection: Connection) -> Progress | None:
        """None before the first roll-up."""
        rows = {row.level: row for row in connection.execute(select(PROGRESS))}
        if not rows:
            return None
        until = {level: round(row.until.timestamp() * 1000) for level, row in rows.items()}
        return cls(until["minute"], until["hour"], until["day"], rows["minute"].seen_id)

    def write(self, connection: Connection) -> None:
        marks = (("minute", self.minute, self.seen_id), ("hour", self.hour, 0), ("day", self.day, 0))
        rows = [{"level": level, "until": _time(until), "seen_id": seen} for level, until, seen in marks]
        upsert(connection, PROGRESS, rows)

    def back_to(self, minute: int, seen_id: int) -> Progress:
        """With everything from `minute` on to be made again."""
        return Progress(
            min(self.minute, minute), min(self.hour, floor(minute, HOUR_MS)), min(self.day, floor(minute, DAY_MS)), seen_id
        )


@dataclass(frozen=True)
class _Step:
    level: str
    start: int
    end: int
    buckets: list[Bucket]
    progress: Progress


class RollUp:
    """One at a time, by the writer: between a step's reading and its writing nobody else writes samples."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def step(self, now: datetime) -> int | None:
        """The next short piece of work: how many rows it wrote; None when there is nothing left to do."""
        with self._database.read() as session:
            before = Progress.read(session.connection())
            step = self._next(session.connection(), before, now)
        if step is None:
            return None
        with self._database.write() as session:
            write_buckets(session.connection(), step.level, step.buckets, start_ms=step.start, end_ms=step.end)
            step.progress.write(session.connection())
        return len(step.buckets)

    def _next(self, connection: Connection, before: Progress | None, now: datetime) -> _Step | None:
        over = floor(_ms(now - timedelta(seconds=GRACE_S)), MINUTE_MS)
        progress = _with_late_samples(connection, before or _beginning(connection, over), now)
        if progress.minute < over:
            return _minutes(connection, progress, over)
        if progress.hour + HOUR_MS <= progress.minute:
            hours, end = _wider(connection, "minute", progress.hour, progress.minute, HOUR_MS)
            return _Step("hour", progress.hour, end, hours, Progress(progress.minute, end, progress.day, progress.seen_id))
        if progress.day + DAY_MS <= progress.hour:
            days, end = _wider(connection, "hour", progress.day, progress.hour, DAY_MS)
            return _Step("day", progress.day, end, days, Progress(progress.minute, progress.hour, end, progress.seen_id))
        return _Step("minute", over, over, [], progress) if progress != before else None


def _beginning(connection: Connection, over: int) -> Progress:
    """Of a database that was never rolled up in this way: what it has of minutes becomes hours and days as well."""
    edges = (first_time(connection, table) for table in (LEVELS["minute"][0], SAMPLE))
    first = min([over, *(edge for edge in edges if edge is not None)])
    return Progress(floor(first, MINUTE_MS), floor(first, HOUR_MS), floor(first, DAY_MS))


def _with_late_samples(connection: Connection, progress: Progress, now: datetime) -> Progress:
    newest, earliest = sample_edges(connection, after_id=progress.seen_id, not_before_ms=_ms(now - LATE_AT_MOST))
    if earliest is None:
        return progress
    return progress.back_to(floor(earliest, MINUTE_MS), newest)


def _minutes(connection: Connection, progress: Progress, over: int) -> _Step:
    start = progress.minute
    end = min(over, start + MINUTES_AT_ONCE_MS)
    samples = read_samples(connection, backend=None, start_ms=start, end_ms=end)
    made = of_samples(samples, start_ms=start, end_ms=end, step_ms=MINUTE_MS)
    if not made:
        end = _after_a_gap(connection, SAMPLE, end, over, MINUTE_MS)
    return _Step("minute", start, end, made, Progress(end, progress.hour, progress.day, progress.seen_id))


def _wider(connection: Connection, level: str, start: int, until: int, step_ms: int) -> tuple[list[Bucket], int]:
    """The next bucket of each backend, made of the narrower ones, and where it ends."""
    end = start + step_ms
    made = rebucketed(read_buckets(connection, level, backend=None, start_ms=start, end_ms=end), step_ms)
    return made, end if made else _after_a_gap(connection, LEVELS[level][0], end, floor(until, step_ms), step_ms)


def _after_a_gap(connection: Connection, table: Table, start: int, until: int, step_ms: int) -> int:
    """A monitor that was off for a month does not step through every minute of it."""
    found = first_time(connection, table, since_ms=start)
    return until if found is None else min(until, floor(found, step_ms))


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
