"""One evaluation, as one transaction: the open alerts, their next step, their history, and the outbox rows of what is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func
from sqlmodel import Session, col, select
from uuid6 import uuid7

from monitor.alerts.catalogue import RULES
from monitor.alerts.condition import Sheet
from monitor.alerts.lifecycle import Alert, AlertState, Notice, Quiet, Seen, Step, begun, step
from monitor.alerts.quiet import Quietness, Silence, Window, in_maintenance
from monitor.fleet_alerts import Alerts, Severity
from monitor.store.alert_tables import AlertEvent, AlertRow, Delivery, MaintenanceRow, OperatorAction, SilenceRow
from monitor.store.database import Database

KEEP = timedelta(days=366)
KEEP_DELIVERIES = timedelta(days=90)
DELETE_AT_ONCE = 1000

_SAME = [field.name for field in fields(Alert) if field.name not in ("state", "severity", "quiet", "told", "labels", "open")]


@dataclass(frozen=True)
class Evaluated:
    """`settled`: what was decided to be told, with what the alert then was."""

    settled: tuple[tuple[Alert, Notice], ...]
    in_maintenance: frozenset[str]


class AlertBook:
    """Synchronous; safe from several threads, as each call is one write transaction. Raises SQLAlchemy's errors."""

    def __init__(self, database: Database, *, new_id: Callable[[], str] = lambda: f"alr_{uuid7().hex}") -> None:
        self._database = database
        self._new_id = new_id

    def evaluate(self, sheet: Sheet, *, names: Iterable[str], flapping: frozenset[str], now: datetime) -> Evaluated:
        """Take every alert one step further. All of it is stored, or nothing and the next evaluation decides anew."""
        settled = []
        with self._database.write() as session:
            quietness = _quietness(session, flapping, now)
            # Deliveries live by the database's clock, as their claims do; alerts by the monitor's, as their evidence does.
            due_at = self._database.now(session)
            rows = {row.key: row for row in session.exec(select(AlertRow).where(col(AlertRow.open_key).is_not(None)))}
            for key in [*rows, *(key for key in sheet.conditions if key not in rows)]:
                row = rows.get(key)
                alert = alert_of(row) if row else begun(sheet.conditions[key], self._new_id(), now)
                taken = step(alert, _seen(alert, sheet, quietness, now), now=now, reminders=sheet.settings.reminders)
                _store(session, row, alert, taken, now)
                if taken.alert is not None and taken.notice is not None:
                    _tell(session, taken.alert, taken.notice, sheet.settings, due_at)
                    settled.append((taken.alert, taken.notice))
        return Evaluated(tuple(settled), in_maintenance(quietness.windows, names, now))

    def open_alerts(self) -> list[Alert]:
        """Those that are not over, or whose end was not told yet."""
        with self._database.read() as session:
            return [alert_of(row) for row in session.exec(select(AlertRow).where(col(AlertRow.open_key).is_not(None)))]

    def prune(self, now: datetime) -> int:
        """Delete what is too old, in small transactions; gives how many rows went."""
        gone = 0
        while some := self._prune_some(now):
            gone += some
        return gone

    def _prune_some(self, now: datetime) -> int:
        closed = col(AlertRow.open_key).is_(None)
        done = col(Delivery.sent_at).is_not(None) | col(Delivery.given_up_at).is_not(None)
        with self._database.write() as session:
            old = select(AlertRow.id).where(closed, col(AlertRow.ends_at) < now - KEEP).limit(DELETE_AT_ONCE)
            ids = session.exec(old).all()
            steps = delete(AlertEvent).where(col(AlertEvent.alert_id).in_(ids))
            session.connection().execute(steps)
            counts = [session.connection().execute(delete(AlertRow).where(col(AlertRow.id).in_(ids))).rowcount]
            for table, at, key, over in (
                (Delivery, col(Delivery.created_at), col(Delivery.id), done & (col(Delivery.created_at) < now - KEEP_DELIVERIES)),
                (SilenceRow, col(SilenceRow.ends_at), col(SilenceRow.id), col(SilenceRow.ends_at) < now - KEEP),
                (MaintenanceRow, col(MaintenanceRow.ends_at), col(MaintenanceRow.id), col(MaintenanceRow.ends_at) < now - KEEP),
                (OperatorAction, col(OperatorAction.at), col(OperatorAction.id), col(OperatorAction.at) < now - KEEP),
            ):
                some = select(key).where(over).order_by(at).limit(DELETE_AT_ONCE)
                counts.append(session.connection().execute(delete(table).where(key.in_(some))).rowcount)
            return sum(counts)

    def count_by_state(self) -> dict[str, int]:
        """Open alerts by state."""
        query = select(AlertRow.state, func.count()).where(col(AlertRow.open_key).is_not(None)).group_by(AlertRow.state)
        with self._database.read() as session:
            return dict(session.exec(query).all())


