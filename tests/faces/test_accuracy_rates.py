"""Rates, limits and trade-offs against figures that were worked out by hand, or by the textbook's sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.faces.accuracy import comparisons as comparing
from backend.faces.accuracy.by_subject import fmr_limits, fnmr_limits
from backend.faces.accuracy.comparisons import Comparisons, compare
from backend.faces.accuracy.identification import at_fpir, curve, search
from backend.faces.accuracy.intervals import rate, supports, upper_bound
from backend.faces.accuracy.recall import is_first
from backend.faces.accuracy.templates import People
from backend.faces.accuracy.tradeoff import at_fmr, det, equal_error
from backend.faces.engine import Metric
from backend.faces.score import Matrix

# Three people on a line, so that 1 - distance is read off: ada 0.0 and 0.1; bob 0.5 and 0.8; eve 1.0.
LINE = np.array([[0.0], [0.1], [0.5], [0.8], [1.0]], np.float32)
PEOPLE = np.array([0, 0, 1, 1, 2], np.intp)
# genuine: ada .9, bob .7; impostor: ada-bob .5 .2 .6 .3, ada-eve 0 .1, bob-eve .5 .8


def line(*named: float, fine: bool = True) -> Comparisons:
    return compare(Metric.l2, LINE, PEOPLE, named=named, fine=fine)


def test_the_bound_of_an_error_that_was_not_seen_is_three_over_n() -> None:
    assert upper_bound(0, 2079) == pytest.approx(3 / 2079)
    assert upper_bound(0, 1) == 1
    assert 0.01 < upper_bound(10, 1000) < 0.02
    none, all_of_them = rate(0, 100), rate(100, 100)
    assert (none.low, none.high) == (0, pytest.approx(0.03))
    assert (all_of_them.low, all_of_them.high) == (pytest.approx(0.97), 1)


def test_without_trials_nothing_is_claimed_and_more_than_was_tried_is_refused() -> None:
    assert (rate(0, 0).rate, rate(0, 0).low, rate(0, 0).high) == (None, None, None)
    with pytest.raises(ValueError, match="3 of 2"):
        rate(3, 2)


@pytest.mark.parametrize(
    ("seen", "trials", "low", "high"), [(1, 10, 0.0025, 0.4450), (5, 20, 0.0866, 0.4910), (2, 66, 0.0037, 0.1052)]
)
def test_limits_are_clopper_and_pearsons(seen: int, trials: int, low: float, high: float) -> None:
    found = rate(seen, trials)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@given(st.integers(2, 200).flatmap(lambda n: st.tuples(st.integers(1, n - 1), st.just(n))))
def test_at_each_limit_what_was_seen_is_a_one_in_forty_chance(case: tuple[int, int]) -> None:
    """The definition, by the binomial's own sum."""
    seen, trials = case
    found = rate(seen, trials)
    assert found.low is not None
    assert found.high is not None
    assert found.low < seen / trials < found.high
    assert _at_most(seen, trials, found.high) == pytest.approx(0.025, rel=1e-6)
    assert 1 - _at_most(seen - 1, trials, found.low) == pytest.approx(0.025, rel=1e-6)


def _at_most(seen: int, trials: int, share: float) -> float:
    return sum(math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(seen + 1))


def test_a_target_needs_three_trials_for_each_error_that_it_allows_in_as_many() -> None:
    assert supports(1e-3, 3000)
    assert not supports(1e-3, 2999)


def test_pairs_are_counted_at_each_threshold_and_a_score_at_the_threshold_matches() -> None:
    found = line(0.5, 0.7, 0.75)
    assert (found.genuine_pairs, found.impostor_pairs) == (2, 8)
    assert [found.false_matches(at) for at in (0.5, 0.7, 0.75)] == [4, 1, 1]
    assert [found.false_non_matches(at) for at in (0.5, 0.75)] == [0, 1]
    assert (found.genuine_min, found.impostor_max) == (pytest.approx(0.7), pytest.approx(0.8))
    with pytest.raises(ValueError, match="not one of the thresholds"):
        line(0.5, fine=False).false_matches(0.6)


