"""Opens the monitor's database: one writer, short immediate transactions, migrated at start."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlmodel import Session

MIGRATIONS = Path(__file__).with_name("migrations")


class StoreBusy(Exception):
    """Another monitor writes to this database."""


class Database:
    """`read()` and `write()` give a session in a transaction of its own; `write()` commits at its end."""

    def __init__(self, engine: Engine, lock: IO[str] | None) -> None:
        self._readers = engine
        self._writers = engine.execution_options(immediate=True)
        self._lock = lock

    @classmethod
    def open(cls, url: str) -> Self:
        """Lock, connect and migrate. Raises `StoreBusy`, and SQLAlchemy's errors where the database cannot be used."""
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite" or not parsed.database:
            raise ValueError("MONITOR_DATABASE_URL must name a SQLite file: sqlite:///PATH")
        path = Path(parsed.database)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _locked(path.with_name(path.name + ".lock"))
        engine = create_engine(parsed)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        database = cls(engine, lock)
        database._migrate()
        return database

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self._writers.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def read(self) -> Iterator[Session]:
        with Session(self._readers) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        with Session(self._writers, expire_on_commit=False) as session, session.begin():
            yield session

    def ping(self) -> None:
        """Raises SQLAlchemy's error where the database does not answer."""
        with self.read() as session:
            session.connection().execute(text("SELECT 1 FROM backend_state LIMIT 1"))

    def close(self) -> None:
        self._readers.dispose()
        if self._lock is not None:
            self._lock.close()


def _locked(path: Path) -> IO[str]:
    """The kernel frees the lock when the process ends, however it ends."""
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StoreBusy(
            f"another monitor writes to this database ({path} is locked): stop it, or give MONITOR_DATABASE_URL"
        ) from error
    return lock


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 would otherwise begin deferred transactions of its own
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 5000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails under contention in spite of the busy timeout.
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
