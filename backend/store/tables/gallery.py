"""The gallery, what it is pinned to, and the log that every replica's index follows."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlmodel import Field, Index, text

from backend.store.tables.base import Table
from backend.store.tables.columns import big, maybe_moment, moment, ordinal


class Gallery(Table, table=True):
    """One per gallery. `epoch` is set anew by a restore; `key_check` tells a wrong key file; `min_app_level` an old program.

    `sealed_index_key`: the key of the blind index of external ids, wrapped by the file key, so that rotating that leaves it.
    `model_id`: the model in force. `other_model_id`: the other one of a change of model that is open (see `ModelChange`), of
    which templates are kept as well.
    """

    __tablename__ = "gallery"

    id: str = Field(primary_key=True)
    model_id: str | None = None
    other_model_id: str | None = None
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
    """`add_seq` is the id of the template in every index: the seq of its add row. `count` and `checksum` hold after this row,
    for the templates of its model: each model has an index of its own, and all share the numbers.
    """

    __tablename__ = "gallery_change"
    __table_args__ = (
        Index("ix_gallery_change_gallery_seq", "gallery_id", "seq"),
        Index("ix_gallery_change_model_seq", "gallery_id", "model_id", "seq"),
        {"sqlite_autoincrement": True},
    )

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

    `holder` is the replica's name (BACKEND_INSTANCE), so that a snapshot is found again by whoever starts under the same name. It
    has one for each model that it follows.
    """

    __tablename__ = "index_snapshot"

    gallery_id: str = Field(primary_key=True, foreign_key="gallery.id")
    holder: str = Field(primary_key=True)
    model_id: str = Field(primary_key=True)
    id: str
    epoch: str
    seq: int = big()
    count: int
    checksum: int = big()
    wrapped_key: bytes
    created_at: datetime = moment()


class ChangeState(StrEnum):
    filling = "filling"  # the old model is in force, templates of the new one are being made
    switched = "switched"  # the new model is in force, templates of the old one are kept up to date
    rolled_back = "rolled_back"  # the old model is in force again; both are kept up to date, so it may be switched once more
    finished = "finished"  # over: the old model's templates are dropped
    abandoned = "abandoned"  # over: the new model's templates are dropped


class ModelChange(Table, table=True):
    """A change of the gallery's model. At most one is open: filling, switched or rolled back.

    `switched_seq`: the log's head at the last switch or roll back. `left_behind`: samples that were knowingly left without a
    template of the new model. `closed_at` is null while it is open.
    """

    __tablename__ = "model_change"
    __table_args__ = (
        Index(
            "uq_model_change_open",
            "gallery_id",
            unique=True,
            sqlite_where=text("closed_at IS NULL"),
            postgresql_where=text("closed_at IS NULL"),
        ),
    )

    id: str = Field(primary_key=True)
    gallery_id: str = Field(foreign_key="gallery.id")
    from_model_id: str
    to_model_id: str
    state: str
    filled: int = 0
    """templates that the back-fill made, of either model"""
    left_behind: int = 0
    switched_seq: int | None = big()
    created_at: datetime = moment()
    changed_at: datetime = moment()
    closed_at: datetime | None = maybe_moment()