def alert_of(row: AlertRow) -> Alert:
    return Alert(
        **{name: getattr(row, name) for name in _SAME},
        state=AlertState(row.state),
        severity=Severity(row.severity),
        quiet=Quiet(row.quiet) if row.quiet else None,
        told=Severity(row.told) if row.told else None,
        labels=dict(row.labels),
        open=row.open_key is not None,
    )


def _seen(alert: Alert, sheet: Sheet, quietness: Quietness, now: datetime) -> Seen:
    condition = sheet.conditions.get(alert.key)
    like = condition or alert
    owner = like.reason.partition(".")[0]
    quiet = quietness.of(like.labels, rule=like.rule, severity=like.severity, owner=owner, now=now)
    return Seen(condition, sheet.holds(alert.scope), alert.key in sheet.suppressed, quiet)


def _quietness(session: Session, flapping: frozenset[str], now: datetime) -> Quietness:
    silences = session.exec(select(SilenceRow).where(col(SilenceRow.ends_at) > now))
    windows = session.exec(select(MaintenanceRow).where(col(MaintenanceRow.ends_at) > now))
    return Quietness(
        tuple(Silence(row.id, row.matchers, row.starts_at, row.ends_at) for row in silences),
        tuple(Window(row.id, frozenset(row.backends), row.starts_at, row.ends_at) for row in windows),
        flapping,
    )


def _store(session: Session, row: AlertRow | None, before: Alert, taken: Step, now: datetime) -> None:
    after = taken.alert
    if after is None:
        if row is not None:
            session.connection().execute(delete(AlertEvent).where(col(AlertEvent.alert_id) == row.id))
            session.delete(row)
        return
    words = taken.moved
    if row is None:
        row = AlertRow(**_columns(after))
        words = (AlertState.pending.value, *words)
        session.add(row)
    elif after != before:
        for name, value in _columns(after).items():
            setattr(row, name, value)
    if taken.notice is not None:
        words = (*words, f"told {taken.notice.kind}")
    for word in words:
        session.add(AlertEvent(at=now, alert_id=after.id, what=word, severity=after.severity, reason=after.reason))


def _columns(alert: Alert) -> dict[str, Any]:
    same: dict[str, Any] = {name: getattr(alert, name) for name in _SAME}
    words = {"state": alert.state.value, "severity": alert.severity.value, "labels": dict(alert.labels)}
    quiet, told = alert.quiet and alert.quiet.value, alert.told and alert.told.value
    return same | words | {"quiet": quiet, "told": told, "open_key": alert.key if alert.open else None}


def _tell(session: Session, alert: Alert, notice: Notice, settings: Alerts, due_at: datetime) -> None:
    """One outbox row per route that wants it; the body is what was so in this moment, however late it goes out."""
    for route in settings.routes:
        if route.min_severity.rank > notice.severity.rank:
            continue
        session.add(
            Delivery(
                alert_id=alert.id,
                alert_key=alert.key,
                route=route.name,
                kind=notice.kind,
                severity=notice.severity,
                idempotency_key=f"{alert.id}:{notice.number}:{notice.kind}:{route.name}",
                body=body_of(alert, settings, rule=notice.rule) | _before(notice),
                created_at=due_at,
                due_at=due_at,
            )
        )


def _before(notice: Notice) -> dict[str, Any]:
    return {"before": {"rule": notice.before[0], "severity": notice.before[1].value}} if notice.before else {}


def body_of(alert: Alert, settings: Alerts, *, rule: str) -> dict[str, Any]:
    """What a notification says; JSON. `rule`: the name under which it is told, which stays while it grows no worse."""
    page, _, place = (RULES[rule].anchor if rule in RULES else "docs/alerts.md#").partition("#")
    return {
        "rule": rule,
        "key": alert.key,
        "sentence": alert.sentence,
        "reason": alert.reason,
        "owner": alert.reason.partition(".")[0],
        "labels": dict(alert.labels),
        "starts_at": alert.starts_at.isoformat() if alert.starts_at else None,
        "ends_at": alert.ends_at.isoformat() if alert.ends_at else None,
        "runbook": f"{settings.runbook_url or page}#{place}",
    }
