"""Errors that a calibration counted at a threshold: what is not known exactly is said as a range, never as a number."""

from __future__ import annotations

import pytest

from backend.faces.calibration import OFFLINE, counted, counted_genuine
from backend.faces.engine import Calibration, CalibrationPoint
from backend.faces.error_counts import Errors, false_matches, false_non_matches

CURVE = counted(
    "made", {0.3: 50, 0.4: 10, 0.5: 1}, trials=1000, source="made", genuine=counted_genuine({0.4: 0, 0.5: 6, 0.6: 60}, trials=60)
)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.29, None),
        (0.3, Errors(50, 50, 1000)),
        (0.35, Errors(10, 50, 1000)),
        (0.4, Errors(10, 10, 1000)),
        (0.45, Errors(0, 10, 1000)),
        (0.5, Errors(0, 3, 1000)),
        (0.9, Errors(0, 3, 1000)),
    ],
)
def test_false_matches_are_exact_where_counted_and_a_range_between(threshold: float, expected: Errors | None) -> None:
    assert false_matches(CURVE, threshold) == expected


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.2, Errors(0, 0, 60)),
        (0.4, Errors(0, 0, 60)),
        (0.45, Errors(0, 6, 60)),
        (0.5, Errors(6, 6, 60)),
        (0.6, Errors(60, 60, 60)),
        (0.7, Errors(60, 60, 60)),
    ],
)
def test_false_non_matches_are_those_of_one_person_that_score_lower(threshold: float, expected: Errors) -> None:
    assert false_non_matches(CURVE, threshold) == expected


def test_where_only_rates_are_known_or_nothing_was_counted_no_number_is_made_up() -> None:
    rates = Calibration("rates", (CalibrationPoint(0.3, 0.1),), 0.1, "a vendor's")
    for calibration in (None, rates):
        assert false_matches(calibration, 0.5) is None
        assert false_non_matches(calibration, 0.5) is None


def test_the_range_holds_the_rate_that_is_expected_between_points() -> None:
    from backend.faces.calibration import expected_fmr

    for threshold in (0.31, 0.39, 0.41, 0.47):
        errors, rate = false_matches(OFFLINE, threshold), expected_fmr(OFFLINE, threshold)
        assert errors is not None
        assert rate is not None
        assert errors.least / errors.trials <= rate <= errors.most / errors.trials + 1e-12
