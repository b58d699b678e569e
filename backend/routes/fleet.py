"""What this replica is, and numbers for the dashboard."""

from __future__ import annotations

import logging
import os

from fastapi import APIRouter

from backend import wire
from backend.errors import Stopping, Unavailable
from backend.openapi import refuses
from backend.parts import Parts
from backend.routes.deps import MayDrain, MayWatch, TheParts
from backend.sides import Side
from backend.store.caller import Caller
from backend.store.stats import stats
from backend.version import version

router = APIRouter(prefix="/v1", tags=["fleet"])
log = logging.getLogger(__name__)


@router.get("/fleet/self", response_model=wire.Self, responses=refuses())
async def read_self(caller: MayWatch, parts: TheParts) -> wire.Self:
    """What this replica is; the monitor compares these across the fleet."""
    return _self(parts)


@router.post("/fleet/self/drain", response_model=wire.Self, responses=refuses())
async def drain(caller: MayDrain, parts: TheParts) -> wire.Self:
    """Take this replica out of service until it returns or is restarted: /ready answers 503, requests are still served."""
    parts.life.drain()
    await _recorded(parts, caller, "fleet.drain")
    return _self(parts)


@router.post("/fleet/self/return", response_model=wire.Self, responses=refuses(Stopping))
async def put_back(caller: MayDrain, parts: TheParts) -> wire.Self:
    """Put this replica back into service: /ready is asked of its checks again. One that was not drained stays as it is."""
    parts.life.put_back()
    await _recorded(parts, caller, "fleet.return")
    return _self(parts)


@router.get("/stats", response_model=wire.Stats, responses=refuses())
async def read_stats(caller: MayWatch, parts: TheParts) -> wire.Stats:
    return await parts.threads.ledger(stats, parts.store, parts.due)


async def _recorded(parts: Parts, caller: Caller, action: str) -> None:
    """An operator must be able to act while the database is away: then the log alone says so."""
    try:
        await parts.threads.ledger(parts.audit.record, caller, action, parts.settings.instance)
    except Unavailable:
        log.warning("%s, and the audit trail cannot say so: the database is away", action)


def _self(parts: Parts) -> wire.Self:
    side = parts.side
    gallery = side.replica.status()
    in_force = side.thresholds.at(gallery.size)
    return wire.Self(
        instance=parts.settings.instance,
        version=version(),
        model_id=side.card.model_id,
        engine=side.card.engine,
        verification_threshold=in_force.verification,
        review_threshold=in_force.review,
        certain_threshold=in_force.certain,
        gallery_size=gallery.size,
        gallery_memory_bytes=gallery.memory_bytes,
        gallery_memory_limit_bytes=gallery.memory_limit_bytes,
        seq=gallery.seq,
        lag_s=gallery.lag_s,
        checksum=gallery.checksum,
        draining=parts.life.draining,
        started_at=parts.life.started_at,
        pid=os.getpid(),
        other_models=[_other(one) for one in parts.models.sides.all if one is not side],
    )


def _other(side: Side) -> wire.OtherModel:
    gallery = side.replica.status()
    return wire.OtherModel(
        model_id=side.card.model_id,
        engine=side.card.engine,
        gallery_size=gallery.size,
        gallery_memory_bytes=gallery.memory_bytes,
        seq=gallery.seq,
        lag_s=gallery.lag_s,
        checksum=gallery.checksum,
        problem=gallery.problem,
    )
