"""The life of one alert against a recount by brute force, for any order of evidence, its absence, cover and quiet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.alerts.condition import Condition
from monitor.alerts.lifecycle import Alert, AlertState, Notice, NoticeKind, Quiet, Seen, begun, step
from monitor.alerts.quiet import Quietness, Silence, Window
from monitor.fleet_alerts import Reminders, Severity

START = datetime(2026, 1, 1, tzinfo=UTC)
FOR_S, CLEAR_S = 10.0, 5.0
NEVER = Reminders(first_s=86_400 * 365, most_s=86_400 * 365)


def condition(severity: Severity = Severity.warning, *, for_s: float = FOR_S, clear_s: float = CLEAR_S) -> Condition:
    rule = "BackendDown" if severity is Severity.critical else "BackendDegraded"
    return Condition("backend:b1", "backend:b1", rule, severity, "b1", "NET.REFUSED", {"backend": "b1"}, for_s, clear_s)


@dataclass(frozen=True)
class Tick:
    """One evaluation: `severity` None with `held` is no evidence, without it evidence that nothing is wrong."""

    after_s: int
    severity: Severity | None
    held: bool
    covered: bool
    quiet: Quiet | None

    @property
    def absent(self) -> bool:
        return self.severity is None and not self.held


TICKS = st.lists(
    st.builds(
        Tick,
        st.integers(1, 8),
        st.sampled_from([None, None, Severity.warning, Severity.critical]),
        st.booleans(),
        st.sampled_from([False, False, False, True]),
        st.sampled_from([None, None, None, Quiet.silenced, Quiet.maintenance, Quiet.flapping]),
    ),
    max_size=60,
)


@dataclass
class Told:
    """What was seen after each tick: its time, the alert's state (None: no open alert), what was told."""

    at: datetime
    tick: Tick
    state: AlertState | None
    severity: Severity | None
    notice: Notice | None
    alert_id: str | None


def play(ticks: list[Tick], *, reminders: Reminders = NEVER) -> list[Told]:
    now, alert, made, seen = START, None, 0, []
    for tick in ticks:
        now += timedelta(seconds=tick.after_s)
        there = condition(tick.severity) if tick.severity else None
        if alert is None and there is not None:
            made += 1
            alert = begun(there, f"alr_{made}", now)
        notice = None
        if alert is not None:
            taken = step(alert, Seen(there, tick.held, tick.covered, tick.quiet), now=now, reminders=reminders)
            alert, notice = taken.alert, taken.notice
        state, severity, name = (alert.state, alert.severity, alert.id) if alert else (None, None, None)
        seen.append(Told(now, tick, state, severity, notice, name))
        if alert is not None and not alert.open:
            alert = None
    return seen


def recounted(ticks: list[Tick]) -> list[bool]:
    """Whether it fires after each tick, told from the ticks alone, by looking back at each one as far as its evidence goes."""
    times = [sum(tick.after_s for tick in ticks[: i + 1]) for i in range(len(ticks))]
    fires = []
    for i, tick in enumerate(ticks):
        was = fires[-1] if fires else False
        if not was:
            # It begins: seen now, uncovered, and never seen absent since it was first seen, which is for_s ago.
            run = []
            for j in range(i, -1, -1):
                # What fired and ended began anew.
                if ticks[j].absent or (j < i and fires[j]):
                    break
                run.append(j)
            first = min((j for j in run if ticks[j].severity), default=None)
            fires.append(
                tick.severity is not None and not tick.covered and first is not None and times[i] - times[first] >= FOR_S
            )
        else:
            # It ends: seen absent now, and never seen present since it was first seen absent, which is clear_s ago.
            run = []
            for j in range(i, -1, -1):
                if ticks[j].severity or not (j == i or fires[j]):
                    break
                run.append(j)
            first = min((j for j in run if ticks[j].absent), default=None)
            fires.append(not (tick.absent and first is not None and times[i] - times[first] >= CLEAR_S))
    return fires


@settings(max_examples=200)
@given(TICKS)
def test_no_alert_fires_and_none_ends_without_its_evidence(ticks: list[Tick]) -> None:
    assert [one.state is AlertState.firing for one in play(ticks)] == recounted(ticks)


@settings(max_examples=200)
@given(TICKS)
def test_whenever_it_is_not_quiet_the_receiver_knows_the_settled_state(ticks: list[Tick]) -> None:
    """So no recovery is lost while flapping, and after a window nothing that is still down is kept quiet."""
    known: Severity | None = None
    for one in play(ticks):
        if one.notice is not None:
            known = None if one.notice.kind is NoticeKind.resolved else one.notice.severity
        if one.tick.quiet is None:
            if one.state is AlertState.firing:
                assert known is not None
                assert one.severity is not None
                assert known.rank >= one.severity.rank
            elif one.state is not AlertState.pending:
                assert known is None


@settings(max_examples=200)
@given(TICKS)
def test_nothing_is_told_while_it_is_quiet_and_nothing_twice(ticks: list[Tick]) -> None:
    """So a window does not tell again what was told before it."""
    known: Severity | None = None
    keys = set()
    for one in play(ticks):
        if one.notice is None:
            continue
        assert one.tick.quiet is None
        key = (one.alert_id, one.notice.number, one.notice.kind)
        assert key not in keys
        keys.add(key)
        if one.notice.kind is NoticeKind.resolved:
            assert known == one.notice.severity, "its end is told as what it was told, to whoever was told"
            known = None
        else:
            assert known is None or one.notice.severity.rank > known.rank
            assert (one.notice.before[1] if one.notice.before else None) is known
            known = one.notice.severity


