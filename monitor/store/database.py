"""Opens the monitor's database, SQLite or PostgreSQL: one writer, short transactions, migrated at start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, Self

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url
from sqlmodel import Session

from monitor.store.busy import StoreBusy
from monitor.store.postgres import PostgresServer
from monitor.store.sqlite import SqliteFile

__all__ = ["Database", "StoreBusy"]

MIGRATIONS = Path(__file__).with_name("migrations")


class Place(Protocol):
    """Where the database is: a SQLite file or a PostgreSQL server."""

    engine: Engine

    def begin_write(self, connection: Connection) -> None:
        """Within a transaction that will write: make sure that nobody else does."""

    def now_ms(self, connection: Connection) -> int:
        """The database's clock, in milliseconds since 1970."""

    def close(self) -> None: ...


class Database:
    """`read()` and `write()` give a session in a transaction of its own; `write()` commits at its end."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._readers = place.engine
        self._writers = place.engine.execution_options(immediate=True)

    @classmethod
    def open(cls, url: str) -> Self:
        """Lock, connect and migrate. Raises `StoreBusy`, and SQLAlchemy's errors where the database cannot be used."""
        database = cls(_place_of(url))
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
            self._place.begin_write(session.connection())
            yield session

    def now(self, session: Session) -> datetime:
        """By the database's clock, which all senders share: claims are measured by it."""
        return datetime.fromtimestamp(self._place.now_ms(session.connection()) / 1000, UTC)

    def ping(self) -> None:
        """Raises SQLAlchemy's error where the database does not answer."""
        with self.read() as session:
            session.connection().execute(text("SELECT 1 FROM backend_state LIMIT 1"))

    def close(self) -> None:
        self._place.close()


def _place_of(url: str) -> Place:
    parsed = make_url(url)
    kind = parsed.get_backend_name()
    if kind == "sqlite" and parsed.database:
        return SqliteFile(Path(parsed.database))
    if kind in ("postgresql", "postgres"):
        return PostgresServer(parsed)
    raise ValueError("MONITOR_DATABASE_URL must name a SQLite file (sqlite:///PATH) or a PostgreSQL database (postgresql://…)")
