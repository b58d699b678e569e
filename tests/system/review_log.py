"""What reviewers were told, as they wrote it down themselves, and what of it cannot be true together."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations


@dataclass
class Hold:
    """An acknowledged claim. Times are seconds since the epoch; `until` is by the database's clock, which is this machine's."""

    person: str
    case_id: str
    asked: float
    answered: float
    until: float
    ended: float | None = None
    """when its holder began to give it back, to decide it or to claim a third, or somebody to take it over"""

    @property
    def end(self) -> float:
        return self.until if self.ended is None else min(self.until, self.ended)

    def end_at(self, at: float) -> None:
        self.ended = at if self.ended is None else min(self.ended, at)


@dataclass(frozen=True)
class Said:
    """A decision or an undo (`verdict` is then "undo") that was sent, once or again and again, and perhaps acknowledged."""

    person: str
    case_id: str
    version: int
    verdict: str
    survivor: str | None
    sent: float
    answered: float | None
    """None: it may have been made or not"""

    def __str__(self) -> str:
        return f"{self.case_id} v{self.version} {self.verdict} by {self.person}"


@dataclass(frozen=True)
class Takeover:
    """`answered`: or given up."""

    person: str
    case_id: str
    sent: float
    answered: float


@dataclass
class ReviewLog:
    """Of all reviewers."""

    holds: list[Hold] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    takeovers: list[Takeover] = field(default_factory=list)
    unanswered_claims: list[tuple[str, str | None]] = field(default_factory=list)
    """(person, case): it may have been granted; None for the next one, whichever that was"""
    refused: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """by code"""
    told_early: list[str] = field(default_factory=list)
    repeated: int = 0
    """decisions that were sent again though they had been answered"""
    repeated_otherwise: list[tuple[str, int]] = field(default_factory=list)
    """(case, version that was decided): the second answer was not the first"""
    lost_answers: int = 0
    slept: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def refuse(self, code: str) -> None:
        with self.lock:
            self.refused[code] += 1

    def end_what_was_taken_over(self) -> None:
        """What was asked for before a takeover was answered was granted before it, and lost to it."""
        for takeover in self.takeovers:
            for hold in self.holds:
                if hold.case_id == takeover.case_id and hold.person != takeover.person and hold.asked < takeover.answered:
                    hold.end_at(takeover.sent)


def claimed_twice(holds: Iterable[Hold]) -> list[str]:
    """Every two people who were both told, for one moment, that they hold one case."""
    by_case = defaultdict(list)
    for hold in holds:
        by_case[hold.case_id].append(hold)
    return [
        f"{case_id}: {a.person} [{a.answered:.3f}, {a.end:.3f}] and {b.person} [{b.answered:.3f}, {b.end:.3f}]"
        for case_id, held in by_case.items()
        for a, b in combinations(held, 2)
        if a.person != b.person and max(a.answered, b.answered) < min(a.end, b.end)
    ]


def decided_over_somebody(holds: Iterable[Hold], said: Iterable[Said]) -> list[str]:
    """Acknowledged decisions on a case that somebody else held all the while from the first request to the answer."""
    by_case = defaultdict(list)
    for hold in holds:
        by_case[hold.case_id].append(hold)
    return [
        f"{one} while {hold.person} held it"
        for one in said
        if one.answered is not None
        for hold in by_case[one.case_id]
        if hold.person != one.person and hold.answered <= one.sent and one.answered <= hold.end
    ]