@pytest.mark.parametrize("metric", list(Metric))
def test_in_blocks_of_any_size_the_counts_are_those_of_the_whole_matrix(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, people = _crowd(metric)
    named = (0.0, 0.25)
    first, second = np.triu_indices(len(vectors), 1)
    scores = np.array([_score(metric, vectors[a], vectors[b]) for a, b in zip(first, second, strict=True)], np.float32)
    same = people[first] == people[second]
    for block in (1, 137, 4_000_000):
        monkeypatch.setattr(comparing, "_BLOCK", block)
        found = compare(metric, vectors, people, named=named)
        assert (found.genuine_pairs, found.impostor_pairs) == (same.sum(), (~same).sum())
        for threshold in named:
            assert found.false_matches(threshold) == pytest.approx((scores[~same] >= threshold).sum(), abs=1)
            assert found.false_non_matches(threshold) == pytest.approx((scores[same] < threshold).sum(), abs=1)
            assert found.lost_of[threshold].sum() == found.false_non_matches(threshold)
        assert found.confusions is not None
        assert len(found.confusions.scores) == found.false_matches(0.0)


def _crowd(metric: Metric) -> tuple[Matrix, People]:
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(60, 16)).astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / (lengths if metric is Metric.cosine else 3 * lengths), rng.integers(0, 20, 60).astype(np.intp)


def _score(metric: Metric, a: Matrix, b: Matrix) -> float:
    return float(a @ b) if metric is Metric.cosine else 1 - float(np.linalg.norm(a - b))


def test_false_matches_too_many_to_keep_are_counted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "MOST_CONFUSIONS", 3)
    found = line(0.5)
    assert found.false_matches(0.5) == 4
    assert found.confusions is None
    assert fmr_limits(found, 0.5, np.array([2, 2, 1])) is None


def test_the_det_curve_runs_from_every_false_match_to_every_miss() -> None:
    points = det(line())
    assert [(point.false_matches, point.false_non_matches) for point in (points[0], points[-1])] == [(8, 0), (0, 2)]
    assert (1, 1) in {(point.false_matches, point.false_non_matches) for point in points}
    assert [point.threshold for point in points] == sorted(point.threshold for point in points)


def test_a_thinned_det_curve_keeps_its_ends_and_both_axes() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(300, 4)).astype(np.float32)
    found = compare(Metric.l2, vectors / 3, rng.integers(0, 30, 300).astype(np.intp), named=())
    points = det(found, at_most=60)
    assert 20 < len(points) <= 60
    assert (points[0].false_matches, points[-1].false_non_matches) == (found.impostor_pairs, found.genuine_pairs)
    assert min(point.false_matches for point in points if point.false_matches) < found.impostor_pairs / 1000


def test_the_equal_error_rate_is_where_both_are_nearest() -> None:
    found = equal_error(line())
    assert found is not None
    assert found.threshold == pytest.approx(0.65, abs=1e-3)  # between .6 and .7: 1 of 8 and none; above: 1 of 8 and 1 of 2
    assert (found.false_matches, found.false_non_matches) == (1, 0)


def test_of_people_who_are_all_told_apart_the_equal_error_is_in_the_middle_of_the_gap() -> None:
    found = equal_error(compare(Metric.l2, np.array([[0.0], [0.1], [0.9]], np.float32), np.array([0, 0, 1], np.intp), named=()))
    assert found is not None
    assert (found.false_matches, found.false_non_matches) == (0, 0)
    assert found.threshold == pytest.approx((0.2 + 0.9) / 2, abs=1e-3)


def test_at_an_fmr_the_lowest_threshold_that_keeps_it_is_taken() -> None:
    found = at_fmr(line(), 0.25)
    assert found is not None
    assert found.threshold == pytest.approx(0.5, abs=2e-4)
    assert found.threshold > 0.5
    assert found.false_matches == 2


