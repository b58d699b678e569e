"""Pairs, their cases, decisions, and the pairs that were decided to be different people."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlmodel import JSON, Field, Index, UniqueConstraint

from backend.store.tables.base import Table
from backend.store.tables.columns import maybe_moment, moment


class CaseKind(StrEnum):
    duplicate = "duplicate"
    sample = "sample"  # does this picture show its subject?


class PairState(StrEnum):
    open = "open"
    closed = "closed"  # one side was rejected, or the evidence was erased
    aside = "aside"  # the two were one person, or known to differ, when it was found: see `aside`


class DuplicatePair(Table, table=True):
    """Unordered (`a_subject_id <= b_subject_id`), on the records that were compared, with what was in force then.

    `held_sample_id` is empty, but for a sample that does not match its own subject: there a and b are the same subject.
    `asked_*`: who put it before reviewers, where a person did (see `asked`); the note is sealed with the key of a. The pair goes
    with either of its subjects, and the note with it. `overrides_distinct`: although it had been decided that they differ.
    `left_cases`: in which it stood before; what was noted there may speak of these two.
    `margin`: see `pairs.Margin`; null where it is of other samples, was never looked at, or an older program wrote the row.
    """

    __tablename__ = "duplicate_pair"
    __table_args__ = (
        UniqueConstraint("gallery_id", "a_subject_id", "b_subject_id", "held_sample_id", name="uq_duplicate_pair"),
        Index("ix_duplicate_pair_b", "gallery_id", "b_subject_id"),
    )

    id: str = Field(primary_key=True)
    gallery_id: str = Field(foreign_key="gallery.id")
    case_id: str | None = Field(default=None, foreign_key="duplicate_case.id", index=True)
    kind: str
    state: str
    a_subject_id: str
    b_subject_id: str
    a_sample_id: str
    b_sample_id: str
    held_sample_id: str = ""
    score: float
    threshold: float
    band: str
    gallery_size: int
    expected_fpir: float | None = None
    calibration_id: str | None = None
    model_id: str
    source: str
    margin: float | None = None
    margin_at_least: bool | None = None
    found_at: datetime = moment()
    asked_by: str | None = None
    asked_by_name: str | None = None
    asked_at: datetime | None = maybe_moment()
    sealed_asking_note: bytes | None = None
    overrides_distinct: bool | None = None
    left_cases: list[str] | None = Field(default=None, sa_type=JSON(none_as_null=True))


class DuplicateCase(Table, table=True):
    """A cluster of subjects. "Claimed" is not stored: it is an open case with a lease that runs, so an expiry needs no writer.

    `opened_at`: since when it waits, the last time that it was opened; null where an older program opened it: `created_at`.
    """

    __tablename__ = "duplicate_case"
    __table_args__ = (
        Index("ix_duplicate_case_queue", "gallery_id", "state", "priority", "id"),
        Index("ix_duplicate_case_changed", "gallery_id", "changed_at"),
    )

    id: str = Field(primary_key=True)
    gallery_id: str = Field(foreign_key="gallery.id")
    kind: str
    state: str
    version: int = 1
    priority: float
    score: float
    source: str
    lease_holder: str | None = None
    lease_holder_name: str | None = None
    lease_until: datetime | None = maybe_moment()
    lease_key: str | None = None
    """SHA-256 of the Idempotency-Key with which `next` gave it away: sent again, the same case is the answer"""
    joined_into: str | None = Field(default=None, foreign_key="duplicate_case.id", index=True)
    closed_reason: str | None = None
    opened_at: datetime | None = maybe_moment()
    created_at: datetime = moment()
    changed_at: datetime = moment()


class Decision(Table, table=True):
    """`version` is the case's before it; `round` says whether it was a first, second or arbitrating one.

    `reason` is one of the site's own codes; `bulk_id` names the `BulkReview` that it was part of.
    """

    __tablename__ = "decision"
    __table_args__ = (Index("ix_decision_at", "gallery_id", "at"),)

    id: str = Field(primary_key=True)
    gallery_id: str = Field(foreign_key="gallery.id")
    case_id: str = Field(foreign_key="duplicate_case.id", index=True)
    version: int
    round: str
    verdict: str
    applied: bool
    survivor_id: str | None = None
    undoes: str | None = None
    undone_by: str | None = None
    actor: str
    actor_name: str
    note_subject_id: str | None = Field(default=None, index=True)
    sealed_note: bytes | None = None
    reason: str | None = None
    bulk_id: str | None = Field(default=None, index=True)
    at: datetime = moment()


class BulkReview(Table, table=True):
    """Many cases decided by one request: `results` (ids and codes) is what it was answered, null while it is under way."""

    __tablename__ = "bulk_review"

    id: str = Field(primary_key=True)
    gallery_id: str = Field(foreign_key="gallery.id")
    actor: str
    body_sha256: str
    results: list[dict[str, Any]] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    created_at: datetime = moment()


class DistinctPair(Table, table=True):
    """Never flag these two again, whatever their samples and models; one row per decision that said so."""

    __tablename__ = "distinct_pair"
    __table_args__ = (
        UniqueConstraint("gallery_id", "a_subject_id", "b_subject_id", "decision_id", name="uq_distinct_pair"),
        Index("ix_distinct_pair_b", "gallery_id", "b_subject_id"),
    )

    id: str = Field(primary_key=True)
    gallery_id: str = Field(foreign_key="gallery.id")
    a_subject_id: str
    b_subject_id: str
    decision_id: str = Field(foreign_key="decision.id", index=True)
    at: datetime = moment()
