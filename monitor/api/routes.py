"""The monitor's HTTP routes: each asks the parts and gives their answer; no logic of its own.

The present state comes from memory and is served even while the database is away; history comes from the database.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from monitor import figures, views, wire
from monitor.api import history as histories
from monitor.api.identity import Caller
from monitor.api.problems import BackendNotFound, BadCursor
from monitor.fleet_reading import fleet_file_view
from monitor.monitor import Monitor

WIDEST_WINDOW_S = 3600


def the_monitor(request: Request) -> Monitor:
    monitor: Monitor = request.app.state.monitor
    return monitor


Parts = Annotated[Monitor, Depends(the_monitor)]


def reader(request: Request, monitor: Parts) -> Caller:
    """Everything under /v1 needs a caller who may read."""
    return monitor.doorkeeper.admit(request.headers.getlist("Authorization"))


open_routes = APIRouter()
routes = APIRouter(prefix="/v1", dependencies=[Depends(reader)])


@routes.get("/fleet")
async def fleet(monitor: Parts) -> wire.FleetView:
    watch, balancer = monitor.watch, monitor.balancer
    return views.fleet_view(watch, balancer, lateness_s=monitor.schedule.worst_lateness_s, now=watch.now())


@routes.get("/fleet-file")
async def fleet_file(monitor: Parts) -> wire.FleetFileView:
    """The fleet that is watched, as the file says, without its secrets; and why the file on disk is refused, where it is."""
    return fleet_file_view(monitor.reading, monitor.watch.fleet)


@routes.get("/backends/{name}")
async def backend(name: str, monitor: Parts) -> wire.Backend:
    found = views.backend_views(monitor.watch, monitor.balancer, now=monitor.watch.now())
    return next((one for one in found if one.name == name), None) or _no_such(name)


@routes.get("/backends/{name}/history")
def history(
    name: str,
    monitor: Parts,
    since: datetime | None = None,
    until: datetime | None = None,
    step: Annotated[int | None, Query(ge=10, le=86_400, description="seconds per point; default: by the span")] = None,
) -> wire.HistoryView:
    """Oldest first. Default: the last hour in minutes."""
    if name not in monitor.watch.backends:
        _no_such(name)
    span = histories.Span.of(since, until, step, now=monitor.watch.now())
    return histories.backend_history(monitor.history, name, span)


@routes.get("/backends/{name}/figures")
async def backend_figures(
    name: str, monitor: Parts, window_s: Annotated[float, Query(ge=60, le=300)] = figures.WINDOW_S
) -> wire.Figures:
    """What it is busy with: stages, routes, decisions, resources; and who would serve without it."""
    if name not in monitor.watch.backends:
        _no_such(name)
    return figures.figures_view(monitor.watch, monitor.distribution, name, window_s=window_s, now=monitor.watch.now())


@routes.get("/load")
async def load(monitor: Parts, window_s: Annotated[float, Query(ge=1, le=WIDEST_WINDOW_S)] = views.WINDOW_S) -> wire.LoadView:
    return views.load_view(monitor.watch, monitor.distribution, window_s=window_s, now=monitor.watch.now())


@routes.get("/load/series")
def load_series(monitor: Parts, window_s: Annotated[float, Query(ge=60, le=7 * 86_400)] = 900) -> wire.Page[wire.LoadPoint]:
    """Oldest first, about 90 steps over the window, at least ten seconds each."""
    items = histories.load_series(monitor.history, window_s=window_s, now=monitor.watch.now())
    return wire.Page(items=items, total=len(items))


@routes.get("/certificates")
async def certificates(monitor: Parts) -> wire.Page[wire.Certificate]:
    found = views.certificates_view(monitor.watch)
    return wire.Page(items=found, total=len(found))


@routes.get("/events")
def events(
    monitor: Parts,
    backend: str | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> wire.Page[wire.Event]:
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise BadCursor
    return monitor.history.events(backend=backend, before_id=int(cursor) if cursor else None, limit=limit)


@open_routes.get("/live")
async def live(monitor: Parts) -> wire.Live:
    return wire.Live(timestamp=monitor.watch.now())


@open_routes.get("/health")
def health(monitor: Parts) -> JSONResponse:
    answer = monitor.health()
    return JSONResponse(answer.model_dump(mode="json"), 200 if answer.status == "healthy" else 503)


@open_routes.get("/ready")
def ready(monitor: Parts) -> JSONResponse:
    answer = monitor.ready()
    return JSONResponse(answer.model_dump(mode="json"), 200 if answer.status == "ready" else 503)


@open_routes.get("/metrics")
async def metrics(request: Request) -> Response:
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)


def _no_such(name: str) -> wire.Backend:
    raise BackendNotFound(f"No backend {name[:80]!r} in the fleet file")
