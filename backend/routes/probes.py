"""What balancers, orchestrators and Prometheus ask. None of it waits behind work: coroutines, one shared look at the database."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from backend import health, metrics, wire
from backend.examples import METRICS, NOT_READY, UNHEALTHY, Example
from backend.routes.deps import TheParts

router = APIRouter(tags=["probes"])


def _not_now(example: Example) -> dict[str, Any]:
    return {"description": "Not now: see Retry-After", "content": {"application/json": {"example": example}}}


@router.head("/health", include_in_schema=False)
@router.get("/health", response_model=wire.Health, responses={503: {"model": wire.Health, **_not_now(UNHEALTHY)}})
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
@router.get("/ready", response_model=wire.Ready, responses={503: {"model": wire.Ready, **_not_now(NOT_READY)}})
async def is_ready(parts: TheParts) -> Response:
    """Whether this replica should get traffic, check by check."""
    found = await parts.readiness.ready()
    return _answer(found, well=found.status == "ready")


@router.get("/metrics", response_class=Response, responses={200: {"content": {metrics.CONTENT_TYPE: {"example": METRICS}}}})
async def exposition(parts: TheParts) -> Response:
    """For Prometheus, in its text format."""
    return Response(parts.metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE})


def _answer(found: BaseModel, *, well: bool) -> JSONResponse:
    headers = {"Cache-Control": "no-store", **({} if well else {"Retry-After": "1"})}
    return JSONResponse(found.model_dump(mode="json"), status_code=200 if well else 503, headers=headers)
