"""What can be done with the case that is open: a button and a key for each."""

from __future__ import annotations

import streamlit as st

from backend import wire
from dashboard import identity, parts, phrases
from dashboard.components import faces, frame, looks
from dashboard.components.markup import block
from dashboard.desk import WORDS, Desk, claimable, decidable
from dashboard.fetch import queue
from dashboard.roles import Right, may

KEYS = {
    wire.Verdict.same: "S",
    wire.Verdict.different: "D",
    wire.Verdict.twin_or_relative: "T",
    wire.Verdict.poor_image: "P",
    wire.Verdict.suspected_fraud: "F",
    wire.Verdict.unsure: "Q",
}
LEADING = (wire.Verdict.same, wire.Verdict.different)
REASON_KEYS = "HLMVWY"
"""of the first reasons; what is left of the letters"""
LEGEND = (
    *((key, WORDS[verdict]) for verdict, key in KEYS.items()),
    ("1 … 9", "which record remains if they are the same"),
    (" ".join(REASON_KEYS), "choose a reason, where the site has some"),
    ("J K", "previous and next pair of a cluster"),
    ("N", "claim the next case; this one goes back undecided"),
    ("U", "undo the last decision"),
    ("B", "back to the queue"),
    ("A O", "claim this case; take it over"),
)


def draw(desk: Desk, case: wire.Case, named: dict[str, str]) -> None:
    person = identity.person()
    open_to_them = decidable(case, person.id)
    offered = _offered()
    with st.container(key="decide", gap="xsmall"):
        _survivors(desk, case, named, enabled=open_to_them)
        with st.container(horizontal=True, gap="xsmall"):
            for verdict in offered:
                st.button(
                    WORDS[verdict],
                    # the case's own: a key that was pressed twice must not decide the next case, which nobody has seen yet
                    key=f"verdict-{verdict}-{case.id}",
                    shortcut=KEYS[verdict],
                    type="primary" if verdict in LEADING else "secondary",
                    disabled=not open_to_them,
                    on_click=frame.acting(_decide),
                    args=(desk, verdict, case.id),
                )
        with st.container():  # a place of its own, so that what stands below it stays where it is
            _reasons(desk, offered, enabled=open_to_them)
        _others(desk, case, enabled=open_to_them)
    st.caption("Keys work anywhere on this page, and rest while you type. Z zooms, X blinks, E goes to the note, ? lists all.")
    st.html(block(looks.legend(LEGEND)))


def _offered() -> dict[wire.Verdict, wire.OfferedVerdict | None]:
    """By verdict what the site says of it; all of them while that cannot be asked."""
    codes = queue.codes().value
    if codes is None:
        return dict.fromkeys(wire.Verdict)
    return {one.verdict: one for one in codes.verdicts}


def _others(desk: Desk, case: wire.Case, *, enabled: bool) -> None:
    backend, person = parts.current().backend, identity.person()
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="bottom"):
        st.text_input(
            "Note",
            key=f"note-{case.id}",
            max_chars=2000,
            placeholder="a reason, for whoever reads this later",
            label_visibility="collapsed",
            disabled=not enabled,
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


def _survivors(desk: Desk, case: wire.Case, named: dict[str, str], *, enabled: bool) -> None:
    subjects = {subject.id: subject for subject in case.subjects}
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        st.caption("If they are the same:", width="content")
        for place, (subject_id, letter) in enumerate(named.items(), start=1):
            chosen = subject_id == desk.survivor_id
            st.button(
                f"Keep {letter} · {phrases.plain(faces.label(subjects[subject_id]))}",
                key=f"keep-{subject_id}",
                shortcut=str(place) if place < 10 else None,
                icon=":material/radio_button_checked:" if chosen else ":material/radio_button_unchecked:",
                disabled=not enabled,
                on_click=desk.keep,
                args=(subject_id,),
            )


def _reasons(desk: Desk, offered: dict[wire.Verdict, wire.OfferedVerdict | None], *, enabled: bool) -> None:
    """The site's own codes, with the verdicts that they belong to."""
    verdicts: dict[str, list[str]] = {}
    for verdict, said in offered.items():
        for reason in said.reasons if said else ():
            verdicts.setdefault(reason, []).append(WORDS[verdict])
    needing = [WORDS[verdict] for verdict, said in offered.items() if said is not None and said.needs_note_or_reason]
    if not verdicts and not needing:
        return
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        needed = f" (needed for {phrases.plain(', '.join(needing).lower())}, or a note)" if needing else ""
        st.caption(f"Reason{needed}:", width="content")
        for place, (reason, belongs) in enumerate(verdicts.items()):
            chosen = reason == desk.reason
            st.button(
                phrases.plain(reason.replace("_", " ")),
                key=f"reason-{reason}",
                shortcut=REASON_KEYS[place] if place < len(REASON_KEYS) else None,
                help=f"For: {', '.join(belongs)}",
                icon=":material/check_box:" if chosen else ":material/check_box_outline_blank:",
                disabled=not enabled,
                on_click=desk.because,
                args=(reason,),
            )


def _decide(desk: Desk, verdict: wire.Verdict, case_id: str) -> None:
    """Decide the case that was on the screen when the key was pressed; where another one is open by now, nothing."""
    if desk.case is None or desk.case.id != case_id:
        return
    note = st.session_state.get(f"note-{case_id}")
    desk.said = None
    desk.decide(parts.current().backend, verdict, note)
    if desk.case is None or desk.case.id != case_id:
        # the note is the case's: it must not follow the reviewer to the next one; where the decision was refused, it stays
        st.session_state.pop(f"note-{case_id}", None)


def _next(desk: Desk) -> None:
    desk.said = None
    desk.next(parts.current().backend)
