"""What scores mean here: the calibration and thresholds in force, and what others would have done."""

from __future__ import annotations

from fastapi import APIRouter

from backend import wire
from backend.errors import InvalidThreshold, NoCalibration
from backend.openapi import refuses, takes
from backend.routes.deps import MaySimulate, MayWatch, SimulateBody, TheParts

router = APIRouter(prefix="/v1/calibration", tags=["calibration"])


@router.get("", response_model=wire.CalibrationInForce, responses=refuses())
async def read_calibration(caller: MayWatch, parts: TheParts) -> wire.CalibrationInForce:
    """Calibration, thresholds and target of the replica that answers, and what to expect at the gallery's present size."""
    return await parts.threads.ledger(parts.scoring.read)


@router.post(
    "/simulate",
    response_model=wire.Simulation,
    responses=refuses(InvalidThreshold, NoCalibration),
    openapi_extra=takes(wire.SimulateRequest),
)
async def simulate(caller: MaySimulate, body: SimulateBody, parts: TheParts) -> wire.Simulation:
    """What another review threshold, or the one that a target FPIR comes to, would have done. Changes nothing.

    Resolved pairs tell which share of a score shows one person, and at least how much would be missed; no FMR: only pairs
    that reached a review threshold were ever seen.
    """
    return await parts.threads.ledger(parts.scoring.simulate, body.content)
