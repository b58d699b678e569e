"""Scores on both scales."""

from __future__ import annotations

import numpy as np
import pytest

from backend.faces.engine import Metric
from backend.faces.score import score, scores

FORWARD, UP = np.array([1, 0], np.float32), np.array([0, 1], np.float32)


def test_cosine_is_the_product_of_unit_vectors() -> None:
    found = scores(Metric.cosine, np.stack([FORWARD, UP]), np.stack([FORWARD, UP, -FORWARD]))
    np.testing.assert_array_equal(found, np.array([[1, 0, -1], [0, 1, 0]], np.float32))
    assert found.dtype == np.float32


def test_l2_is_one_less_the_distance() -> None:
    assert score(Metric.l2, 3 * FORWARD, 3 * FORWARD) == 1
    assert score(Metric.l2, 3 * FORWARD, 4 * UP) == -4


def test_l2_of_equal_vectors_is_exactly_one_at_any_length() -> None:
    vectors = np.random.default_rng(1).normal(size=(20, 128)).astype(np.float32) * 10
    np.testing.assert_array_equal(np.diag(scores(Metric.l2, vectors, vectors)), np.ones(20, np.float32))


@pytest.mark.parametrize("metric", list(Metric))
def test_against_nothing_there_is_an_empty_row(metric: Metric) -> None:
    assert scores(metric, np.stack([FORWARD]), np.empty((0, 2), np.float32)).shape == (1, 0)
