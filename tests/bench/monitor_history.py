"""90 days of 100 backends in the monitor's database: what a view and a chart take over HTTP, and how much room it needs.

One backend's day is written and rolled up by the product itself; the database then copies its rows to the other backends and
days, as many of each level as are kept. The monitor runs on it while it is asked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from sqlalchemy import text

from monitor.store.bucket_rows import LEVELS
from monitor.store.database import Database
from monitor.store.history import Batch, History
from monitor.store.retention import KEEP_MINUTES, KEEP_SAMPLES
from monitor.store.tables import Sample
from tests.bench.measure import Benchmark, Setting, compared, machine, seconds
from tests.bench.probing import Targets, describe, targets
from tests.monitor.processes import MonitorProcess
from tests.monitor.rolling import roll_up
from tests.postgres import postgres_server

BACKENDS, FEWER = 100, 10
DAYS = 90
SAMPLE_EVERY_S = 5
DAY_MS = 86_400_000
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


def monitor_history(setting: Setting) -> Iterator[Benchmark]:
    count = FEWER if setting.quick else BACKENDS
    with targets(setting.folder, count) as some, _databases(setting.folder) as urls:
        sizes = []
        for kind, url in urls.items():
            sizes.append(_fill(url, count))
            yield from _asked(setting, kind, url, some)
    ours, peers = (float(f"{size / count / DAYS / 1024:.4g}") for size in sizes)
    name = f"{DAYS} days of {count} backends: database per backend and day, SQLite"
    yield Benchmark(
        name, ours, "KiB", "the same rows in PostgreSQL", peers, float(f"{ours / peers:.4g}"), 0.0, "–", machine(), "monitor"
    )


@contextmanager
def _databases(folder: Path) -> Iterator[dict[str, str]]:
    with postgres_server() as server:
        yield {"SQLite": f"sqlite:///{folder}/history.db", "PostgreSQL": server.new_database()}


# --- filled ----------------------------------------------------------------------------------------------------------


def _fill(url: str, count: int) -> int:
    """Gives the database's bytes."""
    database = Database.open(url)
    try:
        yesterday = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
        history = History(database)
        for part in _day(yesterday):
            history.write(Batch(samples=part))
        roll_up(history, yesterday + timedelta(days=1, minutes=1))
        _copy(database, count)
        return _bytes(database)
    finally:
        database.close()


def _day(begin: datetime) -> Iterator[list[Sample]]:
    """A day of one busy backend, in batches of an hour: mostly UP, requests in most of its rounds."""
    rng = random.Random(7)
    for hour in range(24):
        yield [_sample(rng, begin + timedelta(hours=hour, seconds=n)) for n in range(0, 3600, SAMPLE_EVERY_S)]


def _sample(rng: random.Random, at: datetime) -> Sample:
    state = "UP" if rng.random() < 0.999 else "DOWN"
    served = [rng.randrange(20) if 1 <= place <= 6 else 0 for place in range(len(BOUNDS))]
    return Sample(
        at=at,
        backend="b0000",
        state=state,
        up=state == "UP",
        probe_ms=rng.uniform(1, 15),
        requests=float(sum(served)),
        errors=0.0,
        latency=[[bound, count] for bound, count in zip(BOUNDS, served, strict=True) if count],
        valid_s=21.0,
        in_flight=float(rng.randrange(6)),
    )


def _copy(database: Database, count: int) -> None:
    """By the database itself, in the order of time, in which the product would have written them."""
    kept = {"sample": KEEP_SAMPLES.days, "minute": KEEP_MINUTES.days, "hour": DAYS, "day": DAYS}
    for table, days in kept.items():
        columns = [c.name for c in LEVELS[table][0].c] if table in LEVELS else _columns_of_sample()
        values = [
            {"backend": "'b' || substr(CAST(10000 + n AS text), 2)", "at": f"at - CAST(d AS bigint) * {DAY_MS}"}.get(c, c)
            for c in columns
        ]
        # S608: names of our own tables and columns
        copy = (  # noqa: S608
            "WITH RECURSIVE backends(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM backends WHERE n + 1 < :count),"
            " days(d) AS (SELECT 0 UNION ALL SELECT d + 1 FROM days WHERE d + 1 < :days)"
            " INSERT INTO {table} ({columns})"
            " SELECT {values} FROM {table}, backends, days WHERE n + d > 0 ORDER BY {table}.at - CAST(d AS bigint) * {day}, n"
        ).format(table=table, columns=", ".join(columns), values=", ".join(values), day=DAY_MS)
        with database.write() as session:
            if session.connection().dialect.name == "postgresql":
                session.connection().execute(text("SET LOCAL statement_timeout = 0"))
            session.connection().execute(text(copy), {"count": count, "days": days})


def _columns_of_sample() -> list[str]:
    return [column.name for column in Sample.__table__.c if column.name != "id"]  # type: ignore[attr-defined]


def _bytes(database: Database) -> int:
    with database.read() as session:
        connection = session.connection()
        if connection.dialect.name == "postgresql":
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        return int(pages * connection.execute(text("PRAGMA page_size")).scalar_one())


# --- asked -----------------------------------------------------------------------------------------------------------


def _asked(setting: Setting, kind: str, url: str, some: Targets) -> Iterator[Benchmark]:
    folder = setting.folder / kind
    folder.mkdir()
    monitor = MonitorProcess(folder, settings={"MONITOR_DATABASE_URL": url, "MONITOR_LOG_LEVEL": "WARNING"})
    describe(monitor, some)
    monitor.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{monitor.port}", timeout=30, trust_env=False) as http:
            since = (datetime.now(UTC) - timedelta(days=DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ")
            chart = f"/v1/backends/b0001/history?since={since}"
            points = len(http.get(chart).json()["items"])
            assert points > (DAYS - 2) * 8, f"{points} points of three hours"
            count = len(some.ports)
            for what, path, aim in (
                (f"fleet view of {count} backends", "/v1/fleet", "< 50 ms"),
                ("chart of 90 days of one", chart, "< 300 ms"),
            ):
                yield compared(
                    f"{DAYS} days of {count} backends, {kind}: {what}",
                    _get_ms(http, path),
                    _get_ms(http, "/live"),
                    unit="ms",
                    peer="/live of the same monitor",
                    aim=aim,
                    rounds=setting.rounds,
                    part="monitor",
                )
    finally:
        monitor.kill()


def _get_ms(http: httpx.Client, path: str) -> Callable[[], float]:
    def ask() -> float:
        return seconds(lambda: http.get(path).raise_for_status()) * 1000

    return ask
