"""Measuring a calibration: every two photographs of people who are known, through `capture` as at an enrolment, and counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.faces.accuracy.photographs import Photograph
from backend.faces.accuracy.templates import Capturing, Failure, Templates, captured
from backend.faces.calibration_file import CalibrationFile, Count, Counts, made
from backend.faces.engine import Metric, Vector
from backend.faces.score import scores

LEAST_PEOPLE = 20
LEAST_GENUINE = 20
"""pairs of one person, below which no genuine curve is made"""
STEP = 1.5
"""between the counts of two points of a curve"""
SCALE = 10_000
"""A point's score has four decimals; its count is of the rounded score."""
WIDEST = 0.2
"""The curve begins where this share of all pairs of different people is reached: no threshold lies below."""
DOUBTFUL = 5


class TooFewPeople(Exception):
    """There is too little to measure on; the message is a sentence."""


@dataclass(frozen=True)
class Doubtful:
    """Two photographs under different names that score high: if they show one person, the curve is wrong."""

    paths: tuple[Path, Path]
    score: float


@dataclass(frozen=True)
class Measured:
    """Scores of all pairs of different people, and of all of one person; ascending."""

    photographs: int
    people: int
    failures: tuple[Failure, ...]
    impostor: Vector
    genuine: Vector
    doubtful: tuple[Doubtful, ...]

    def file(self, *, model_id: str, created: datetime, source: str | None = None) -> CalibrationFile:
        """Raises TooFewPeople."""
        if self.people < LEAST_PEOPLE:
            raise TooFewPeople(
                f"{self.people} people could be enrolled: a calibration needs at least {LEAST_PEOPLE}, and supports no rate below"
                " 3 in as many pairs of different people as there are"
            )
        told = source or f"{self.photographs} photographs of {self.people} people, {len(self.impostor):,} impostor pairs"
        genuine = genuine_counts(self.genuine) if len(self.genuine) >= LEAST_GENUINE else None
        impostor = impostor_counts(self.impostor, trials=len(self.impostor))
        return made(model_id=model_id, source=told, created=created, impostor=impostor, genuine=genuine)


def measure(capturing: Capturing, photographs: Sequence[Photograph], *, each: Callable[[], object] = lambda: None) -> Measured:
    """`each` is called after every photograph. Of several faces the largest is taken. Raises OSError."""
    templates = captured(capturing, photographs, each=each)
    impostor, genuine, doubtful = _compared(capturing.engine.card.metric, templates)
    return Measured(
        len(templates.photographs),
        len(templates.names),
        templates.failures,
        np.sort(impostor),
        np.sort(genuine),
        doubtful,
    )


def _compared(metric: Metric, templates: Templates) -> tuple[Vector, Vector, tuple[Doubtful, ...]]:
    """Row by row: the table of 10,000 photographs would be 400 MB, and the places of its half four times that."""
    matrix, people, taken = templates.vectors, templates.people, templates.photographs
    impostor, genuine, near = [np.empty(0, np.float32)], [np.empty(0, np.float32)], list[Doubtful]()
    for row in range(1, len(taken)):
        found = scores(metric, matrix[row : row + 1], matrix[:row])[0]
        same = people[:row] == people[row]
        impostor.append(found[~same])
        genuine.append(found[same])
        near += [
            Doubtful((taken[row].path, taken[place].path), float(found[place]))
            for place in np.argsort(-found)[: DOUBTFUL + int(same.sum())].tolist()
            if not same[place]
        ]
        near = sorted(near, key=lambda one: -one.score)[:DOUBTFUL]
    return np.concatenate(impostor), np.concatenate(genuine), tuple(near)


def impostor_counts(ascending: NDArray[np.floating[Any]], *, trials: int) -> Counts:
    """`ascending`: the scores of pairs of different people, or the highest of `trials` that there were."""
    exact = ascending.astype(np.float64)
    counts = _geometric(min(len(exact), int(WIDEST * trials)))
    chosen = {_rounded(float(exact[-count])) for count in counts} | {_above(float(exact[-1]))}
    points = [Count(score=score, count=len(exact) - _lower(exact, score)) for score in sorted(chosen)]
    return Counts(trials=trials, points=points)


def genuine_counts(ascending: NDArray[np.floating[Any]]) -> Counts:
    """Dense where few score low, and at even shares above."""
    exact = ascending.astype(np.float64)
    places = {*_geometric(len(exact)), *range(1, len(exact), max(1, len(exact) // 12))}
    chosen = {_rounded(float(exact[place - 1])) for place in places} | {_above(float(exact[-1]))}
    points = [Count(score=score, count=_lower(exact, score)) for score in sorted(chosen)]
    return Counts(trials=len(exact), points=points)


def _geometric(most: int) -> list[int]:
    """1, 2, 3, 5, 8, … up to `most`, which is among them."""
    found, count = [], 1
    while count < most:
        found.append(count)
        count = max(count + 1, round(count * STEP))
    return [*found, max(1, most)]


def _rounded(score: float) -> float:
    return math.floor(score * SCALE) / SCALE


def _above(highest: float) -> float:
    """The first score that nothing reaches; none on the scale's very end."""
    return min(1.0, (math.floor(highest * SCALE) + 1) / SCALE)


def _lower(ascending: NDArray[np.float64], score: float) -> int:
    return int(np.searchsorted(ascending, score, side="left"))
