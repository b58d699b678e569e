"""The audit trail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from backend import wire
from backend.openapi import refuses
from backend.routes.deps import Cursor, Limit, MayReadAudit, MayWatch, TheParts
from backend.store import audit_chain, audit_stretch
from backend.store.audit import Asked

router = APIRouter(prefix="/v1/audit", tags=["audit"])

Word = Annotated[str | None, Query(max_length=200)]
Moment = Annotated[AwareDatetime | None, Query(description="RFC 3339 with an offset; `after` is inclusive, `before` is not.")]


@router.get("", response_model=wire.Page[wire.AuditEvent], responses=refuses())
async def list_events(
    caller: MayReadAudit,
    parts: TheParts,
    cursor: Cursor = None,
    limit: Limit = 50,
    actor: Word = None,
    action: Word = None,
    object_id: Word = None,
    after: Moment = None,
    before: Moment = None,
) -> wire.Page[wire.AuditEvent]:
    """Newest first; each event's hash covers the one before. Conditions are exact, and all of them must hold."""
    asked = Asked(actor=actor, action=action, object_id=object_id, after=after, before=before)
    return await parts.threads.ledger(parts.audit.list, cursor=cursor, limit=limit, asked=asked)


@router.get("/head", response_model=wire.AuditHead, responses=refuses())
async def read_head(caller: MayWatch, parts: TheParts) -> wire.AuditHead:
    """The head of the chain, to be kept elsewhere: `python -m backend audit verify --witness` compares."""
    found = await parts.threads.ledger(audit_chain.head, parts.store)
    return wire.AuditHead(position=found.position, hash=found.hash, at=found.at, waiting=found.waiting)


@router.get("/verification", response_model=wire.AuditVerification, responses=refuses())
async def verify_chain(caller: MayReadAudit, parts: TheParts, cursor: Cursor = None) -> wire.AuditVerification:
    """Follow the chain from its beginning for a second or two; a long one is gone through by asking again with `cursor=next`.

    That its end was cut off no chain tells by itself: compare the head with one that was kept elsewhere.
    """
    found = await parts.threads.ledger(audit_stretch.follow, parts.store, cursor)
    head = await parts.threads.ledger(audit_chain.head, parts.store)
    return wire.AuditVerification(
        holds=found.verdict.holds,
        position=found.verdict.position,
        hash=found.verdict.hash,
        checked=found.checked,
        broken_at=found.verdict.broken_at,
        why=found.verdict.why,
        restores=found.verdict.restores,
        head=wire.AuditHead(position=head.position, hash=head.hash, at=head.at, waiting=head.waiting),
        next=found.next,
    )
