"""API keys of machines."""

from __future__ import annotations

from fastapi import APIRouter

from backend import wire
from backend.openapi import refuses, takes
from backend.routes.deps import KeyBody, MayManageKeys, TheParts

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.get("", response_model=wire.Page[wire.Key], responses=refuses())
async def list_keys(caller: MayManageKeys, parts: TheParts) -> wire.Page[wire.Key]:
    """All of them, revoked ones too; never a secret."""
    keys = await parts.threads.ledger(parts.keys.list)
    return wire.Page[wire.Key](items=keys, total=len(keys))


@router.post(
    "", status_code=201, response_model=wire.NewKey, responses=refuses(400, 415, 422), openapi_extra=takes(wire.KeyRequest)
)
async def create_key(caller: MayManageKeys, body: KeyBody, parts: TheParts) -> wire.NewKey:
    """The answer holds the secret, once."""
    asked = body.content
    return await parts.threads.ledger(parts.keys.create, asked.name, asked.scopes, asked.expires_at, caller=caller)


@router.delete("/{key_id}", response_model=wire.Key, responses=refuses(404))
async def revoke_key(key_id: str, caller: MayManageKeys, parts: TheParts) -> wire.Key:
    """It is refused from now on; its record stays."""
    return await parts.threads.ledger(parts.keys.revoke, key_id, caller=caller)
