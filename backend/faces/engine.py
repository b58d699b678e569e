"""What every face engine offers, and what it states about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""(h, w, 3) uint8, RGB, upright."""
Vector = NDArray[np.float32]
"""(d,) float32 on the engine's own scale: unit-norm for cosine engines, as computed for the offline engine."""


class Metric(StrEnum):
    cosine = "cosine"
    """score = a·b of unit vectors, -1..1"""
    l2 = "l2"
    """score = 1 - |a - b|, of vectors that are not unit-norm"""


class EngineError(Exception):
    """The engine cannot be loaded; the message is one sentence that says what is missing or damaged."""


@dataclass(frozen=True)
class Face:
    """One detected face, in pixels of the image it was found in."""

    box: tuple[float, float, float, float]
    """x, y, width, height; may reach beyond the image's edge"""
    landmarks: NDArray[np.float32]
    """(5, 2): left eye, right eye, nose, left mouth corner, right mouth corner, of the upright face

    A detector without mouth corners (the offline engine's) fills them in from eyes and nose by mean proportions.
    """
    confidence: float

    @property
    def size(self) -> float:
        """The box's shorter side, in pixels."""
        return min(self.box[2], self.box[3])


@dataclass(frozen=True)
class CalibrationPoint:
    score: float
    fmr: float
    """expected false match rate at this threshold (the 95 % upper bound where no false match was seen)"""


@dataclass(frozen=True)
class GenuineCurve:
    """How many comparisons of one person with himself score lower than each of some scores."""

    below: Sequence[tuple[float, int]]
    """(score, how many of `trials` score lower), ascending"""
    trials: int
    source: str


@dataclass(frozen=True)
class Calibration:
    """Score → FMR, with its support: below `supported_fmr` nothing is claimed."""

    id: str
    points: Sequence[CalibrationPoint]
    supported_fmr: float
    source: str
    trials: int | None = None
    """comparisons of different people that were counted; None where only their rates are known"""
    genuine: GenuineCurve | None = None
    """None where no pairs of one person were counted"""


@dataclass(frozen=True)
class ModelCard:
    """What an engine states about itself; thresholds belong to it, never to the code around it."""

    model_id: str
    """name + sha-256 over its files, preprocessing version and engine version"""
    engine: str
    pack: str
    dimension: int
    metric: Metric
    licence: str
    verification_threshold: float
    review_threshold: float
    certain_threshold: float
    calibration: Calibration | None
    files: Mapping[str, str] = field(default_factory=dict)
    """file name → sha-256"""


class Engine(Protocol):
    """A detector and a recogniser. Safe to call from several threads at once; holds no state between calls."""

    @property
    def card(self) -> ModelCard: ...

    def detect(self, image: Pixels) -> list[Face]:
        """Faces, largest first; an empty list is an answer. Pads and turns by itself where nothing is found at first."""
        ...

    def embed(self, image: Pixels, face: Face) -> Vector:
        """The template of one face of `image`."""
        ...
