"""The ledger: short read transactions, and write transactions that hold the ledger lock.

The truth of the whole system is here. `read` and `write` are the one boundary at which the driver's errors become ours.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import bindparam, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import make_transient_to_detached
from sqlmodel import Session

from backend.errors import DatabaseAway, NotReady
from backend.events import EventType
from backend.stages import Stage, timed
from backend.store.dialect import Database, UnsafeDatabase
from backend.store.gallery_log import LENGTHENED
from backend.store.keyring import Keyring, KeyringError
from backend.store.outbox import TOLD
from backend.store.postgres import PostgresDatabase
from backend.store.rows import as_read
from backend.store.schema import SchemaState, refuse_if_too_old, schema_state
from backend.store.sqlite import SqliteDatabase
from backend.store.tables import Gallery

MAIN = "main"
_BEGAN = "began"
_ROWS = Gallery.metadata.tables["gallery"]
_GALLERY = select(*_ROWS.columns).where(_ROWS.c.id == bindparam("gallery_id"))


def database_of(url: str) -> Database:
    """Raises UnsafeDatabase for a kind that we do not run on."""
    if url.startswith("sqlite"):
        return SqliteDatabase(url)
    if url.startswith(("postgresql:", "postgresql+psycopg:", "postgres:")):
        return PostgresDatabase(url.replace("postgres:", "postgresql:", 1) if url.startswith("postgres:") else url)
    raise UnsafeDatabase(
        "the ledger is kept in SQLite (sqlite:///path/to/face-auth.db) or PostgreSQL (postgresql://user:password@host/database)"
    )


@contextmanager
def translated(database: Database) -> Iterator[None]:
    """The one boundary at which a driver's errors, and a connection that would not be durable, become ours."""
    try:
        yield
    except UnsafeDatabase as error:
        raise NotReady(str(error)) from error
    except SQLAlchemyError as error:
        ours = database.translate(error)
        if ours is None:
            raise
        raise ours from error


