"""From windows to findings: a suspicion becomes one in its second window in a row, or at once where the evidence is overwhelming.

Pure: a window and what the window before left in; findings and what to remember out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from monitor.distribution import mix, outliers, shares
from monitor.distribution.candidate import Candidate, Kind
from monitor.distribution.window import Window

# A sinkhole whose share wavers is an error outlier in between: one suspicion, one count.
FAMILY = {Kind.sinkhole: Kind.errors}

Key = tuple[Kind, str | None]


@dataclass(frozen=True)
class Finding:
    """`since`: end of the window in which it was first suspected; `at`: of the last one."""

    kind: Kind
    backend: str | None
    sentence: str
    figures: Mapping[str, float]
    since: datetime
    at: datetime


@dataclass(frozen=True)
class Streak:
    since: datetime
    windows: int
    found: bool


@dataclass(frozen=True)
class Memory:
    """What one window leaves to the next."""

    streaks: Mapping[Key, Streak] = field(default_factory=dict)


def candidates(window: Window) -> list[Candidate]:
    """Everything suspicious in this window alone. A sinkhole's errors are told once, as the sinkhole's."""
    holes = shares.sinkholes(window)
    failing = outliers.errors(window)
    if any(one.backend is None for one in failing):
        holes = []
    named = {one.backend for one in holes}
    failing = [one for one in failing if one.backend not in named]
    unfair = [one for one in shares.unfair(window) if not holes]
    drifting = [one for one in mix.drifted(window) if one.backend is None or one.backend not in named]
    # Answers that failed may have come fast: who gives many of them is no measure of the others' times.
    ill = {one.backend for one in [*holes, *failing, *drifting] if one.backend is not None}
    return [*holes, *failing, *outliers.latency(window, without=ill), *unfair, *drifting]


def judge(window: Window, memory: Memory) -> tuple[list[Finding], Memory]:
    """What to tell after this window."""
    suspected = {_key(one): one for one in candidates(window)}
    streaks = {key: _longer(memory.streaks.get(key), one, window.until) for key, one in suspected.items()}
    findings = [_finding(one, streaks[key], window.until) for key, one in suspected.items() if streaks[key].found]
    return findings, Memory(streaks)


def _key(one: Candidate) -> Key:
    return FAMILY.get(one.kind, one.kind), one.backend


def _longer(before: Streak | None, one: Candidate, until: datetime) -> Streak:
    windows = before.windows + 1 if before else 1
    found = one.overwhelming or windows >= one.after or (before is not None and before.found)
    return Streak(before.since if before else until, windows, found)


def _finding(one: Candidate, streak: Streak, until: datetime) -> Finding:
    return Finding(one.kind, one.backend, one.sentence, one.figures, streak.since, until)
