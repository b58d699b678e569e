"""Confirming by typing: for what cannot be taken back."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from backend import wire
from dashboard import phrases
from dashboard.components import frame, once


def word_of(subject: wire.Subject) -> str:
    """What has to be typed for a subject: its external id, else its name, else the end of our id."""
    return subject.external_id or subject.metadata.get("name") or subject.id[-6:]


def confirm(wanted: str, button: str, act: Callable[[], None], *, key: str) -> None:
    """A field and a button. `act` runs only where `wanted` was typed, whatever the browser says."""

    def check() -> None:
        given = str(st.session_state.get(f"{key}-typed", "")).strip()
        if given != wanted.strip():
            once.say("warn", f"Nothing was done: type {wanted} to confirm.")
            return
        act()

    with st.form(key=f"{key}-form", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(f"Type **{phrases.plain(wanted)}** to confirm", key=f"{key}-typed", autocomplete="off", width=320)
        st.form_submit_button(button, key=f"{key}-do", type="primary", on_click=frame.acting(check))
