"""The alerts' HTTP routes: what is wrong, what was told, and what operators do about it. No logic of its own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from monitor import wire
from monitor.api.problems import AlertNotFound, BackendNotFound, BadCursor, Conflict, NotFound, RouteNotFound
from monitor.api.roles import MayAudit, Operator
from monitor.api.routes import Parts, reader
from monitor.store.operators import NoSuchThing, NotPossible

alert_routes = APIRouter(prefix="/v1", dependencies=[Depends(reader)])

Limit = Annotated[int, Query(ge=1, le=500)]


@alert_routes.get("/alerts")
def alerts(
    monitor: Parts, state: wire.AlertState | None = None, cursor: str | None = None, limit: Limit = 50
) -> wire.Page[wire.Alert]:
    """Newest first."""
    return monitor.alerting.views.alerts(state=state, before=_word(cursor), limit=limit)


@alert_routes.get("/alerts/{alert_id}")
def alert(alert_id: str, monitor: Parts) -> wire.AlertDetail:
    found = monitor.alerting.views.alert(alert_id)
    if found is None:
        raise AlertNotFound
    return found


@alert_routes.post("/alerts/{alert_id}/acknowledge")
def acknowledge(alert_id: str, monitor: Parts, actor: Operator) -> wire.AlertDetail:
    """No more reminders until it is over. A second time changes nothing."""
    try:
        monitor.alerting.operators.acknowledge(alert_id, actor, monitor.watch.now())
    except NoSuchThing:
        raise AlertNotFound from None
    except NotPossible as error:
        raise Conflict(str(error)) from None
    return alert(alert_id, monitor)


@alert_routes.get("/silences")
def silences(monitor: Parts, cursor: str | None = None, limit: Limit = 50) -> wire.Page[wire.Silence]:
    return monitor.alerting.views.silences(before=_word(cursor), limit=limit)


@alert_routes.post("/silences", status_code=201)
def silence(asked: wire.NewSilence, monitor: Parts, actor: Operator) -> wire.Silence:
    try:
        return monitor.alerting.operators.silence(asked, actor, monitor.watch.now())
    except NotPossible as error:
        raise Conflict(str(error)) from None


@alert_routes.delete("/silences/{silence_id}", status_code=204)
def lift_silence(silence_id: str, monitor: Parts, actor: Operator) -> Response:
    try:
        monitor.alerting.operators.lift_silence(silence_id, actor, monitor.watch.now())
    except NoSuchThing:
        raise NotFound("No such silence") from None
    except NotPossible as error:
        raise Conflict(str(error)) from None
    return Response(status_code=204)


@alert_routes.get("/maintenance")
def maintenance(monitor: Parts, cursor: str | None = None, limit: Limit = 50) -> wire.Page[wire.Maintenance]:
    return monitor.alerting.views.maintenance(before=_word(cursor), limit=limit)


@alert_routes.post("/maintenance", status_code=201)
def maintain(asked: wire.NewMaintenance, monitor: Parts, actor: Operator) -> wire.Maintenance:
    unknown = sorted(set(asked.backends) - set(monitor.watch.backends))
    if unknown:
        raise BackendNotFound(f"No backend {unknown[0][:80]!r} in the fleet file")
    try:
        return monitor.alerting.operators.maintain(asked, actor, monitor.watch.now())
    except NotPossible as error:
        raise Conflict(str(error)) from None


@alert_routes.delete("/maintenance/{maintenance_id}", status_code=204)
def end_maintenance(maintenance_id: str, monitor: Parts, actor: Operator) -> Response:
    try:
        monitor.alerting.operators.end_maintenance(maintenance_id, actor, monitor.watch.now())
    except NoSuchThing:
        raise NotFound("No such maintenance window") from None
    except NotPossible as error:
        raise Conflict(str(error)) from None
    return Response(status_code=204)


@alert_routes.get("/deliveries")
def deliveries(
    monitor: Parts, route: str | None = None, cursor: str | None = None, limit: Limit = 50
) -> wire.Page[wire.Delivery]:
    """What was told to whom, and what waits: newest first."""
    return monitor.alerting.views.deliveries(route=route, before=_number(cursor), limit=limit)


@alert_routes.get("/alert-routes")
async def routes(monitor: Parts) -> wire.Page[wire.AlertRoute]:
    """As the fleet file has them, without their URLs."""
    items = [
        wire.AlertRoute(name=one.name, kind=one.kind, min_severity=one.min_severity) for one in monitor.alerting.settings.routes
    ]
    return wire.Page(items=items, total=len(items))


@alert_routes.post("/alert-routes/{name}/test")
def test_route(name: str, monitor: Parts, actor: Operator) -> wire.RouteTest:
    """Send a notification that says it is a test, now, and give what the receiver made of it."""
    route = monitor.alerting.settings.route(name)
    if route is None:
        raise RouteNotFound(f"No route {name[:80]!r} in the fleet file")
    tested = monitor.alerting.sender.test(route, monitor.alerting.settings)
    monitor.alerting.operators.note_test(route.name, actor, delivered=tested.delivered, now=monitor.watch.now())
    return tested


@alert_routes.get("/audit", dependencies=[MayAudit])
def audit(monitor: Parts, cursor: str | None = None, limit: Limit = 50) -> wire.Page[wire.Action]:
    """What operators did: who, what, when, newest first."""
    return monitor.alerting.views.actions(before=_number(cursor), limit=limit)


def _number(cursor: str | None) -> int | None:
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise BadCursor
    return int(cursor) if cursor else None


def _word(cursor: str | None) -> str | None:
    if cursor is not None and not (cursor.isascii() and cursor.replace("_", "").isalnum() and len(cursor) < 64):
        raise BadCursor
    return cursor
