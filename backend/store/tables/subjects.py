"""Subjects, their samples (pictures) and templates (vectors); personal data only as ciphertext under the subject's key."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlmodel import Field, Index, UniqueConstraint

from backend.store.tables.base import Table
from backend.store.tables.columns import big, moment
from backend.store.times import UTCDateTime


class Subject(Table, table=True):
    """`merged_into` points at the survivor of the decision `merged_by`; the pointers form a forest.

    The external id stands here twice: as a keyed hash, to be unique and searchable, and inside `sealed_profile`. So a copy
    of the file without the key file names nobody, and destroying `wrapped_key` makes the readable form unreadable anywhere.
    """

    __tablename__ = "subject"
    __table_args__ = (
        UniqueConstraint("gallery_id", "external_id_index", name="uq_subject_external_id"),
        Index("ix_subject_gallery_state", "gallery_id", "state", "id"),
    )

    id: str = Field(primary_key=True)
    gallery_id: str = Field(foreign_key="gallery.id")
    state: str
    version: int = 1
    external_id_index: str | None = None
    sealed_profile: bytes | None = None
    wrapped_key: bytes | None = None
    merged_into: str | None = Field(default=None, foreign_key="subject.id", index=True)
    merged_by: str | None = Field(default=None, index=True)
    retain_until: datetime | None = Field(default=None, sa_type=UTCDateTime, index=True)
    created_at: datetime = moment()


class SampleState(StrEnum):
    pending = "pending"
    active = "active"
    held = "held"  # does not match its subject: a reviewer decides
    refused = "refused"  # a reviewer decided that it shows somebody else


class Sample(Table, table=True):
    """`image_digest`: the same for the same stored picture, and says nothing of it (see `Keyring.image_digest`)."""

    __tablename__ = "sample"

    id: str = Field(primary_key=True)
    gallery_id: str = Field(foreign_key="gallery.id")
    subject_id: str = Field(foreign_key="subject.id", index=True)
    enrolment_id: str = Field(index=True)
    state: str
    sealed_crop: bytes | None = None
    sealed_details: bytes
    image_digest: str | None = None
    created_at: datetime = moment()


class Template(Table, table=True):
    """`seq` is its id in every index: that of its latest add row in the log."""

    __tablename__ = "template"
    __table_args__ = (
        UniqueConstraint("gallery_id", "seq", name="uq_template_seq"),
        UniqueConstraint("gallery_id", "sample_id", "model_id", name="uq_template_sample_model"),
    )

    id: str = Field(primary_key=True)
    gallery_id: str = Field(foreign_key="gallery.id")
    subject_id: str = Field(foreign_key="subject.id", index=True)
    sample_id: str = Field(foreign_key="sample.id", index=True)
    model_id: str
    seq: int = big()
    sealed_vector: bytes
    created_at: datetime = moment()
