"""A consistent copy of the ledger in one SQLite file of the same schema, taken from either database while replicas run.

What is sealed stays sealed: the master key is never in it. What belongs to running programs is left out: leases of background
jobs, messages to be delivered, keys of index snapshots. Its manifest says what the file must hold, so that damage is noticed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Table

from backend.store import audit_chain
from backend.store.audit import Audit
from backend.store.caller import SYSTEM
from backend.store.database import Store, database_of
from backend.store.migration import upgrade
from backend.store.schema import known_revisions
from backend.store.tables.base import Table as Base

LEFT_OUT = frozenset({"job_lease", "index_snapshot", "outbox"})
CHUNK = 500
"""rows in memory at once"""
MANIFEST = "backup_manifest"
KEYS_HEADER = "face-auth-backup-keys-v1"


class BackupError(Exception):
    """The backup cannot be made or used; the message is a sentence for the operator."""


@dataclass(frozen=True)
class Manifest:
    """`rows` and `sha256` are by table; `position` and `head` are of the audit chain; `seq` is the gallery log's last number."""

    revision: str
    gallery_id: str
    model_id: str | None
    key_check: str | None
    epoch: str
    seq: int
    position: int
    head: str
    taken_at: str
    keys_apart: bool
    rows: dict[str, int] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)


def tables() -> list[Table]:
    """What is copied, in an order in which what is referred to comes first."""
    return [table for table in Base.metadata.sorted_tables if table.name not in LEFT_OUT]


def back_up(store: Store, file: Path, keys_file: Path | None = None) -> Manifest:
    """Copy the ledger as it is at one moment into `file`, which must not exist yet; with `keys_file` the keys of the subjects
    stand there alone, and `file` by itself opens nothing.

    Raises:
        BackupError: a file exists already, or the schema is not this program's.
        OSError, Unavailable.
    """
    for path in filter(None, (file, keys_file)):
        if path.exists():
            raise BackupError(f"{path} exists already: give another name, a backup overwrites nothing")
    temporary = file.with_name(f".{file.name}.unfinished")
    _forget(temporary)
    try:
        upgrade(f"sqlite:///{temporary}")
        manifest, keys = _copy(store, temporary, apart=keys_file is not None)
        _finish(temporary, manifest)
        if keys_file is not None:
            write_keys(keys_file, keys)
        temporary.replace(file)
        _sync(file.parent)
    finally:
        _forget(temporary)
    Audit(store).record(SYSTEM, "ledger.backup", None, {"position": manifest.position, "keys_apart": manifest.keys_apart})
    return manifest


def _copy(store: Store, temporary: Path, *, apart: bool) -> tuple[Manifest, dict[str, bytes]]:
    target = database_of(f"sqlite:///{temporary}")
    keys: dict[str, bytes] = {}
    rows, digests = dict[str, int](), dict[str, str]()
    try:
        with store.snapshot() as session, target.writing() as writing:
            reading = session.connection()
            revision = reading.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one()
            if revision != known_revisions()[-1]:
                raise BackupError(f"the database is at {revision}, this program at {known_revisions()[-1]}: migrate first")
            head = audit_chain.last(store, session)
            gallery = store.gallery(session)
            seq = reading.execute(sa.text("SELECT coalesce(max(seq), 0) FROM gallery_change")).scalar_one()
            taken_at = store.now(session).isoformat()
            writing.execute(Base.metadata.tables["gallery"].delete())  # the migration's own row
            for table in tables():
                count, digest = 0, hashlib.sha256()
                for chunk in read_rows(reading, table):
                    if apart and table.name == "subject":
                        keys |= {row["id"]: row["wrapped_key"] for row in chunk if row["wrapped_key"] is not None}
                        chunk = [row | {"wrapped_key": None} for row in chunk]
                    count += len(chunk)
                    for row in chunk:
                        digest.update(canonical(row))
                    insert_rows(writing, table, chunk)
                fill_self_references(reading, writing, table)
                rows[table.name], digests[table.name] = count, digest.hexdigest()
    finally:
        target.engine.dispose()
    manifest = Manifest(
        revision=revision, gallery_id=store.gallery_id, model_id=gallery.model_id, key_check=gallery.key_check,
        epoch=gallery.epoch, seq=seq, position=head[0], head=head[1], taken_at=taken_at, keys_apart=apart,
        rows=rows, sha256=digests,
    )  # fmt: skip
    return manifest, keys


