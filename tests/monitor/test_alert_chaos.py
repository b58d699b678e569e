"""The short form of `make alert-chaos`: a process killed between transition, claim, send and mark, on both databases."""

from __future__ import annotations

from pathlib import Path

from tests.monitor.alert_chaos import Chaos
from tests.monitor.alert_chaos_child import PLACES

ROUNDS = 12


def test_every_settled_change_is_told_and_counted_once_however_the_process_is_killed(database_url: str, tmp_path: Path) -> None:
    outcome = Chaos(database_url, tmp_path, seed=5).run(ROUNDS, places=len(PLACES) // 2)
    assert outcome.holds, outcome.sentence()
    assert sum(map(len, outcome.changes.values())) >= ROUNDS
