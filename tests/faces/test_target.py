"""From a target FPIR to a threshold, at any size and with any support."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.faces.calibration import OFFLINE, counted, expected_fmr, expected_fpir
from backend.faces.engine import Calibration
from backend.faces.target import ReviewTarget, needed_fmr, threshold_for

MADE = counted("made", {0.1: 1000, 0.2: 100, 0.3: 10, 0.4: 1, 0.5: 0}, trials=10_000, source="made")
"""From 10 % at 0.1 to 0.1 % at 0.3 and, from 0.4 on, the 0.03 % that 10,000 trials support."""


def test_the_rate_that_a_target_needs_is_the_one_that_gives_it_back() -> None:
    assert needed_fmr(0.001, 100_000) == pytest.approx(1.0005e-8, rel=1e-4)
    assert -math.expm1(100_000 * math.log1p(-needed_fmr(0.001, 100_000))) == pytest.approx(0.001)


def test_at_a_point_of_the_curve_the_threshold_is_its_score() -> None:
    found = threshold_for(MADE, 0.01, 1)
    assert (found.threshold, found.supported) == (pytest.approx(0.2), True)
    assert found.expected_fpir == pytest.approx(0.01)


def test_a_larger_gallery_needs_a_higher_threshold() -> None:
    found = [threshold_for(MADE, 0.05, n).threshold for n in (1, 5, 25, 100)]
    assert found == sorted(found)
    assert len(set(found)) == 4


def test_a_target_beyond_the_support_gets_the_strictest_supported_threshold_and_what_to_expect_there() -> None:
    found = threshold_for(MADE, 0.001, 1000)
    assert (found.threshold, found.supported, found.limited_by) == (0.4, False, "calibration"), "0.5 claims nothing less"
    assert found.expected_fpir == pytest.approx(1 - (1 - 3e-4) ** 1000)
    assert found.needed_fmr < MADE.supported_fmr


def test_a_target_that_everybody_meets_gets_the_lowest_score_that_was_measured() -> None:
    found = threshold_for(MADE, 0.5, 1)
    assert (found.threshold, found.supported) == (0.1, True)
    assert found.expected_fpir == pytest.approx(0.1)


def test_an_empty_gallery_counts_as_one_template() -> None:
    assert threshold_for(MADE, 0.01, 0) == threshold_for(MADE, 0.01, 1)


def test_a_curve_without_points_is_refused() -> None:
    with pytest.raises(ValueError, match="without points"):
        threshold_for(Calibration("none", (), 1.0, "nothing"), 0.01, 10)


def test_the_threshold_never_rises_above_certain_and_says_so() -> None:
    met, capped = (ReviewTarget(0.01, MADE).at(n, certain=0.25) for n in (2, 100))
    assert (met.supported, met.limited_by) == (True, None)
    assert met.threshold < 0.25
    assert (capped.threshold, capped.supported, capped.limited_by) == (0.25, False, "certain_threshold")
    assert capped.expected_fpir == pytest.approx(expected_fpir(MADE, 0.25, 100))


@given(st.sampled_from([MADE, OFFLINE]), st.floats(1e-6, 0.999), st.integers(0, 10**7))
def test_what_is_supported_is_met_and_no_smaller_score_meets_it(calibration: Calibration, target: float, n: int) -> None:
    found, size = threshold_for(calibration, target, n), max(1, n)
    at = expected_fpir(calibration, found.threshold, size)
    assert at is not None
    assert at == found.expected_fpir
    assert (at <= target * (1 + 1e-9)) == found.supported
    below = expected_fpir(calibration, found.threshold - 1e-6, size)
    if found.supported:
        assert below is None or below > target * (1 - 1e-9)
    else:
        rates = [expected_fmr(calibration, score) for score in (found.threshold - 1e-6, found.threshold, 1.0)]
        assert rates[0] is not None
        assert rates[1] is not None
        assert rates[0] > rates[1] == pytest.approx(rates[2])
