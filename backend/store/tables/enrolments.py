"""Enrolments between their two transactions, and what makes a repeated request harmless."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlmodel import JSON, Field, Index, UniqueConstraint

from backend.store.tables.base import Table
from backend.store.tables.columns import big, maybe_moment, moment


class EnrolmentKind(StrEnum):
    subject = "subject"
    samples = "samples"  # further images of a known subject
    accepted = "accepted"  # a held sample that a reviewer accepted


class EnrolmentState(StrEnum):
    pending = "pending"
    done = "done"
    rejected = "rejected"


class Enrolment(Table, table=True):
    """The thresholds are those in force at T1. The answer is sealed with the subject's key; a rejected one holds ids only."""

    __tablename__ = "enrolment"
    __table_args__ = (Index("ix_enrolment_state_lease", "gallery_id", "state", "lease_until"),)

    id: str = Field(primary_key=True)
    gallery_id: str = Field(foreign_key="gallery.id")
    subject_id: str = Field(index=True)
    kind: str
    policy: str
    state: str
    first_seq: int = big()
    last_seq: int = big()
    model_id: str
    verification_threshold: float
    review_threshold: float
    certain_threshold: float
    caller_id: str
    caller_kind: str
    caller_sid: str | None = None
    caller_kid: str | None = None
    lease_holder: str
    lease_until: datetime = moment()
    status: int | None = None
    sealed_answer: bytes | None = None
    plain_answer: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    created_at: datetime = moment()
    finished_at: datetime | None = maybe_moment()


class Idempotency(Table, table=True):
    """The client's key is kept as SHA-256: clients put all kinds of things into it.

    `enrolment_id` is what the request made: an API key or a scan, too, which belong to no subject (`subject_id` "").
    """

    __tablename__ = "idempotency"
    __table_args__ = (UniqueConstraint("gallery_id", "caller_id", "key_sha256", name="uq_idempotency_caller_key"),)

    id: str = Field(primary_key=True)
    gallery_id: str = Field(foreign_key="gallery.id")
    caller_id: str
    key_sha256: str
    body_sha256: str
    enrolment_id: str = Field(index=True)
    subject_id: str = Field(index=True)
    created_at: datetime = moment(index=True)
