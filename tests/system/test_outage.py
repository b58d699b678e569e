"""The database server goes away under load, by a crash and by freezing, and comes back: nothing lost, nobody left waiting."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.outage import BACK_WITHIN_S, DEADLINE_S, NOTICED_WITHIN_S, report, run

pytestmark = [pytest.mark.weights, pytest.mark.timeout(900)]


@pytest.mark.parametrize("how", ["stop", "freeze"])
def test_a_database_that_goes_away_is_told_at_once_and_used_again_without_a_restart(
    testdata: Path, tmp_path: Path, how: str
) -> None:
    photographs = sorted((testdata / "faces").glob("*/*.jpg"))
    outcome = run(
        how=how, seconds=8, photographs=photographs, model_pack=testdata / "models" / "test_mbf", folder=tmp_path / "site"
    )
    print(f"\n{report(outcome)}")
    assert outcome.told.wrong == []
    assert outcome.during > 0, "nobody asked while it was away"
    assert outcome.health_503_s <= NOTICED_WITHIN_S
    assert outcome.back_s <= BACK_WITHIN_S
    assert outcome.told.slowest_s <= 2 * DEADLINE_S
    assert outcome.restarted == 0
    assert outcome.verdict.planted_pairs > 0
    assert outcome.verdict.acknowledged_lost == 0
    assert outcome.verdict.planted_missed == 0
    assert outcome.verdict.pairs_in_two_cases == 0
