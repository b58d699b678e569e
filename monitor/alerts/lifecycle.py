"""The life of one alert: pending → firing → resolved, and what has to be told of it. Pure: the time is passed in.

One rule makes all notifications: *tell whenever the settled state is another than the one last told, unless it is quiet now.*
Quiet (a silence, maintenance, a backend that flaps) holds back what is told, never the state. So a recovery while
flapping is told when it has settled; a maintenance window neither tells again what was down before it nor keeps
quiet about what is still down after it; and what came and went within it is not told at all.

No flip without its evidence: `held` (stale, no requests, not known) leaves the state alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from monitor.alerts.condition import Condition
from monitor.fleet_alerts import Reminders, Severity


class AlertState(StrEnum):
    pending = "pending"
    firing = "firing"
    resolved = "resolved"


class Quiet(StrEnum):
    """Why nothing is told at the moment."""

    silenced = "silenced"
    maintenance = "maintenance"
    flapping = "flapping"


class NoticeKind(StrEnum):
    firing = "firing"
    reminder = "reminder"
    resolved = "resolved"


@dataclass(frozen=True)
class Alert:
    """`told`: the severity last told as firing, None when nothing was or its end was. `change` numbers what was told.

    Closed (`open` False) is what has ended with everything told: the next time it is another alert.
    """

    id: str
    key: str
    scope: str
    rule: str
    severity: Severity
    sentence: str
    reason: str
    labels: Mapping[str, str]
    state: AlertState
    since: datetime
    pending_since: datetime
    clear_s: float = 0.0
    clear_since: datetime | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    stale: bool = False
    quiet: Quiet | None = None
    told: Severity | None = None
    told_rule: str | None = None
    told_at: datetime | None = None
    change: int = 0
    reminders: int = 0
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    open: bool = True


@dataclass(frozen=True)
class Seen:
    """What one evaluation says of one key. `covered`: a wider alert tells it."""

    condition: Condition | None = None
    held: bool = False
    covered: bool = False
    quiet: Quiet | None = None


@dataclass(frozen=True)
class Notice:
    """To be told through every route that takes `severity`, under the name `rule`.

    `number` distinguishes what is told of one alert: the change, and the reminder within it. `before`: as what it was told
    until now, where it grew worse: a receiver that knows alerts by their labels must be told that the other one is over.
    """

    kind: NoticeKind
    severity: Severity
    rule: str
    number: str
    before: tuple[str, Severity] | None = None


@dataclass(frozen=True)
class Step:
    """`alert` None: it was pending, and is forgotten. `moved`: words for its history, in their order."""

    alert: Alert | None
    moved: tuple[str, ...] = ()
    notice: Notice | None = None


def begun(condition: Condition, alert_id: str, now: datetime) -> Alert:
    """A new alert, pending."""
    return Alert(
        id=alert_id,
        key=condition.key,
        scope=condition.scope,
        rule=condition.rule,
        severity=condition.severity,
        sentence=condition.sentence,
        reason=condition.reason,
        labels=dict(condition.labels),
        state=AlertState.pending,
        since=now,
        pending_since=now,
        clear_s=condition.clear_s,
    )


def step(alert: Alert, seen: Seen, *, now: datetime, reminders: Reminders) -> Step:
    """The alert after one evaluation. `alert` is open."""
    moved = _with_evidence(alert, seen, now)
    if moved is None:
        return Step(None)
    moved = replace(moved, quiet=seen.quiet)
    words = _words(alert, moved)
    if seen.quiet is not None:
        return Step(moved, words)
    told, notice = _told(moved, now, reminders)
    return Step(told, words, notice)


def _with_evidence(alert: Alert, seen: Seen, now: datetime) -> Alert | None:
    if seen.condition is not None:
        return _present(alert, seen.condition, covered=seen.covered, now=now)
    if seen.held:
        return replace(alert, stale=True)
    return _absent(replace(alert, stale=False), now)


def _present(alert: Alert, condition: Condition, *, covered: bool, now: datetime) -> Alert:
    fresh = replace(
        alert,
        rule=condition.rule,
        severity=condition.severity,
        sentence=condition.sentence,
        reason=condition.reason,
        labels=dict(condition.labels),
        clear_s=condition.clear_s,
        clear_since=None,
        stale=False,
    )
    if alert.state is AlertState.resolved:  # its end was never told, so it is the same one that goes on
        fresh = replace(fresh, state=AlertState.pending, since=now, pending_since=now)
    if fresh.state is AlertState.pending and not covered and now - fresh.pending_since >= timedelta(seconds=condition.for_s):
        return replace(fresh, state=AlertState.firing, since=now, starts_at=now, ends_at=None)
    return fresh


def _absent(alert: Alert, now: datetime) -> Alert | None:
    if alert.state is AlertState.resolved:
        return alert
    if alert.state is AlertState.pending:
        return None if alert.told is None else _ended(alert, now)
    since = alert.clear_since or now
    if now - since >= timedelta(seconds=alert.clear_s):
        return _ended(alert, now)
    return replace(alert, clear_since=since)


def _ended(alert: Alert, now: datetime) -> Alert:
    return replace(
        alert,
        state=AlertState.resolved,
        since=now,
        ends_at=now,
        clear_since=None,
        acknowledged_by=None,
        acknowledged_at=None,
    )


def _told(alert: Alert, now: datetime, reminders: Reminders) -> tuple[Alert, Notice | None]:
    if alert.state is AlertState.resolved:
        if alert.told is None:
            return replace(alert, open=False), None
        ended = replace(alert, told=None, told_rule=None, told_at=now, change=alert.change + 1, reminders=0, open=False)
        return ended, Notice(NoticeKind.resolved, alert.told, alert.told_rule or alert.rule, str(ended.change))
    if alert.state is not AlertState.firing:
        return alert, None
    if alert.told is None or alert.severity.rank > alert.told.rank:
        before = (alert.told_rule or alert.rule, alert.told) if alert.told else None
        change = alert.change + 1
        told = replace(alert, told=alert.severity, told_rule=alert.rule, told_at=now, change=change, reminders=0)
        return told, Notice(NoticeKind.firing, alert.severity, alert.rule, str(change), before)
    if _reminder_due(alert, now, reminders):
        reminded = replace(alert, told_at=now, reminders=alert.reminders + 1)
        number = f"{alert.change}.{reminded.reminders}"
        return reminded, Notice(NoticeKind.reminder, alert.told, alert.told_rule or alert.rule, number)
    return alert, None


def _reminder_due(alert: Alert, now: datetime, reminders: Reminders) -> bool:
    if alert.acknowledged_by is not None or alert.told_at is None:
        return False
    # The exponent is bounded: a float has an end, an incident need not.
    wait = min(reminders.first_s * reminders.factor ** min(alert.reminders, 64), reminders.most_s)
    return now - alert.told_at >= timedelta(seconds=wait)


def _words(before: Alert, after: Alert) -> tuple[str, ...]:
    words = []
    if after.state is not before.state:
        words.append(after.state.value)
    elif after.state is AlertState.firing and after.severity.rank > before.severity.rank:
        words.append("worse")
    if after.stale and not before.stale:
        words.append("stale")
    if after.quiet is not before.quiet:
        words.append(after.quiet.value if after.quiet else "told again")
    return tuple(words)
