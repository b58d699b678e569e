"""Whole-gallery scans for people who are enrolled twice."""

from __future__ import annotations

from fastapi import APIRouter, status

from backend import wire
from backend.errors import InvalidThreshold, ModelMismatch, ScanNotFound, ScanStateConflict, ScanUnderWay
from backend.openapi import refuses, takes
from backend.routes.deps import Cursor, IdempotencyKey, Limit, MayReadScans, MayScan, ScanBody, TheParts
from backend.store.answers import repeat

router = APIRouter(prefix="/v1/scans", tags=["scans"])


@router.post(
    "",
    response_model=wire.Scan,
    status_code=status.HTTP_201_CREATED,
    responses=refuses(InvalidThreshold, ScanUnderWay, ModelMismatch),
    openapi_extra=takes(wire.ScanRequest, required=False),
)
async def start_scan(caller: MayScan, body: ScanBody, parts: TheParts, idempotency_key: IdempotencyKey = None) -> wire.Scan:
    """Compare every two people. One scan at a time; it goes on where a replica is stopped or dies.

    By default it looks at those enrolled since the last finished scan at this threshold or a lower one.
    """
    idempotency = repeat(idempotency_key, body.sha256, of="scans")
    return await parts.models.asked(lambda it: it.scans.start(body.content, caller, idempotency=idempotency))


@router.get("", response_model=wire.Page[wire.Scan], responses=refuses())
async def list_scans(caller: MayReadScans, parts: TheParts, cursor: Cursor = None, limit: Limit = 50) -> wire.Page[wire.Scan]:
    """Newest first."""
    return await parts.threads.ledger(parts.scans.list, cursor=cursor, limit=limit)


@router.get("/plan", response_model=wire.ScanPlan, responses=refuses(InvalidThreshold, ModelMismatch))
async def plan_scan(caller: MayReadScans, parts: TheParts, threshold: float | None = None, whole: bool = False) -> wire.ScanPlan:
    """What a scan would cost that were started now: how many templates, comparisons and seconds."""
    return await parts.models.asked(lambda it: it.scans.plan(threshold=threshold, whole=whole))


@router.get("/{scan_id}", response_model=wire.Scan, responses=refuses(ScanNotFound))
async def read_scan(scan_id: str, caller: MayReadScans, parts: TheParts) -> wire.Scan:
    """How far it came, how fast, and how long it will take."""
    return await parts.threads.ledger(parts.scans.read, scan_id)


@router.post("/{scan_id}/cancel", response_model=wire.Scan, responses=refuses(ScanNotFound, ScanStateConflict))
async def cancel_scan(scan_id: str, caller: MayScan, parts: TheParts) -> wire.Scan:
    """End it; the cases that it opened stay."""
    return await parts.threads.ledger(parts.scans.cancel, scan_id, caller)


@router.post("/{scan_id}/resume", response_model=wire.Scan, responses=refuses(ScanNotFound, ScanStateConflict, ScanUnderWay))
async def resume_scan(scan_id: str, caller: MayScan, parts: TheParts) -> wire.Scan:
    """Let one that was cancelled, or failed, go on where it stopped."""
    return await parts.threads.ledger(parts.scans.resume, scan_id, caller)