def ticks_of(*each: str) -> list[Tick]:
    """``w`` warning, ``c`` critical, ``-`` absent, ``?`` held; with ``q`` quiet. Five seconds apart."""
    kinds = {"w": Severity.warning, "c": Severity.critical}
    return [Tick(5, kinds.get(e[0]), e[0] == "?", False, Quiet.flapping if "q" in e else None) for e in each]


def told(*each: str, reminders: Reminders = NEVER) -> list[str | None]:
    notices = [one.notice for one in play(ticks_of(*each), reminders=reminders)]
    return [f"{notice.kind} {notice.severity}" if notice else None for notice in notices]


@pytest.mark.parametrize(
    ("ticks", "wanted"),
    [
        ("w w w - -", [None, None, "firing warning", None, "resolved warning"]),
        ("w w - w w", [None] * 5),
        ("w w w ? ? ? -", [None, None, "firing warning", None, None, None, None]),
        ("w w w c w - -", [None, None, "firing warning", "firing critical", None, None, "resolved critical"]),
        # The recovery came while it was quiet: told as soon as it is over.
        ("w w w wq -q -q -", [None, None, "firing warning", None, None, None, "resolved warning"]),
        # Down before and after the window: nothing new. Down since the window: told after it.
        ("w w w wq -q -q wq wq wq w", [None, None, "firing warning", *[None] * 7]),
        ("wq wq wq wq w", [None, None, None, None, "firing warning"]),
        # Came and went within it.
        ("wq wq wq -q -q -", [None] * 6),
    ],
)
def test_what_is_told_of_it(ticks: str, wanted: list[str | None]) -> None:
    assert told(*ticks.split()) == wanted


def test_reminders_come_at_growing_distances_and_end_with_an_acknowledgement() -> None:
    reminders = Reminders(first_s=10, factor=2, most_s=40)
    found = told(*["w"] * 30, reminders=reminders)
    at = [index * 5 for index, word in enumerate(found) if word == "reminder warning"]
    assert at == [20, 40, 80, 120]
    alert = begun(condition(for_s=0), "alr_1", START)
    alert = fired(alert)
    acknowledged = Alert(**{**vars(alert), "acknowledged_by": "usr_1"})
    later = START + timedelta(hours=9)
    assert step(acknowledged, Seen(condition()), now=later, reminders=reminders).notice is None
    assert step(alert, Seen(condition()), now=later, reminders=reminders).notice is not None
    ended = step(acknowledged, Seen(), now=later, reminders=reminders).alert
    ended = step(ended, Seen(), now=later + timedelta(seconds=9), reminders=reminders).alert if ended else None
    assert ended is not None
    assert (ended.state, ended.acknowledged_by) == (AlertState.resolved, None)


def fired(alert: Alert) -> Alert:
    taken = step(alert, Seen(condition(for_s=0)), now=START, reminders=NEVER)
    assert taken.alert is not None
    assert taken.alert.told is Severity.warning
    return taken.alert


def test_a_clock_that_goes_back_neither_fires_nor_ends_anything() -> None:
    alert = begun(condition(), "alr_1", START)
    taken = step(alert, Seen(condition()), now=START - timedelta(hours=1), reminders=NEVER)
    assert taken.alert is not None
    assert taken.alert.state is AlertState.pending
    assert (
        step(fired(begun(condition(for_s=0), "a", START)), Seen(), now=START - timedelta(hours=1), reminders=NEVER).notice is None
    )


LABELS = {"backend": "b1"}
HOUR = timedelta(hours=1)


def quiet(
    quietness: Quietness, *, rule: str = "BackendDown", at: datetime = START, labels: dict[str, str] = LABELS
) -> Quiet | None:
    return quietness.of(labels, rule=rule, severity="critical", owner="NET", now=at)


def test_a_silence_holds_for_what_all_its_matchers_fit_and_until_its_end() -> None:
    silence = Silence("s", {"backend": "b*", "owner": "NET"}, START, START + HOUR)
    assert quiet(Quietness((silence,))) is Quiet.silenced
    assert quiet(Quietness((silence,)), labels={"backend": "c1"}) is None
    assert quiet(Quietness((silence,)), at=START + HOUR) is None
    assert quiet(Quietness((silence,)), at=START - HOUR) is None
    assert quiet(Quietness((Silence("s", {"nothing": "*x"}, START, START + HOUR),))) is None


def test_maintenance_holds_for_its_backends_and_of_the_fleet_for_all_but_the_monitor() -> None:
    some = Quietness((), (Window("m", frozenset({"b1"}), START, START + HOUR),))
    every = Quietness((), (Window("m", frozenset(), START, START + HOUR),))
    assert quiet(some) is Quiet.maintenance
    assert quiet(some, labels={"certificate": "b1"}, rule="CertificateExpired") is Quiet.maintenance
    assert quiet(some, labels={"backend": "b2"}) is None
    assert quiet(some, labels={}, rule="FleetDown") is None
    assert quiet(every, labels={}, rule="FleetDown") is Quiet.maintenance
    assert quiet(every, labels={}, rule="MonitorStoreFailing") is None


def test_flapping_keeps_quiet_what_a_state_says_and_nothing_else() -> None:
    flapping = Quietness(flapping=frozenset({"b1"}))
    assert quiet(flapping) is Quiet.flapping
    assert quiet(flapping, rule="BackendFlapping") is None
    assert quiet(flapping, rule="BackendErrorRatioHigh") is None
    assert quiet(flapping, labels={"backend": "b2"}) is None
