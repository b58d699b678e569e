"""Score → expected false match rate, and the thresholds that belong to each recogniser."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from backend.faces.engine import Calibration

OFFLINE: Calibration | None = None


@dataclass(frozen=True)
class Profile:
    """Thresholds of one recogniser, with its calibration where one was measured."""

    verification: float
    review: float
    certain: float
    calibration: Calibration | None


GENERIC = Profile(verification=0.40, review=0.35, certain=0.60, calibration=None)
_PROFILES: dict[str, Profile] = {}


def profile_of(recogniser_sha256: str) -> Profile:
    return _PROFILES.get(recogniser_sha256, GENERIC)


def expected_fmr(calibration: Calibration | None, score: float) -> float | None:
    """Chance that two different people reach `score`; None where nothing was measured (see `why_unknown`)."""
    if calibration is None or not calibration.points or score < calibration.points[0].score:
        return None
    points = calibration.points
    for low, high in itertools.pairwise(points):
        if score < high.score:
            share = (score - low.score) / (high.score - low.score)
            return math.exp((1 - share) * math.log(low.fmr) + share * math.log(high.fmr))
    return points[-1].fmr


def expected_fpir(calibration: Calibration | None, score: float, n: int) -> float | None:
    """Chance of any false candidate among `n` templates: 1 - (1 - FMR)^n, without the loss of 1 - (1 - tiny)."""
    fmr = expected_fmr(calibration, score)
    return None if fmr is None else -math.expm1(n * math.log1p(-min(fmr, 1 - 1e-12)))


def why_unknown(calibration: Calibration | None, score: float) -> str | None:
    """The sentence for an answer in which `expected_fmr` is None; None where it is known."""
    if calibration is None or not calibration.points:
        return "No calibration is known for this recogniser: measure one on photographs of your own."
    if score < calibration.points[0].score:
        return f"The calibration {calibration.id} begins at a score of {calibration.points[0].score:g}."
    return None
