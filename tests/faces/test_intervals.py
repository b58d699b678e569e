from __future__ import annotations

import pytest

from backend.faces.accuracy.intervals import clopper_pearson


@pytest.mark.parametrize(
    ("seen", "trials", "low", "high"),
    [
        (0, 10, 0, 0.30850),
        (5, 10, 0.18709, 0.81291),
        (10, 10, 0.69150, 1),
        (1, 100, 0.00025, 0.05446),
        (40, 400, 0.07240, 0.13367),
        (0, 100_000, 0, 3.68881e-5),
    ],
)
def test_the_exact_limits_of_a_rate(seen: int, trials: int, low: float, high: float) -> None:
    """The figures are those of the beta distribution's quantiles."""
    assert clopper_pearson(seen, trials) == pytest.approx((low, high), abs=1e-5)


def test_without_trials_nothing_is_known_and_more_errors_than_trials_are_refused() -> None:
    assert clopper_pearson(0, 0) == (0, 1)
    with pytest.raises(ValueError, match="between 0"):
        clopper_pearson(2, 1)


def test_more_confidence_is_a_wider_interval() -> None:
    low, high = clopper_pearson(5, 50)
    wide_low, wide_high = clopper_pearson(5, 50, confidence=0.999)
    assert wide_low < low < 0.1 < high < wide_high
