"""Doing something for the person at the screen, and saying once what came of it.

For callbacks: they run before the page is drawn, so what is said waits for the page. What was typed stays where it was refused.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import failures
from dashboard.components.markup import block, said

KEY = "outcome"
CONFLICT = "It was changed by somebody else meanwhile: look at it again, and repeat it if it is still right."


def attempt(act: Callable[[], str]) -> bool:
    """`act` gives the sentence that is said when it went well; whether it did."""
    try:
        say("good", act())
    except failures.FAILURES as error:
        conflict = failures.code(error) == "precondition_failed"
        say("warn" if failures.is_conflict(error) else "bad", CONFLICT if conflict else failures.sentence(error))
        return False
    return True


def say(tone: str, sentence: str) -> None:
    st.session_state[KEY] = (tone, sentence)


def draw() -> None:
    """What the last action came to; said once. Its place stays while it is empty, so that what stands below does not move."""
    tone, sentence = st.session_state.pop(KEY, ("", ""))
    st.html(block(said(tone, sentence)) if sentence else "<span></span>")
