"""One case: two faces, what is known of them, and a key for each thing that can be done."""

from __future__ import annotations

import streamlit as st

from backend import wire
from dashboard import identity, parts, phrases
from dashboard.components import faces, frame
from dashboard.components.markup import block, line, said
from dashboard.desk import WORDS, Desk, claimable, decidable, sides
from dashboard.palette import CASES
from dashboard.roles import Right, may

BEAT_S = 30.0
KEYS = {
    wire.Verdict.same: "S",
    wire.Verdict.different: "D",
    wire.Verdict.twin_or_relative: "T",
    wire.Verdict.poor_image: "P",
    wire.Verdict.suspected_fraud: "F",
    wire.Verdict.unsure: "Q",
}
LEADING = (wire.Verdict.same, wire.Verdict.different)


def draw(desk: Desk, case: wire.Case) -> None:
    backend, zone = parts.current().backend, frame.zone()
    desk.look(backend)
    named = faces.letters(case)
    with st.container(key="case"):
        # a place of its own even while it is empty: what stands below must not be built anew, or a key pressed just then is lost
        message = st.empty()
        if desk.said is not None:
            message.html(block(said(desk.said.tone, desk.said.text)))
        st.fragment(_top, run_every=BEAT_S)(desk, case.id)
        if case.pairs:
            shown = sides(case, desk.pair)
            st.html(block(faces.side_by_side(case, shown, desk.crops, desk.survivor_id, zone)))
        with st.container():
            _pairs(desk, case)
        _choices(desk, case, named)
    left, right = st.columns(2, gap="medium")
    with left:
        if case.pairs:
            st.html(block(faces.score_scale(case.pairs[desk.pair])))
        _history(case)
    with right:
        ordered = sorted(case.subjects, key=lambda subject: named[subject.id])
        st.html(block(faces.differences(ordered, named, zone)))


def _headline(case: wire.Case, held: str) -> str:
    size = f"{phrases.counted(len(case.subjects), 'subject')}, {phrases.counted(len(case.pairs), 'pair')}"
    found = f"from {case.source} {phrases.since(case.created_at, parts.current().now())}"
    return line(CASES[case.state], f"score {case.score:.3f}", f"{held} {size}, {found}, {phrases.short_id(case.id)}")


def _top(desk: Desk, case_id: str) -> None:
    """Runs by itself: keeps the claim while the case is open, and shows whose it is."""
    if not frame.still_signed_in() or desk.case is None or desk.case.id != case_id:
        return
    person = identity.person()
    if not desk.heartbeat(parts.current().backend, parts.current().now(), every_s=BEAT_S - 5):
        st.rerun()
    case = desk.case
    if case is None:
        st.rerun()
    now = parts.current().now()
    if case.lease is None:
        held = "Nobody holds this case."
    else:
        left = phrases.span(case.lease.until.timestamp() - now)
        yours = case.lease.holder == person.id
        held = f"Held by {'you' if yours else case.lease.holder_name}, {left} left" + (
            "; renewed while it is open." if yours else "."
        )
    st.html(block(_headline(case, held)))


def _pairs(desk: Desk, case: wire.Case) -> None:
    if len(case.pairs) < 2:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Previous pair", shortcut="J", on_click=desk.turn, args=(-1,))
        st.button("Next pair", shortcut="K", on_click=desk.turn, args=(1,))
        st.caption(f"Pair {desk.pair + 1} of {len(case.pairs)} in this cluster")


def _choices(desk: Desk, case: wire.Case, named: dict[str, str]) -> None:
    backend = parts.current().backend
    person = identity.person()
    may_decide = decidable(case, person.id)
    with st.container(key="decide", gap="xsmall"):
        _survivors(desk, case, named, enabled=may_decide)
        with st.container(horizontal=True, gap="xsmall"):
            for verdict, key in KEYS.items():
                st.button(
                    WORDS[verdict],
                    key=f"verdict-{verdict}",
                    shortcut=key,
                    type="primary" if verdict in LEADING else "secondary",
                    disabled=not may_decide,
                    on_click=frame.acting(_decide),
                    args=(desk, verdict, case.id),
                )
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="bottom"):
            st.text_input(
                "Note",
                key=f"note-{case.id}",
                max_chars=2000,
                placeholder="a reason, for whoever reads this later",
                label_visibility="collapsed",
                disabled=not may_decide,
            )
            resolved = case.state is wire.CaseState.resolved
            # always there, so that its key works the moment a decision is made
            st.button(
                "Undo",
                key="undo",
                shortcut="U",
                on_click=frame.acting(desk.undo_open if resolved else desk.undo),
                args=(backend,),
            )
            st.button("Claim next", key="next", shortcut="N", on_click=frame.acting(_next), args=(desk,))
            st.button("Back to the queue", shortcut="B", on_click=frame.acting(desk.back), args=(backend,))
            if claimable(case):
                st.button("Claim", shortcut="A", on_click=frame.acting(desk.claim), args=(backend,))
            if case.lease is not None and case.lease.holder != person.id and may(person.roles, Right.take_over):
                st.button("Take over", shortcut="O", on_click=frame.acting(desk.take_over), args=(backend,))
    st.caption("The keys on the buttons work wherever you are on this page, and rest while you type in a field.")


def _survivors(desk: Desk, case: wire.Case, named: dict[str, str], *, enabled: bool) -> None:
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        st.caption("If they are the same, the record that remains:", width="content")
        for place, (subject_id, letter) in enumerate(sorted(named.items(), key=lambda item: item[1]), start=1):
            subject = next(subject for subject in case.subjects if subject.id == subject_id)
            chosen = subject_id == desk.survivor_id
            st.button(
                f"Keep {letter} · {phrases.plain(faces.label(subject))}",
                key=f"keep-{subject_id}",
                shortcut=str(place) if place < 10 else None,
                icon=":material/radio_button_checked:" if chosen else ":material/radio_button_unchecked:",
                disabled=not enabled,
                on_click=desk.keep,
                args=(subject_id,),
            )


def _history(case: wire.Case) -> None:
    for decision in case.decisions:
        word = "Undone" if decision.verdict == "undo" else WORDS[wire.Verdict(decision.verdict)]
        struck = " (undone since)" if decision.undone else ""
        note = f": {decision.note}" if decision.note else ""
        when = phrases.since(decision.at, parts.current().now())
        st.caption(phrases.plain(f"{word}{struck} by {decision.actor_name}, {when}{note}"))


def _decide(desk: Desk, verdict: wire.Verdict, case_id: str) -> None:
    # the note is the case's: it must not follow the reviewer to the next one
    note = st.session_state.pop(f"note-{case_id}", None)
    desk.said = None
    desk.decide(parts.current().backend, verdict, note)


def _next(desk: Desk) -> None:
    desk.said = None
    desk.next(parts.current().backend)