def _finish(temporary: Path, manifest: Manifest) -> None:
    """One file, durable, readable by its owner alone."""
    with closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
        connection.execute(f"CREATE TABLE {MANIFEST} (content TEXT NOT NULL)")
        connection.execute(f"INSERT INTO {MANIFEST} VALUES (?)", (json.dumps(asdict(manifest)),))  # noqa: S608 - a name of ours
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    with temporary.open("rb") as file:
        os.fsync(file.fileno())


def _forget(temporary: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- rows ---------------------------------------------------------------------------------------------------------


def read_rows(reading: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    """In the order of the primary key, a chunk at a time."""
    query = sa.select(table).order_by(*table.primary_key.columns).execution_options(yield_per=CHUNK)
    with closing(reading.execute(query)) as found:
        for part in found.mappings().partitions(CHUNK):
            yield [dict(row) for row in part]


def insert_rows(writing: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Without what refers to rows of the same table, which may come later: `fill_self_references`."""
    later = {column.name: None for column in self_references(table)}
    if rows:
        writing.execute(table.insert(), [row | later for row in rows])


def fill_self_references(reading: Connection, writing: Connection, table: Table) -> None:
    for column in self_references(table):
        (key,) = table.primary_key.columns
        update = table.update().where(key == sa.bindparam("row")).values({column.name: sa.bindparam("referred")})
        query = sa.select(key, column).where(column.is_not(None)).execution_options(yield_per=CHUNK)
        with closing(reading.execute(query)) as found:
            for part in found.partitions(CHUNK):
                writing.execute(update, [{"row": row, "referred": referred} for row, referred in part])


def self_references(table: Table) -> list[sa.Column[Any]]:
    return [column for column in table.columns if any(key.column.table is table for key in column.foreign_keys)]


def canonical(row: dict[str, Any]) -> bytes:
    return json.dumps(row, sort_keys=True, separators=(",", ":"), default=_plain).encode()


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


# --- keys apart ---------------------------------------------------------------------------------------------------


def write_keys(path: Path, keys: dict[str, bytes]) -> None:
    """Wrapped keys, a line each. Taking somebody's line out erases that person from every backup that needs this file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{KEYS_HEADER}\n")
        file.writelines(f"{subject} {base64.b64encode(key).decode()}\n" for subject, key in sorted(keys.items()))
        file.flush()
        os.fsync(file.fileno())
    _sync(path.parent)


def read_keys(path: Path) -> dict[str, bytes]:
    """Raises BackupError for a file of another kind, and OSError."""
    header, *lines = path.read_text("ascii", errors="replace").splitlines() or [""]
    try:
        if header != KEYS_HEADER:
            raise ValueError(header)
        return {subject: base64.b64decode(key, validate=True) for subject, key in (line.split() for line in lines if line)}
    except ValueError as error:
        raise BackupError(f"{path} is not a file of keys that `backup --keys` wrote, or is damaged") from error


# --- reading one --------------------------------------------------------------------------------------------------


def read_manifest(file: Path) -> Manifest:
    """Raises BackupError where the file is none of ours, or damaged as a database."""
    if not file.is_file():
        raise BackupError(f"there is no backup at {file}")
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                raise BackupError(f"{file} is damaged: take another backup")
            content = connection.execute(f"SELECT content FROM {MANIFEST}").fetchone()[0]  # noqa: S608 - a name of ours
            return Manifest(**json.loads(content))
    except (sqlite3.DatabaseError, TypeError, ValueError) as error:
        raise BackupError(f"{file} is not a backup, or is damaged: take another one") from error


def check_rows(reading: Connection, manifest: Manifest) -> None:
    """Every row against the manifest. Raises BackupError."""
    for table in tables():
        count, digest = 0, hashlib.sha256()
        for chunk in read_rows(reading, table):
            count += len(chunk)
            for row in chunk:
                digest.update(canonical(row))
        if (count, digest.hexdigest()) != (manifest.rows.get(table.name), manifest.sha256.get(table.name)):
            raise BackupError(f"the backup's table {table.name} is not what was written: the file was changed or damaged")
