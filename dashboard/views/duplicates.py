"""Duplicates: the review queue, and one case at a time."""

from __future__ import annotations

from typing import cast

import streamlit as st

from backend import wire
from dashboard import identity, parts, phrases
from dashboard.components import frame
from dashboard.components.markup import badge, block, line, text
from dashboard.desk import Desk
from dashboard.fetch import people
from dashboard.palette import CASES
from dashboard.views import case as case_view

NOTICE = {"good": st.success, "warn": st.warning, "bad": st.error}
ALL = "all"


def page() -> None:
    desk = cast("Desk", st.session_state.setdefault("desk", Desk()))
    if desk.case is not None:
        frame.heading("Duplicates")
        case_view.draw(desk, desk.case)
        return
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
        )
        if desk.done is not None:
            st.button("Undo", key="undo", shortcut="U", on_click=frame.acting(desk.undo), args=(parts.current().backend,))
    with top:
        frame.heading("Duplicates", "Subjects whose faces are so alike that a person must say whether they are one and the same.")
        if desk.said is not None:
            NOTICE[desk.said.tone](phrases.plain(desk.said.text))
    _queue(desk)


# --- the queue ----------------------------------------------------------------------------------------------------


def _queue(desk: Desk) -> None:
    _counts()
    state, least = _filters()
    cursor = st.session_state.get("queue-cursor")
    found = frame.shown(people.cases(state, least, cursor), "queue")
    if found is None:
        return
    if not found.items:
        what = f"No case is {CASES[state].word.lower()}" if state else "There is no case"
        asked = f" with a score of {least:.2f} or more" if least else ""
        frame.empty(f"{what}{asked}. Pairs of alike subjects wait here when an enrolment finds them.")
        return
    at_least = "at least " if found.total_is == "at_least" else ""
    st.caption(f"{at_least}{phrases.counted(found.total, 'case')}, the most pressing first")
    with st.container(gap="xsmall"):
        for summary in found.items:
            _row(desk, summary)
    _pager(found.next, cursor)


def _counts() -> None:
    seen = people.stats()
    if seen.value is None or seen.failure is not None:
        return
    now = parts.current().now()
    counts = [f"{badge(CASES[state])} <b>{count:,}</b>" for state in wire.CaseState if (count := seen.value.cases.get(state, 0))]
    oldest = (
        f"oldest waits {phrases.span(now - seen.value.oldest_open_case_at.timestamp())}" if seen.value.oldest_open_case_at else ""
    )
    st.html(
        block(f'<div class="row">{" ".join(counts)} <span class="soft">{text(oldest)}</span></div>')
        if counts or oldest
        else "<span></span>"
    )


def _filters() -> tuple[wire.CaseState | None, float | None]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.segmented_control(
            "State",
            [ALL, *(state.value for state in wire.CaseState)],
            default=wire.CaseState.open.value,
            required=True,
            format_func=lambda state: "All" if state == ALL else CASES[state].word,
            key="queue-state",
            on_change=_first_page,
        )
        least = st.number_input(
            "Score from",
            value=None,
            step=0.05,
            format="%.2f",
            placeholder="any",
            key="queue-score",
            width=160,
            on_change=_first_page,
        )
    return (None if chosen in (ALL, None) else wire.CaseState(chosen)), least


def _row(desk: Desk, summary: wire.CaseSummary) -> None:
    now = parts.current().now()
    with st.container(horizontal=True, vertical_alignment="center", border=True, gap="small", key=f"row-{summary.id}"):
        mine = summary.lease is not None and summary.lease.holder == identity.person().id
        held = (
            f"held by {'you' if mine else summary.lease.holder_name} until {summary.lease.until:%H:%M} UTC"
            if summary.lease
            else ""
        )
        about = " · ".join(
            part
            for part in (
                phrases.counted(len(summary.subject_ids), "subject"),
                f"from {summary.source}",
                phrases.since(summary.created_at, now),
                phrases.short_id(summary.id),
                held,
            )
            if part
        )
        st.html(block(line(CASES[summary.state], f"score {summary.score:.3f}", about)), width="stretch")
        st.button("Open", key=f"open-{summary.id}", on_click=frame.acting(_open), args=(desk, summary.id), width=90)


def _pager(following: str | None, cursor: str | None) -> None:
    with st.container(horizontal=True):
        if cursor:
            st.button("First page", on_click=_first_page)
        if following:
            st.button("Next page", on_click=_go, args=(following,))


def _first_page() -> None:
    st.session_state.pop("queue-cursor", None)


def _go(cursor: str) -> None:
    st.session_state["queue-cursor"] = cursor


def _next(desk: Desk) -> None:
    desk.said = None
    desk.next(parts.current().backend)


def _open(desk: Desk, case_id: str) -> None:
    desk.open(parts.current().backend, case_id)
