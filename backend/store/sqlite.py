"""SQLite as the ledger: how connections are made, what is asserted on them, how its errors are told apart."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from sqlalchemy import ColumnElement, Connection, Engine, create_engine, event, func
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from backend.errors import DatabaseAway, FaceAuthError, NotReady
from backend.store.dialect import BUSY_TIMEOUT_S, NO_SCHEMA, UnsafeDatabase

SCRUB_TIMEOUT_S = 0.2
"""Waiting for readers, a checkpoint holds up every writer: better to try again later."""
ASK_AGAIN_S = 0.002
"""Between two requests for the lock: one thread of each process asks, the others queue behind it."""
WRITES = "ledger_write"
NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smbfs",
        "smb3",
        "ncpfs",
        "afs",
        "9p",
        "ceph",
        "fuse.ceph",
        "glusterfs",
        "fuse.glusterfs",
        "fuse.sshfs",
    }
    | {"lustre", "gpfs", "beegfs", "davfs", "fuse.s3fs"}
)
# What is asserted on every live connection: an acknowledged commit is on the disk, and freed pages hold zeros.
DURABLE = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1}


class SqliteDatabase:
    """One file, reached through a pool of connections; `path` is absolute."""

    snapshot_options: Mapping[str, Any] = {}  # every read transaction sees one moment
    clock: ColumnElement[Any] = func.strftime("%Y-%m-%dT%H:%M:%f", "now")
    scrubs_quickly = True

    def __init__(self, url: str) -> None:
        name = make_url(url).database
        if not name or name == ":memory:":
            raise UnsafeDatabase("the ledger needs a file: sqlite:///path/to/face-auth.db")
        self.path = Path(name).absolute()
        refuse_network_file_system(self.path)
        self._writer = threading.Lock()
        self.engine = self._make_engine()

    @property
    def folder(self) -> Path:
        return self.path.parent

    def prepare(self) -> None:
        """The file, readable by its owner alone; opening never makes one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))

    def _make_engine(self) -> Engine:
        engine = create_engine(
            "sqlite://", creator=self._connect, poolclass=QueuePool, pool_size=10, max_overflow=40, pool_timeout=BUSY_TIMEOUT_S
        )
        event.listen(engine, "connect", self._remember_file)
        event.listen(engine, "checkout", self._refuse_moved_file)
        event.listen(engine, "begin", _begin)
        return engine

    def _connect(self) -> sqlite3.Connection:
        # mode=rw: a database that was moved away is an error, never a new empty one.
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            check_same_thread=False,
            isolation_level=None,
        )
        try:
            for name, value in {**DURABLE, "temp_store": "memory"}.items():
                connection.execute(f"PRAGMA {name}={value}").fetchall()
            for name, value in DURABLE.items():
                found = connection.execute(f"PRAGMA {name}").fetchone()[0]
                if found != value:
                    raise UnsafeDatabase(f"SQLite answers {name}={found} where {value} is needed")
        except BaseException:
            connection.close()
            raise
        return connection

    def _identity(self) -> tuple[int, int]:
        status = os.stat(self.path)  # noqa: PTH116 - at every check-out
        return status.st_dev, status.st_ino

    def _remember_file(self, _connection: Any, record: Any) -> None:
        try:
            record.info["file"] = self._identity()
        except OSError:
            record.info["file"] = None  # gone between opening and now: the checkout that follows says so

    def _refuse_moved_file(self, _connection: Any, record: Any, _proxy: Any) -> None:
        """An open connection goes on working on a renamed file: what is written there would be lost to everybody else."""
        if not self.is_in_place(record.info.get("file")):
            raise DisconnectionError("the database file is another one, or away")

    def is_in_place(self, expected: tuple[int, int] | None) -> bool:
        try:
            return expected is not None and self._identity() == expected
        except OSError:
            return False

    @contextmanager
    def writing(self, *, bounded: bool = True) -> Iterator[Connection]:
        """A connection in a transaction that holds the ledger lock; commits at the end. SQLite bounds no statement.

        `BEGIN IMMEDIATE` is the lock between processes. The mutex before it makes threads of this one queue in order
        instead of polling for it.
        """
        if not self._writer.acquire(timeout=BUSY_TIMEOUT_S):
            raise DatabaseAway("The ledger is busy: too many writes are waiting")
        try:
            with self.engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
                yield connection
                if not self.is_in_place(connection.info.get("file")):
                    raise DatabaseAway("The database file was moved away")
        finally:
            self._writer.release()

    def continue_numbering(self, connection: Connection, table: str, column: str, *, above: int) -> None:
        highest = connection.exec_driver_sql(f"SELECT coalesce(max({column}), 0) FROM {table}").scalar_one()  # noqa: S608
        connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, max(above, highest)))

    def announce(self, connection: Connection) -> None:
        """Nothing: whoever shares the file polls it."""

    def listen(self, wake: Callable[[], None], stopping: threading.Event) -> None:
        """Returns at once: SQLite announces nothing."""

    def moment(self, said: str) -> datetime:
        return datetime.fromisoformat(said).replace(tzinfo=UTC)

    def scrub(self) -> bool:
        """Write the log back and cut it to nothing, so that no erased byte stays in it; False while a reader holds it."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={int(SCRUB_TIMEOUT_S * 1000)}")
            try:
                busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")
            return busy is not None and busy[0] == 0

    def translate(self, error: Exception) -> FaceAuthError | None:
        """What a driver's error means for a caller; None: it is a defect of ours and stays as it is."""
        if isinstance(error, PoolTimeout):
            return DatabaseAway("The ledger is busy: no connection came free")
        if not isinstance(error, DBAPIError):
            return None
        name = getattr(error.orig, "sqlite_errorname", "") or ""
        if name.startswith("SQLITE_BUSY"):
            return DatabaseAway("The ledger is busy: the lock was not to be had in time")
        if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")) or error.connection_invalidated:
            return DatabaseAway("The database file is not where it should be, or cannot be opened for writing")
        if name.startswith(("SQLITE_IOERR", "SQLITE_FULL", "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_PROTOCOL")):
            return DatabaseAway(f"The database file cannot be read or written ({name})")
        if name == "SQLITE_ERROR" and any(words in str(error.orig) for words in ("no such table", "no such column")):
            return NotReady(NO_SCHEMA)
        return None


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return
    if connection.get_execution_options().get(WRITES):
        _begin_writing(connection)
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_writing(connection: Connection) -> None:
    """Equal pauses: SQLite's own grow to 100 ms, so that whoever waits longest asks least often and loses to newcomers."""
    until = time.monotonic() + BUSY_TIMEOUT_S
    driver = connection.connection.cursor()  # the driver's own, as this stands before every write
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while time.monotonic() < until:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname != "SQLITE_BUSY":
                    break
            time.sleep(ASK_AGAIN_S)
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # for the error, as everybody else's comes
    finally:
        driver.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")
        driver.close()


def refuse_network_file_system(path: Path) -> None:
    """SQLite's locks and shared memory do not hold across a network file system: raises UnsafeDatabase on one."""
    folder = next(parent for parent in path.parents if parent.exists()).resolve()
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    kind = max(mounts, key=lambda part: len(part.mountpoint)).fstype.lower() if mounts else ""
    if kind in NETWORK_FILE_SYSTEMS:
        raise UnsafeDatabase(
            f"{folder} is on a network file system ({kind}): put the SQLite file on a local disk, or use PostgreSQL"
        )
