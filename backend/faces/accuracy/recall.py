"""Whether an altered copy of a photograph is still recognised as that photograph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backend.errors import CorruptImage
from backend.faces.accuracy.alterations import altered
from backend.faces.accuracy.photographs import Photograph
from backend.faces.accuracy.templates import Capturing, Templates, side_by_side, vector_or_code
from backend.faces.engine import Vector
from backend.faces.score import scores


@dataclass(frozen=True)
class Recall:
    """Of one alteration. A copy that cannot be captured, as an enrolment would, is a miss: its score is -inf.

    Ranked it is all the same, by what a search finds in it: searches take faces that an enrolment refuses as too small.
    """

    copies: int
    not_captured: dict[str, int]
    """code → how many copies"""
    own: Vector
    """(copies,) score of each copy with its own original"""
    original_first: int
    """copies whose own original scores more than every other photograph, those of the same person among them"""
    person_first: int
    """copies whose best photograph of anybody is one of the same person"""

    def recognised(self, threshold: float) -> int:
        return int((self.own >= np.float32(threshold)).sum())


def recall(capturing: Capturing, originals: Templates, name: str, *, each: Callable[[], object] = lambda: None) -> Recall:
    """Alters, captures and compares a copy of every photograph that has a template; in memory, one row of scores at a time."""
    codes: Counter[str] = Counter()
    own = np.full(len(originals.photographs), -np.inf, np.float32)
    original_first = person_first = 0

    def one(photograph: Photograph) -> _Copy:
        return _copy(capturing, photograph.path.read_bytes(), name)

    for place, copy in enumerate(side_by_side(one, originals.photographs)):
        if copy.vector is not None:
            row = scores(capturing.engine.card.metric, copy.vector, originals.vectors)[0]
            own[place] = -np.inf if copy.refused else row[place]
            original_first += is_first(row, np.arange(len(row)) == place)
            person_first += is_first(row, originals.people == originals.people[place])
        if copy.refused:
            codes[copy.refused] += 1
        each()
    return Recall(len(own), dict(codes), own, original_first, person_first)


@dataclass(frozen=True)
class _Copy:
    vector: Vector | None
    refused: str | None
    """why an enrolment would not take it"""


def _copy(capturing: Capturing, original: bytes, name: str) -> _Copy:
    try:
        data = altered(original, name)
    except CorruptImage as error:
        return _Copy(None, error.code())
    found = vector_or_code(capturing, data)
    return _Copy(capturing.searched(data), found) if isinstance(found, str) else _Copy(found, None)


def is_first(row: Vector, wanted: np.ndarray) -> bool:
    """Whether the best of the wanted scores more than everything else; a tie is not first."""
    others = row[~wanted]
    return bool(row[wanted].max() > others.max()) if len(others) else True
