"""Comparison scores on an engine's own scale: higher is more alike. Never squashed, never a percentage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.faces.engine import Metric, Vector

Matrix = NDArray[np.float32]


def scores(metric: Metric, queries: Matrix, references: Matrix) -> Matrix:
    """(n, d) × (m, d) → (n, m) float32.

    cosine: q·r of unit vectors. l2: 1 - |q - r|, the differences taken one by one: the short cut through
    |q|² + |r|² - 2q·r loses four digits in float32, and equal images would not score 1.
    """
    queries, references = np.atleast_2d(queries), np.atleast_2d(references)
    if metric is Metric.cosine:
        return np.asarray(queries @ references.T, dtype=np.float32)
    rows = [1.0 - np.linalg.norm(references - query, axis=1) for query in queries]
    return np.asarray(rows, dtype=np.float32).reshape(len(queries), len(references))


def score(metric: Metric, a: Vector, b: Vector) -> float:
    """The score of two templates."""
    return float(scores(metric, a, b)[0, 0])
