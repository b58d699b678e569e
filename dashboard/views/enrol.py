"""Enrolling a person by upload or camera; each picture is judged before anything is enrolled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import streamlit as st

from backend import wire
from dashboard import failures, identity, parts, phrases
from dashboard.components import faces, frame, links, shots
from dashboard.components.markup import block, text
from dashboard.roles import Right, may

FACES = {wire.FaceChoice.only: "Refuse an image with several faces", wire.FaceChoice.largest: "Take the largest face"}
POLICIES = {
    wire.OnDuplicate.flag: "Enrol, and send alike subjects to review",
    wire.OnDuplicate.reject: "Refuse a certain duplicate",
}
TYPED = ("enrol-external", "enrol-name")


def draw() -> None:
    left, right = st.columns([3, 2], gap="large")
    with left:
        photographs = shots.ask("enrol")
    with right:
        external_id = st.text_input(
            "External id (optional)", key="enrol-external", max_chars=200, help="Your own id for this person; unique."
        )
        name = st.text_input("Name (optional, kept as metadata)", key="enrol-name", max_chars=1000)
        policy = st.radio("If the person is here already", list(POLICIES), format_func=POLICIES.__getitem__, key="enrol-policy")
        face = st.radio("Several faces in an image", list(FACES), format_func=FACES.__getitem__, key="enrol-face")
        asked = st.button("Enrol", type="primary", key="enrol-do", disabled=not photographs)
        if not photographs:
            st.caption("Give at least one photograph in which a face is found, and leave it ticked.")
        if asked:
            _enrol(photographs, external_id.strip(), name.strip(), policy, face)


def _enrol(photographs: Sequence[bytes], external_id: str, name: str, policy: wire.OnDuplicate, face: wire.FaceChoice) -> None:
    metadata = {"name": name} if name else {}
    try:
        with st.spinner("Enrolling …"):
            answer = parts.current().backend.enrol(
                photographs,
                external_id=external_id or None,
                metadata=metadata,
                on_duplicate=policy,
                face=face,
                idempotency_key=once(photographs, external_id, metadata, policy, face),
            )
    except failures.FAILURES as error:
        st.error(phrases.plain(failures.sentence(error)))
        return
    say(answer, "Enrolled")
    with st.container(horizontal=True):
        if answer.state is not wire.SubjectState.rejected:
            st.button("Open the record", key="enrol-open", on_click=open_record, args=(answer.subject_id,))
        st.button("Next person", key="enrol-next", on_click=frame.acting(_next_person))


def once(photographs: Sequence[bytes], *what: object) -> str:
    """One key per content and session: pressing twice, or after a lost answer, enrols once."""
    digest = hashlib.sha256(json.dumps([st.session_state.get("session"), *what]).encode())
    for photograph in photographs:
        digest.update(hashlib.sha256(photograph).digest())
    return f"dashboard-{digest.hexdigest()[:40]}"


def say(answer: wire.Enrolment, done: str) -> None:
    """What came of an enrolment, or of further samples: who is alike, and where that is decided."""
    if answer.state is wire.SubjectState.rejected:
        alike = phrases.counted(len(answer.duplicates), "subject")
        st.warning(f"Not enrolled: {alike} in the gallery is certainly the same person.")
    elif answer.duplicates:
        best = max(candidate.score for candidate in answer.duplicates)
        st.warning(
            f"{done}, and sent to review: alike to {phrases.counted(len(answer.duplicates), 'subject')}, "
            f"best score {best:.3f} (review begins at {answer.review_threshold:.3f})."
        )
    else:
        st.success(f"{done}. Nobody alike is in the gallery.")
    if answer.expected_fpir is not None:
        st.caption(f"A false flag was to be expected {phrases.one_in(answer.expected_fpir)} at this size of the gallery.")
    st.html(block(_alike(answer)))
    st.html(block(faces.quality(answer.quality)) if answer.quality else "<span></span>")


def _alike(answer: wire.Enrolment) -> str:
    """Links: each possible duplicate, and for whoever may see it their case."""
    rows = []
    for found in sorted(answer.duplicates, key=lambda one: -one.score):
        link = links.to_subject(found.subject_id, phrases.short_id(found.subject_id))
        rows.append(f'<li>{link} <span class="soft">score {found.score:.3f}, {text(found.band)}</span></li>')
    if answer.case_id is not None and may(identity.person().roles, Right.see_queue):
        rows.append(f"<li>{links.to_case(answer.case_id, 'Open the case')}</li>")
    elif answer.case_id is not None:
        rows.append('<li class="soft">Reviewers have the case.</li>')
    return f'<ul class="notes warn">{"".join(rows)}</ul>' if rows else ""


def _next_person() -> None:
    shots.start_again("enrol")
    for key in TYPED:
        st.session_state[key] = ""


def open_record(subject_id: str) -> None:
    st.query_params["id"] = subject_id
