"""Changing a record: its external id, its metadata, further samples."""

from __future__ import annotations

import streamlit as st

from backend import wire
from dashboard import failures, parts, phrases
from dashboard.components import frame, once, shots
from dashboard.views import enrol


def change(subject: wire.Subject) -> None:
    """The version is that of the record when this form was opened: what somebody else changed since is never overwritten."""
    opened: wire.Subject = st.session_state.setdefault(f"change-{subject.id}", subject)
    if opened.version != subject.version:
        st.warning("The record was changed meanwhile: what stands below is older.", icon=":material/history:")
        st.button("Begin again with what it is now", key="change-again", on_click=_forget, args=(subject.id,))
    key = f"change-{subject.id}-{opened.version}"
    with st.form(key=f"{key}-form", border=False):
        left, right = st.columns(2, gap="medium")
        with left:
            st.text_input("External id", value=opened.external_id or "", max_chars=200, key=f"{key}-external")
            st.caption("Empty takes it away. A field of the metadata whose value is emptied goes.")
        with right:
            for name, value in sorted(opened.metadata.items()):
                st.text_input(phrases.plain(name), value=value, max_chars=1000, key=f"{key}-field-{name}")
            with st.container(horizontal=True):
                st.text_input("New field", max_chars=64, key=f"{key}-new-name")
                st.text_input("Its value", max_chars=1000, key=f"{key}-new-value")
        st.form_submit_button("Save", key=f"{key}-do", type="primary", on_click=frame.acting(_save), args=(opened, key))


def _save(opened: wire.Subject, key: str) -> None:
    changes: dict[str, object] = {}
    state = st.session_state
    external_id = str(state[f"{key}-external"]).strip() or None
    if external_id != opened.external_id:
        changes["external_id"] = external_id
    fields = {name: str(state[f"{key}-field-{name}"]).strip() for name in opened.metadata}
    fields[str(state[f"{key}-new-name"]).strip()] = str(state[f"{key}-new-value"]).strip()
    metadata = {name: value for name, value in fields.items() if name and value}
    if metadata != opened.metadata:
        changes["metadata"] = metadata
    if not changes:
        once.say("warn", "Nothing was changed.")
        return

    def act() -> str:
        parts.current().backend.change_subject(opened.id, changes, version=opened.version)
        return f"Saved: {' and '.join(sorted(name.replace('_', ' ') for name in changes))}."

    if once.attempt(act):
        _forget(opened.id)


def _forget(subject_id: str) -> None:
    st.session_state.pop(f"change-{subject_id}", None)


def add_samples(subject: wire.Subject) -> None:
    key = f"add-{subject.id}"
    photographs = shots.ask(key)
    if not st.button("Add", type="primary", key="add-do", disabled=not photographs):
        return
    try:
        with st.spinner("Adding …"):
            answer = parts.current().backend.add_samples(
                subject.id, photographs, idempotency_key=enrol.once(photographs, subject.id, "samples")
            )
    except failures.FAILURES as error:
        st.error(phrases.plain(failures.sentence(error)))
        return
    enrol.say(answer, f"{phrases.counted(len(answer.sample_ids), 'sample')} added")
    st.button("Show them", key="add-shown", on_click=frame.acting(lambda: shots.start_again(key)))
