"""A replica that was stopped for a while answers nothing that is no longer so, and is in step again within seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.frozen import IN_STEP_WITHIN_S, report, run
from tests.system.kills import database, photographs_of

pytestmark = [pytest.mark.weights, pytest.mark.timeout(900)]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_replica_that_was_frozen_while_others_enrolled_and_erased_serves_nothing_stale(
    testdata: Path, tmp_path: Path, kind: str
) -> None:
    photographs, pack = photographs_of(testdata, "reject"), testdata / "models" / "test_mbf"
    with database(kind, tmp_path) as url:
        outcome = run(seconds=8, url=url, photographs=photographs, model_pack=pack, folder=tmp_path / "site")
    print(f"\ndb={kind} {report(outcome)}")
    assert outcome.answers.wrong == []
    assert outcome.answers.erased_returned == 0
    assert outcome.answers.right > 0
    assert outcome.answers.older > 0, "it was in step before anybody asked, so nobody had to be kept waiting"
    assert outcome.erased > 0
    assert outcome.missed == 0
    assert not outcome.twice
    assert outcome.in_step_s <= IN_STEP_WITHIN_S
    assert outcome.verdict.planted_pairs > 0
    assert outcome.verdict.acknowledged_lost == 0
    assert outcome.verdict.planted_missed == 0
    assert outcome.verdict.pairs_in_two_cases == 0
