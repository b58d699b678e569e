"""The database's side of index snapshots: the key of each file, and what that file must say of itself.

A file opens for nobody without its row. So overwriting or deleting the row destroys the snapshot, wherever copies of it are.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from sqlmodel import Session, col, delete, exists, select

from backend.store import scrubbing
from backend.store.keyring import DataKey, Keyring
from backend.store.tables import Change, GalleryChange, IndexSnapshot

if TYPE_CHECKING:
    from backend.store.database import Store


def of(store: Store, session: Session, holder: str) -> IndexSnapshot | None:
    return session.get(IndexSnapshot, (store.gallery_id, holder))


def new_key(keyring: Keyring, snapshot_id: str) -> tuple[bytes, DataKey]:
    """The wrapped form, for the row, and the key."""
    return keyring.new_key(context_of(snapshot_id))


def key_of(keyring: Keyring, row: IndexSnapshot) -> DataKey:
    """Raises KeyringError where the row's key does not open."""
    return keyring.key(context_of(row.id), row.wrapped_key)


def put(store: Store, session: Session, row: IndexSnapshot) -> None:
    """In the place of the holder's old one, whose key is destroyed by that. Within a write transaction."""
    if of(store, session, row.holder) is not None:
        scrubbing.ask(session, gallery_id=store.gallery_id, at=store.now(session))
    session.merge(row)


def destroy(store: Store, session: Session, ids: Collection[str]) -> None:
    """No copy of these files opens any more. Within a write transaction."""
    if ids:
        session.exec(
            delete(IndexSnapshot).where(col(IndexSnapshot.gallery_id) == store.gallery_id, col(IndexSnapshot.id).in_(ids))
        )
        scrubbing.ask(session, gallery_id=store.gallery_id, at=store.now(session))


def holding_removed(store: Store, session: Session, *, before: datetime) -> list[str]:
    """Ids of snapshots, of whatever replica, with a template in them that left the gallery before `before`."""
    removed = exists().where(
        col(GalleryChange.gallery_id) == store.gallery_id,
        col(GalleryChange.seq) > col(IndexSnapshot.seq),
        col(GalleryChange.kind) == Change.remove,
        col(GalleryChange.at) < before,
    )
    return list(session.exec(select(IndexSnapshot.id).where(IndexSnapshot.gallery_id == store.gallery_id, removed)))


def context_of(snapshot_id: str) -> str:
    return f"index-snapshot:{snapshot_id}"
