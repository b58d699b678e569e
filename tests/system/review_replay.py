"""The rules of a review, written down a second time: a case's decisions are played again, and what was not allowed is told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from backend.store.tables import Decision

CLEAR = frozenset({"same", "different", "twin_or_relative", "poor_image"})
ROUND = {"open": "first", "second_review": "second", "arbitration": "arbitration"}


@dataclass
class Replay:
    """`two`: whether two must judge alike."""

    two: bool
    supervisors: Collection[str]
    state: str = "open"
    standing: list[Decision] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    version: int = 0
    settled: int = 0
    """times that it was resolved, less those taken back"""

    def play(self, rows: Sequence[Decision]) -> list[str]:
        """Of one case, in any order: versions order them. What is wrong with them, and with how they end."""
        by_id = {row.id: row for row in rows}
        for row in sorted(rows, key=lambda one: one.version):
            if row.version <= self.version:
                self._wrong(row, "two at one version")
            self.version = row.version
            if row.verdict == "undo":
                self._undo(row, by_id.get(row.undoes or ""))
            else:
                self._decide(row)
        if (self.state, self.settled) != ("resolved", 1):
            self.wrong.append(f"ends {self.state}, settled {self.settled} times")
        if any(row.undone_by is not None for row in self.standing):
            self.wrong.append("what stands is marked as undone")
        return self.wrong

    def _decide(self, row: Decision) -> None:
        if row.round != ROUND.get(self.state):
            return self._wrong(row, f"in the {row.round} round while {self.state}")
        if self.state != "open" and row.actor in {one.actor for one in self.standing}:
            self._wrong(row, "by somebody who had decided it already")
        if self.state == "arbitration" and row.actor not in self.supervisors:
            self._wrong(row, "an arbitration by no supervisor")
        self.state = self._after(row)
        self.standing.append(row)
        self.settled += self.state == "resolved"
        if row.applied != (self.state == "resolved"):
            self._wrong(row, "applied too early" if row.applied else "never applied")
        return None

    def _after(self, row: Decision) -> str:
        if self.state == "arbitration":
            return "resolved"
        if row.verdict not in CLEAR:
            return "arbitration"
        if self.state == "second_review":
            first = self.standing[-1]
            return "resolved" if (first.verdict, first.survivor_id) == (row.verdict, row.survivor_id) else "arbitration"
        return "second_review" if self.two else "resolved"

    def _undo(self, row: Decision, undone: Decision | None) -> None:
        if not self.standing or undone is not self.standing[-1]:
            return self._wrong(row, "takes back what was not the last")
        if row.actor not in self.supervisors and (
            undone.round == "arbitration" or not (undone.applied or undone.actor == row.actor)
        ):
            self._wrong(row, "by somebody who may not take it back")
        taken = 2 if undone.applied and undone.round == "second" else 1
        for one in self.standing[-taken:]:
            if one.undone_by != row.id:
                self._wrong(one, "taken back and not marked so")
        self.settled -= undone.applied
        del self.standing[-taken:]
        self.state = self._left()
        return None

    def _left(self) -> str:
        if not self.standing:
            return "open"
        return "second_review" if len(self.standing) == 1 and self.standing[0].verdict in CLEAR else "arbitration"

    def _wrong(self, row: Decision, why: str) -> None:
        self.wrong.append(f"{row.id} {row.verdict} by {row.actor}: {why}")
