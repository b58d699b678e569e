"""What balancers, orchestrators and Prometheus ask. None of it waits behind work: coroutines, one shared look at the database."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from backend import health, metrics, wire
from backend.routes.deps import TheParts

router = APIRouter(tags=["probes"])
UNAVAILABLE = {503: {"description": "Not now: see Retry-After"}}


@router.head("/health", include_in_schema=False)
@router.get("/health", response_model=wire.Health, responses=UNAVAILABLE)  # type: ignore[arg-type]
async def is_healthy(parts: TheParts) -> Response:
    """Whether the database answers."""
    found = await parts.readiness.health()
    return _answer(found, well=found.status == "healthy")


@router.head("/live", include_in_schema=False)
@router.get("/live", response_model=wire.Live)
async def is_alive() -> Response:
    """Whether the event loop turns; looks at nothing else."""
    return _answer(wire.Live(timestamp=health.timestamp()), well=True)


@router.head("/ready", include_in_schema=False)
@router.get("/ready", response_model=wire.Ready, responses=UNAVAILABLE)  # type: ignore[arg-type]
async def is_ready(parts: TheParts) -> Response:
    """Whether this replica should get traffic, check by check."""
    found = await parts.readiness.ready()
    return _answer(found, well=found.status == "ready")


@router.get("/metrics", response_class=Response)
async def exposition(parts: TheParts) -> Response:
    """For Prometheus, in its text format."""
    return Response(parts.metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE})


def _answer(found: BaseModel, *, well: bool) -> JSONResponse:
    headers = {"Cache-Control": "no-store", **({} if well else {"Retry-After": "1"})}
    return JSONResponse(found.model_dump(mode="json"), status_code=200 if well else 503, headers=headers)
