"""The monitor's history in a SQLite file: one writer, short immediate transactions."""

from __future__ import annotations

import fcntl
import sqlite3
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from pydantic_core import from_json
from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, text
from sqlalchemy.exc import DisconnectionError

from monitor.store.busy import StoreBusy

_CLOCK = text("SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)")


class SqliteFile:
    """The file, its lock, and how connections to it are made."""

    def __init__(self, path: Path) -> None:
        """Raises `StoreBusy` where another monitor has it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(path.with_name(path.name + ".lock"))
        path.touch()
        self.engine: Engine = create_engine(
            "sqlite://", creator=partial(_connect, path), poolclass=QueuePool, json_deserializer=from_json
        )
        event.listen(self.engine, "connect", partial(_prepare, path))
        event.listen(self.engine, "checkout", partial(_still_there, path))
        event.listen(self.engine, "begin", _begin)

    def begin_write(self, connection: Connection) -> None:
        """Nothing more: the transaction began immediate, and the file's lock is this process's."""

    def now_ms(self, connection: Connection) -> int:
        return int(connection.execute(_CLOCK).scalar_one())

    def close(self) -> None:
        self.engine.dispose()
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
