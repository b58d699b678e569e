"""Rates, targets and agreement in words; scores as charts."""

from __future__ import annotations

import pytest

from backend import wire
from dashboard.charts import accuracy as charts
from dashboard.tables import accuracy as tables
from tests.dashboard import samples_people as people


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [(None, "–"), (0.0, "0 %"), (0.5, "50 %"), (0.0909, "9.1 %"), (0.00022, "0.022 %"), (1e-6, "0.00010 %"), (1.0, "100 %")],
)
def test_a_rate_keeps_two_digits_however_small(ratio: float | None, shown: str) -> None:
    assert tables.small(ratio) == shown


@pytest.mark.parametrize(
    ("counted", "shown"),
    [
        (people.error_rate(0, 0, 66, 0, 0.0455), "none seen in 66: below 4.5 %"),
        (people.error_rate(6, 6, 66, 0.0342, 0.1874), "6 of 66: 9.1 % (3.4 % to 19 %)"),
        (people.error_rate(9, 28, 13_629, 0.0003, 0.003), "9 to 28 of 13,629: 0.030 % to 0.30 %"),
        (people.error_rate(0, 3, 13_629, 0, 0.00064), "at most 3 of 13,629: below 0.064 %"),
        (None, "not counted"),
    ],
)
def test_a_rate_is_said_with_what_it_was_counted_on(counted: wire.ErrorRate | None, shown: str) -> None:
    assert tables.rate(counted) == shown


def test_a_rate_without_counts_says_that_it_has_no_limits() -> None:
    assert tables.rate(None, expected=0.001) == "0.10 % (1 in 1,000); no limits: only rates are known"


def test_thresholds_stand_lowest_first() -> None:
    told = people.calibration().rates
    assert told is not None
    assert [row[1] for row in tables.rates(told, unknown="-")] == ["0.450", "0.500", "0.650"]


def test_a_target_says_whether_it_is_met_and_if_not_by_what_it_is_limited() -> None:
    values = {"fpir": 0.001, "threshold": 0.55, "needed_fmr": 1e-6, "expected_fpir": 0.02}
    met = wire.Target(**values, supported=True)
    missed = wire.Target(**values, supported=False, limited_by="calibration")
    assert tables.target(people.calibration(target=met)) == (
        "Target: a false flag at no more than 1 in 1,000 enrolments; met at 0.550."
    )
    sentence = tables.target(people.calibration(target=missed))
    assert "not met, 1 in 50 is to be expected" in sentence
    assert "count more people" in sentence
    assert tables.headline(people.calibration(target=missed))[0] == "warn"


@pytest.mark.parametrize(
    ("kappa", "word"),
    [(-0.1, "no"), (0.0, "no"), (0.1, "slight"), (0.3, "fair"), (0.5, "moderate"), (0.7, "substantial"), (1.0, "almost perfect")],
)
def test_kappa_in_the_words_of_landis_and_koch(kappa: float, word: str) -> None:
    assert tables.kappa_word(kappa) == word


def test_agreement_of_few_cases_says_that_they_are_few_and_of_none_how_to_have_some() -> None:
    assert "fewer than 30 cases" in tables.agreement(wire.Agreement(cases=4, agreed=4, kappa=1.0))[1]
    assert "as chance alone would" in tables.agreement(wire.Agreement(cases=40, agreed=40, kappa=None))[1]
    tone, sentence = tables.agreement(wire.Agreement(cases=0, agreed=0, kappa=None))
    assert (tone, "BACKEND_SECOND_REVIEW" in sentence) == ("mute", True)


def test_pairs_are_counted_by_score_the_highest_first_and_their_share_has_limits() -> None:
    rows = tables.by_score(people.bins((0.5, 2, 9), (0.8, 6, 6)))
    assert rows == [("0.80 to 0.85", "6", "6", "100 %", "10 % to 90 %"), ("0.50 to 0.55", "9", "2", "22 %", "10 % to 90 %")]


def test_both_kinds_of_pairs_stand_beside_each_other_with_a_pattern_and_the_thresholds_by_name() -> None:
    figure = charts.distributions(people.bins((0.5, 2, 9), (0.8, 6, 6)), {"certain": 0.65, "review": 0.5})
    same, different = figure.data
    assert (list(same.y), list(different.y)) == ([2, 6], [7, 0])
    assert all(left < right for left, right in zip(same.x, different.x, strict=True))
    assert same.marker.pattern.shape != different.marker.pattern.shape
    assert [note.text for note in figure.layout.annotations] == ["review 0.500", "certain 0.650"]
    assert [line.x0 for line in figure.layout.shapes] == [0.5, 0.65]


def test_the_curves_are_those_of_the_calibration_and_an_error_never_seen_is_no_point() -> None:
    false_match, missed = charts.curves(people.CURVE, {"review": 0.5}).data
    assert list(false_match.x) == [0.3, 0.4, 0.48]
    assert list(missed.x) == [0.5, 0.62, 0.86], "nothing was seen at 0.38: a logarithm has no place for it"
    assert missed.y[0] == pytest.approx(6 / 66)


def test_a_chart_of_nothing_is_still_a_chart() -> None:
    assert not charts.distributions([], {}).layout.shapes
    assert len(charts.curves(people.CURVE.model_copy(update={"genuine": None}), {}).data) == 1
