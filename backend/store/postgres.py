"""PostgreSQL as the ledger of a fleet: how connections are made, what is asserted on them, how its errors are told apart."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from sqlalchemy import ColumnElement, Connection, create_engine, event, func, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from backend.errors import DatabaseAway, FaceAuthError, NotReady, NulInText
from backend.store import vacuum
from backend.store.dialect import BUSY_TIMEOUT_S, NO_SCHEMA, UnsafeDatabase

LEDGER_LOCK = int.from_bytes(b"faceauth")
"""The advisory lock of this database that every writing transaction holds to its end."""
CHANNEL = "face_auth_gallery"
CONNECT_TIMEOUT_S = 2
SILENCE_S = 5
"""A server that acknowledges nothing for so long is away."""
STATEMENT_TIMEOUT_S = 30
"""For requests and jobs; what works on whole tables asks for a transaction without it."""
SAFE = {"fsync": {"on"}, "full_page_writes": {"on"}, "synchronous_commit": {"on", "remote_apply"}}
LISTEN_AGAIN_S = (0.2, 5.0)
AWAY = ("08", "53", "57P", "58")
"""SQLSTATE classes: connection, resources, operator's intervention, system error."""
BUSY = ("40001", "40P01", "55P03", "57014")
REFUSED = ("28", "3D000")
REFUSALS = ("authentication failed", "no password supplied", "no pg_hba.conf entry", '" does not exist')
"""Of an attempt to connect psycopg has no SQLSTATE, only the server's words; in another language the general sentence stands."""
READ_ONLY = "25006"
NO_TABLE_OR_COLUMN = ("42P01", "42703")

log = logging.getLogger(__name__)


class PostgresDatabase:
    """One database, reached through a pool of connections to its primary."""

    folder = None
    snapshot_options: Mapping[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    clock: ColumnElement[Any] = func.clock_timestamp()
    """Not `now()`, which is when the transaction began: it may have waited for the lock since."""
    scrubs_quickly = False

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql+psycopg")
        self._writer = threading.Lock()
        options = {
            "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
            "lock_timeout": f"{BUSY_TIMEOUT_S:g}s",
            "idle_in_transaction_session_timeout": "60s",
            "synchronous_commit": "on",
            "timezone": "UTC",
        }
        self._connect_arguments: dict[str, Any] = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "face-auth-backend",
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
            "keepalives_idle": SILENCE_S,
            "keepalives_interval": 1,
            "keepalives_count": 3,
            "tcp_user_timeout": SILENCE_S * 1000,
        }
        self.engine = create_engine(
            self._url,
            connect_args=self._connect_arguments,
            isolation_level="READ COMMITTED",
            pool_size=10,
            max_overflow=20,
            pool_timeout=BUSY_TIMEOUT_S,
            pool_pre_ping=True,
        )
        # first of all: SQLAlchemy's own first questions fail obscurely where the encoding is not ours
        event.listen(self.engine, "connect", _assert_safe, insert=True)

    def prepare(self) -> None:
        """Nothing: the database itself is made by whoever runs the server."""

    @contextmanager
    def writing(self, *, bounded: bool = True) -> Iterator[Connection]:
        """READ COMMITTED, so that each statement after the lock sees what its last holder committed.

        The mutex makes threads of this process queue without a connection each.
        """
        if not self._writer.acquire(timeout=BUSY_TIMEOUT_S):
            raise DatabaseAway("The ledger is busy: too many writes are waiting")
        try:
            with self.engine.begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LEDGER_LOCK})
                if not bounded:
                    connection.execute(text("SET LOCAL statement_timeout = 0"))
                yield connection
        finally:
            self._writer.release()

    def moment(self, said: datetime) -> datetime:
        return said.astimezone(UTC)

    def continue_numbering(self, connection: Connection, table: str, column: str, *, above: int) -> None:
        highest = f"(SELECT greatest(coalesce(max({column}), 0), :above) + 1 FROM {table})"  # noqa: S608 - names of our own schema
        statement = f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), {highest}, false)"
        connection.execute(text(statement), {"above": above})

    def announce(self, connection: Connection) -> None:
        connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})

    def listen(self, wake: Callable[[], None], stopping: threading.Event) -> None:
        """A connection of its own, made again whenever it breaks; each new one wakes too, as something may have been missed."""
        pause = LISTEN_AGAIN_S[0]
        while not stopping.is_set():
            try:
                with psycopg.connect(self._dsn(), autocommit=True, **self._connect_arguments) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    pause = LISTEN_AGAIN_S[0]
                    wake()
                    while not stopping.is_set():
                        for _ in connection.notifies(timeout=0.5, stop_after=1):
                            wake()
            except psycopg.Error as error:
                log.info("listening for announcements again later", extra={"fields": {"error": type(error).__name__}})
                stopping.wait(random.uniform(pause / 2, pause))  # noqa: S311 - spreads reconnections, hides nothing
                pause = min(2 * pause, LISTEN_AGAIN_S[1])

    def _dsn(self) -> str:
        return self._url.set(drivername="postgresql").render_as_string(hide_password=False)

    def scrub(self) -> bool:
        """The server's own log (WAL) keeps ciphertext until it is recycled, the gaps in pages until they are used again."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return vacuum.scrub(connection)

    def translate(self, error: Exception) -> FaceAuthError | None:
        if isinstance(error, PoolTimeout):
            return DatabaseAway("The ledger is busy: no connection came free")
        if not isinstance(error, DBAPIError):
            return None
        state = getattr(error.orig, "sqlstate", None) or ""
        if state in BUSY:
            return DatabaseAway("The ledger is busy: the lock was not to be had in time")
        if state == READ_ONLY:
            return DatabaseAway("The database takes no writes: it is a standby, or was made read-only")
        if state in NO_TABLE_OR_COLUMN:
            return NotReady(NO_SCHEMA)
        if state.startswith(REFUSED) or (not state and _says(error, REFUSALS)):
            return DatabaseAway("The database server refuses this program's name, password or database")
        if not state and isinstance(error.orig, psycopg.DataError) and "NUL" in str(error.orig):
            return NulInText()  # psycopg sends no such text: there is no code of the server's
        if error.connection_invalidated or state.startswith(AWAY) or (not state and _is_operational(error)):
            return DatabaseAway("The database server does not answer, or refuses the connection")
        return None


def _is_operational(error: DBAPIError) -> bool:
    return isinstance(error.orig, psycopg.OperationalError | psycopg.InterfaceError)


def _says(error: DBAPIError, words: tuple[str, ...]) -> bool:
    return _is_operational(error) and any(word in str(error.orig) for word in words)


def _assert_safe(connection: Any, _record: Any) -> None:
    """`synchronous_commit` was asked for on connecting; a role's or a pooler's own setting would show here."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise UnsafeDatabase(
            f"PostgreSQL's database is encoded in {encoding}, which cannot hold every name:"
            " make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    for name, allowed in SAFE.items():
        found = connection.execute(f"SHOW {name}").fetchone()[0]
        if found not in allowed:
            raise UnsafeDatabase(f"PostgreSQL answers {name}={found} where {' or '.join(sorted(allowed))} is needed")
    connection.rollback()
