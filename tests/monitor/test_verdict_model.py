"""Verdicts of a whole backend against a recount by brute force: no flip without its evidence, whatever order rounds come in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.backend_watch import BackendWatch
from monitor.flapping import HIGH_PERCENT, percent
from monitor.probe.outcome import Reason, Result, Round
from monitor.rows import state_row, take_up
from monitor.verdict import Readiness, Rule, after, is_up
from monitor.wire import AdminState, ProbeKind, State
from tests.monitor.test_watch import REFUSED, Seeing, fleet

OURS = Reason("MON.RESOURCES", "no socket")
NOT_READY = Reason("APP.MODEL", "no model")
DRAINING = Reason("APP.DRAINING", "is taken out")

# Each kind of probe by itself passes, fails, or gives no verdict.
KINDS = st.tuples(*(st.sampled_from([True, True, False]) for _ in ProbeKind))
ROUNDS = st.lists(st.one_of(KINDS, st.none()), max_size=60)


def decided(outcomes: Sequence[bool], rule: Rule) -> bool | None:
    """Up or down by the latest evidence that is enough for either; None before there is any. Looks back, keeps nothing."""
    for end in range(len(outcomes), 0, -1):
        fell = outcomes[max(0, end - rule.fall) : end]
        if len(fell) == rule.fall and not any(fell):
            return False
        rose = outcomes[max(0, end - rule.rise) : end]
        if len(rose) == rule.rise and all(rose):
            return True
    # One that was never seen: a single pass is enough. (Once it was, `fall` failures would have been found above.)
    return True if any(outcomes) else None


@settings(max_examples=300)
@given(st.builds(Rule, rise=st.integers(1, 5), fall=st.integers(1, 5)), st.lists(st.booleans(), max_size=40))
def test_one_kind_of_probe_flips_only_on_the_evidence_that_a_recount_finds(rule: Rule, outcomes: list[bool]) -> None:
    health = None
    for number, passed in enumerate(outcomes, 1):
        health = after(health, passed, rule)
        assert is_up(health, rule) is decided(outcomes[:number], rule)


@settings(max_examples=150)
@given(ROUNDS)
def test_the_state_of_a_backend_flips_only_on_evidence_and_each_flip_is_one_event(rounds: list[tuple[bool, ...] | None]) -> None:
    seeing = Seeing(fleet("b1", "b2"))
    backend, rule = seeing.watch.backends["b1"], seeing.watch.rule
    heard: list[tuple[bool, ...]] = []
    events = []
    for outcome in rounds:
        seeing.clock.now += timedelta(seconds=1)
        before = backend.verdict.state
        reasons = [OURS] * 3 if outcome is None else [None if passed else REFUSED for passed in outcome]
        results = {
            kind: Result(kind, seeing.clock.now, reason, readiness=Readiness(ever_ready=True))
            for kind, reason in zip(ProbeKind, reasons, strict=True)
        }
        asyncio.run(seeing.watch.hear(Round("b1", seeing.clock.now, results), backend.spec))
        if outcome is None:
            assert backend.verdict.state is before, "a fault of the monitor gives no verdict"
        else:
            heard.append(outcome)
        assert backend.verdict.state is recounted(heard, rule)
        if backend.verdict.state is not before:
            events.append((before, backend.verdict.state))
    assert [(e.old, e.new) for e in seeing.watch.take_batch().events] == events


def recounted(heard: list[tuple[bool, ...]], rule: Rule) -> State:
    live, health, ready = (decided([one[place] for one in heard], rule) for place in range(3))
    if live is None:
        return State.unknown
    if not live:
        return State.down
    if health is None:
        return State.unknown
    if not health:
        return State.down
    if ready is None:
        return State.unknown
    return State.up if ready else State.degraded


def alternating(seeing: Seeing, name: str) -> None:
    """As often as the hysteresis lets a state change."""
    for _ in range(6):
        seeing.hear(name, live=REFUSED, times=seeing.watch.rule.fall)
        seeing.hear(name, times=seeing.watch.rule.rise)


def test_a_backend_that_changes_as_often_as_its_hysteresis_allows_is_flapping_and_settles_again() -> None:
    """With a threshold of 50 percent it never was: rise 2 and fall 3 allow 8 changes in 20, 40 percent."""
    seeing = Seeing(fleet("b1"))
    seeing.hear("b1", times=21)
    assert not seeing.backend("b1").flapping
    alternating(seeing, "b1")
    assert percent(seeing.watch.backends["b1"].states) > HIGH_PERCENT
    assert seeing.backend("b1").flapping
    seeing.hear("b1", times=21)
    assert not seeing.backend("b1").flapping


def test_a_restart_does_not_make_a_flapping_backend_believable() -> None:
    seeing = Seeing(fleet("b1"))
    alternating(seeing, "b1")
    restarted = BackendWatch(seeing.watch.backends["b1"].spec)
    take_up(restarted, state_row(seeing.watch.backends["b1"]), seeing.watch.rule)
    assert restarted.flapping
    assert list(restarted.states) == list(seeing.watch.backends["b1"].states)


def test_three_admin_states_of_which_maintenance_is_the_monitors_and_the_strongest() -> None:
    seeing = Seeing(fleet("b1"))
    seeing.hear("b1", times=3)
    backend = seeing.watch.backends["b1"]
    assert (seeing.backend("b1").admin_state, backend.eligible()) == (AdminState.active, True)
    seeing.hear("b1", ready=DRAINING, times=3)
    assert (seeing.backend("b1").admin_state, backend.eligible()) == (AdminState.draining, False)
    backend.in_maintenance = True
    assert (seeing.backend("b1").admin_state, backend.eligible()) == (AdminState.maintenance, False)
    assert seeing.backend("b1").state is State.degraded, "what it is stays visible"
