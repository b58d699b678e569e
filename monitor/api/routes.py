"""The monitor's HTTP routes: each asks the parts and gives their answer; no logic of its own.

The present state comes from memory and is served even while the database is away; history comes from the database.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from monitor import views, wire
from monitor.api.identity import Caller
from monitor.api.problems import BackendNotFound, BadCursor, BadRequest
from monitor.histogram import Histogram
from monitor.monitor import Monitor
from monitor.store.history import rebucketed
from monitor.store.tables import Minute

MOST_POINTS = 1500
SAMPLES_UP_TO_S = 3600
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


@routes.get("/backends/{name}")
async def backend(name: str, monitor: Parts) -> wire.Backend:
    found = views.backend_views(monitor.watch, monitor.balancer, now=monitor.watch.now())
    return next((one for one in found if one.name == name), None) or _no_such(name)


@routes.get("/backends/{name}/history")
def history(
    name: str,
    monitor: Parts,
    since: datetime | None = None,
    step: Annotated[int | None, Query(ge=10, le=86_400, description="seconds per point")] = None,
) -> wire.Page[wire.HistoryPoint]:
    """Oldest first; a bucket without a sample is left out. Default: the last hour in minutes."""
    if name not in monitor.watch.backends:
        _no_such(name)
    now = monitor.watch.now()
    start = since or now - timedelta(hours=1)
    if start.tzinfo is None:
        raise BadRequest("`since` needs a zone: 2026-01-01T00:00:00Z")
    step_s = step or 60
    if (now - start).total_seconds() / step_s > MOST_POINTS:
        raise BadRequest(f"more than {MOST_POINTS} points: give a later `since` or a longer `step`")
    rows = _buckets(monitor, name, start, now, step_s)
    return wire.Page(items=[_history_point(row) for row in rows], total=len(rows))


@routes.get("/load")
async def load(monitor: Parts, window_s: Annotated[float, Query(ge=1, le=WIDEST_WINDOW_S)] = views.WINDOW_S) -> wire.LoadView:
    return views.load_view(monitor.watch, monitor.distribution, window_s=window_s, now=monitor.watch.now())


@routes.get("/load/series")
def load_series(monitor: Parts, window_s: Annotated[float, Query(ge=60, le=7 * 86_400)] = 900) -> wire.Page[wire.LoadPoint]:
    """Oldest first, about 90 steps over the window, at least ten seconds each."""
    now = monitor.watch.now()
    step_s = max(10, int(window_s // 90) // 10 * 10)
    rows = _buckets(monitor, None, now - timedelta(seconds=window_s), now, step_s)
    items = [_load_point(row) for row in rows if row.requests is not None]
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


def _buckets(monitor: Monitor, backend: str | None, since: datetime, now: datetime, step_s: int) -> list[Minute]:
    """From samples while the span is short, from minutes beyond."""
    if step_s < 60 or (now - since).total_seconds() <= SAMPLES_UP_TO_S:
        return monitor.history.buckets(backend=backend, since=since, step_s=step_s)
    return rebucketed(monitor.history.minutes(backend=backend, since=since), step_s)


def _history_point(row: Minute) -> wire.HistoryPoint:
    return wire.HistoryPoint(
        at=row.at,
        state=wire.State(row.state),
        up_ratio=row.up / row.samples if row.samples else None,
        latency_p95_ms=Histogram.from_pairs(row.probe_ms).quantile(0.95),
        requests=None if row.requests is None else round(row.requests),
        errors=None if row.errors is None else round(row.errors),
    )


def _load_point(row: Minute) -> wire.LoadPoint:
    p95 = Histogram.from_pairs(row.latency).quantile(0.95)
    return wire.LoadPoint(
        at=row.at,
        backend=row.backend,
        requests=round(row.requests or 0),
        errors=round(row.errors or 0),
        p95_ms=None if p95 is None else round(p95 * 1000, 2),
    )
