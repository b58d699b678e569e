"""Verify the distribution: an operator has the monitor send requests through the balancer, and sees who served them."""

from __future__ import annotations

import streamlit as st

from dashboard import failures, identity, parts
from dashboard.components import distribution, frame
from dashboard.components.markup import block, said
from dashboard.fetch import fleet
from dashboard.roles import Right, may

LEAST, MOST, USUAL, STEP = 10, 500, 100, 10
LOOK_S = 1.0
NUMBER, SAID = "verify-requests", "verify-said"


def section() -> None:
    st.subheader("Verify the distribution", anchor=False)
    st.caption(
        "Sends GET /health through the balancer, each on a connection of its own, at most 40 a second, and counts which backend "
        "answers. They count in no share above. “±” is what chance alone explains."
    )
    if may(identity.person().roles, Right.operate):
        st.fragment(_controls)()
    else:
        st.caption("An operator can start one; its result is shown here.")
    st.fragment(_result, run_every=LOOK_S)()


def _controls() -> None:
    if not frame.still_signed_in():
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        number = st.number_input("Requests", LEAST, MOST, USUAL, STEP, key=NUMBER, width=180)
        st.button(
            f"Send {number} requests", type="primary", icon=":material/send:", on_click=frame.acting(_start), key="verify-start"
        )
    if refused := st.session_state.get(SAID):
        st.html(block(said("warn", refused)))


def _start() -> None:
    st.session_state[SAID] = None
    try:
        parts.current().operator.check_distribution(int(st.session_state[NUMBER]))
    except failures.FAILURES as error:
        st.session_state[SAID] = failures.sentence(error)


def _result() -> None:
    if not frame.still_signed_in():
        return
    checks = frame.shown(fleet.distribution_checks(), "check")
    if checks is None:
        return
    if not checks:
        frame.empty("Nobody has verified the distribution since the monitor was started: who served the requests would be here.")
        return
    newest = checks[0]
    if newest.finished_at is None:
        done, words = distribution.progress(newest)
        st.progress(done, text=words)
    st.html(block(distribution.result(newest, parts.current().now()), distribution.served(newest)))
