"""Reads of the alerts' tables for the API, newest first: each list pages by the id of its last row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import func
from sqlmodel import Session, col, select

from monitor import wire
from monitor.alerts.catalogue import RULES
from monitor.alerts.notify import Message, text_of, title_of
from monitor.store.alert_tables import AlertEvent, AlertRow, Delivery, MaintenanceRow, OperatorAction, SilenceRow
from monitor.store.database import Database
from monitor.store.history import EXACT_UP_TO

Row = TypeVar("Row")
View = TypeVar("View")


class AlertReader:
    """Synchronous; raises SQLAlchemy's errors. `before`: the cursor that the page before gave."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def alerts(self, *, state: wire.AlertState | None, before: str | None, limit: int) -> wire.Page[wire.Alert]:
        chosen = [AlertRow.state == state.value] if state else []
        return self._page(AlertRow, chosen, before, limit, alert_view)

    def alert(self, alert_id: str) -> wire.AlertDetail | None:
        with self._database.read() as session:
            row = session.get(AlertRow, alert_id)
            if row is None:
                return None
            steps = session.exec(select(AlertEvent).where(AlertEvent.alert_id == row.id).order_by(col(AlertEvent.id))).all()
            told = session.exec(select(Delivery).where(Delivery.alert_id == row.id).order_by(col(Delivery.id))).all()
            return wire.AlertDetail(
                **alert_view(row).model_dump(),
                history=[
                    wire.AlertStep(at=one.at, what=one.what, severity=one.severity, reason=one.reason, actor=one.actor)
                    for one in steps
                ],
                deliveries=[delivery_view(one) for one in told],
            )

    def deliveries(self, *, route: str | None, before: int | None, limit: int) -> wire.Page[wire.Delivery]:
        return self._page(Delivery, [Delivery.route == route] if route else [], before, limit, delivery_view)

    def silences(self, *, before: str | None, limit: int) -> wire.Page[wire.Silence]:
        return self._page(SilenceRow, [], before, limit, silence_view)

    def maintenance(self, *, before: str | None, limit: int) -> wire.Page[wire.Maintenance]:
        return self._page(MaintenanceRow, [], before, limit, maintenance_view)

    def actions(self, *, before: int | None, limit: int) -> wire.Page[wire.Action]:
        return self._page(OperatorAction, [], before, limit, action_view)

    def _page(
        self, table: type[Row], chosen: list[Any], before: str | int | None, limit: int, view: Callable[[Row], View]
    ) -> wire.Page[View]:
        key: Any = getattr(table, "id")  # noqa: B009 - the tables have no common base with an id
        query = select(table).where(*chosen).order_by(col(key).desc()).limit(limit + 1)
        if before is not None:
            query = query.where(col(key) < before)
        with self._database.read() as session:
            rows = session.exec(query).all()
            total = _total(session, key, chosen)
            items = [view(row) for row in rows[:limit]]
        return wire.Page(
            items=items,
            next=str(getattr(rows[limit - 1], "id")) if len(rows) > limit else None,  # noqa: B009
            total=min(total, EXACT_UP_TO),
            total_is="at_least" if total > EXACT_UP_TO else "exact",
        )


def _total(session: Session, key: Any, chosen: list[Any]) -> int:
    counted = select(key).where(*chosen).limit(EXACT_UP_TO + 1).subquery()
    return int(session.exec(select(func.count()).select_from(counted)).one())


def alert_view(row: AlertRow) -> wire.Alert:
    known = RULES.get(row.rule)
    return wire.Alert(
        **row.model_dump(
            include={
                *("id", "key", "rule", "severity", "state", "sentence", "reason", "labels", "since", "starts_at", "ends_at"),
                *("stale", "quiet", "told", "told_at", "acknowledged_by", "acknowledged_at"),
            }
        ),
        owner=row.reason.partition(".")[0],
        runbook=known.anchor if known else "docs/alerts.md",
    )


def delivery_view(row: Delivery) -> wire.Delivery:
    state = "sent" if row.sent_at else "given_up" if row.given_up_at else "waiting"
    message = Message(row.kind, row.severity, row.idempotency_key, row.body)
    told = {"state": state, "title": title_of(message), "text": text_of(message)}
    return wire.Delivery.model_validate({**row.model_dump(), **told})


def silence_view(row: SilenceRow) -> wire.Silence:
    return wire.Silence(**row.model_dump())


def maintenance_view(row: MaintenanceRow) -> wire.Maintenance:
    return wire.Maintenance(**row.model_dump())


def action_view(row: OperatorAction) -> wire.Action:
    return wire.Action(**row.model_dump())