class Store:
    """Sessions give detached rows (`expire_on_commit` off): what was read stays readable after the transaction."""

    def __init__(self, database: Database, *, keyring: Keyring, gallery_id: str = MAIN, told: Collection[EventType] = ()) -> None:
        """`told`: which events are written down for the webhook."""
        self._database = database
        self._clock, self._beginning = select(database.clock), _GALLERY.add_columns(database.clock.label(_BEGAN))
        self._told = frozenset(told)
        self.keyring = keyring
        self.gallery_id = gallery_id

    @classmethod
    def open(cls, url: str, *, keyring: Keyring, gallery_id: str = MAIN, told: Collection[EventType] = ()) -> Self:
        """Connects at the first use, so a replica starts, unready, while its database is away.

        Raises:
            UnsafeDatabase: no file, a network file system, or a kind of database that this release does not run on.
        """
        return cls(database_of(url), keyring=keyring, gallery_id=gallery_id, told=told)

    def close(self) -> None:
        self._database.engine.dispose()

    @property
    def folder(self) -> Path | None:
        """Where the database's file is, for those who watch the disk; None where there is none."""
        return self._database.folder

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A short transaction: it holds back the log's truncation. With PostgreSQL each statement sees its own moment.

        Raises:
            DatabaseAway: the database does not answer, or its file is away.
            NotReady: it has no schema yet, or would lose what was acknowledged.
        """
        with translated(self._database), Session(self._database.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """As `read`, and all of it sees one moment: for what reads several tables that must agree."""
        connecting = self._database.engine.execution_options(**self._database.snapshot_options)
        with translated(self._database), Session(connecting, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self, *, bounded: bool = True) -> Iterator[Session]:
        """A transaction under the ledger lock, durable when this returns. No inference and no search inside.

        `bounded`: see `Database.writing`; False only for commands that work on whole tables.

        Raises as `read`, and NotReady for a program too old for the schema; nothing is kept of a transaction that raised.
        """
        with (
            timed(Stage.commit),
            translated(self._database),
            self._database.writing(bounded=bounded) as connection,
            Session(connection, expire_on_commit=False, join_transaction_mode="rollback_only") as session,
        ):
            self._begin(session)
            session.info[TOLD] = self._told
            yield session
            session.flush()
            if session.info.get(LENGTHENED):
                self._database.announce(connection)

    def _begin(self, session: Session) -> None:
        """What every write transaction asks before anything else: whether this program may write, the time, and the gallery."""
        found = session.connection().execute(self._beginning, {"gallery_id": self.gallery_id}).first()
        if found is not None:
            *values, began = found
            gallery = dict(zip(_ROWS.columns.keys(), values, strict=True))
            refuse_if_too_old(gallery["min_app_level"])
            session.info[_BEGAN] = self._database.moment(began)
            session.info[_GALLERY] = _known(session, gallery)

    def now(self, session: Session) -> datetime:
        """The database's clock, the only one that leases are measured by. Of a write transaction: when it had the ledger lock."""
        began: datetime | None = session.info.get(_BEGAN)
        return began or self._database.moment(session.connection().execute(self._clock).scalar_one())

    def continue_numbering(self, session: Session, table: str, column: str, *, above: int) -> None:
        """Within a write transaction that put rows with numbers of their own into `table`."""
        self._database.continue_numbering(session.connection(), table, column, above=above)

    def gallery(self, session: Session) -> Gallery:
        """As it was when this session first asked, and what the session itself changed since."""
        known: Gallery | None = session.info.get(_GALLERY)
        if known is None:
            found = session.connection().execute(_GALLERY, {"gallery_id": self.gallery_id}).one()
            known = session.info[_GALLERY] = _known(session, found._mapping)
        return known

    def keyring_of(self, session: Session) -> Keyring:
        """The keyring in which the gallery's present key wraps: for whoever wraps a key, within the transaction that stores it.

        Raises NotReady where the key file does not hold that key.
        """
        check = self.gallery(session).key_check
        try:
            return self.keyring if check is None else self.keyring.wrapping_with(check)
        except KeyringError as error:
            raise NotReady("The key file is not the one that this database was encrypted with") from error

    def blind_index(self, session: Session, external_id: str) -> str:
        """By which it is found in this gallery, whatever key file was in use when it was written; raises as `keyring_of`."""
        sealed = self.gallery(session).sealed_index_key
        return self.keyring_of(session).blind_index(self.gallery_id, external_id, sealed)

    def image_digest(self, session: Session, picture: bytes) -> str:
        """By which another sample with the very same stored picture is told in this gallery; raises as `keyring_of`."""
        sealed = self.gallery(session).sealed_index_key
        return self.keyring_of(session).image_digest(self.gallery_id, picture, sealed)

    def listen(self, wake: Callable[[], None], stopping: threading.Event) -> None:
        """Call `wake` whenever somebody lengthened the gallery's log, until `stopping`; only a hint, see `Database.listen`."""
        self._database.listen(wake, stopping)

    def ping(self) -> None:
        """Raises DatabaseAway (or NotReady) where the database does not answer."""
        with self.read() as session:
            inspect(session.connection()).has_table("gallery")

    def schema_state(self) -> SchemaState:
        """Whether this program may run on this database, with its present key file; raises DatabaseAway."""
        with self.read() as session:
            return schema_state(session, self.gallery_id, self.keyring)

    def pinned_model(self) -> str | None:
        """The model id that the gallery's templates are of; None before `migrate` pinned one."""
        with self.read() as session:
            return self.gallery(session).model_id

    @property
    def scrubs_quickly(self) -> bool:
        return self._database.scrubs_quickly

    def scrub(self) -> bool:
        """Leave no erased byte where the database itself would keep it; False while somebody reads: try again."""
        try:
            with translated(self._database):
                return self._database.scrub()
        except DatabaseAway:
            return False


def _known(session: Session, values: Mapping[Any, Any]) -> Gallery:
    """The row as `session` itself would have read it, which takes it three times as long."""
    row = as_read(Gallery, values)
    make_transient_to_detached(row)
    session.add(row)
    return row
