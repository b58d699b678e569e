"""Tables of the alerts: what is wrong, what was told to whom, what operators did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index, Integer
from sqlmodel import Field

from monitor.store.tables import Table, UtcMillis


def _time(*, required: bool = False, index: bool = False) -> Any:
    return Field(default=None, sa_column=Column(UtcMillis, nullable=not required, index=index))


class AlertRow(Table, table=True):
    """One alert. `open_key` is its key while it is open and None afterwards, so that a key is open once at most."""

    __tablename__ = "alert"
    __table_args__ = (Index("ix_alert_state_since", "state", "since"),)

    id: str = Field(primary_key=True)
    key: str
    open_key: str | None = Field(default=None, unique=True)
    scope: str
    rule: str
    severity: str
    sentence: str
    reason: str
    labels: dict[str, str] = Field(sa_column=Column(JSON, nullable=False))
    state: str
    since: datetime = _time(required=True)
    pending_since: datetime = _time(required=True)
    clear_s: float
    clear_since: datetime | None = _time()
    starts_at: datetime | None = _time()
    ends_at: datetime | None = _time(index=True)
    stale: bool
    quiet: str | None = None
    told: str | None = None
    told_rule: str | None = None
    told_at: datetime | None = _time()
    change: int
    reminders: int
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = _time()


class AlertEvent(Table, table=True):
    """A step of an alert's life, written with it: ``pending firing worse resolved stale silenced acknowledged …``."""

    __tablename__ = "alert_event"
    __table_args__ = (Index("ix_alert_event_alert", "alert_id", "id"), {"sqlite_autoincrement": True})

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True, autoincrement=True))
    at: datetime = _time(required=True)
    alert_id: str
    what: str
    severity: str
    reason: str
    actor: str | None = None


class Delivery(Table, table=True):
    """The outbox: one notification through one route, written in the transaction that settles what it tells.

    `alert_key` is what orders them: the next alert of one key must not overtake the end of the one before.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        Index("ix_delivery_due", "route", "sent_at", "due_at"),
        Index("ix_delivery_key", "alert_key", "route", "id"),
        Index("ix_delivery_alert", "alert_id"),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True, autoincrement=True))
    alert_id: str
    alert_key: str
    route: str
    kind: str
    severity: str
    idempotency_key: str = Field(unique=True)
    body: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    created_at: datetime = _time(required=True)
    due_at: datetime = _time(required=True)
    claimed_until: datetime | None = _time()
    attempts: int = 0
    sent_at: datetime | None = _time()
    given_up_at: datetime | None = _time()
    answer: str | None = None


class SilenceRow(Table, table=True):
    """Keeps notifications back, never a state. `ends_at` moves forward to the moment in which somebody lifts it."""

    __tablename__ = "silence"

    id: str = Field(primary_key=True)
    matchers: dict[str, str] = Field(sa_column=Column(JSON, nullable=False))
    author: str
    comment: str
    created_at: datetime = _time(required=True)
    starts_at: datetime = _time(required=True)
    ends_at: datetime = _time(required=True, index=True)
    lifted_by: str | None = None


class MaintenanceRow(Table, table=True):
    """A window of some backends, or, with an empty list, of the fleet."""

    __tablename__ = "maintenance"

    id: str = Field(primary_key=True)
    backends: list[str] = Field(sa_column=Column(JSON, nullable=False))
    author: str
    comment: str
    created_at: datetime = _time(required=True)
    starts_at: datetime = _time(required=True)
    ends_at: datetime = _time(required=True, index=True)
    lifted_by: str | None = None


class OperatorAction(Table, table=True):
    """Who did what to what, and when: ids and words of ours alone, no free text."""

    __tablename__ = "operator_action"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True, autoincrement=True))
    at: datetime = _time(required=True, index=True)
    actor: str
    action: str
    target: str
    outcome: str
