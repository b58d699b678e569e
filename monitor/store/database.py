"""Opens the monitor's database: one writer, short immediate transactions, migrated at start."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import quote

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError
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
        path.touch()
        engine = create_engine("sqlite://", creator=partial(_connect, path), poolclass=QueuePool)
        event.listen(engine, "connect", partial(_prepare, path))
        event.listen(engine, "checkout", partial(_still_there, path))
        event.listen(engine, "begin", _begin)
        database = cls(engine, lock)
        try:
            database._migrate()
        except BaseException:
            database.close()
            raise
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


def _connect(path: Path) -> sqlite3.Connection:
    """Never creates a file: one that went must be missed, not replaced by an empty one."""
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=rw", uri=True, check_same_thread=False)


def _still_there(path: Path, _connection: Any, record: Any, _proxy: Any) -> None:
    """An open connection goes on writing to a file that was moved or deleted, where nobody would find it again."""
    try:
        now = path.stat().st_ino
    except OSError as error:
        raise DisconnectionError(f"{path.name} is gone") from error
    if now != record.info["inode"]:
        raise DisconnectionError(f"{path.name} is another file now")


def _prepare(path: Path, connection: Any, record: Any) -> None:
    record.info["inode"] = path.stat().st_ino
    connection.isolation_level = None  # sqlite3 would otherwise begin deferred transactions of its own
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 5000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails under contention in spite of the busy timeout.
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
