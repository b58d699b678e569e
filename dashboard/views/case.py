"""One case: its faces, what is known of them, and a key for each thing that can be done."""

from __future__ import annotations

import streamlit as st

from backend import wire
from dashboard import identity, parts, phrases
from dashboard.components import faces, frame, looks
from dashboard.components.markup import block, line, said
from dashboard.desk import Desk, by_age, claimable, decidable, portrait, sides
from dashboard.fetch.abreast import abreast
from dashboard.palette import CASES
from dashboard.views import case_actions, evidence

BEAT_S = 30.0


def draw(desk: Desk, case: wire.Case) -> None:
    desk.look(parts.current().backend, abreast)
    named = faces.letters(case)
    with st.container(key="case"):
        # a place of its own even while it is empty: what stands below must not be built anew, or a key pressed just then is lost
        message = st.empty()
        if desk.said is not None:
            message.html(block(said(desk.said.tone, desk.said.text)))
        st.fragment(_top, run_every=BEAT_S)(desk, case.id)
        _faces(desk, case)
        with st.container():
            _pairs(desk, case)
        case_actions.draw(desk, case, named)
    looks.listen(case.id, desk.pair)
    evidence.draw(desk, case, named)


def _faces(desk: Desk, case: wire.Case) -> None:
    shown = sides(case, desk.pair)
    drawn = [faces.side_by_side(case, shown, desk.crops, desk.survivor_id, frame.zone())] if shown else []
    if len(case.subjects) > 2:
        portraits = [side for subject in by_age(case) if (side := portrait(case, subject)) and side.sample_id in desk.crops]
        drawn.append(faces.strip(case, portraits, desk.crops, {side.subject_id for side in shown}))
    st.html(block(f'<div class="bench">{"".join(drawn)}</div>'))


def _top(desk: Desk, case_id: str) -> None:
    """Runs by itself: keeps the claim while the case is open, and shows whose it is."""
    if not frame.still_signed_in() or desk.case is None or desk.case.id != case_id:
        return
    if not desk.heartbeat(parts.current().backend, parts.current().now(), every_s=BEAT_S - 5):
        st.rerun()
    case = desk.case
    if case is None:
        st.rerun()
    st.html(block(_headline(case, _held(case))))


def _held(case: wire.Case) -> str:
    """Whose the case is, and what that means for whoever reads it."""
    person = identity.person()
    if case.state is wire.CaseState.resolved:
        return "Decided."
    if case.lease is None:
        return "Nobody holds this case: claim it before you judge." if claimable(case) else "Nobody holds this case."
    left = phrases.span(case.lease.until.timestamp() - parts.current().now())
    if decidable(case, person.id):
        return f"Held by you, {left} left; renewed while it is open."
    return f"Held by {case.lease.holder_name}, {left} left: you can look, and decide nothing."


def _headline(case: wire.Case, held: str) -> str:
    now = parts.current().now()
    size = f"{phrases.counted(len(case.subjects), 'subject')}, {phrases.counted(len(case.pairs), 'pair')}"
    found = f"from {case.source} {phrases.since(case.created_at, now)}"
    due = "" if case.due_at is None else f", due {phrases.when(case.due_at, now, frame.zone())}"
    late = " OVERDUE" if case.overdue else ""
    return line(CASES[case.state], f"score {case.score:.3f}{late}", f"{held} {size}, {found}{due}, {phrases.short_id(case.id)}")


def _pairs(desk: Desk, case: wire.Case) -> None:
    if len(case.pairs) < 2:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Previous pair", shortcut="J", on_click=desk.turn, args=(-1,))
        st.button("Next pair", shortcut="K", on_click=desk.turn, args=(1,))
        st.caption(f"Pair {desk.pair + 1} of {len(case.pairs)} in this cluster")
