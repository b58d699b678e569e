"""From settings and the engine's own statement to what is in force: which calibration, which thresholds, which target."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from backend.faces import calibration_file
from backend.faces.calibration_file import CalibrationFileError
from backend.faces.engine import ModelCard
from backend.faces.target import ReviewTarget
from backend.recognition import Thresholds
from backend.settings import Settings


class ThresholdsError(Exception):
    """The settings of thresholds do not fit the engine; the message is a sentence for the operator."""


def calibrated(settings: Settings, card: ModelCard) -> ModelCard:
    """With the site's own calibration in the place of the engine's, where there is one. Raises ThresholdsError."""
    if settings.calibration_file is None:
        return card
    try:
        file = calibration_file.read(settings.calibration_file, model_id=card.model_id)
    except CalibrationFileError as error:
        raise ThresholdsError(f"BACKEND_CALIBRATION_FILE: {error}") from error
    return replace(card, calibration=file.calibration())


def thresholds_of(settings: Settings, card: ModelCard) -> Thresholds:
    """The engine's own thresholds, where no setting says otherwise. Raises ThresholdsError for a target that nothing backs."""

    def either(setting: float | None, default: float) -> float:
        return default if setting is None else setting

    return Thresholds(
        verification=either(settings.verification_threshold, card.verification_threshold),
        review=either(settings.review_threshold, card.review_threshold),
        certain=either(settings.certain_threshold, card.certain_threshold),
        target=_target(settings, card),
    )


def review_set_by(settings: Settings) -> Literal["setting", "target", "engine"]:
    if settings.target_fpir is not None:
        return "target"
    return "engine" if settings.review_threshold is None else "setting"


def _target(settings: Settings, card: ModelCard) -> ReviewTarget | None:
    if settings.target_fpir is None:
        return None
    if card.calibration is None:
        raise ThresholdsError(
            "BACKEND_TARGET_FPIR needs a calibration, and none is known for this recogniser: measure one with"
            " `python -m backend calibrate` and name it in BACKEND_CALIBRATION_FILE"
        )
    return ReviewTarget(settings.target_fpir, card.calibration)
