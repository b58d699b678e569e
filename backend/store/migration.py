"""Bringing a database to this program's schema; only `python -m backend migrate` calls this."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from alembic import command
from alembic.runtime.migration import MigrationContext
from sqlmodel import select

from backend.store.audit import Audit
from backend.store.caller import SYSTEM
from backend.store.database import MAIN, Store, database_of, translated
from backend.store.keyring import Keyring
from backend.store.schema import known_revisions, migration_config, range_trouble
from backend.store.tables import Gallery


class MigrationError(Exception):
    """The database cannot be brought to this program's schema, or is pinned to something else."""


@dataclass(frozen=True)
class Upgrade:
    before: str | None
    after: str


def upgrade(url: str) -> Upgrade:
    """Bring the database to the head; all or nothing. SQLite's file is made where there is none.

    Raises:
        MigrationError: the database was made by a newer program.
        Unavailable: it does not answer, or would not be durable.
    """
    database = database_of(url)
    database.prepare()
    head = known_revisions()[-1]
    try:
        with translated(database), database.writing(bounded=False) as connection:
            before = MigrationContext.configure(connection).get_current_revision()
            if before is not None and before not in known_revisions():
                raise MigrationError(f"the database is at {before}, which this program does not know: use the newer program")
            config = migration_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        database.engine.dispose()
    return Upgrade(before=before, after=head)


def key_is_pinned(url: str, *, gallery_id: str = MAIN) -> bool:
    """Whether the gallery's data were encrypted with some key file already."""
    database = database_of(url)
    try:
        with translated(database), database.engine.connect() as connection:
            found = connection.execute(select(Gallery.key_check).where(Gallery.id == gallery_id)).scalar()
    finally:
        database.engine.dispose()
    return found is not None


def pin(url: str, *, keyring: Keyring, model_id: str, others: Collection[str] = (), gallery_id: str = MAIN) -> bool:
    """Pin the gallery to a model and a key file, and tell so in the audit trail; True where that is new, False where it was so.

    Raises:
        MigrationError: it is pinned to others. Another model is a migration of its own (`re-embed`), never an accident.
    """
    store = Store.open(url, keyring=keyring, gallery_id=gallery_id)
    try:
        with store.write() as session:
            gallery = store.gallery(session)
            if trouble := range_trouble(known_revisions()[-1], gallery.min_app_level):
                raise MigrationError(trouble)
            fresh = _pin(gallery, keyring, model_id, others)
            if fresh:
                detail = {"model": gallery.model_id, "key": gallery.key_check}
                Audit(store).append(session, SYSTEM, "gallery.pin", gallery.id, detail)
            return fresh
    finally:
        store.close()


def _pin(gallery: Gallery, keyring: Keyring, model_id: str, others: Collection[str]) -> bool:
    if gallery.key_check not in (None, *keyring.check_values):
        raise MigrationError("the key file is not the one that this database was encrypted with")
    if gallery.model_id not in (None, model_id, *others):
        raise MigrationError(
            f"the gallery is pinned to {gallery.model_id}, the engine is {model_id}: templates cannot be compared"
        )
    fresh = gallery.model_id is None or gallery.key_check is None
    gallery.model_id, gallery.key_check = gallery.model_id or model_id, gallery.key_check or keyring.check_value
    return fresh
