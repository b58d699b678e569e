"""The database's side of index snapshots: the key of each file, and what that file must say of itself.

A file opens for nobody without its row. So overwriting or deleting the row destroys the snapshot, wherever copies of it are.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlmodel import Session, col, delete, exists, or_, select

from backend.store import scrubbing
from backend.store.keyring import DataKey, Keyring
from backend.store.tables import Change, GalleryChange, IndexSnapshot

if TYPE_CHECKING:
    from backend.store.database import Store


KEPT_AFTER_REMOVAL = timedelta(minutes=14)
"""Then the key of a snapshot is destroyed, whoever's it is and whether or not there is a new one: the promise is 15 minutes."""

log = logging.getLogger(__name__)


def of(store: Store, session: Session, holder: str, model_id: str) -> IndexSnapshot | None:
    return session.get(IndexSnapshot, (store.gallery_id, holder, model_id))


def wrapped(store: Store, session: Session, snapshot_id: str, key: bytes) -> bytes:
    """For the row, within the write transaction that stores it: the gallery may name another key since the file was begun."""
    return store.keyring_of(session).wrapped(context_of(snapshot_id), key)


def key_of(keyring: Keyring, row: IndexSnapshot) -> DataKey:
    """Raises KeyringError where the row's key does not open."""
    return keyring.key(context_of(row.id), row.wrapped_key)


def put(store: Store, session: Session, row: IndexSnapshot) -> None:
    """In the place of the holder's old one, whose key is destroyed by that. Within a write transaction."""
    if of(store, session, row.holder, row.model_id) is not None:
        scrubbing.ask(session, gallery_id=store.gallery_id, at=store.now(session))
    session.merge(row)


def destroy(store: Store, session: Session, ids: Collection[str]) -> None:
    """No copy of these files opens any more. Within a write transaction."""
    if ids:
        session.exec(
            delete(IndexSnapshot).where(col(IndexSnapshot.gallery_id) == store.gallery_id, col(IndexSnapshot.id).in_(ids))
        )
        scrubbing.ask(session, gallery_id=store.gallery_id, at=store.now(session))


def destroy_outdated(store: Store) -> None:
    """The background job of every replica, also of one that keeps none: who wrote it may be down, its disk out of reach."""
    with store.read() as session:
        outdated = holding_removed(store, session, before=store.now(session) - KEPT_AFTER_REMOVAL)
    if outdated:
        with store.write() as session:
            destroy(store, session, outdated)
        log.info("keys of index snapshots destroyed: they held erased templates", extra={"fields": {"snapshots": len(outdated)}})


def destroy_of_model(store: Store, session: Session, model_id: str) -> None:
    """Of every replica: the gallery has nothing of this model any more."""
    theirs = select(IndexSnapshot.id).where(IndexSnapshot.gallery_id == store.gallery_id, IndexSnapshot.model_id == model_id)
    destroy(store, session, session.exec(theirs).all())


def holding_removed(store: Store, session: Session, *, before: datetime) -> list[str]:
    """Ids of snapshots, of whatever replica, with a template in them that left the gallery before `before`.

    What one of another epoch holds (begun before a restore, finished after it) this log does not tell: it may be anybody.
    """
    removed = exists().where(
        col(GalleryChange.gallery_id) == store.gallery_id,
        col(GalleryChange.model_id) == col(IndexSnapshot.model_id),
        col(GalleryChange.seq) > col(IndexSnapshot.seq),
        col(GalleryChange.kind) == Change.remove,
        col(GalleryChange.at) < before,
    )
    outdated = or_(removed, col(IndexSnapshot.epoch) != store.gallery(session).epoch)
    return list(session.exec(select(IndexSnapshot.id).where(IndexSnapshot.gallery_id == store.gallery_id, outdated)))


def context_of(snapshot_id: str) -> str:
    return f"index-snapshot:{snapshot_id}"
