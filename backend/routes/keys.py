"""API keys of machines."""

from __future__ import annotations

from fastapi import APIRouter

from backend import wire
from backend.errors import KeyNotFound, KeyStateConflict, SecretGone
from backend.openapi import refuses, takes
from backend.routes.deps import IdempotencyKey, KeyBody, KeyChangeBody, MayManageKeys, TheParts
from backend.store.answers import repeat

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.get("", response_model=wire.Page[wire.Key], responses=refuses())
async def list_keys(caller: MayManageKeys, parts: TheParts) -> wire.Page[wire.Key]:
    """All of them, revoked ones too; never a secret."""
    keys = await parts.threads.ledger(parts.keys.list)
    return wire.Page[wire.Key](items=keys, total=len(keys))


@router.post("", status_code=201, response_model=wire.NewKey, responses=refuses(SecretGone), openapi_extra=takes(wire.KeyRequest))
async def create_key(
    caller: MayManageKeys, body: KeyBody, parts: TheParts, idempotency_key: IdempotencyKey = None
) -> wire.NewKey:
    """The answer holds the secret, once."""
    idempotency = repeat(idempotency_key, body.sha256, of="keys")
    return await parts.threads.ledger(parts.keys.create, body.content, caller=caller, idempotency=idempotency)


@router.patch(
    "/{key_id}", response_model=wire.Key, responses=refuses(KeyNotFound, KeyStateConflict), openapi_extra=takes(wire.KeyChange)
)
async def change_key(key_id: str, caller: MayManageKeys, body: KeyChangeBody, parts: TheParts) -> wire.Key:
    """Its limit, from its next request on; its scopes stay: make another key for others."""
    return await parts.threads.ledger(parts.keys.change, key_id, body.content, caller=caller)


@router.delete("/{key_id}", response_model=wire.Key, responses=refuses(KeyNotFound))
async def revoke_key(key_id: str, caller: MayManageKeys, parts: TheParts) -> wire.Key:
    """It is refused from now on; its record stays."""
    return await parts.threads.ledger(parts.keys.revoke, key_id, caller=caller)
