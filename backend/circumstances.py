"""What is in force at the moment at which pairs are written, for whoever writes some outside of an enrolment."""

from __future__ import annotations

from typing import Literal

from sqlmodel import Session

from backend.calibrations import calibration_row
from backend.faces.calibration import expected_fpir
from backend.faces.engine import ModelCard
from backend.store.database import Store
from backend.store.pairs import Circumstances
from backend.store.tables import CalibrationRow


def circumstances_of(
    store: Store, session: Session, card: ModelCard, *, threshold: float, source: Literal["scan", "manual"]
) -> Circumstances:
    """Within a write transaction: it keeps the calibration that they name."""
    now, size = store.now(session), store.gallery(session).active_templates
    calibration = calibration_row(card, store.gallery_id, now)
    if calibration is not None and session.get(CalibrationRow, (calibration.id, calibration.gallery_id)) is None:
        session.add(calibration)
    return Circumstances(
        threshold=threshold,
        gallery_size=size,
        expected_fpir=expected_fpir(card.calibration, threshold, size),
        calibration_id=None if calibration is None else calibration.id,
        model_id=card.model_id,
        source=source,
        at=now,
    )
