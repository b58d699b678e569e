"""Score → where it lies among comparisons of different and of the same people, and each recogniser's thresholds.

The shipped curves were counted on 13,629 pairs of different people and 66 pairs of one person: 166 photographs of 122
people (of 22 of them three), mostly official portraits, through `capture` (so of stored crops). They claim nothing below
3/n, which is what n trials without an error support at 95 %. Portraits are easier than a camera at a door: a site
measures its own. Of one person 66 pairs are few, and the three of each of the 22 are no independent trials: the genuine
curves say where a score lies, and no more; no threshold rests on them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from backend.faces.engine import Calibration, CalibrationPoint, GenuineCurve

_TRIALS = 13_629
_SOURCE = "166 photographs of 122 people, 13,629 impostor pairs; official portraits"
_GENUINE_TRIALS = 66
_GENUINE_SOURCE = "66 photographs of 22 people, 66 pairs of one person; official portraits of different years"


@dataclass(frozen=True)
class Profile:
    """Thresholds of one recogniser, with its calibration where one was measured."""

    verification: float
    review: float
    certain: float
    calibration: Calibration | None


@dataclass(frozen=True)
class Place:
    """Where a score lies: the share of the comparisons that were counted; of n of them nothing below 3/n (or above 1 - 3/n)."""

    share: float
    bound: Literal["measured", "at_most", "at_least"]
    trials: int | None
    source: str


def counted(
    name: str, false_matches: Mapping[float, int], *, trials: int, source: str, genuine: GenuineCurve | None = None
) -> Calibration:
    """A calibration from the number of false matches at each of some scores, no rate below 3/trials."""
    supported = 3 / trials
    points = [CalibrationPoint(score, max(count / trials, supported)) for score, count in sorted(false_matches.items())]
    return Calibration(name, points, supported, source, trials, genuine)


def counted_genuine(below: Mapping[float, int], *, trials: int = _GENUINE_TRIALS, source: str = _GENUINE_SOURCE) -> GenuineCurve:
    """`below`: score → how many of the comparisons of one person score lower."""
    return GenuineCurve(sorted(below.items()), trials, source)


OFFLINE = counted(
    "offline-portraits-1",
    {0.30: 1970, 0.34: 844, 0.38: 291, 0.40: 157, 0.42: 71, 0.44: 28, 0.46: 9, 0.48: 2},
    trials=_TRIALS,
    source=_SOURCE,
    genuine=counted_genuine(
        {
            0.38: 0,
            0.42: 2,
            0.46: 2,
            0.50: 6,
            0.54: 8,
            0.58: 11,
            0.62: 22,
            0.66: 34,
            0.70: 54,
            0.74: 60,
            0.78: 63,
            0.82: 65,
            0.86: 66,
        }
    ),
)
_MOBILE_FACE_NET_REBUILT = counted(
    "w600k-mbf-8bit-portraits-1",
    {0.10: 2060, 0.14: 787, 0.18: 264, 0.20: 154, 0.22: 69, 0.24: 28, 0.26: 16, 0.28: 7, 0.30: 4, 0.32: 2},
    trials=_TRIALS,
    source=_SOURCE,
    genuine=counted_genuine(
        {
            0.38: 0,
            0.42: 1,
            0.46: 1,
            0.50: 1,
            0.54: 5,
            0.58: 6,
            0.62: 10,
            0.66: 21,
            0.70: 34,
            0.74: 47,
            0.78: 58,
            0.82: 60,
            0.86: 63,
            0.90: 66,
        }
    ),
)
_MOBILE_FACE_NET_128 = counted(
    "mobilefacenet-128-portraits-1",
    {0.20: 1081, 0.24: 486, 0.28: 226, 0.32: 84, 0.36: 28, 0.38: 19, 0.40: 9, 0.42: 3},
    trials=_TRIALS,
    source=_SOURCE,
    genuine=counted_genuine(
        {0.50: 0, 0.54: 1, 0.58: 3, 0.62: 5, 0.66: 12, 0.70: 17, 0.74: 30, 0.78: 42, 0.82: 55, 0.86: 60, 0.90: 62, 0.94: 66}
    ),
)

GENERIC = Profile(verification=0.40, review=0.35, certain=0.60, calibration=None)
"""What holds for ArcFace kinds in general; no rate is claimed."""

_PROFILES: dict[str, Profile] = {
    # by the SHA-256 of the recogniser's file; InsightFace's own files were not at hand to be measured
    "9831e530a5308f4db0a61cc693b3670f52e9a7130fba05e01b54e7cbbed9de70": Profile(0.38, 0.35, 0.60, _MOBILE_FACE_NET_REBUILT),
    "85cdeb7368ed6a1e9cbaaa6f283c6b2439f1fa533c17450bfdc7f357d285d5d1": Profile(0.48, 0.44, 0.65, _MOBILE_FACE_NET_128),
}


def profile_of(recogniser_sha256: str) -> Profile:
    return _PROFILES.get(recogniser_sha256, GENERIC)


def expected_fmr(calibration: Calibration | None, score: float) -> float | None:
    """Chance that two different people reach `score`; None where nothing was measured (see `why_unknown`).

    Between points log-linear; above the last one its rate stands, which the trials support and no more.
    """
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


def impostor_above(calibration: Calibration | None, score: float) -> Place | None:
    """Share of the pairs of different people that reach `score`; None where nothing was measured (see `why_unknown`)."""
    rate = expected_fmr(calibration, score)
    if calibration is None or rate is None:
        return None
    measured = rate > calibration.supported_fmr * (1 + 1e-9)
    return Place(rate, "measured" if measured else "at_most", calibration.trials, calibration.source)


def genuine_below(calibration: Calibration | None, score: float) -> Place | None:
    """Share of the pairs of one person that score lower than `score`; None where none were counted.

    Between points linear.
    """
    curve = None if calibration is None else calibration.genuine
    if curve is None or not curve.below:
        return None
    share = _lower(curve.below, score) / curve.trials
    least = min(1.0, 3 / curve.trials)
    if share <= least:
        return Place(least, "at_most", curve.trials, curve.source)
    if share >= 1 - least:
        return Place(1 - least, "at_least", curve.trials, curve.source)
    return Place(share, "measured", curve.trials, curve.source)


def _lower(below: Sequence[tuple[float, int]], score: float) -> float:
    if score <= below[0][0]:
        return below[0][1] if score == below[0][0] else 0.0
    for (low, fewer), (high, more) in itertools.pairwise(below):
        if score < high:
            return fewer + (more - fewer) * (score - low) / (high - low)
    return below[-1][1]
