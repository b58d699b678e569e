"""A change of model under load: no request fails for it, nobody is missed, and rolled back the old model judges as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.kills import database, photographs_of
from tests.system.reembed import Course, report, run

pytestmark = [pytest.mark.weights, pytest.mark.timeout(600)]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_change_of_model_under_load_misses_nobody_and_is_rolled_back(testdata: Path, tmp_path: Path, kind: str) -> None:
    models = testdata / "models"
    packs = [models / "test_mbf", models / "test_mfn128"]
    old, new = packs if kind == "sqlite" else packs[::-1]
    with database(kind, tmp_path) as url:
        course = Course(1.5, photographs_of(testdata, "reject"), old, new, tmp_path, rolling=False, first=8)
        outcome = run(course, url)
    print(f"\ndb={kind} {report(outcome)}")
    assert outcome.steps == ["filling", "switched", "rolled_back"]
    assert (outcome.failed, outcome.not_found) == ([], 0)
    assert (outcome.found.missed, outcome.found.in_two_cases, outcome.found.lost) == (0, 0, 0)
    assert outcome.rolled_back
    assert outcome.holds, report(outcome)
