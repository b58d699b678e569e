"""Reads a span of history at the resolution that its length and its age ask for: days, hours, minutes, samples.

What is not rolled up yet is made of the finer rows on the way, so that a chart always ends now.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from monitor.store.bucket import Bucket, floor, of_samples, rebucketed
from monitor.store.bucket_rows import LEVELS, read_buckets, read_samples
from monitor.store.database import Database
from monitor.store.retention import KEEP_MINUTES, KEEP_SAMPLES
from monitor.store.rollup import Progress

MOST_POINTS = 2000
# Beyond this a chart gains nothing; what a caller asks for itself may be finer, up to `MOST_POINTS`.
USUAL_POINTS = 1000
STEPS_S = (60, 120, 300, 600, 900, 1800, 3600, 2 * 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400)
COARSEST_FIRST = ("day", "hour", "minute")


def step_for(since: datetime, until: datetime, now: datetime, *, asked_s: int | None = None) -> int:
    """Seconds per point: what was asked, else as many points as a chart shows; never finer than what is kept of that age.

    From a minute on it is a whole number of minutes, from an hour on of hours, from a day on of days.
    """
    span_s = (until - since).total_seconds()
    step = asked_s or next((one for one in STEPS_S if span_s / one <= USUAL_POINTS), STEPS_S[-1])
    if now - since > KEEP_MINUTES:
        step = max(step, 3600)
    elif now - since > KEEP_SAMPLES:
        step = max(step, 60)
    unit = next((one for one in (86_400, 3600, 60) if step >= one), 1)
    return -(-step // unit) * unit


class Series:
    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, *, backend: str | None, since: datetime, until: datetime, step_s: int) -> list[Bucket]:
        """Buckets of `step_s` seconds, oldest first, from the one in which `since` lies."""
        step_ms = step_s * 1000
        start, end = floor(_ms(since), step_ms), _ms(until)
        with self._database.read() as session:
            connection = session.connection()
            found, position = _rolled_up(connection, backend, start, end, step_ms)
            finest = min(step_ms, 60_000)
            samples = read_samples(connection, backend=backend, start_ms=position, end_ms=end)
        found += of_samples(samples, start_ms=position, end_ms=end, step_ms=finest)
        return rebucketed(found, step_ms)


def _rolled_up(connection: Connection, backend: str | None, start: int, end: int, step_ms: int) -> tuple[list[Bucket], int]:
    """From the widest rows that fit into a step to the narrowest; gives also where the samples must go on."""
    progress = Progress.read(connection)
    found: list[Bucket] = []
    for level in COARSEST_FIRST:
        width = LEVELS[level][1]
        if progress is None or step_ms % width:
            continue
        done = floor(min(end, getattr(progress, level)), width)
        if done > start:
            found += read_buckets(connection, level, backend=backend, start_ms=start, end_ms=done)
            start = done
    return found, start


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def watched_from(since: datetime, step_s: int) -> datetime:
    """Where the first bucket begins."""
    return since - timedelta(seconds=since.timestamp() % step_s)
