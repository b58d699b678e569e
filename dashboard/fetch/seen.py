"""What came of a question, and the last good answer to each: a failure is shown beside old data, never as emptiness."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import streamlit as st

from dashboard import failures

Value = TypeVar("Value")

REMEMBERED = 64


@dataclass(frozen=True)
class Seen(Generic[Value]):
    """What came, or what came last: `value` was fetched at `at` (seconds since the epoch); `failure` says why it is old or
    not there, `kind` (`failures.kind`) the same in a word or two."""

    value: Value | None
    at: float | None
    failure: str | None = None
    kind: str = "Unreachable"


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
            return Seen(kept, at if kept is not None else None, failures.sentence(error), failures.kind(error))
        at = now()
        with self._lock:
            self._answers[question] = (value, at)
            self._answers.move_to_end(question)
            while len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)
        return Seen(value, at)

    def held(self, question: object, call: Callable[[], Value], now: Callable[[], float], *, for_s: float) -> Seen[Value]:
        """The answer that is younger than `for_s` seconds, else a new one."""
        with self._lock:
            known = self._answers.get(question)
        if known is not None and now() - known[1] < for_s:
            return Seen(cast("Value", known[0]), known[1])
        return self.ask(question, call, now)


@st.cache_resource(show_spinner=False)
def shared() -> LastSeen:
    """Everybody's: what has neither face, subject nor case in it."""
    return LastSeen()


def own() -> LastSeen:
    """The session's own; `sitemap` empties the session when another person is signed in."""
    return cast("LastSeen", st.session_state.setdefault("last_seen", LastSeen()))
