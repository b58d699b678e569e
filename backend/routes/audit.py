"""The audit trail."""

from __future__ import annotations

from fastapi import APIRouter

from backend import wire
from backend.openapi import refuses
from backend.routes.deps import Cursor, Limit, MayReadAudit, TheParts

router = APIRouter(prefix="/v1/audit", tags=["audit"])


@router.get("", response_model=wire.Page[wire.AuditEvent], responses=refuses(400))
async def list_events(
    caller: MayReadAudit, parts: TheParts, cursor: Cursor = None, limit: Limit = 50
) -> wire.Page[wire.AuditEvent]:
    """Newest first; each event's hash covers the one before."""
    return await parts.threads.ledger(parts.audit.list, cursor=cursor, limit=limit)
