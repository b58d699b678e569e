"""Confirming by typing: for what cannot be taken back."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from backend import wire
from dashboard import phrases
from dashboard.components import frame, once


def word_of(subject: wire.Subject) -> str:
    """What has to be typed for a subject: its external id, else its name, else the end of our id."""
    named = (plainly(given) for given in (subject.external_id, subject.metadata.get("name")))
    return next((word for word in named if word), subject.id[-6:])


def plainly(given: str | None) -> str:
    """As it can be typed: a run of white space, a line's end too, is one space, and what is nothing else is no word."""
    return " ".join((given or "").split())


def confirm(wanted: str, button: str, act: Callable[[], None], *, key: str) -> None:
    """A field and a button. `act` runs only where `wanted` was typed, whatever the browser says."""

    def check() -> None:
        if not plainly(wanted) or plainly(str(st.session_state.get(f"{key}-typed", ""))) != plainly(wanted):
            once.say("warn", f"Nothing was done: type {wanted} to confirm.")
            return
        act()

    with st.form(key=f"{key}-form", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(f"Type **{phrases.plain(wanted)}** to confirm", key=f"{key}-typed", autocomplete="off", width=320)
        st.form_submit_button(button, key=f"{key}-do", type="primary", on_click=frame.acting(check))
