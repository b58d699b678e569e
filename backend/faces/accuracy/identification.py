"""Open-set identification (ISO/IEC 19795-1, NIST FRTE 1:N): a gallery of one photograph of each person is searched.

Mated searches: every other photograph of somebody enrolled. Non-mated searches: every photograph, with its own person left
out of the gallery. So each photograph is used, and N is as large as the folders allow; two enrolled strangers meet in both
directions, however, so that these searches are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.faces.accuracy.templates import People
from backend.faces.engine import Metric, Vector
from backend.faces.score import Matrix, scores

_BLOCK = 4_000_000


@dataclass(frozen=True)
class Searches:
    gallery_size: int
    """people enrolled; a non-mated search looks at one less"""
    own: Vector
    """(p,) ascending: scores of mated searches with the searched person"""
    ranked_first: int
    """mated searches in which nobody else scores as much"""
    strongest: Vector
    """(q,) ascending: the best score of each non-mated search"""

    def misses(self, threshold: float) -> int:
        """Mated searches that do not return their person at this threshold, whatever the rank: FNIR's count."""
        return int(np.searchsorted(self.own, np.float32(threshold), side="left"))

    def false_alarms(self, threshold: float) -> int:
        """Non-mated searches that return anybody: FPIR's count."""
        return len(self.strongest) - int(np.searchsorted(self.strongest, np.float32(threshold), side="left"))


def search(metric: Metric, vectors: Matrix, people: People) -> Searches | None:
    """Enrols the first template of each person. None with fewer than two people: nobody could be taken for another."""
    _, enrolled = np.unique(people, return_index=True)
    if len(enrolled) < 2:
        return None
    own, strongest, first = [], [], 0
    mated = np.ones(len(people), bool)
    mated[enrolled] = False
    rows = max(1, _BLOCK // len(enrolled))
    for start in range(0, len(people), rows):
        part = slice(start, start + rows)
        found = scores(metric, vectors[part], vectors[enrolled])
        theirs = people[part, None] == people[enrolled][None, :]
        best_other = np.where(theirs, -np.inf, found).max(axis=1)
        with_self = found[theirs]  # in order of rows: each person is enrolled exactly once
        own.append(with_self[mated[part]])
        first += int((with_self > best_other)[mated[part]].sum())
        strongest.append(best_other)
    return Searches(len(enrolled), np.sort(np.concatenate(own)), first, np.sort(np.concatenate(strongest)))


def at_fpir(searches: Searches, target: float) -> float:
    """The lowest threshold at which no larger share of the non-mated searches returns anybody."""
    allowed = int(np.floor(target * len(searches.strongest) + 1e-9))
    refused = searches.strongest[len(searches.strongest) - 1 - allowed] if allowed < len(searches.strongest) else -np.inf
    return float(np.nextafter(np.float32(refused), np.float32(np.inf)))


def curve(searches: Searches, *, at_most: int = 200) -> NDArray[np.float32]:
    """Thresholds at which either count changes, thinned evenly."""
    places = np.unique(np.concatenate([searches.own, searches.strongest]))
    if len(places) > at_most:
        places = places[np.linspace(0, len(places) - 1, at_most).round().astype(int)]
    return np.asarray(places, np.float32)
