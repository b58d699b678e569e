"""The monitor's history in PostgreSQL: one writing monitor, by a session lock; its transactions one after another."""

from __future__ import annotations

import threading
import time

from pydantic_core import from_json
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from monitor.store.busy import StoreBusy

MONITOR_LOCK = int.from_bytes(b"facemoni")
WRITE_LOCK = MONITOR_LOCK + 1
# A killed monitor's session ends as soon as the server notices; the next one may start in that moment.
WAIT_FOR_LOCK_S = 5.0
CONNECT_TIMEOUT_S = 2
_CLOCK = text("SELECT CAST(round(extract(epoch from clock_timestamp()) * 1000) AS bigint)")


class PostgresServer:
    """One database of a server, and the session that holds the monitor's lock."""

    def __init__(self, url: URL) -> None:
        """Raises `StoreBusy` where another monitor has it."""
        arguments = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "face-auth-monitor",
            "options": "-c lock_timeout=5s -c statement_timeout=30s -c timezone=UTC",
            "tcp_user_timeout": 5000,
        }
        url = url.set(drivername="postgresql+psycopg")
        self.engine: Engine = create_engine(url, connect_args=arguments, pool_pre_ping=True, json_deserializer=from_json)
        self._holders = create_engine(url, connect_args=arguments, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._holder: Connection | None = None
        self._checking = threading.Lock()
        try:
            self._take(WAIT_FOR_LOCK_S)
        except BaseException:
            self.close()
            raise

    def begin_write(self, connection: Connection) -> None:
        """Only while the lock is ours: a server that restarted has forgotten it, and another monitor may hold it now.

        Raises OperationalError where it is not.
        """
        with self._checking:
            try:
                if self._holder is not None:
                    self._holder.execute(text("SELECT 1"))
            except DBAPIError:
                self._drop()
            if self._holder is None:
                try:
                    self._take(0)
                except StoreBusy as error:
                    raise OperationalError("pg_try_advisory_lock", None, error) from error
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITE_LOCK})

    def now_ms(self, connection: Connection) -> int:
        return int(connection.execute(_CLOCK).scalar_one())

    def close(self) -> None:
        self._drop()
        self._holders.dispose()
        self.engine.dispose()

    def _take(self, wait_s: float) -> None:
        holder = self._holders.connect()
        end = time.monotonic() + wait_s
        try:
            while not holder.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": MONITOR_LOCK}).scalar_one():
                if time.monotonic() >= end:
                    raise StoreBusy("another monitor writes to this database: stop it, or give MONITOR_DATABASE_URL")
                time.sleep(0.1)
        except BaseException:
            holder.close()
            raise
        self._holder = holder

    def _drop(self) -> None:
        if self._holder is not None:
            self._holder.invalidate()
            self._holder.close()
            self._holder = None
