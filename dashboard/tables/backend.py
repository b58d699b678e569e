"""One backend as tables, and the sentences on its time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo

import pandas as pd

from dashboard import phrases
from dashboard.palette import STATES
from monitor import wire

EVENTS = ["When", "From", "To", "Reason", "What"]
ROUTES = ["Call", "Requests", "Errors", "Not usable", "Mean", "p95"]
STAGES = ["Stage", "Runs", "Mean", "p95"]
DECISIONS = ["Operation", "Decision", "Count", "Part"]


def events(found: Iterable[wire.Event], now: float, zone: tzinfo) -> pd.DataFrame:
    rows = [
        [phrases.when(one.at, now, zone), _state(one.old), _state(one.new), one.reason or phrases.NOTHING, one.detail or ""]
        for one in found
    ]
    return pd.DataFrame(rows, columns=EVENTS)


def within(found: Iterable[wire.Event], since: datetime | None) -> list[wire.Event]:
    return [one for one in found if since is None or one.at >= since]


def routes(found: Iterable[wire.RouteFigure]) -> pd.DataFrame:
    """The busiest first."""
    rows = [
        [
            one.route,
            f"{one.requests:,}",
            f"{one.errors:,}",
            f"{one.refused:,}",
            phrases.milliseconds(one.mean_ms),
            phrases.milliseconds(one.p95_ms),
        ]
        for one in sorted(found, key=lambda one: (-one.requests, one.route))
    ]
    return pd.DataFrame(rows, columns=ROUTES)


def stages(found: Iterable[wire.StageFigure]) -> pd.DataFrame:
    rows = [[one.stage, f"{one.runs:,}", phrases.milliseconds(one.mean_ms), phrases.milliseconds(one.p95_ms)] for one in found]
    return pd.DataFrame(rows, columns=STAGES)


def decisions(found: dict[str, dict[str, int]]) -> pd.DataFrame:
    """Each decision with its part of its operation."""
    rows = []
    for operation, counts in sorted(found.items()):
        whole = sum(counts.values())
        for decision, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
            rows.append(
                [operation, decision.replace("_", " "), f"{count:,}", phrases.percent(count / whole if whole else None, 1)]
            )
    return pd.DataFrame(rows, columns=DECISIONS)


def whole(view: wire.HistoryView, what: str) -> str:
    """The window in one sentence: how much of it was watched, and how available it was."""
    it = view.whole
    if it is None:
        return f"Nothing of the last {what} was watched."
    parts = [f"Over the last {what} it was UP for {phrases.percent(it.availability, 2)} of the time that was watched"]
    parts.append(f"{phrases.percent(it.coverage)} of it was watched")
    if it.requests is not None:
        errors = phrases.counted(it.errors or 0, "error")
        parts.append(f"it answered {phrases.counted(it.requests, 'request')} with {errors}")
    if it.request_p95_ms is not None:
        parts.append(f"95 % within {phrases.milliseconds(it.request_p95_ms)}")
    return "; ".join(parts) + "."


def held(view: wire.HistoryView) -> str:
    """How long each state stood, the longest first: what the timeline shows, in words."""
    seconds = view.whole.seconds if view.whole else {}
    told = sorted(((length, state) for state, length in seconds.items() if length > 0), reverse=True)
    return ", ".join(f"{state.value} for {phrases.span(length)}" for length, state in told) or "nothing was watched"


def active(windows: Sequence[wire.Maintenance], name: str, now: float) -> list[wire.Maintenance]:
    """Maintenance windows that hold for a backend now; one that names nobody holds for all."""
    return [one for one in windows if _holds(one, now) and (not one.backends or name in one.backends)]


def _holds(one: wire.Maintenance, now: float) -> bool:
    return one.lifted_by is None and one.starts_at.timestamp() <= now < one.ends_at.timestamp()


def _state(state: wire.State) -> str:
    look = STATES[state]
    return f"{look.shape} {look.word}"
