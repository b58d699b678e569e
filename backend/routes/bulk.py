"""Cases of identical pictures, decided many at a time: looked at first, and taken back at once where it was wrong."""

from __future__ import annotations

from fastapi import APIRouter

from backend import wire
from backend.errors import BulkNotFound, IdempotencyKeyReused, NoteRequired, PersonNeeded, UnknownReason, VerdictNotOffered
from backend.openapi import refuses, takes
from backend.routes.deps import BulkBody, BulkPreviewBody, CountDecision, Reviewer, TheParts

router = APIRouter(prefix="/v1/duplicates/bulk", tags=["duplicates"])


@router.post(
    "/preview",
    response_model=wire.BulkPreview,
    responses=refuses(PersonNeeded),
    openapi_extra=takes(wire.BulkPreviewRequest, required=False),
)
async def preview_bulk(caller: Reviewer, body: BulkPreviewBody, parts: TheParts) -> wire.BulkPreview:
    """Which cases would be decided `same`, with which survivor, and why others are left out. Changes nothing."""
    return await parts.threads.ledger(parts.bulk.preview, body.content, caller)


@router.post(
    "",
    response_model=wire.Bulk,
    responses=refuses(PersonNeeded, IdempotencyKeyReused, VerdictNotOffered, UnknownReason, NoteRequired),
    openapi_extra=takes(wire.BulkRequest),
)
async def decide_bulk(caller: Reviewer, body: BulkBody, parts: TheParts, decided: CountDecision) -> wire.Bulk:
    """Decide them, each by itself; the answer says what became of each. Repeating the request gives the same answer."""
    answer, count = await parts.threads.ledger(parts.bulk.decide, body.content, caller)
    for _ in range(count):
        decided("adjudicate", str(body.content.verdict))
    return answer


@router.post("/{bulk_id}/undo", response_model=wire.BulkUndone, responses=refuses(PersonNeeded, BulkNotFound))
async def undo_bulk(bulk_id: str, caller: Reviewer, parts: TheParts, decided: CountDecision) -> wire.BulkUndone:
    """Take back every decision of it that is still the last on its case."""
    answer, count = await parts.threads.ledger(parts.bulk.undo, bulk_id, caller)
    for _ in range(count):
        decided("adjudicate", "undo")
    return answer
