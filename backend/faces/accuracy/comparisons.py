"""Every pair of templates compared once, in blocks, and counted by score: no matrix of n × n is ever held.

A pair is one comparison, both ways being the same. Genuine: two photographs of one person; impostor: of two people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.faces.accuracy.templates import People
from backend.faces.engine import Metric, Vector
from backend.faces.score import Matrix, scores

Counts = NDArray[np.int64]

STEP = 1e-4
_RANGE = {Metric.cosine: (-1.0, 1.0), Metric.l2: (-3.0, 1.0)}
_BLOCK = 4_000_000
"""Scores held at a time: 16 MB of float32, and a few times that for their masks."""
MOST_CONFUSIONS = 1_000_000


@dataclass(frozen=True)
class Confusions:
    """Impostor pairs that reached the lowest named threshold."""

    first: People
    second: People
    scores: Vector


@dataclass(frozen=True)
class Comparisons:
    """Counts at ascending thresholds; from a threshold on two are the same."""

    edges: Vector
    """(k,) float32, ascending; the named thresholds are among them"""
    genuine_below: Counts
    """(k,) genuine pairs that score below"""
    impostor_from: Counts
    """(k,) impostor pairs that score as much or more"""
    genuine_pairs: int
    impostor_pairs: int
    genuine_min: float | None
    impostor_max: float | None
    genuine_of: Counts
    """(s,) genuine pairs of each subject"""
    lost_of: dict[float, Counts]
    """(s,) for each named threshold: of those, how many score below"""
    confusions: Confusions | None
    """None where there were too many to keep"""

    def false_non_matches(self, threshold: float) -> int:
        """Of one of the edges."""
        return int(self.genuine_below[self._place(threshold)])

    def false_matches(self, threshold: float) -> int:
        """Of one of the edges."""
        return int(self.impostor_from[self._place(threshold)])

    def _place(self, threshold: float) -> int:
        place = int(np.searchsorted(self.edges, np.float32(threshold)))
        if place == len(self.edges) or self.edges[place] != np.float32(threshold):
            raise ValueError(f"{threshold} is not one of the thresholds that were counted at")
        return place


def compare(
    metric: Metric,
    vectors: Matrix,
    people: People,
    *,
    named: Sequence[float],
    fine: bool = True,
    each: Callable[[int], object] = lambda _: None,
) -> Comparisons:
    """`named`: thresholds to count at exactly; `fine`: and at every `STEP` of the score. `each` takes how many rows were done."""
    edges = thresholds(metric, named) if fine else np.unique(np.array(named, np.float32))
    tally = _Tally(edges, named, int(people.max()) + 1 if len(people) else 0)
    rows = max(1, _BLOCK // max(1, len(vectors)))
    for start in range(0, len(vectors), rows):
        stop = min(start + rows, len(vectors))
        found = scores(metric, vectors[start:stop], vectors[start:])
        first, second = np.triu_indices(stop - start, 1, len(vectors) - start)
        tally.add(found[first, second], people[start + first], people[start + second])
        each(stop - start)
    return tally.comparisons()


def thresholds(metric: Metric, named: Sequence[float]) -> Vector:
    """Every `STEP` of the metric's range, and the named ones: ascending float32, as scores are."""
    low, high = _RANGE[metric]
    grid = np.linspace(low, high, round((high - low) / STEP) + 1)
    return np.unique(np.concatenate([grid, named]).astype(np.float32))


class _Tally:
    def __init__(self, edges: Vector, named: Sequence[float], subjects: int) -> None:
        self._edges = edges
        self._named = named
        self._genuine = np.zeros(len(edges) + 1, np.int64)
        self._impostor = np.zeros(len(edges) + 1, np.int64)
        self._genuine_of = np.zeros(subjects, np.int64)
        self._lost_of = {threshold: np.zeros(subjects, np.int64) for threshold in named}
        self._genuine_min, self._impostor_max = np.inf, -np.inf
        self._confused: list[tuple[People, People, Vector]] = []
        self._kept = 0

    def add(self, found: Vector, first: People, second: People) -> None:
        """Scores of pairs, and whom the two of each are."""
        same = first == second
        self._add_genuine(found[same], first[same])
        self._add_impostor(found[~same], first[~same], second[~same])

    def _add_genuine(self, found: Vector, people: People) -> None:
        if not len(found):
            return
        self._genuine += self._counted(found)
        self._genuine_min = min(self._genuine_min, float(found.min()))
        self._genuine_of += np.bincount(people, minlength=len(self._genuine_of))
        for threshold, lost in self._lost_of.items():
            lost += np.bincount(people[found < np.float32(threshold)], minlength=len(lost))

    def _add_impostor(self, found: Vector, first: People, second: People) -> None:
        if not len(found):
            return
        self._impostor += self._counted(found)
        self._impostor_max = max(self._impostor_max, float(found.max()))
        confused = found >= np.float32(min(self._named, default=np.inf))
        self._kept += int(confused.sum())
        if self._kept <= MOST_CONFUSIONS:
            self._confused.append((first[confused], second[confused], found[confused]))

    def _counted(self, found: Vector) -> Counts:
        """(k + 1,) scores by how many edges they reach."""
        return np.bincount(np.searchsorted(self._edges, found, side="right"), minlength=len(self._edges) + 1)

    def comparisons(self) -> Comparisons:
        genuine_pairs, impostor_pairs = int(self._genuine.sum()), int(self._impostor.sum())
        return Comparisons(
            edges=self._edges,
            genuine_below=np.cumsum(self._genuine)[:-1],
            impostor_from=impostor_pairs - np.cumsum(self._impostor)[:-1],
            genuine_pairs=genuine_pairs,
            impostor_pairs=impostor_pairs,
            genuine_min=self._genuine_min if genuine_pairs else None,
            impostor_max=self._impostor_max if impostor_pairs else None,
            genuine_of=self._genuine_of,
            lost_of=self._lost_of,
            confusions=self._confusions(),
        )

    def _confusions(self) -> Confusions | None:
        if self._kept > MOST_CONFUSIONS:
            return None
        empty = (np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float32))
        first, second, found = (np.concatenate(part) for part in zip(empty, *self._confused, strict=True))
        return Confusions(first, second, found)
