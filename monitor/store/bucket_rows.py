"""Between buckets and the rows of `minute`, `hour` and `day`; Core statements, as hundreds of rows are read for one chart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, RowMapping, ScalarSelect, Select, Table, delete, func, select, text, type_coerce
from sqlalchemy.dialects import postgresql, sqlite

from monitor.histogram import Histogram
from monitor.store import tables
from monitor.store.bucket import VALID_AT_MOST_MS, Bucket, Seen

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000

SAMPLE: Table = tables.Sample.__table__  # type: ignore[attr-defined]
LEVELS: Mapping[str, tuple[Table, int]] = {
    "minute": (tables.Minute.__table__, MINUTE_MS),  # type: ignore[attr-defined]
    "hour": (tables.Hour.__table__, HOUR_MS),  # type: ignore[attr-defined]
    "day": (tables.Day.__table__, DAY_MS),  # type: ignore[attr-defined]
}
"""By name: its table, and how long its buckets are."""


_LAST_OF_ONE = text("SELECT id FROM sample WHERE backend = :name AND at < :start AND at >= :lowest ORDER BY at DESC LIMIT 1")
# From one name to the next in the index: SELECT DISTINCT would read all of it.
_LAST_OF_EACH = text(
    """
    WITH RECURSIVE known(name) AS (
        SELECT min(backend) FROM sample
        UNION ALL
        SELECT (SELECT min(backend) FROM sample WHERE backend > known.name) FROM known WHERE known.name IS NOT NULL
    )
    SELECT (SELECT id FROM sample WHERE backend = name AND at < :start AND at >= :lowest ORDER BY at DESC LIMIT 1)
    FROM known WHERE name IS NOT NULL
    """
)


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, keep_fuller: bool = False) -> None:
    """Insert, or replace what has the same key; with `keep_fuller` a row of more samples stays."""
    if not rows:
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    fresh = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    fuller = statement.excluded["samples"] >= table.c.samples if keep_fuller else None
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=fresh, where=fuller), rows)


def write_buckets(connection: Connection, level: str, buckets: Iterable[Bucket], *, start_ms: int, end_ms: int) -> None:
    """All buckets of [start, end), made anew.

    One that is made of samples some of which are deleted by now must not replace the whole one. One without samples is there
    because the state before it still held: a late sample may have ended that state sooner, so those go first.
    """
    table = LEVELS[level][0]
    held_only = (_raw(table) >= start_ms, _raw(table) < end_ms, table.c.samples == 0)
    connection.execute(delete(table).where(*held_only))
    upsert(connection, table, [_to_row(one) for one in buckets], keep_fuller=True)


def read_buckets(connection: Connection, level: str, *, backend: str | None, start_ms: int, end_ms: int) -> list[Bucket]:
    """Those that begin in [start, end), in no order."""
    table, step_ms = LEVELS[level]
    columns = [_ms(table) if column.name == "at" else column for column in table.c]
    return [
        _from_row(row, step_ms)
        for row in connection.execute(_between(select(*columns), table, backend, start_ms, end_ms)).mappings()
    ]


def read_samples(connection: Connection, *, backend: str | None, start_ms: int, end_ms: int) -> list[Seen]:
    """Those of [start, end), and before them each backend's last one whose state may still hold at the start."""
    c = SAMPLE.c
    columns = (c.backend, _ms(SAMPLE), c.state, c.up, c.probe_ms, c.requests, c.errors, c.latency, c.in_flight, c.valid_s)
    inside = _between(select(*columns), SAMPLE, backend, start_ms, end_ms).order_by(c.id)
    span = {"start": start_ms, "lowest": start_ms - VALID_AT_MOST_MS}
    last = _LAST_OF_EACH.bindparams(**span) if backend is None else _LAST_OF_ONE.bindparams(**span, name=backend)
    before = [one for (one,) in connection.execute(last) if one is not None]
    found = [Seen(**row) for row in connection.execute(inside).mappings()]
    for some in range(0, len(before), 500):
        found += [
            Seen(**row) for row in connection.execute(select(*columns).where(c.id.in_(before[some : some + 500]))).mappings()
        ]
    return found


def first_time(connection: Connection, table: Table, *, since_ms: int = 0) -> int | None:
    """The earliest time in a table from `since_ms` on, in milliseconds."""
    at = _raw(table)
    found: int | None = connection.execute(select(func.min(at)).where(at >= since_ms)).scalar_one()
    return found


def sample_edges(connection: Connection, *, after_id: int, not_before_ms: int) -> tuple[int, int | None]:
    """The highest id of a sample (0 without any), and the earliest time among those written after `after_id`."""
    newest: ScalarSelect[Any] = select(func.coalesce(func.max(SAMPLE.c.id), 0)).scalar_subquery()
    at = _raw(SAMPLE)
    # The sum keeps the planner from the index of times: few rows are new, two days of them are not too old.
    earliest = select(func.min(at)).where(SAMPLE.c.id > after_id, at + 0 >= not_before_ms).scalar_subquery()
    highest, first = connection.execute(select(newest, earliest)).one()
    return int(highest), first


def _between(query: Select[Any], table: Table, backend: str | None, start_ms: int, end_ms: int) -> Select[Any]:
    at = _raw(table)
    query = query.where(at >= start_ms, at < end_ms)
    return query.where(table.c.backend == backend) if backend is not None else query


def _raw(table: Table) -> Any:
    """The stored integer, without a datetime for each row on the way."""
    return type_coerce(table.c.at, BigInteger)


def _ms(table: Table) -> Any:
    return _raw(table).label("at_ms")


def _to_row(one: Bucket) -> dict[str, Any]:
    return {
        "backend": one.backend,
        "at": one.at,
        "state": one.state,
        "samples": one.samples,
        "up": one.up,
        "probe_ms": one.probe_ms.to_pairs(),
        "requests": one.requests,
        "errors": one.errors,
        "latency": one.latency.to_pairs(),
        "in_flight": one.in_flight.to_pairs(),
        "held_ms": dict(one.held_ms),
    }


def _from_row(row: RowMapping, step_ms: int) -> Bucket:
    return Bucket(
        backend=row["backend"],
        at_ms=row["at_ms"],
        state=row["state"],
        samples=row["samples"],
        up=row["up"],
        requests=row["requests"],
        errors=row["errors"],
        probe_ms=Histogram.from_pairs(row["probe_ms"]),
        latency=Histogram.from_pairs(row["latency"]),
        in_flight=Histogram.from_pairs(row["in_flight"] or []),
        held_ms=_held(row, step_ms) if row["held_ms"] is None else row["held_ms"],
    )


def _held(row: RowMapping, step_ms: int) -> dict[str, int]:
    """Of a row from before states were timed: its samples stand for equal parts of it."""
    up = round(step_ms * row["up"] / row["samples"])
    return {state: ms for state, ms in (("UP", up), (row["state"], step_ms - up)) if ms}
