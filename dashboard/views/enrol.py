"""Enrolling a person by upload or camera."""

from __future__ import annotations

import hashlib
import json

import streamlit as st

from backend import wire
from dashboard import failures, parts, phrases
from dashboard.components import faces, images
from dashboard.components.markup import block

FACES = {wire.FaceChoice.only: "Refuse an image with several faces", wire.FaceChoice.largest: "Take the largest face"}
POLICIES = {
    wire.OnDuplicate.flag: "Enrol, and send alike subjects to review",
    wire.OnDuplicate.reject: "Refuse a certain duplicate",
}


def draw() -> None:
    photographs = images.ask_several("Photographs of one person", "enrol")
    external_id = st.text_input(
        "External id (optional)", key="enrol-external", max_chars=200, help="Your own id for this person; unique."
    )
    name = st.text_input("Name (optional, kept as metadata)", key="enrol-name", max_chars=1000)
    with st.expander("Options"):
        face = st.radio("Several faces in an image", list(FACES), format_func=FACES.__getitem__, key="enrol-face")
        policy = st.radio("If the person is here already", list(POLICIES), format_func=POLICIES.__getitem__, key="enrol-policy")
    if not st.button("Enrol", type="primary", key="enrol-do", disabled=not photographs):
        if not photographs:
            st.caption("Give at least one photograph.")
        return
    metadata = {"name": name.strip()} if name.strip() else {}
    try:
        with st.spinner("Enrolling …"):
            answer = parts.current().backend.enrol(
                photographs,
                external_id=external_id.strip() or None,
                metadata=metadata,
                on_duplicate=policy,
                face=face,
                idempotency_key=_key(photographs, external_id.strip(), metadata, policy, face),
            )
    except failures.FAILURES as error:
        st.error(phrases.plain(failures.sentence(error)))
        return
    _say(answer)


def _key(photographs: list[bytes], external_id: str, metadata: dict[str, str], policy: str, face: str) -> str:
    """One key per content and session: pressing twice, or after a lost answer, enrols once."""
    digest = hashlib.sha256(json.dumps([st.session_state.get("session"), external_id, metadata, policy, face]).encode())
    for photograph in photographs:
        digest.update(hashlib.sha256(photograph).digest())
    return f"dashboard-{digest.hexdigest()[:40]}"


def _say(answer: wire.Enrolment) -> None:
    if answer.state is wire.SubjectState.rejected:
        st.warning(
            f"Not enrolled: {phrases.counted(len(answer.duplicates), 'subject')} in the gallery is certainly the same person."
        )
    elif answer.duplicates:
        best = max(candidate.score for candidate in answer.duplicates)
        st.warning(
            f"Enrolled, and sent to review: alike to {phrases.counted(len(answer.duplicates), 'subject')}, "
            f"best score {best:.3f} (review begins at {answer.review_threshold:.3f})."
        )
    else:
        st.success("Enrolled. Nobody alike is in the gallery.")
    st.html(block(faces.quality(answer.quality)) if answer.quality else "<span></span>")
    if answer.state is not wire.SubjectState.rejected:
        st.button("Open the record", key="enrol-open", on_click=_open, args=(answer.subject_id,))


def _open(subject_id: str) -> None:
    st.query_params["subject"] = subject_id
