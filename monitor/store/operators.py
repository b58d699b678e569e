"""What people do to alerts: acknowledge, silence, maintain. Each act and its row in the audit trail are one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session
from uuid6 import uuid7

from monitor import wire
from monitor.alerts.lifecycle import AlertState
from monitor.store.alert_tables import AlertEvent, AlertRow, MaintenanceRow, OperatorAction, SilenceRow
from monitor.store.alert_views import maintenance_view, silence_view
from monitor.store.database import Database

LONGEST = timedelta(days=30)


class NoSuchThing(Exception):
    """There is no row of this id."""


class NotPossible(Exception):
    """Not with the row as it is, or not with these times; the message says why."""


@dataclass(frozen=True)
class Actor:
    """A person's or key's opaque id."""

    id: str


class Operators:
    """Synchronous. Raises `NoSuchThing`, `NotPossible`, and SQLAlchemy's errors."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acknowledge(self, alert_id: str, actor: Actor, now: datetime) -> None:
        """No more reminders while it fires; a second time changes nothing."""
        with self._database.write() as session:
            row = session.get(AlertRow, alert_id)
            if row is None:
                raise NoSuchThing
            if row.state != AlertState.firing:
                raise NotPossible(f"only what fires can be acknowledged; this alert is {row.state}")
            if row.acknowledged_by is not None:
                return
            row.acknowledged_by, row.acknowledged_at = actor.id, now
            session.add(
                AlertEvent(at=now, alert_id=row.id, what="acknowledged", severity=row.severity, reason=row.reason, actor=actor.id)
            )
            _note(session, actor, "acknowledge", row.id, now)

    def silence(self, asked: wire.NewSilence, actor: Actor, now: datetime) -> wire.Silence:
        starts_at = _checked(asked.starts_at, asked.ends_at, now)
        row = SilenceRow(
            id=f"sil_{uuid7().hex}",
            matchers=dict(asked.matchers),
            author=actor.id,
            comment=asked.comment,
            created_at=now,
            starts_at=starts_at,
            ends_at=asked.ends_at,
        )
        with self._database.write() as session:
            session.add(row)
            _note(session, actor, "silence", row.id, now)
        return silence_view(row)

    def maintain(self, asked: wire.NewMaintenance, actor: Actor, now: datetime) -> wire.Maintenance:
        starts_at = _checked(asked.starts_at, asked.ends_at, now)
        row = MaintenanceRow(
            id=f"mnt_{uuid7().hex}",
            backends=sorted(set(asked.backends)),
            author=actor.id,
            comment=asked.comment,
            created_at=now,
            starts_at=starts_at,
            ends_at=asked.ends_at,
        )
        with self._database.write() as session:
            session.add(row)
            _note(session, actor, "maintenance", row.id, now)
        return maintenance_view(row)

    def lift_silence(self, silence_id: str, actor: Actor, now: datetime) -> None:
        """Ends now; what it held back is told by the next evaluation."""
        with self._database.write() as session:
            _lift(session, session.get(SilenceRow, silence_id), actor, "lift_silence", now)

    def end_maintenance(self, maintenance_id: str, actor: Actor, now: datetime) -> None:
        with self._database.write() as session:
            _lift(session, session.get(MaintenanceRow, maintenance_id), actor, "end_maintenance", now)

    def note(self, action: str, target: str, actor: Actor, *, outcome: str, now: datetime) -> None:
        """What was done to a backend, after it was done: the trail must not stand between an operator and a drain."""
        with self._database.write() as session:
            _note(session, actor, action, target, now, outcome=outcome)

    def note_test(self, route: str, actor: Actor, *, delivered: bool, now: datetime) -> None:
        with self._database.write() as session:
            _note(session, actor, "test_route", route, now, outcome="delivered" if delivered else "not delivered")


def _checked(starts_at: datetime | None, ends_at: datetime, now: datetime) -> datetime:
    start = starts_at or now
    if ends_at <= max(now, start):
        raise NotPossible("ends_at must lie in the future, and after starts_at")
    if ends_at - max(now, start) > LONGEST or start - now > LONGEST:
        raise NotPossible(f"at most {LONGEST.days} days: what is quiet for longer should be changed in the fleet file")
    return start


def _lift(session: Session, row: SilenceRow | MaintenanceRow | None, actor: Actor, action: str, now: datetime) -> None:
    if row is None:
        raise NoSuchThing
    if row.ends_at <= now:
        raise NotPossible("it is over already")
    row.starts_at, row.ends_at, row.lifted_by = min(row.starts_at, now), now, actor.id
    _note(session, actor, action, row.id, now)


def _note(session: Session, actor: Actor, action: str, target: str, now: datetime, *, outcome: str = "done") -> None:
    session.add(OperatorAction(at=now, actor=actor.id, action=action, target=target, outcome=outcome))
