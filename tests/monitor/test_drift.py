"""Drift across the fleet: what differs, who is odd, and for how long it may."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitor import reason_codes
from monitor.drift import CODES, DriftWatch, Said
from monitor.wire import DriftFinding, DriftKind

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROLL_S = 900.0


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def like(name: str, **changes: object) -> Said:
    same = Said(name, "0.1.0", "m1", 0.4, 100, [(after(-4), 50), (NOW, 50)], {"genuine": 0.8})
    return replace(same, **changes)  # type: ignore[arg-type]


SAME = [like("b1"), like("b2"), like("b3")]


def found_at(watch: DriftWatch, said: list[Said], *seconds: float) -> list[list[DriftFinding]]:
    return [watch.look(said, after(s), roll_grace_s=ROLL_S) for s in seconds]


def test_a_fleet_that_agrees_has_no_findings_and_one_that_says_nothing_hides_none() -> None:
    assert found_at(DriftWatch(), [*SAME, Said("b4")], 0, 60, 3600) == [[], [], []]
    assert found_at(DriftWatch(), [], 0) == [[]]


@pytest.mark.parametrize(
    ("kind", "odd", "grace_s", "words"),
    [
        (DriftKind.model, like("b3", model_id="m2"), 0, "b1 and b2 have m1; b3 has m2"),
        (DriftKind.version, like("b3", version="0.2.0"), ROLL_S, "b1 and b2 have 0.1.0; b3 has 0.2.0"),
        (DriftKind.threshold, like("b3", review_threshold=0.41), 10, "b3 has 0.41"),
        (DriftKind.threshold, like("b3", review_threshold=0.5, gallery_size=90, seqs=[(NOW, 40)]), 10, "b3 has 0.5"),
        (DriftKind.gallery_size, like("b3", gallery_size=99), 10, "size at change 50 differs"),
        (DriftKind.gallery_seq, like("b3", gallery_size=90, seqs=[(after(-3), 40), (after(1), 40)]), 10, "b3 is behind"),
        (DriftKind.scores, like("b3", scores={"genuine": 0.7}), 0, "b3 0.700"),
    ],
)
def test_a_difference_is_told_once_it_has_outlasted_its_grace(kind: DriftKind, odd: Said, grace_s: float, words: str) -> None:
    watch = DriftWatch()
    first, before, at, much_later = found_at(watch, [*SAME[:2], odd], 0, max(0.0, grace_s - 1), grace_s, grace_s + 600)
    assert (first == [] and before == []) is (grace_s > 0)
    for found in (at, much_later):
        (one,) = [finding for finding in found if finding.kind is kind]
        assert words in one.sentence
        assert (one.backends, one.since, one.code) == (["b3"], NOW, CODES[kind])
    if kind is not DriftKind.scores:
        assert found_at(watch, SAME, grace_s + 601) == [[]], "and is over when it is over"


def test_a_roll_that_goes_on_is_no_drift_and_one_that_stands_still_is() -> None:
    watch, new = DriftWatch(), "0.2.0"
    rolls = [
        [like("b1", version=new), like("b2"), like("b3")],
        [like("b1", version=new), like("b2", version=new), like("b3")],
        [like(name, version=new) for name in ("b1", "b2", "b3")],
    ]
    assert [found_at(watch, said, 300.0 * step) for step, said in enumerate(rolls)] == [[[]], [[]], [[]]]
    stuck = found_at(watch, rolls[0], 1000, 1000 + ROLL_S)
    assert [len(found) for found in stuck] == [0, 1]


def test_a_threshold_that_follows_a_growing_gallery_is_no_drift() -> None:
    growing = [like("b1"), like("b2", gallery_size=110, review_threshold=0.405, seqs=[(NOW, 60)])]
    assert found_at(DriftWatch(), growing, 0, 60) == [[], []]


def test_where_there_is_no_majority_both_are_named() -> None:
    (found,) = found_at(DriftWatch(), [like("b1"), like("b2", model_id="m2")], 0)
    assert found[0].backends == ["b1", "b2"]


def test_a_score_that_moves_under_the_same_model_is_drift_and_under_a_new_model_is_not() -> None:
    watch, alone = DriftWatch(), like("b1")
    assert found_at(watch, [alone], 0) == [[]]
    (found,) = found_at(watch, [like("b1", scores={"genuine": 0.75})], 60)
    assert [(one.kind, one.backends) for one in found] == [(DriftKind.scores, ["b1"])]
    (later,) = found_at(watch, [like("b1", scores={"genuine": 0.75})], 60 + 3601)
    assert later == [], "after an hour this is how it scores"
    assert found_at(watch, [like("b1", model_id="m2", scores={"genuine": 0.6})], 3720) == [[]]
    assert found_at(watch, [like("b1", scores={"genuine": 0.755})], 3780) == [[]], "the arithmetic of another processor"


def test_scores_of_two_models_are_not_compared() -> None:
    (found,) = found_at(DriftWatch(), [like("b1"), like("b2"), like("b3", model_id="m2", scores={"genuine": 0.1})], 0)
    assert [one.kind for one in found] == [DriftKind.model]


def test_every_kind_has_a_code_with_advice() -> None:
    assert set(CODES) == set(DriftKind)
    assert all(reason_codes.lookup(code) for code in CODES.values())
