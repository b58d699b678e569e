"""What came of the last thing that a person did on a page: kept until the next one, said in the page's own place."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import failures
from dashboard.components.markup import block, said


def attempt(place: str, act: Callable[[], object], done: str | Callable[[], str]) -> bool:
    """Do it; `done` is said where it worked, the API's own sentence where it was refused. True where it worked."""
    try:
        act()
    except failures.FAILURES as error:
        say(place, "warn" if failures.is_conflict(error) else "bad", failures.sentence(error))
        return False
    say(place, "good", done if isinstance(done, str) else done())
    return True


def say(place: str, tone: str, sentence: str) -> None:
    st.session_state[_key(place)] = (tone, sentence)


def forget(place: str) -> None:
    st.session_state.pop(_key(place), None)


def draw(place: str) -> None:
    if found := st.session_state.get(_key(place)):
        st.html(block(said(*found)))


def _key(place: str) -> str:
    return f"outcome-{place}"
