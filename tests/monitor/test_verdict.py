"""The state machine by properties: HAProxy's integer, the table of three probes, staleness, flapping."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.flapping import is_flapping, percent
from monitor.verdict import (
    Outcome,
    Readiness,
    Rule,
    Speed,
    Standing,
    Standings,
    adapted,
    after,
    heard,
    in_transition,
    is_stale,
    is_up,
    judge,
    progress,
    speed,
)
from monitor.wire import State

rules = st.builds(Rule, rise=st.integers(1, 20), fall=st.integers(1, 20))
passes = st.lists(st.booleans(), max_size=80)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run(rule: Rule, outcomes: list[bool], health: int | None = None) -> int | None:
    for passed in outcomes:
        health = after(health, passed, rule)
    return health


@given(rules, passes)
def test_the_integer_stays_within_its_range_and_never_rests_just_below_rise(rule: Rule, outcomes: list[bool]) -> None:
    health = run(rule, outcomes)
    assert health is None or -rule.fall < health <= rule.top


@given(rules, passes)
def test_up_turns_down_after_exactly_fall_failures_in_a_row(rule: Rule, outcomes: list[bool]) -> None:
    settled = run(rule, [*outcomes, *[True] * rule.rise])
    assert settled == rule.top
    for number in range(1, rule.fall + 1):
        health = run(rule, [False] * number, settled)
        assert is_up(health, rule) is (number < rule.fall)


@given(rules, passes)
def test_down_turns_up_after_exactly_rise_passes_in_a_row(rule: Rule, outcomes: list[bool]) -> None:
    settled = run(rule, [*outcomes, *[False] * rule.fall])
    assert settled == 0
    for number in range(1, rule.rise + 1):
        health = run(rule, [True] * number, settled)
        assert is_up(health, rule) is (number >= rule.rise)


@given(rules, passes)
def test_one_pass_restores_the_whole_distance_to_down(rule: Rule, outcomes: list[bool]) -> None:
    health = run(rule, outcomes)
    if is_up(health, rule):
        assert after(health, True, rule) == rule.top


@given(rules)
def test_of_one_never_seen_a_pass_says_up_at_once_and_only_fall_failures_say_down(rule: Rule) -> None:
    for failures in range(rule.fall):
        health = run(rule, [False] * failures)
        assert is_up(health, rule) is None
        assert after(health, True, rule) == rule.top
    assert run(rule, [False] * rule.fall) == 0


@given(rules, passes)
def test_progress_is_said_exactly_in_transition(rule: Rule, outcomes: list[bool]) -> None:
    health = run(rule, outcomes)
    assert (progress(health, rule) is not None) == (health is not None and in_transition(health, rule))


def test_progress_reads_as_a_person_counts() -> None:
    rule = Rule(rise=2, fall=3)
    assert progress(run(rule, [True, False, False]), rule) == "2/3 before down"
    assert progress(run(rule, [False, False, False, True]), rule) == "1/2 before up"
    assert progress(run(rule, [False]), rule) == "1/3 before down"


def standing(health: int | None, reason: str | None = None) -> Standing:
    return Standing(health, failing=reason is not None, failure=Outcome(False, reason, "why") if reason else None)


RULE = Rule(rise=2, fall=3)
UP, DOWN = RULE.top, 0


@pytest.mark.parametrize(
    ("live", "health", "ready", "ever_ready", "state", "reason"),
    [
        ((DOWN, "NET.REFUSED"), (DOWN, "X"), (DOWN, "Y"), None, State.down, "NET.REFUSED"),
        ((DOWN, "TLS.EXPIRED"), (UP, None), (UP, None), None, State.down, "TLS.EXPIRED"),
        ((UP, None), (DOWN, "DEP.DATABASE"), (DOWN, "DEP.DATABASE"), True, State.down, "DEP.DATABASE"),
        ((UP, None), (UP, None), (DOWN, "APP.DRAINING"), True, State.degraded, "APP.DRAINING"),
        ((UP, None), (UP, None), (DOWN, "APP.DRAINING"), False, State.degraded, "APP.DRAINING"),
        ((UP, None), (UP, None), (DOWN, "APP.MODEL"), False, State.starting, "APP.MODEL"),
        ((UP, None), (UP, None), (DOWN, "APP.GALLERY"), True, State.degraded, "APP.GALLERY"),
        ((UP, None), (UP, None), (UP, None), True, State.up, None),
        ((None, None), (None, None), (None, None), None, State.unknown, None),
        ((UP, None), (None, None), (None, None), None, State.unknown, None),
    ],
)
def test_three_probes_make_one_state_as_the_table_says(
    live: tuple[int | None, str | None],
    health: tuple[int | None, str | None],
    ready: tuple[int | None, str | None],
    ever_ready: bool | None,
    state: State,
    reason: str | None,
) -> None:
    standings = Standings(standing(*live), standing(*health), standing(*ready))
    verdict = judge(standings, Readiness(ever_ready), RULE, running_s=5, start_budget_s=120)
    assert (verdict.state, verdict.reason) == (state, reason)


def test_never_ready_beyond_the_start_budget_is_degraded() -> None:
    standings = Standings(standing(UP), standing(UP), standing(DOWN, "APP.MODEL"))
    for running_s, state in ((119.0, State.starting), (121.0, State.degraded), (None, State.starting)):
        verdict = judge(standings, Readiness(ever_ready=False), RULE, running_s=running_s, start_budget_s=120)
        assert verdict.state is state


def test_a_warning_stays_up_and_is_named() -> None:
    standings = Standings(standing(UP), standing(UP), standing(UP))
    verdict = judge(standings, Readiness(True, "APP.RESOURCES", "disk"), RULE, running_s=5, start_budget_s=120)
    assert (verdict.state, verdict.reason, verdict.detail) == (State.up, "APP.RESOURCES", "disk")


healths = st.one_of(st.none(), st.integers(1 - RULE.fall, RULE.top))


@given(healths, healths, healths, st.sampled_from([None, True, False]), st.one_of(st.none(), st.floats(0, 1e6)))
def test_nothing_is_up_unless_all_three_probes_are(
    live: int | None, health: int | None, ready: int | None, ever_ready: bool | None, running_s: float | None
) -> None:
    standings = Standings(standing(live, "L"), standing(health, "H"), standing(ready, "R"))
    verdict = judge(standings, Readiness(ever_ready), RULE, running_s=running_s, start_budget_s=120)
    all_up = all(value is not None and value >= RULE.rise for value in (live, health, ready))
    assert (verdict.state is State.up) == all_up
    if live is not None and 0 <= live < RULE.rise:
        assert (verdict.state, verdict.reason) == (State.down, "L")


@given(healths, healths, healths)
def test_the_speed_is_fast_while_anything_moves(live: int | None, health: int | None, ready: int | None) -> None:
    values = (live, health, ready)
    found = speed(Standings(*(standing(value) for value in values)), RULE)
    moving = any(value is None or value < 0 or 0 < value < RULE.top for value in values)
    assert (found is Speed.fast) == moving
    if not moving:
        assert (found is Speed.normal) == all(value == RULE.top for value in values)


@given(healths, st.sampled_from([True, False]))
def test_a_fault_of_the_monitor_changes_nothing(health: int | None, failing: bool) -> None:
    before = Standing(health, failing)
    assert heard(before, Outcome(None, "MON.RESOURCES"), RULE) == before


def test_the_last_failure_stays_known_while_it_recovers() -> None:
    down = Standing()
    for _ in range(RULE.fall):
        down = heard(down, Outcome(False, "NET.REFUSED", "d"), RULE)
    recovering = heard(down, Outcome(True), RULE)
    assert not recovering.failing
    assert recovering.failure == Outcome(False, "NET.REFUSED", "d")
    verdict = judge(Standings(recovering, recovering, recovering), Readiness(), RULE, running_s=1, start_budget_s=1)
    assert (verdict.state, verdict.reason) == (State.down, "NET.REFUSED")


@given(healths, rules)
def test_a_changed_rule_keeps_the_number_within_the_new_range(health: int | None, rule: Rule) -> None:
    moved = adapted(Standing(health), rule)
    if health is None:
        assert moved.health is None
    else:
        assert moved.health is not None
        assert -rule.fall < moved.health <= rule.top


def test_a_sample_older_than_three_intervals_is_stale() -> None:
    for age, stale in ((5.9, False), (12.1, True)):
        assert is_stale(NOW - timedelta(seconds=age), NOW, interval_s=2, deadline_s=2) is stale
    assert is_stale(None, NOW, interval_s=2, deadline_s=2)


states = st.lists(st.sampled_from(["UP", "DOWN"]), max_size=30)


@given(states)
def test_flapping_is_a_percentage_and_zero_when_nothing_changes(history: list[str]) -> None:
    assert 0 <= percent(history) <= 100.0001
    assert percent(["UP"] * len(history)) == 0


def test_flapping_starts_high_and_ends_low() -> None:
    alternating = ["UP", "DOWN"] * 11
    assert percent(alternating[:21]) == pytest.approx(100, abs=0.5)
    assert is_flapping(alternating, was=False)
    calmer = ["UP", "DOWN"] * 3 + ["UP"] * 15
    assert LOW < percent(calmer) < HIGH
    assert is_flapping(calmer, was=True)
    assert not is_flapping(calmer, was=False)


LOW, HIGH = 20, 30
