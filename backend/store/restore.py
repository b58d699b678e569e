"""A backup becomes the ledger: in one transaction, as a new epoch, with what was erased since erased again."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlmodel import Session, col, select, update

from backend.store import audit_chain, gone, scrubbing
from backend.store.audit import Audit
from backend.store.backup import (
    BackupError,
    Manifest,
    check_rows,
    fill_self_references,
    insert_rows,
    read_keys,
    read_manifest,
    read_rows,
    self_references,
    tables,
)
from backend.store.caller import SYSTEM
from backend.store.database import Store, database_of
from backend.store.gallery_log import LENGTHENED
from backend.store.gone import Gone
from backend.store.sample_erasure import Compare
from backend.store.schema import known_revisions
from backend.store.tables import DuplicateCase, Enrolment, EnrolmentState, GalleryChange
from backend.store.tables.base import Table as Base
from backend.wire import SubjectState


@dataclass(frozen=True)
class Restored:
    """`erased_again`: people who were erased after the backup was taken, or from its file of keys."""

    rows: int
    epoch: str
    erased_again: int
    samples_erased_again: int
    revoked_again: int
    left_bare: tuple[str, ...]
    """records without a picture: the backup had none of them but one that was erased since"""
    replaced_position: int


@dataclass(frozen=True)
class _Before:
    """What is known of the ledger that is replaced."""

    numbers: Mapping[str, int]
    """the highest number ever given, by table"""
    position: int
    head: str
    gone: Gone
    is_empty: bool


def restore(store: Store, file: Path, *, compare: Compare, keys_file: Path | None = None, replace: bool = False) -> Restored:
    """Replicas may run: they are refused the ledger lock meanwhile, then see the new epoch and read the gallery anew.

    `compare`: of the model that the backup's templates are of, for pairs that rested on a sample which was erased since.

    Raises:
        BackupError: the backup does not fit this database, program or key file, is damaged, or would replace data unasked.
        OSError, Unavailable.
    """
    manifest = read_manifest(file)
    _refuse_unfit(store, manifest, keys_file)
    keys = read_keys(keys_file) if keys_file is not None else None
    source = database_of(f"sqlite:///{file}")
    try:
        with closing(_opened(file)) as reading:
            check_rows(reading, manifest)
            with store.write(bounded=False) as session:
                return _replace(store, session, reading, manifest, keys, compare=compare, replace=replace)
    finally:
        source.engine.dispose()


def _opened(file: Path) -> Connection:
    """For reading alone: a backup stays as it was written, also its journal mode."""
    return sa.create_engine(f"sqlite:///file:{file}?mode=ro&uri=true").connect()


def _refuse_unfit(store: Store, manifest: Manifest, keys_file: Path | None) -> None:
    if manifest.revision != known_revisions()[-1]:
        raise BackupError(
            f"the backup is of schema {manifest.revision}, this program of {known_revisions()[-1]}: restore it with the program"
            " that wrote it, then migrate"
        )
    if manifest.gallery_id != store.gallery_id:
        raise BackupError(f"the backup is of gallery {manifest.gallery_id}, not {store.gallery_id}")
    if manifest.key_check not in (None, *store.keyring.check_values):
        raise BackupError(
            "the backup was encrypted with another key file: put the line of the one that was in use when it was taken"
            " first into the key file"
        )
    if manifest.keys_apart and keys_file is None:
        raise BackupError("the backup's keys were kept apart: give their file with --keys")
    state = store.schema_state()
    if state.revision != manifest.revision:
        raise BackupError(state.sentence)


def _replace(
    store: Store,
    session: Session,
    reading: Connection,
    manifest: Manifest,
    keys: dict[str, bytes] | None,
    *,
    compare: Compare,
    replace: bool,
) -> Restored:
    before = _before(store, session)
    if not before.is_empty and not replace:
        raise BackupError("the database holds subjects already: --replace puts the backup in their place")
    _clear(session.connection())
    without_key = _fill(session.connection(), reading, keys)
    session.expire_all()
    for name, highest in before.numbers.items():
        store.continue_numbering(session, name, "seq", above=highest)
    epoch = _begin_anew(store, session)
    beyond = before.gone.beyond(gone.known(store, session))
    out = gone.take_out(store, session, before.gone.with_records(without_key), compare=compare)
    gone.carry_over(store, session, beyond)
    detail = {
        "backup_position": manifest.position,
        "replaced_position": before.position,
        "replaced_hash": before.head,
        "erased_again": out.records,
        "samples_erased_again": out.samples,
        "revoked_again": out.keys,
    }
    Audit(store).append(session, SYSTEM, audit_chain.RESTORED, None, detail)
    session.info[LENGTHENED] = True  # wakes those who follow, also where no row was added
    return Restored(
        rows=sum(manifest.rows.values()), epoch=epoch, erased_again=out.records, samples_erased_again=out.samples,
        revoked_again=out.keys, left_bare=out.bare, replaced_position=before.position,
    )  # fmt: skip


def _fill(writing: Connection, reading: Connection, keys: dict[str, bytes] | None) -> set[str]:
    """Every row; with `keys` those of the subjects, and ids of people who are not among them: they were erased there."""
    without_key = set[str]()
    for table in tables():
        for chunk in read_rows(reading, table):
            if keys is not None and table.name == "subject":
                theirs = (row["id"] for row in chunk if row["state"] != SubjectState.rejected)
                without_key.update(id_ for id_ in theirs if id_ not in keys)
                chunk = [row | {"wrapped_key": keys.get(row["id"])} for row in chunk]
            insert_rows(writing, table, chunk)
        fill_self_references(reading, writing, table)
    return without_key


def _before(store: Store, session: Session) -> _Before:
    position, head = audit_chain.last(store, session)
    numbered = (table for table in Base.metadata.sorted_tables if "seq" in table.primary_key.columns)
    numbers = {
        table.name: session.connection().execute(sa.select(sa.func.coalesce(sa.func.max(table.c.seq), 0))).scalar_one()
        for table in numbered
    }
    empty = session.exec(select(GalleryChange.seq).limit(1)).first() is None
    return _Before(numbers, position, head, gone.known(store, session), empty)


def _clear(writing: Connection) -> None:
    """Everything, also what a backup leaves out: leases and snapshots of another gallery's life.

    Not TRUNCATE, which would be at once: it shuts readers out until this transaction ends, and replicas read meanwhile.
    """
    for table in Base.metadata.sorted_tables:
        for column in self_references(table):
            writing.execute(table.update().where(column.is_not(None)).values({column.name: None}))
    for table in reversed(Base.metadata.sorted_tables):
        writing.execute(table.delete())


def _begin_anew(store: Store, session: Session) -> str:
    """A new epoch; nobody holds a case, and what was under way is left to the sweep."""
    gallery = store.gallery(session)
    gallery.epoch = secrets.token_hex(8)
    session.exec(update(DuplicateCase).values(lease_holder=None, lease_holder_name=None, lease_until=None))
    pending = update(Enrolment).where(col(Enrolment.state) == EnrolmentState.pending)
    session.exec(pending.values(lease_holder="", lease_until=store.now(session)))
    scrubbing.ask(session, gallery_id=store.gallery_id, at=store.now(session))  # of what was there before
    session.flush()
    return gallery.epoch
