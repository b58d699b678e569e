"""From outcomes of probes to a state: HAProxy's health integer and the state table, as pure functions.

Nothing here reads a clock or the network: times are passed in. The integer is HAProxy's (`src/check.c`): `0 .. rise+fall-1`,
up from `rise` on; a failure takes one off and below `rise` drops to 0, a pass adds one and from `rise` on jumps to the
top. One number gives hysteresis, the progress text and the choice between the three speeds.

Ours alone is the time before anything is known: None, and below zero the failures so far. One pass is up (as at an ALB),
`fall` failures are down, and until then nothing is said: a machine that is busy starting makes no false DOWN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from monitor.wire import State

STALE_INTERVALS = 3
DRAINING = "APP.DRAINING"


@dataclass(frozen=True)
class Rule:
    """`fall` failures in a row to go down, `rise` passes in a row to come back."""

    rise: int
    fall: int

    @property
    def top(self) -> int:
        return self.rise + self.fall - 1


@dataclass(frozen=True)
class Outcome:
    """What the state machine needs of one probe. `passed` is None where the monitor itself failed: no verdict."""

    passed: bool | None
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Standing:
    """One kind of probe of one backend. `health` is None before the first outcome; `failure` is the last one that failed."""

    health: int | None = None
    failing: bool = False
    failure: Outcome | None = None


@dataclass(frozen=True)
class Standings:
    live: Standing = Standing()
    health: Standing = Standing()
    ready: Standing = Standing()


@dataclass(frozen=True)
class Readiness:
    """What the last readable answer of `/ready` said beside yes or no."""

    ever_ready: bool | None = None
    warning: str | None = None
    warning_detail: str | None = None


@dataclass(frozen=True)
class Verdict:
    state: State
    reason: str | None = None
    detail: str | None = None


class Speed(StrEnum):
    normal = "normal"
    fast = "fast"
    down = "down"


def after(health: int | None, passed: bool, rule: Rule) -> int:
    """The health integer after one more outcome."""
    if health is None or health < 0:
        failures = 1 - (health or 0)
        return rule.top if passed else -failures if failures < rule.fall else 0
    moved = health + 1 if passed else health - 1
    if passed:
        return rule.top if moved >= rule.rise else moved
    return moved if moved >= rule.rise else 0


def is_up(health: int | None, rule: Rule) -> bool | None:
    return None if health is None or health < 0 else health >= rule.rise


def in_transition(health: int | None, rule: Rule) -> bool:
    return health is None or (health != 0 and health < rule.top)


def progress(health: int | None, rule: Rule) -> str | None:
    """How far a change has come, e.g. ``2/3 before down``; None in a settled state."""
    if health is None or not in_transition(health, rule):
        return None
    if health < 0:
        return f"{-health}/{rule.fall} before down"
    if health >= rule.rise:
        return f"{rule.top - health}/{rule.fall} before down"
    return f"{health}/{rule.rise} before up"


def heard(standing: Standing, outcome: Outcome, rule: Rule) -> Standing:
    """The standing after `outcome`; unchanged where the monitor has no verdict."""
    if outcome.passed is None:
        return standing
    return Standing(
        health=after(standing.health, outcome.passed, rule),
        failing=not outcome.passed,
        failure=standing.failure if outcome.passed else outcome,
    )


def adapted(standing: Standing, rule: Rule) -> Standing:
    """The standing under a changed rule: who is in transition keeps the number as far as the new range has it."""
    if standing.health is None:
        return standing
    return replace(standing, health=0 if standing.health <= -rule.fall else min(standing.health, rule.top))


def speed(standings: Standings, rule: Rule) -> Speed:
    """How soon to ask again: fast while anything is in transition."""
    values = (standings.live.health, standings.health.health, standings.ready.health)
    if any(in_transition(value, rule) for value in values):
        return Speed.fast
    return Speed.normal if all(is_up(value, rule) for value in values) else Speed.down


def judge(standings: Standings, readiness: Readiness, rule: Rule, *, running_s: float | None, start_budget_s: float) -> Verdict:
    """One state from three probes: the table of the design, row by row.

    `running_s` is how long the backend's process runs, as far as known (None: not known, counts as just started).
    """
    live, health, ready = (is_up(part.health, rule) for part in (standings.live, standings.health, standings.ready))
    if live is None:
        return Verdict(State.unknown)
    if not live:
        return _failed(State.down, standings.live)
    if health is None:
        return Verdict(State.unknown)
    if not health:
        return _failed(State.down, standings.health)
    if ready is None:
        return Verdict(State.unknown)
    if ready:
        return Verdict(State.up, readiness.warning, readiness.warning_detail)
    refused = _failed(State.degraded, standings.ready)
    if refused.reason != DRAINING and readiness.ever_ready is False and (running_s is None or running_s <= start_budget_s):
        return replace(refused, state=State.starting)
    return refused


def is_stale(last_sample_at: datetime | None, now: datetime, *, interval_s: float, deadline_s: float) -> bool:
    """Whether the last sample is older than three intervals; a probe that takes its whole deadline is not late for it."""
    if last_sample_at is None:
        return True
    return now - last_sample_at > timedelta(seconds=stale_after_s(interval_s=interval_s, deadline_s=deadline_s))


def stale_after_s(*, interval_s: float, deadline_s: float) -> float:
    return STALE_INTERVALS * (interval_s + deadline_s)


def _failed(state: State, standing: Standing) -> Verdict:
    failure = standing.failure or Outcome(passed=False)
    return Verdict(state, failure.reason, failure.detail)
