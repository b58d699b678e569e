"""Duplicates: one case at a time, or the queue; the address says which: `?case=…`, `?source=scan&state=open`."""

from __future__ import annotations

from typing import cast

import streamlit as st

from dashboard import ids, parts, phrases
from dashboard.bulk_desk import BulkDesk
from dashboard.components import frame
from dashboard.desk import Desk, Said
from dashboard.views import bulk, queue
from dashboard.views import case as case_view

NOTICE = {"good": st.success, "warn": st.warning, "bad": st.error}
CASE = "case"
FOLLOWED = "case-in-address"
"""the last case that was put into the address, or taken from it: another one there is a link that somebody followed"""
LEFT = "cases-left"
"""when each case left the address: a key that is pressed meanwhile still brings the address of before"""
ECHO_S = 10.0


def page() -> None:
    desk = cast("Desk", st.session_state.setdefault("desk", Desk()))
    many = cast("BulkDesk", st.session_state.setdefault("bulk", BulkDesk()))
    _follow(desk)
    _tell(desk)
    if desk.case is not None:
        frame.heading("Duplicates")
        case_view.draw(desk, desk.case)
    elif many.is_open:
        frame.heading("Duplicates")
        bulk.draw(many)
    else:
        _queue(desk, many)


def _follow(desk: Desk) -> None:
    """Open the case that the address names, where that is a link and not the echo of what this page said itself."""
    asked = st.query_params.get(CASE)
    if not asked or asked in (st.session_state.get(FOLLOWED), desk.case and desk.case.id):
        return
    if not ids.may_be_ours(asked):
        desk.said = Said("bad", "This address names no case: an id of ours begins with case_.")
        return
    if parts.current().now() - st.session_state.get(LEFT, {}).get(asked, 0.0) > ECHO_S:
        desk.open(parts.current().backend, asked)
        st.session_state[FOLLOWED] = asked


def _tell(desk: Desk) -> None:
    """The address names the case that is shown, for a colleague to be sent it."""
    shown = None if desk.case is None else desk.case.id
    before = st.session_state.get(FOLLOWED)
    if before and before != shown:
        now = parts.current().now()
        recent = {case: at for case, at in st.session_state.get(LEFT, {}).items() if now - at < ECHO_S}
        st.session_state[LEFT] = recent | {before: now}
    st.session_state[FOLLOWED] = shown
    if st.query_params.get(CASE) == shown:
        return
    if shown is None:
        del st.query_params[CASE]
    else:
        st.query_params[CASE] = shown


def _queue(desk: Desk, many: BulkDesk) -> None:
    top, actions = st.container(), st.container(horizontal=True)
    with actions:  # before the heading: whoever sees the page may already press a key
        st.button(
            "Claim next",
            key="next",
            type="primary",
            shortcut="N",
            on_click=frame.acting(_next),
            args=(desk,),
            icon=":material/play_arrow:",
            help="The most pressing case that is free for you, whatever the list shows.",
        )
        st.button(
            "Identical pictures", key="bulk-open", shortcut="I", on_click=frame.acting(many.open), args=(parts.current().backend,)
        )
        if desk.done is not None:
            st.button("Undo", key="undo", shortcut="U", on_click=frame.acting(desk.undo), args=(parts.current().backend,))
    with top:
        frame.heading("Duplicates", "Subjects whose faces are so alike that a person must say whether they are one and the same.")
        if desk.said is not None:
            NOTICE[desk.said.tone](phrases.plain(desk.said.text))
    queue.draw(desk)


def _next(desk: Desk) -> None:
    desk.said = None
    desk.next(parts.current().backend)