def test_drawing_people_widens_the_limits_where_one_person_makes_all_the_errors() -> None:
    """Ten people with ten genuine pairs each: all ten errors are one person's, or each person has one of his own."""
    people = np.repeat(np.arange(10), 5)
    spread = np.zeros((50, 1), np.float32) + people[:, None] * 100.0
    one_bad, each_bad = spread.copy(), spread.copy()
    one_bad[:5, 0] += np.arange(5, dtype=np.float32) * 10  # no two of her photographs are alike
    concentrated = compare(Metric.l2, one_bad, people, named=(0.5,))
    each_bad[::5, 0] += 1.0  # one photograph of five is off: 4 of 10 pairs, of everybody
    even = compare(Metric.l2, each_bad, people, named=(0.5,))
    wide, narrow = fnmr_limits(concentrated, 0.5), fnmr_limits(even, 0.5)
    assert wide is not None
    assert narrow is not None
    assert concentrated.false_non_matches(0.5) == 10
    assert (wide.low, wide.people) == (0, 10)
    assert wide.high == pytest.approx(0.3, abs=0.11)  # who is one of ten is drawn up to three times of ten
    by_pair = rate(10, 100)
    assert by_pair.high is not None
    assert wide.high > by_pair.high
    assert (narrow.low, narrow.high) == (pytest.approx(0.4), pytest.approx(0.4))


def test_without_a_false_non_match_each_person_is_one_trial() -> None:
    found = fnmr_limits(line(0.5), 0.5)
    assert found is not None
    assert (found.low, found.high, found.people) == (0, 1, 2)  # eve has no pair of her own; 3/2 is cut at 1


def test_limits_of_the_fmr_leave_a_person_who_was_drawn_twice_out_of_his_own_impostors() -> None:
    """Two people, every pair a false match: whoever is drawn, the rate is 1, or there is no pair."""
    found = compare(Metric.l2, np.zeros((4, 1), np.float32), np.array([0, 0, 1, 1], np.intp), named=(0.5,))
    limits = fmr_limits(found, 0.5, np.array([2, 2]))
    assert limits is not None
    assert (limits.low, limits.high) == (1, 1)
    assert fmr_limits(line(0.9), 0.9, np.array([2, 2, 1])) is None


def test_identification_enrols_one_photograph_of_each_and_searches_with_the_others() -> None:
    """Enrolled: ada 0.0, bob 0.5, eve 1.0. Mated: ada 0.1 (0.9; next bob 0.6), bob 0.8 (0.7; but eve 0.8)."""
    found = search(Metric.l2, LINE, PEOPLE)
    assert found is not None
    assert found.gallery_size == 3
    np.testing.assert_allclose(found.own, [0.7, 0.9], atol=1e-6)
    np.testing.assert_allclose(found.strongest, [0.5, 0.5, 0.5, 0.6, 0.8], atol=1e-6)
    assert found.ranked_first == 1
    assert (found.misses(0.75), found.false_alarms(0.75)) == (1, 1)
    assert (found.misses(0.5), found.false_alarms(0.5)) == (0, 5)


def test_at_an_fpir_no_more_searches_return_anybody_than_it_allows() -> None:
    found = search(Metric.l2, LINE, PEOPLE)
    assert found is not None
    threshold = at_fpir(found, 0.2)
    assert 0.6 < threshold < 0.601
    assert found.false_alarms(threshold) == 1
    assert found.false_alarms(at_fpir(found, 0.0)) == 0
    assert len(curve(found, at_most=3)) == 3


def test_one_person_alone_cannot_be_taken_for_another() -> None:
    assert search(Metric.l2, LINE[:2], PEOPLE[:2]) is None


def test_a_tie_is_not_first() -> None:
    row = np.array([0.9, 0.9, 0.1], np.float32)
    assert not is_first(row, np.array([True, False, False]))
    assert is_first(row, np.array([True, True, False]))
