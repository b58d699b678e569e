"""Rates at a score, and what is not claimed."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.faces.accuracy.comparisons import compare
from backend.faces.accuracy.photographs import photographs_in
from backend.faces.accuracy.templates import Capturing, captured
from backend.faces.calibration import (
    GENERIC,
    OFFLINE,
    counted,
    counted_genuine,
    expected_fmr,
    expected_fpir,
    genuine_below,
    impostor_above,
    profile_of,
    why_unknown,
)
from backend.faces.engine import Calibration, Engine
from backend.faces.load import load_engine
from tests.faces.conftest import LIMITS

GENUINE = counted_genuine({0.3: 0, 0.5: 2, 0.7: 40, 0.9: 98, 0.95: 100}, trials=100, source="made pairs")
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


def test_a_score_has_its_place_among_different_people_with_what_the_trials_support() -> None:
    measured, rare = impostor_above(MADE, 0.1), impostor_above(MADE, 0.99)
    assert measured is not None
    assert rare is not None
    assert (measured.share, measured.bound, measured.trials, measured.source) == (pytest.approx(0.1), "measured", 10_000, "made")
    assert (rare.share, rare.bound) == (pytest.approx(3e-4), "at_most")
    assert impostor_above(MADE, 0.05) is None
    assert impostor_above(None, 0.5) is None


@pytest.mark.parametrize(
    ("score", "share", "bound"),
    [
        (-1, 0.03, "at_most"),
        (0.3, 0.03, "at_most"),
        (0.5, 0.03, "at_most"),
        (0.6, 0.21, "measured"),
        (0.7, 0.40, "measured"),
        (0.8, 0.69, "measured"),
        (0.95, 0.97, "at_least"),
        (1.0, 0.97, "at_least"),
    ],
)
def test_a_score_has_its_place_among_pairs_of_one_person(score: float, share: float, bound: str) -> None:
    place = genuine_below(counted("made", {0.1: 9}, trials=100, source="made", genuine=GENUINE), score)
    assert place is not None
    assert (place.share, place.bound, place.trials, place.source) == (pytest.approx(share), bound, 100, "made pairs")


def test_where_no_pairs_of_one_person_were_counted_a_score_has_no_place_among_them() -> None:
    assert genuine_below(MADE, 0.5) is None
    assert genuine_below(None, 0.5) is None


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_no_fewer_pairs_of_one_person_are_below_a_higher_score(one: float, other: float) -> None:
    low, high = (genuine_below(OFFLINE, score) for score in sorted([one, other]))
    assert low is not None
    assert high is not None
    assert low.share <= high.share


@pytest.mark.parametrize(
    "pack",
    ["offline", pytest.param("test_mbf", marks=pytest.mark.weights), pytest.param("test_mfn128", marks=pytest.mark.weights)],
)
def test_the_shipped_curves_are_what_the_test_photographs_show(testdata: Path, pack: str) -> None:
    """Pairs of one person for every engine; those of different people, of which there are 166 photographs, for the quick ones.

    One pair may fall to the other side of a score where the arithmetic of another machine differs in the last digits.
    """
    quick = pack != "offline"
    engine = load_engine("insightface", model_pack=testdata / "models" / pack) if quick else load_engine("offline")
    photographs = photographs_in(testdata / "faces") + (photographs_in(testdata / "gallery") if quick else [])
    templates = captured(Capturing(engine, LIMITS, 26), photographs)
    calibration = engine.card.calibration
    assert calibration is not None
    assert calibration.genuine is not None
    named = [*(score for score, _ in calibration.genuine.below), *(point.score for point in calibration.points)]
    found = compare(engine.card.metric, templates.vectors, templates.people, named=named, fine=False)
    assert found.genuine_pairs == calibration.genuine.trials == 66
    for score, below in calibration.genuine.below:
        assert found.false_non_matches(score) == pytest.approx(below, abs=1), score
    if quick:
        assert found.impostor_pairs == calibration.trials == 13_629
        for point in calibration.points:
            fmr = max(found.false_matches(point.score) / found.impostor_pairs, calibration.supported_fmr)
            assert fmr == pytest.approx(point.fmr, abs=1.01 / found.impostor_pairs), point.score
