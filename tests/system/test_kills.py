"""Random `kill -9` under load: nothing acknowledged is lost, no planted duplicate is missed, no pair is in two cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.kills import photographs_of, report, run

pytestmark = [pytest.mark.weights, pytest.mark.timeout(1200)]

KILLS = 40


def test_forty_random_kills_lose_nothing_and_miss_nothing(testdata: Path, tmp_path: Path) -> None:
    photographs = photographs_of(testdata)
    outcome = run(
        kills=KILLS, seed=20_240_229, photographs=photographs, model_pack=testdata / "models" / "test_mbf", folder=tmp_path
    )
    print(f"\n{report(outcome)}")
    assert outcome.kills == KILLS
    assert outcome.verdict.planted_pairs >= 50, "too little happened to prove anything"
    assert outcome.refused == []
    assert outcome.verdict.acknowledged_lost == 0
    assert outcome.verdict.planted_missed == 0
    assert outcome.verdict.pairs_in_two_cases == 0
