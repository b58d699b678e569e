"""The one caching seam between the pages and the two APIs.

- Fleet data is the same for everybody who may see it: asked with the dashboard's own viewer key, kept for less than a
  refresh, keyed by role, so that any number of open pages costs one question.
- Whatever has a face, a subject or a case is asked with the person's token and kept in that person's session alone.
- A cached function raises on failure, so a failure is never cached and never shown as emptiness: `Seen` says it, beside
  the last data and their age.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import streamlit as st

from backend import wire as backend_wire
from dashboard import failures, identity, parts
from dashboard.roles import Right, may
from monitor import wire as monitor_wire

Value = TypeVar("Value")

FRESH_S = 0.9  # below the shortest refresh of a page
SLOW_S = 10.0  # certificates change by the hour
REMEMBERED = 64


@dataclass(frozen=True)
class Seen(Generic[Value]):
    """What came, or what came last: `value` was fetched at `at` (seconds since the epoch); `failure` says why it is old."""

    value: Value | None
    at: float | None
    failure: str | None = None


class LastSeen:
    """The last good answer to each question; safe to use from several threads, holds at most `REMEMBERED`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[object, tuple[Any, float]] = OrderedDict()

    def ask(self, question: object, call: Callable[[], Value], now: Callable[[], float]) -> Seen[Value]:
        """The answer of `call`, else the last one with the failure as a sentence."""
        try:
            value = call()
        except failures.FAILURES as error:
            with self._lock:
                last, at = self._answers.get(question, (None, None))
            kept = cast("Value | None", last) if failures.is_away(error) else None
            return Seen(kept, at if kept is not None else None, failures.sentence(error))
        at = now()
        with self._lock:
            self._answers[question] = (value, at)
            self._answers.move_to_end(question)
            while len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)
        return Seen(value, at)


# --- fleet data: shared -------------------------------------------------------------------------------------------


def fleet() -> Seen[monitor_wire.FleetView]:
    role = _fleet_role()
    return _shared().ask(("fleet", role), lambda: _fleet(role), parts.current().now)


def load(window_s: float) -> Seen[monitor_wire.LoadView]:
    role = _fleet_role()
    return _shared().ask(("load", role, window_s), lambda: _load(role, window_s), parts.current().now)


def load_series(window_s: float) -> Seen[list[monitor_wire.LoadPoint]]:
    role = _fleet_role()
    return _shared().ask(("series", role, window_s), lambda: _load_series(role, window_s), parts.current().now)


def certificates() -> Seen[list[monitor_wire.Certificate]]:
    role = _fleet_role()
    return _shared().ask(("certificates", role), lambda: _certificates(role), parts.current().now)


@st.cache_data(ttl=FRESH_S, max_entries=16, show_spinner=False)
def _fleet(role: str) -> monitor_wire.FleetView:
    return parts.current().monitor.fleet()


@st.cache_data(ttl=FRESH_S, max_entries=64, show_spinner=False)
def _load(role: str, window_s: float) -> monitor_wire.LoadView:
    return parts.current().monitor.load(window_s=window_s)


@st.cache_data(ttl=2 * FRESH_S, max_entries=64, show_spinner=False)
def _load_series(role: str, window_s: float) -> list[monitor_wire.LoadPoint]:
    return list(parts.current().monitor.load_series(window_s=window_s).items)


@st.cache_data(ttl=SLOW_S, max_entries=16, show_spinner=False)
def _certificates(role: str) -> list[monitor_wire.Certificate]:
    return list(parts.current().monitor.certificates().items)


@st.cache_resource(show_spinner=False)
def _shared() -> LastSeen:
    return LastSeen()


def _fleet_role() -> str:
    """The key of shared data; nobody gets past here who may not see the fleet."""
    roles = identity.person().roles
    if not may(roles, Right.see_fleet):
        raise PermissionError("this person's roles do not show the fleet")
    return "+".join(sorted(roles))


# --- people's data: asked as the person, kept in the session --------------------------------------------------------


def cases(
    state: backend_wire.CaseState | None, min_score: float | None, cursor: str | None
) -> Seen[backend_wire.Page[backend_wire.CaseSummary]]:
    def ask() -> backend_wire.Page[backend_wire.CaseSummary]:
        return parts.current().backend.cases(state=state, min_score=min_score, cursor=cursor, limit=20)

    return _own().ask(("cases", state, min_score, cursor), ask, parts.current().now)


def stats() -> Seen[backend_wire.Stats]:
    return _own().ask("stats", parts.current().backend.stats, parts.current().now)


def subjects(
    query: str | None, state: backend_wire.SubjectState | None, cursor: str | None
) -> Seen[backend_wire.Page[backend_wire.Subject]]:
    def ask() -> backend_wire.Page[backend_wire.Subject]:
        return parts.current().backend.subjects(query=query, state=state, cursor=cursor, limit=20)

    return _own().ask(("subjects", query, state, cursor), ask, parts.current().now)


def subject(subject_id: str) -> Seen[backend_wire.Subject]:
    return _own().ask(("subject", subject_id), lambda: parts.current().backend.subject(subject_id), parts.current().now)


def crop(subject_id: str, sample_id: str) -> Seen[bytes]:
    """A face crop. Each look is audited, so it is asked once per session and record, not at every redraw."""
    held: OrderedDict[str, bytes] = st.session_state.setdefault("crops", OrderedDict())
    if sample_id in held:
        return Seen(held[sample_id], None)
    seen = _own().ask(
        ("crop", sample_id), lambda: parts.current().backend.sample_image(subject_id, sample_id), parts.current().now
    )
    if seen.value is not None and seen.failure is None:
        held[sample_id] = seen.value
        while len(held) > REMEMBERED:
            held.popitem(last=False)
    return seen


def _own() -> LastSeen:
    """The session's own; `sitemap` empties the session when another person is signed in."""
    return cast("LastSeen", st.session_state.setdefault("last_seen", LastSeen()))
