"""False matches against false non-matches: the DET curve, the equal error rate, FNMR at an FMR (ISO/IEC 19795-1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.faces.accuracy.comparisons import Comparisons

DET_POINTS = 200


@dataclass(frozen=True)
class Point:
    threshold: float
    false_matches: int
    false_non_matches: int


def det(comparisons: Comparisons, *, at_most: int = DET_POINTS) -> list[Point]:
    """One point for each change of either count, thinned evenly along both axes; [] without pairs of both kinds."""
    if not (comparisons.genuine_pairs and comparisons.impostor_pairs):
        return []
    missed, matched = comparisons.genuine_below, comparisons.impostor_from
    changed = np.ones(len(missed), bool)
    changed[1:] = (np.diff(missed) != 0) | (np.diff(matched) != 0)
    places = np.flatnonzero(changed)
    if len(places) > at_most:
        along = [
            _evenly(np.log10(np.maximum(matched[places], 0.5)), at_most // 2),
            _evenly(missed[places].astype(np.float64), at_most // 2),
        ]
        places = places[np.unique(np.concatenate(along))]
    return [_point(comparisons, int(place)) for place in places]


def equal_error(comparisons: Comparisons) -> Point | None:
    """Where FMR and FNMR are nearest to each other: the middle of that range of thresholds. None without pairs of both kinds."""
    if not (comparisons.genuine_pairs and comparisons.impostor_pairs):
        return None
    fmr = comparisons.impostor_from / comparisons.impostor_pairs
    fnmr = comparisons.genuine_below / comparisons.genuine_pairs
    apart = np.abs(fmr - fnmr)
    nearest = np.flatnonzero(apart == apart.min())
    return _point(comparisons, int(nearest[len(nearest) // 2]))


def at_fmr(comparisons: Comparisons, target: float) -> Point | None:
    """The lowest threshold at which no larger share of impostor pairs matches. None without impostor pairs."""
    if not comparisons.impostor_pairs:
        return None
    low_enough = np.flatnonzero(comparisons.impostor_from <= target * comparisons.impostor_pairs)
    return _point(comparisons, int(low_enough[0])) if len(low_enough) else None


def _point(comparisons: Comparisons, place: int) -> Point:
    return Point(
        threshold=float(comparisons.edges[place]),
        false_matches=int(comparisons.impostor_from[place]),
        false_non_matches=int(comparisons.genuine_below[place]),
    )


def _evenly(along: np.ndarray, wanted: int) -> np.ndarray:
    """Places of values that lie evenly between the first and the last of a monotonous series."""
    rising = along if along[-1] >= along[0] else -along
    return np.minimum(np.searchsorted(rising, np.linspace(rising[0], rising[-1], wanted)), len(along) - 1)
