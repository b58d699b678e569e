"""`kill -9` under load, mostly between the two transactions: nothing acknowledged is lost, no planted duplicate is missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.kills import Plan, database, photographs_of, report, run

pytestmark = [pytest.mark.weights, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("kind", "policy", "kills"),
    [("sqlite", "flag", 12), ("postgresql", "flag", 12), ("sqlite", "reject", 8), ("postgresql", "reject", 8)],
)
def test_kills_lose_nothing_and_miss_nothing(testdata: Path, tmp_path: Path, kind: str, policy: str, kills: int) -> None:
    plan = Plan(
        kills=kills,
        seed=20_240_229,
        policy=policy,
        photographs=photographs_of(testdata, policy),
        model_pack=testdata / "models" / "test_mbf",
        folder=tmp_path,
        limit_s=600,
    )
    with database(kind, tmp_path) as url:
        outcome = run(plan, url)
    print(f"\ndb={kind} {report(outcome)}")
    assert outcome.kills == kills
    assert outcome.record.refused == []
    assert outcome.verdict.acknowledged_lost == 0
    assert outcome.verdict.planted_missed == 0
    assert outcome.verdict.pairs_in_two_cases == 0
    assert outcome.kills_between_t1_t2 >= 2
    if policy == "reject":
        assert outcome.record.rejected > 0
        assert outcome.verdict.lives_wrong == 0
    else:
        assert outcome.verdict.planted_pairs >= 20, "too little happened to prove anything"
