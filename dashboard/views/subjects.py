"""Subjects: find them, enrol them, compare a face with one or with all.

`/subjects?id=sub_…` is a record, `/subjects?q=…` a search. A search is taken out of the address at once: it may be somebody's
external id, which has no place in an address that browsers and proxies remember.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from backend import wire
from dashboard import identity, ids, parts, phrases
from dashboard.components import faces, frame
from dashboard.components.markup import block, line
from dashboard.fetch import people
from dashboard.palette import SUBJECTS
from dashboard.roles import Right, may
from dashboard.views import enrol, recognise, record

ID, OLD_ID, SEARCH = "id", "subject", "q"
QUERY = "subjects-query"
ANY = "any"
WORKS: dict[str, tuple[Right, Callable[[], None]]] = {
    "Enrol": (Right.enrol, enrol.draw),
    "Verify": (Right.recognise, recognise.verify),
    "Identify": (Right.recognise, recognise.identify),
}


def page() -> None:
    _from_address()
    frame.heading("Subjects", "The people in the gallery. A subject is one enrolled person, with one or more images.")
    if subject_id := st.query_params.get(ID):
        st.button("Back to the list", shortcut="B", icon=":material/arrow_back:", on_click=_close)
        if ids.may_be_ours(subject_id):
            record.draw(subject_id)
        else:
            st.error("This address names no subject: an id of ours begins with sub_.")
        return
    roles = identity.person().roles
    offered = ["Find", *(work for work, (right, _) in WORKS.items() if may(roles, right))]
    work = st.segmented_control(
        "What to do", offered, default="Find", required=True, key="subjects-work", label_visibility="collapsed"
    )
    if work in WORKS:
        WORKS[work][1]()
    else:
        _find()


def _from_address() -> None:
    if (old := st.query_params.pop(OLD_ID, None)) is not None:
        st.query_params[ID] = old
    if (asked := st.query_params.pop(SEARCH, None)) is not None:
        st.session_state[QUERY] = asked[:200]
        _first_page()


def _find() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        query = st.text_input(
            "Search",
            key=QUERY,
            max_chars=200,
            placeholder="a whole external id, or the beginning of an id of ours",
            help="External ids, names and metadata are encrypted: no part of them can be searched.",
            on_change=_first_page,
        )
        chosen = st.segmented_control(
            "State",
            [ANY, *(state.value for state in wire.SubjectState if state is not wire.SubjectState.pending)],
            default=ANY,
            required=True,
            format_func=lambda state: "Any" if state == ANY else SUBJECTS[state].word,
            key="subjects-state",
            on_change=_first_page,
        )
    state = None if chosen in (ANY, None) else wire.SubjectState(chosen)
    cursor = st.session_state.get("subjects-cursor")
    found = frame.shown(people.subjects(query.strip() or None, state, cursor), "list")
    if found is None:
        return
    if not found.items:
        asked = query.strip() or state
        frame.empty(
            "No subject fits this search. An external id is found by the whole of it, a record by the beginning of its id."
            if asked
            else "Nobody is enrolled yet. Each enrolled person would be here."
        )
        return
    st.caption(f"{'at least ' if found.total_is == 'at_least' else ''}{phrases.counted(found.total, 'subject')}, newest first")
    with st.container(gap="xsmall"):
        for subject in found.items:
            _row(subject)
    with st.container(horizontal=True):
        if cursor:
            st.button("First page", on_click=_first_page)
        if found.next:
            st.button("Next page", on_click=_go, args=(found.next,))


def _row(subject: wire.Subject) -> None:
    with st.container(horizontal=True, vertical_alignment="center", border=True, gap="small", key=f"row-{subject.id}"):
        metadata = ", ".join(f"{name}: {value}" for name, value in sorted(subject.metadata.items()))
        about = " · ".join(
            part
            for part in (
                metadata,
                phrases.counted(len(subject.samples), "sample"),
                f"enrolled {phrases.since(subject.created_at, parts.current().now())}",
            )
            if part
        )
        st.html(block(line(SUBJECTS[subject.state], faces.label(subject), about)), width="stretch")
        st.button("Open", key=f"open-{subject.id}", on_click=_open, args=(subject.id,), width=90)


def _open(subject_id: str) -> None:
    st.query_params[ID] = subject_id


def _close() -> None:
    st.query_params.pop(ID, None)


def _first_page() -> None:
    st.session_state.pop("subjects-cursor", None)


def _go(cursor: str) -> None:
    st.session_state["subjects-cursor"] = cursor
