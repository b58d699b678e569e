"""The gallery, what it is pinned to, and the log that every replica's index follows."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlmodel import Field, Index

from backend.store.tables.base import Table
from backend.store.tables.columns import big, moment, ordinal


class Gallery(Table, table=True):
    """One per gallery. `epoch` is set anew by a restore; `key_check` tells a wrong key file; `min_app_level` an old program.

    `sealed_index_key`: the key of the blind index of external ids, wrapped by the file key, so that rotating that leaves it.
    """

    __tablename__ = "gallery"

    id: str = Field(primary_key=True)
    model_id: str | None = None
    epoch: str
    key_check: str | None = None
    sealed_index_key: bytes | None = None
    min_app_level: int
    active_templates: int = 0
    created_at: datetime = moment()


class Change(StrEnum):
    add = "add"
    remove = "remove"


class GalleryChange(Table, table=True):
    """`add_seq` is the id of the template in every index: the seq of its add row. `count` and `checksum` hold after this row."""

    __tablename__ = "gallery_change"
    __table_args__ = (Index("ix_gallery_change_gallery_seq", "gallery_id", "seq"), {"sqlite_autoincrement": True})

    seq: int | None = ordinal()
    gallery_id: str = Field(foreign_key="gallery.id")
    kind: str
    template_id: str
    add_seq: int | None = big()
    model_id: str
    count: int
    checksum: int = big()
    at: datetime = moment()


class IndexSnapshot(Table, table=True):
    """The key of one replica's snapshot file, and what that file must say of itself. Overwriting the row destroys the old key.

    `holder` is the replica's name (BACKEND_INSTANCE), so that a snapshot is found again by whoever starts under the same name.
    """

    __tablename__ = "index_snapshot"

    gallery_id: str = Field(primary_key=True, foreign_key="gallery.id")
    holder: str = Field(primary_key=True)
    id: str
    epoch: str
    model_id: str
    seq: int = big()
    count: int
    checksum: int = big()
    wrapped_key: bytes
    created_at: datetime = moment()
