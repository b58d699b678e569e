"""What runs the ledger: leases of background jobs, messages to be delivered, audit trail, keys, calibrations, scans."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import false
from sqlmodel import JSON, Field, Index, UniqueConstraint

from backend.store.tables.base import Table
from backend.store.tables.columns import big, maybe_moment, moment, ordinal


class JobLease(Table, table=True):
    """Who does a background job, by the database's clock; `epoch` rises with every change of holder."""

    __tablename__ = "job_lease"

    gallery_id: str = Field(primary_key=True, foreign_key="gallery.id")
    name: str = Field(primary_key=True)
    holder: str
    epoch: int
    until: datetime = moment()


class Outbox(Table, table=True):
    """Something to be done after a commit, surely and once more rather than never. Opaque ids and codes only.

    A row with an `event_id` is an event for the webhook, and the columns below it are about that one alone.
    """

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_waiting", "gallery_id", "dropped_at", "seq"), {"sqlite_autoincrement": True})

    seq: int | None = ordinal()
    gallery_id: str = Field(foreign_key="gallery.id")
    topic: str = Field(index=True)
    object_id: str | None = None
    subject_id: str | None = Field(default=None, index=True)
    created_at: datetime = moment()
    event_id: str | None = None
    """the same at every attempt, so that a receiver can drop what it has already"""
    body: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    attempts: int = 0
    next_at: datetime | None = maybe_moment()
    """not before; empty: at once"""
    give_up_at: datetime | None = maybe_moment()
    dropped_at: datetime | None = maybe_moment()
    """when it was given up; empty: it waits"""
    last_result: str | None = None
    """of the last attempt: the status, or a word for what came instead"""


class AuditRow(Table, table=True):
    """Opaque ids, codes and field names only.

    A row is written by whoever does the thing, and sealed into the chain by one leased job a moment later: `position` (from 1,
    without gaps) is its place there, `hash` covers the row and the hash before it. Until then `position` is null, both hashes "".
    """

    __tablename__ = "audit_event"
    __table_args__ = (
        UniqueConstraint("gallery_id", "position", name="uq_audit_event_position"),
        {"sqlite_autoincrement": True},
    )

    seq: int | None = ordinal()
    gallery_id: str = Field(foreign_key="gallery.id")
    at: datetime = moment()
    actor: str
    actor_kind: str
    sid: str | None = None
    kid: str | None = None
    action: str
    object_id: str | None = Field(default=None, index=True)
    detail: dict[str, Any] = Field(sa_type=JSON)
    position: int | None = big()
    previous_hash: str = ""
    hash: str = ""


class ApiKey(Table, table=True):
    """SHA-256 of the whole secret: it is random, so a slow password hash would protect nothing and cost every request.

    `rate_per_minute`: null is the program's default, 0 no limit. `synthetic`: requests that it marks as demo traffic have none.
    """

    __tablename__ = "api_key"
    __table_args__ = (UniqueConstraint("gallery_id", "secret_sha256", name="uq_api_key_secret"),)

    id: str = Field(primary_key=True)
    gallery_id: str = Field(foreign_key="gallery.id")
    name: str
    scopes: list[str] = Field(sa_type=JSON)
    secret_sha256: str
    created_at: datetime = moment()
    expires_at: datetime | None = maybe_moment()
    revoked_at: datetime | None = maybe_moment()
    last_used_at: datetime | None = maybe_moment()
    rate_per_minute: int | None = None
    synthetic: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class CalibrationRow(Table, table=True):
    """Score → FMR of one model, with its support; pairs name the one that was in force."""

    __tablename__ = "calibration"

    id: str = Field(primary_key=True)
    gallery_id: str = Field(primary_key=True, foreign_key="gallery.id")
    model_id: str
    points: list[Any] = Field(sa_type=JSON)
    supported_fmr: float
    source: str
    created_at: datetime = moment()


class ScanState(StrEnum):
    waiting = "waiting"
    running = "running"
    done = "done"
    cancelled = "cancelled"
    failed = "failed"


class Scan(Table, table=True):
    """A whole-gallery de-duplication run: how far it came, under which options.

    Every template with `from_seq < seq <= last_seq` is compared with all that have a smaller `seq`; those up to
    `position_seq` are done. `from_seq` is above 0 where an earlier scan, at the same threshold or a lower one, did the rest.
    """

    __tablename__ = "scan"

    id: str = Field(primary_key=True)
    gallery_id: str = Field(foreign_key="gallery.id")
    state: str
    options: dict[str, Any] = Field(sa_type=JSON)
    model_id: str | None = None
    threshold: float | None = None
    epoch: str | None = None
    from_seq: int = big(default=0)
    position_seq: int = big(default=0)
    last_seq: int = big(default=0)
    templates_total: int = 0
    templates_done: int = 0
    pairs_found: int = 0
    busy_s: float = 0.0
    problem: str | None = None
    created_at: datetime = moment()
    started_at: datetime | None = maybe_moment()
    finished_at: datetime | None = maybe_moment()
