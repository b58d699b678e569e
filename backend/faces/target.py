"""From "one false flag in 1,000 enrolments" to a score: the review threshold that meets a target FPIR at a gallery's size.

FPIR = 1 - (1 - FMR)^N, so a target at N templates needs FMR = 1 - (1 - FPIR)^(1/N); a calibration that falls gives the score.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from backend.faces.calibration import expected_fpir
from backend.faces.engine import Calibration, CalibrationPoint

LimitedBy = Literal["calibration", "certain_threshold"]


@dataclass(frozen=True)
class Met:
    """`threshold`: what a target comes to at one size; `supported`: whether the target is met there."""

    threshold: float
    supported: bool
    expected_fpir: float
    needed_fmr: float
    limited_by: LimitedBy | None = None
    """why it is not met; None where it is"""


@dataclass(frozen=True)
class ReviewTarget:
    """Chance of any false flag at one enrolment that an operator accepts, and the curve that turns it into a score."""

    fpir: float
    calibration: Calibration

    def at(self, size: int, *, certain: float) -> Met:
        """With `size` active templates. Never above `certain`: who certainly is a duplicate is flagged at any size."""
        found = threshold_for(self.calibration, self.fpir, size)
        if found.threshold <= certain:
            return found
        expected = expected_fpir(self.calibration, certain, max(1, size))
        return Met(certain, False, 1.0 if expected is None else expected, found.needed_fmr, "certain_threshold")


def threshold_for(calibration: Calibration, target_fpir: float, n: int) -> Met:
    """The smallest score whose expected FPIR among `n` templates is at most `target_fpir`, within (0, 1).

    Where the calibration cannot back the rate that this needs: the smallest score with its smallest rate. A higher one would
    lose more duplicates, and nothing supports that it would flag fewer strangers. An empty gallery counts as one template:
    those of a batch find one another. Raises ValueError for a calibration without points.
    """
    if not calibration.points:
        raise ValueError("a calibration without points gives no threshold")
    size = max(1, n)
    needed = needed_fmr(target_fpir, size)
    score = _smallest(calibration, needed)
    supported = score is not None
    if score is None:
        score = _strictest(calibration)
    expected = expected_fpir(calibration, score, size)
    return Met(score, supported, 1.0 if expected is None else expected, needed, None if supported else "calibration")


def needed_fmr(target_fpir: float, n: int) -> float:
    """1 - (1 - FPIR)^(1/n), without the loss of 1 - (1 - tiny)."""
    return -math.expm1(math.log1p(-target_fpir) / n)


def _smallest(calibration: Calibration, needed: float) -> float | None:
    points = calibration.points
    if points[0].fmr <= needed:
        return points[0].score
    for low, high in itertools.pairwise(points):
        if high.fmr <= needed:
            return _between(low, high, needed)
    return None


def _between(low: CalibrationPoint, high: CalibrationPoint, needed: float) -> float:
    """Log-linear, as `expected_fmr` reads the curve; low.fmr > needed >= high.fmr."""
    share = math.log(low.fmr / needed) / math.log(low.fmr / high.fmr)
    return min(high.score, low.score + share * (high.score - low.score))


def _strictest(calibration: Calibration) -> float:
    least = min(point.fmr for point in calibration.points)
    return next(point.score for point in calibration.points if point.fmr == least)
