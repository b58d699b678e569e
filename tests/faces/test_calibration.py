"""Rates at a score, and what is not claimed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.faces.calibration import (
    GENERIC,
    OFFLINE,
    counted,
    expected_fmr,
    expected_fpir,
    profile_of,
    why_unknown,
)
from backend.faces.engine import Calibration, Engine
from backend.faces.evaluation import upper_bound

MADE = counted("made", {0.1: 1000, 0.2: 100, 0.3: 1, 0.4: 0}, trials=10_000, source="made")


def test_no_point_claims_less_than_three_over_n() -> None:
    assert MADE.supported_fmr == pytest.approx(3e-4)
    assert [point.fmr for point in MADE.points] == pytest.approx([0.1, 0.01, 3e-4, 3e-4])


def test_at_a_point_its_own_rate_is_expected_and_between_points_the_geometric_mean() -> None:
    assert expected_fmr(MADE, 0.1) == pytest.approx(0.1)
    assert expected_fmr(MADE, 0.15) == pytest.approx((0.1 * 0.01) ** 0.5)


def test_above_the_last_point_its_rate_stands() -> None:
    assert expected_fmr(MADE, 0.99) == MADE.supported_fmr


def test_below_the_first_point_nothing_is_claimed_and_the_reason_given() -> None:
    assert expected_fmr(MADE, 0.05) is None
    assert expected_fpir(MADE, 0.05, 10) is None
    assert "0.1" in (why_unknown(MADE, 0.05) or "")
    assert why_unknown(MADE, 0.1) is None


def test_a_recogniser_that_was_not_measured_has_thresholds_and_no_rate() -> None:
    unknown = profile_of("0" * 64)
    assert unknown == GENERIC
    assert expected_fmr(unknown.calibration, 0.5) is None
    assert (why_unknown(None, 0.5) or "").startswith("No calibration")


def test_the_chance_of_a_false_candidate_grows_with_the_gallery() -> None:
    assert expected_fpir(MADE, 0.2, 0) == 0
    assert expected_fpir(MADE, 0.2, 1) == pytest.approx(0.01)
    assert expected_fpir(MADE, 0.2, 100) == pytest.approx(1 - 0.99**100)


def test_a_tiny_rate_is_not_lost_to_rounding() -> None:
    tiny = counted("tiny", {0.1: 0}, trials=3 * 10**17, source="made")
    assert expected_fpir(tiny, 0.2, 1) == pytest.approx(1e-17)


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_a_higher_score_never_has_a_higher_rate(one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert (expected_fmr(OFFLINE, high) or 0) <= (expected_fmr(OFFLINE, low) or 1)


def test_the_shipped_curves_fall_and_cover_their_thresholds(engine: Engine) -> None:
    card = engine.card
    assert isinstance(card.calibration, Calibration)
    rates = [point.fmr for point in card.calibration.points]
    assert all(after <= before for before, after in itertools.pairwise(rates))
    for threshold in (card.verification_threshold, card.review_threshold, card.certain_threshold):
        assert (expected_fmr(card.calibration, threshold) or 1) < 0.005


def test_the_bound_of_an_error_that_was_not_seen_is_three_over_n() -> None:
    assert upper_bound(0, 2079) == pytest.approx(3 / 2079)
    assert upper_bound(0, 1) == 1
    assert 0.01 < upper_bound(10, 1000) < 0.02
