"""Is a target FPIR met? A calibration on one sample of strangers, the threshold that it gives, and probes against 100,000 others.

    python -m tests.faces.target_fpir        # or: make target-test

Templates are random unit vectors, of which the true rate is known: the score of two in d dimensions is distributed as
2·Beta((d-1)/2, (d-1)/2) - 1. The calibration is counted on pairs of another sample and goes through the file's own code; the
probes go through the gallery's own index. Nothing of the true rate is told to either.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from backend.faces.accuracy.intervals import clopper_pearson
from backend.faces.calibrating import impostor_counts
from backend.faces.calibration_file import made
from backend.faces.engine import Calibration, Metric
from backend.faces.target import needed_fmr, threshold_for
from backend.gallery.flat import FlatIndex

DIMENSION = 64
GALLERY, PROBES, CALIBRATED = 100_000, 1_000, 20_000
TARGETS = (0.2, 0.1, 0.05)
BEYOND = 1e-4
"""a target that so many pairs cannot back"""
BLOCK = 1_000
KEPT = 1e-4
"""share of the pairs whose scores are kept: the end of the curve, where thresholds of large galleries lie"""
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Observed:
    """Of `probes` strangers, how many were flagged at the threshold of one target; `true_fpir` is what that threshold gives."""

    target: float
    threshold: float
    supported: bool
    expected_fpir: float
    flagged: int
    probes: int
    true_fpir: float

    @property
    def limits(self) -> tuple[float, float]:
        """95 %, exact."""
        return clopper_pearson(self.flagged, self.probes)

    @property
    def is_met(self) -> bool:
        low, high = self.limits
        return self.supported and low <= self.target <= high

    def sentence(self, n: int) -> str:
        low, high = self.limits
        return (
            f"target {self.target:g} at N = {n:,}: threshold {self.threshold:.4f}, {self.flagged} of {self.probes:,} probes"
            f" flagged: {self.flagged / self.probes:.4f} (95 %: {low:.4f} to {high:.4f}), true rate there {self.true_fpir:.4f}"
        )


def strangers(n: int, *, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((n, DIMENSION), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def calibrated(people: int, *, seed: int) -> Calibration:
    """On every two of a sample: the highest scores of its pairs, and how many pairs there were."""
    vectors = strangers(people, seed=seed)
    trials = people * (people - 1) // 2
    tail = np.sort(np.concatenate(list(_tail(vectors, _score_of(KEPT)))))
    file = made(
        model_id="random-unit-vectors",
        source=f"{people:,} random unit vectors",
        created=datetime.now(UTC),
        impostor=impostor_counts(tail, trials=trials),
        genuine=None,
    )
    return file.calibration()


def _tail(vectors: Vectors, least: float) -> Iterator[Vectors]:
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        scores = block @ vectors[: start + len(block)].T
        row, column = np.triu_indices(len(block))
        scores[row, column + start] = -1  # with themselves, and with whom comes later in the block
        yield scores[scores >= least]


def observed(calibration: Calibration, target: float, *, gallery: FlatIndex, probes: Vectors) -> Observed:
    found = threshold_for(calibration, target, gallery.size)
    flagged = sum(len(gallery.within(probe, found.threshold).ids) > 0 for probe in probes)
    true = -math.expm1(gallery.size * math.log1p(-true_fmr(found.threshold)))
    return Observed(target, found.threshold, found.supported, found.expected_fpir, flagged, len(probes), true)


def gallery_of(n: int, *, seed: int) -> FlatIndex:
    index = FlatIndex(DIMENSION, Metric.cosine)
    index.add(np.arange(1, n + 1, dtype=np.int64), strangers(n, seed=seed))
    return index


def true_fmr(score: float) -> float:
    """P(cos >= score) of two random unit vectors: the density is (1 - x²)^((d-3)/2), integrated by Simpson's rule."""
    x = np.linspace(score, 1.0, 20_001)
    half = (DIMENSION - 3) / 2
    weights = np.ones_like(x)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    area = float((weights * (1 - x**2) ** half).sum()) * (1 - score) / 20_000 / 3
    return area / (math.sqrt(math.pi) * math.exp(math.lgamma((DIMENSION - 1) / 2) - math.lgamma(DIMENSION / 2)))


def _score_of(rate: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if true_fmr(middle) > rate else (low, middle)
    return high


def main() -> int:
    """0 when each target's interval contains it, and the target beyond the support is told to be that."""
    calibration = calibrated(CALIBRATED, seed=1)
    print(
        f"calibrated on {calibration.trials:,} pairs of {CALIBRATED:,} strangers: nothing below {calibration.supported_fmr:.2g}"
    )
    gallery, probes = gallery_of(GALLERY, seed=2), strangers(PROBES, seed=3)
    found = [observed(calibration, target, gallery=gallery, probes=probes) for target in TARGETS]
    for one in found:
        print(one.sentence(GALLERY), "" if one.is_met else "NOT MET")
    beyond = threshold_for(calibration, BEYOND, GALLERY)
    print(
        f"target {BEYOND:g} needs an FMR of {needed_fmr(BEYOND, GALLERY):.2g}: {'' if beyond.supported else 'not '}supported,"
        f" threshold {beyond.threshold:.4f}, FPIR to be expected {beyond.expected_fpir:.2g}"
    )
    met = sum(one.is_met for one in found)
    print(f"{met} of {len(found)} targets met within their 95 % interval at {GALLERY:,} impostor vectors")
    return 0 if met == len(found) and not beyond.supported and beyond.expected_fpir > BEYOND else 1


if __name__ == "__main__":
    sys.exit(main())
