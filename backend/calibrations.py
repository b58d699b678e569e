"""The engine's calibration as a row of the ledger, so that a pair can name what its odds were computed with."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from backend.faces.engine import ModelCard
from backend.store.tables import CalibrationRow


def calibration_row(card: ModelCard, gallery_id: str, at: datetime) -> CalibrationRow | None:
    """None for an engine without one."""
    calibration = card.calibration
    if calibration is None:
        return None
    return CalibrationRow(
        id=calibration.id,
        gallery_id=gallery_id,
        model_id=card.model_id,
        points=[asdict(point) for point in calibration.points],
        supported_fmr=calibration.supported_fmr,
        source=calibration.source,
        created_at=at,
    )
