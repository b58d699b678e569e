"""How many errors a calibration counted at a threshold: exactly where it was one of the counted scores, else between two.

Rates of different people are stored, never below 3 in as many trials: there three or fewer were seen, and nobody knows how many.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from backend.faces.engine import Calibration

CLAIMED_FROM = 3
"""false matches: fewer back no rate of their own at 95 %"""


@dataclass(frozen=True)
class Errors:
    """`least` to `most` of `trials`."""

    least: int
    most: int
    trials: int


def false_matches(calibration: Calibration | None, threshold: float) -> Errors | None:
    """Pairs of different people that reach `threshold`; None below the first counted score, and where only rates are known."""
    if calibration is None or calibration.trials is None or not calibration.points:
        return None
    trials, points = calibration.trials, calibration.points
    scores = [point.score for point in points]
    if threshold < scores[0]:
        return None
    counts = [round(point.fmr * trials) for point in points]
    below = bisect.bisect_right(scores, threshold) - 1
    above = bisect.bisect_left(scores, threshold)
    least = counts[above] if above < len(counts) else 0
    return Errors(0 if least <= CLAIMED_FROM else least, counts[below], trials)


def false_non_matches(calibration: Calibration | None, threshold: float) -> Errors | None:
    """Pairs of one person that score lower than `threshold`; None where none were counted."""
    curve = None if calibration is None else calibration.genuine
    if curve is None or not curve.below:
        return None
    scores = [score for score, _ in curve.below]
    below = bisect.bisect_right(scores, threshold) - 1
    above = bisect.bisect_left(scores, threshold)
    least = curve.below[below][1] if below >= 0 else 0
    most = curve.below[above][1] if above < len(scores) else curve.trials
    return Errors(least, most, curve.trials)
