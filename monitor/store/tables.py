"""The monitor's tables. Times are whole milliseconds since 1970, UTC: short, ordered, and the same in every database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Dialect, Index, Integer, TypeDecorator
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Table(SQLModel, registry=registry()):
    """The root of the monitor's tables, with metadata of its own: another program's tables in one process stay apart."""


class UtcMillis(TypeDecorator[datetime]):
    """An aware datetime, stored as an integer."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone")
        return None if value is None else round(value.timestamp() * 1000)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value / 1000, UTC)


class BackendState(Table, table=True):
    """The present state of each backend: one row each, so that nobody searches the history for it."""

    __tablename__ = "backend_state"

    name: str = Field(primary_key=True)
    state: str
    since: datetime | None = Field(sa_column=Column(UtcMillis))
    reason: str | None
    detail: str | None
    last_sample_at: datetime | None = Field(sa_column=Column(UtcMillis))
    standings: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class Event(Table, table=True):
    """A change of state, written in the transaction that changes `backend_state`."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_backend", "backend", "id"), {"sqlite_autoincrement": True})

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True, autoincrement=True))
    at: datetime = Field(sa_column=Column(UtcMillis, nullable=False, index=True))
    backend: str
    old: str
    new: str
    reason: str | None
    detail: str | None


class Sample(Table, table=True):
    """One round of one backend; load where `/metrics` was read in it. Its state holds until the next one, at most `valid_s`."""

    __tablename__ = "sample"
    __table_args__ = (Index("ix_sample_backend_at", "backend", "at"),)

    # A thousand backends use up 32 bits within a year.
    id: int | None = Field(default=None, sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True))
    at: datetime = Field(sa_column=Column(UtcMillis, nullable=False, index=True))
    backend: str
    state: str
    up: bool
    probe_ms: float | None
    requests: float | None = None
    errors: float | None = None
    latency: list[Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    valid_s: float | None = None
    in_flight: float | None = None


class RolledUp(SQLModel):
    """A stretch of one backend, rolled up: counts and histograms, which can be merged again."""

    backend: str = Field(primary_key=True)
    at: datetime = Field(primary_key=True, sa_type=UtcMillis)
    state: str
    samples: int
    up: int
    probe_ms: list[Any] = Field(sa_type=JSON)
    requests: float | None
    errors: float | None
    latency: list[Any] = Field(sa_type=JSON)
    in_flight: list[Any] | None = Field(default=None, sa_type=JSON)
    held_ms: dict[str, int] | None = Field(default=None, sa_type=JSON)


class Minute(RolledUp, Table, table=True):
    __tablename__ = "minute"
    __table_args__ = (Index("ix_minute_at", "at"),)


class Hour(RolledUp, Table, table=True):
    __tablename__ = "hour"
    __table_args__ = (Index("ix_hour_at", "at"), {"sqlite_with_rowid": False})


class Day(RolledUp, Table, table=True):
    __tablename__ = "day"
    __table_args__ = (Index("ix_day_at", "at"), {"sqlite_with_rowid": False})


class RollUpProgress(Table, table=True):
    """How far each level is: everything before `until` is rolled up. `seen_id`: the samples that the minutes know of."""

    __tablename__ = "roll_up"

    level: str = Field(primary_key=True)
    until: datetime = Field(sa_column=Column(UtcMillis, nullable=False))
    seen_id: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))


class CertificateState(Table, table=True):
    """The last thing known about each watched certificate, as `wire.Certificate`."""

    __tablename__ = "certificate"

    name: str = Field(primary_key=True)
    at: datetime = Field(sa_column=Column(UtcMillis, nullable=False))
    body: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
