"""Alerts as sentences and rows: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo

from dashboard import phrases
from dashboard.palette import DELIVERIES, QUIET
from monitor import wire

RANK = {"critical": 0, "warning": 1, "info": 2}
STEPS = ["When", "What", "Severity", "Reason", "Who"]
TOLD = ["When", "To", "What", "State", "Attempts", "What came of it"]
ENDS = {
    "30 min": timedelta(minutes=30),
    "1 h": timedelta(hours=1),
    "4 h": timedelta(hours=4),
    "1 day": timedelta(days=1),
    "1 week": timedelta(days=7),
}
LONGEST = timedelta(days=30)
STEP_WORDS = {
    "pending": "noticed",
    "firing": "fires",
    "resolved": "over",
    "acknowledged": "acknowledged",
    "told firing": "told",
    "told reminder": "reminded",
    "told resolved": "told that it is over",
}
UNHEARD = "no route takes it"
KINDS = {"firing": "it fires", "reminder": "it still fires", "resolved": "it is over"}


def by_urgency(alerts: Iterable[wire.Alert]) -> list[wire.Alert]:
    """The worst first, of the same severity the newest."""
    return sorted(alerts, key=lambda one: (RANK[one.severity], -(one.starts_at or one.since).timestamp(), one.id))


def loud(alerts: Iterable[wire.Alert]) -> list[wire.Alert]:
    return [one for one in alerts if one.quiet is None]


def quiet(alerts: Iterable[wire.Alert]) -> list[wire.Alert]:
    return [one for one in alerts if one.quiet is not None]


def sentence(firing: Sequence[wire.Alert], pending: int) -> tuple[str, str]:
    """Tone and sentence for the whole."""
    heard, held = loud(firing), quiet(firing)
    aside = f" {phrases.counted(len(held), 'more fires', 'more fire')} and is told to nobody." if held else ""
    if not heard:
        soon = f" {phrases.counted(pending, 'condition')} may become one." if pending else ""
        return ("mute" if held else "good"), f"Nothing fires.{aside}{soon}"
    worst = by_urgency(heard)[0]
    waiting = sum(one.acknowledged_by is None for one in heard)
    seen = "nobody has acknowledged it" if waiting == len(heard) == 1 else f"{waiting} of them not acknowledged"
    told = "acknowledged" if waiting == 0 else seen
    tone = "bad" if worst.severity == "critical" else "warn"
    return tone, f"{phrases.counted(len(heard), 'alert fires', 'alerts fire')}, {told}.{aside}"


def subject(alert: wire.Alert) -> str:
    """What it is about, as its labels say."""
    return ", ".join(f"{name} {value}" for name, value in sorted(alert.labels.items())) or "the whole fleet"


def state(alert: wire.Alert, now: float) -> str:
    """Since when it is as it is, who knows of it, and what holds it back."""
    lines = [_time(alert, now)]
    if alert.acknowledged_by:
        lines.append(f"acknowledged by {phrases.actor(alert.acknowledged_by)}")
    if alert.quiet:
        lines.append(QUIET[alert.quiet])
    if alert.stale:
        lines.append("no evidence at the moment: the last state stands")
    return " · ".join(lines)


def _time(alert: wire.Alert, now: float) -> str:
    if alert.state is wire.AlertState.pending:
        return f"noticed {phrases.since(alert.since, now)}, does not fire yet"
    if alert.state is wire.AlertState.firing:
        return f"firing for {phrases.span(now - (alert.starts_at or alert.since).timestamp())}"
    if alert.starts_at and alert.ends_at:
        lasted = phrases.span((alert.ends_at - alert.starts_at).total_seconds())
        return f"over {phrases.since(alert.ends_at, now)}, it lasted {lasted}"
    return f"over {phrases.since(alert.ends_at or alert.since, now)}"


def matchers_of(alert: wire.Alert) -> dict[str, str]:
    """What a silence of exactly this alert looks like: its rule and its labels, written so that no character is a pattern."""
    return {name: literal(value) for name, value in {"rule": alert.rule, **alert.labels}.items()}


def literal(value: str) -> str:
    """As a pattern that fits this value alone."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in value)


def matchers_text(matchers: Mapping[str, str]) -> str:
    return "\n".join(f"{name}={pattern}" for name, pattern in matchers.items())


def read_matchers(text: str) -> dict[str, str]:
    """One `label=pattern` a line. Raises ValueError with a sentence that says which line cannot be read."""
    found: dict[str, str] = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, sign, pattern = (part.strip() for part in line.partition("="))
        if not (name and sign and pattern):
            raise ValueError(f"Write each matcher as label=pattern; this is none: {line}")
        if name in found:
            raise ValueError(f"Each label may stand once; this one stands twice: {name}")
        found[name] = pattern
    if not found:
        raise ValueError("Give at least one matcher, as label=pattern: without one everything would be silent.")
    return found


def fits(matchers: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {pattern}" for name, pattern in sorted(matchers.items()))


def span_state(starts_at: datetime, ends_at: datetime, now: datetime) -> str:
    """A key of `palette.SPANS`."""
    return "over" if ends_at <= now else "to come" if starts_at > now else "on"


def span_text(starts_at: datetime, ends_at: datetime, now: float, zone: tzinfo) -> str:
    if ends_at.timestamp() <= now:
        return f"{phrases.moment(starts_at, zone)} to {phrases.when(ends_at, now, zone)}"
    return f"from {phrases.when(starts_at, now, zone)} until {phrases.when(ends_at, now, zone)}"


def steps(alert: wire.AlertDetail, zone: tzinfo, now: float) -> list[list[str]]:
    """`STEPS`, oldest first; what was due to be told, while no route took it, was told to nobody."""
    return [
        [
            phrases.when(one.at, now, zone),
            STEP_WORDS.get(one.what, one.what) if alert.deliveries or not one.what.startswith("told ") else UNHEARD,
            one.severity,
            one.reason,
            phrases.actor(one.actor) if one.actor else phrases.NOTHING,
        ]
        for one in alert.history
    ]


def told(deliveries: Iterable[wire.Delivery], zone: tzinfo, now: float) -> list[list[str]]:
    """`TOLD`, in the order given."""
    return [
        [
            phrases.when(one.sent_at or one.created_at, now, zone),
            one.route,
            KINDS[one.kind],
            DELIVERIES[one.state].word,
            str(one.attempts),
            one.answer or _waiting(one, now),
        ]
        for one in deliveries
    ]


def _waiting(one: wire.Delivery, now: float) -> str:
    return f"due {phrases.since(one.due_at, now)}" if one.state == "waiting" else phrases.NOTHING
