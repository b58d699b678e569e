"""Scans: every two enrolled people compared; start, follow, stop and resume one, and on to the cases that it opened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo

import streamlit as st

from backend import wire
from dashboard import failures, identity, parts
from dashboard.components import frame
from dashboard.components.markup import badge, block, facts, said, text
from dashboard.fetch import scans
from dashboard.palette import SCANS
from dashboard.roles import Right, may
from dashboard.tables import scans as tables

LOOK_S = 2.0
NEWCOMERS, EVERYBODY = "Newcomers", "Everybody"
AGAIN = "ask again"
CURSOR, SURE = "scans-cursor", "scan-sure"
SAID_OF_START, SAID_OF_LIST = "scan-started", "scan-changed"
"""apart, as each fragment is drawn by itself"""
QUEUE = '<a href="/duplicates?source=scan" target="_self">The cases that scans opened, in the queue</a>'


def page() -> None:
    frame.heading(
        "Scans",
        "Whoever enrols is compared with everybody before. A scan compares them once more: after the review threshold was "
        "lowered, after an import, or to be sure.",
    )
    if may(identity.person().roles, Right.scan):
        with st.container(border=True):
            st.fragment(_controls)()
    st.fragment(_live, run_every=LOOK_S)()


# --- start --------------------------------------------------------------------------------------------------------------


def _controls() -> None:
    if not frame.still_signed_in():
        return
    with st.container(horizontal=True, gap="large", vertical_alignment="bottom"):
        whom = st.segmented_control("Compare", [NEWCOMERS, EVERYBODY], default=NEWCOMERS, required=True, key="scan-whom")
        threshold = st.number_input(
            "A pair from this score on", 0.0, 1.0, None, 0.01, key="scan-threshold", placeholder="review threshold", width=230
        )
    with st.container(horizontal=True, gap="large"):
        dry = st.checkbox("Dry run: count, change nothing", key="scan-dry")
        again = st.checkbox("Ask again about pairs decided to be different", key="scan-again")
    plan = frame.shown(scans.plan(threshold, whole=whom == EVERYBODY or again), "plan")
    if plan is not None:
        st.caption(tables.cost(plan) + (" Asking again compares everybody." if again and whom == NEWCOMERS else ""))
    sure = True
    if again and not dry:
        st.caption("Reviewers will decide those pairs once more. A dry run says first how many they are.")
        sure = st.text_input(f"Type “{AGAIN}” to start it", key=SURE, width=320).strip().lower() == AGAIN
    st.button(
        "Start the dry run" if dry else "Start a scan", type="primary", icon=":material/play_arrow:", key="scan-start",
        disabled=not sure or plan is None, on_click=frame.acting(_start),
    )  # fmt: skip
    _told(SAID_OF_START)


def _start() -> None:
    state = st.session_state
    again, dry = bool(state["scan-again"]), bool(state["scan-dry"])
    if again and not dry and str(state.get(SURE, "")).strip().lower() != AGAIN:
        return

    def ask() -> str:
        started = parts.current().backend.start_scan(
            threshold=state["scan-threshold"], whole=state["scan-whom"] == EVERYBODY, reopen_distinct=again, dry_run=dry
        )
        return f"Started: {tables.kind(started).lower()}, {started.templates_total:,} templates to compare."

    _attempt(SAID_OF_START, ask)


# --- the list -----------------------------------------------------------------------------------------------------------


def _live() -> None:
    if not frame.still_signed_in():
        return
    cursor = st.session_state.get(CURSOR)
    found = frame.shown(scans.scans(cursor), "list of scans")
    if found is None:
        return
    roles = identity.person().roles
    _told(SAID_OF_LIST)
    if not found.items:
        frame.empty("No scan was started yet: each would be here with its progress, its rate and the pairs that it found.")
        return
    st.html(
        block(f"<p>{QUEUE}</p>" if may(roles, Right.see_queue) else "<p>Reviewers find the pairs of scans in their queue.</p>")
    )
    zone, now, blocked = frame.zone(), parts.current().now(), any(one.state in tables.UNDER_WAY for one in found.items)
    for scan in found.items:
        _one(scan, now, zone, may_act=may(roles, Right.scan), blocked=blocked)
    _pager(found.next, cursor)


def _one(scan: wire.Scan, now: float, zone: tzinfo, *, may_act: bool, blocked: bool) -> None:
    with st.container(border=True, gap="xsmall", key=f"scan-{scan.id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.html(block(f'<div class="head"><h3>{text(tables.kind(scan))}</h3>{badge(SCANS[scan.state])}</div>'))
            if may_act and scan.state in tables.UNDER_WAY:
                st.button("Stop", key=f"stop-{scan.id}", icon=":material/stop:", on_click=frame.acting(_stop), args=(scan.id,))
            if may_act and scan.state in tables.RESUMABLE:
                help_ = "Another scan is under way" if blocked else None
                st.button("Resume", key=f"resume-{scan.id}", icon=":material/resume:", disabled=blocked, help=help_,
                          on_click=frame.acting(_resume), args=(scan.id,))  # fmt: skip
        if scan.state in tables.UNDER_WAY or (scan.state in tables.RESUMABLE and scan.templates_done < scan.templates_total):
            done, words = tables.progress(scan)
            st.progress(done, text=words)
        problem = f'<p class="why bad">{text(scan.problem)}</p>' if scan.problem else ""
        when = f'<p class="soft">{text(tables.began(scan, now, zone))}</p>'
        st.html(block(problem, when, facts(tables.facts_of(scan), wide=True)))


def _stop(scan_id: str) -> None:
    _attempt(
        SAID_OF_LIST,
        lambda: _answered(parts.current().backend.cancel_scan(scan_id), "Stopped after {done:,} of {total:,} templates."),
    )


def _resume(scan_id: str) -> None:
    _attempt(
        SAID_OF_LIST,
        lambda: _answered(parts.current().backend.resume_scan(scan_id), "It goes on after {done:,} of {total:,} templates."),
    )


def _answered(scan: wire.Scan, words: str) -> str:
    return words.format(done=scan.templates_done, total=scan.templates_total)


def _attempt(said_as: str, ask: Callable[[], str]) -> None:
    """Do it and say what came of it."""
    try:
        st.session_state[said_as] = ("good", ask())
    except failures.FAILURES as error:
        st.session_state[said_as] = ("warn" if failures.is_conflict(error) else "bad", failures.sentence(error))


def _told(said_as: str) -> None:
    if (told := st.session_state.get(said_as)) is not None:
        st.html(block(said(*told)))


def _pager(following: str | None, cursor: str | None) -> None:
    with st.container(horizontal=True):
        if cursor is not None:
            st.button("Newest", key="scans-newest", on_click=_go, args=(None,))
        if following is not None:
            st.button("Older", key="scans-older", on_click=_go, args=(following,))


def _go(cursor: str | None) -> None:
    st.session_state[CURSOR] = cursor
