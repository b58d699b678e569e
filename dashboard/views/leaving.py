"""What leaves: a person's data as a file, one sample, the whole record. Erasing is confirmed by typing."""

from __future__ import annotations

import streamlit as st

from backend import wire
from dashboard import exporting, parts, phrases
from dashboard.components import faces, frame, once, typed
from dashboard.components.markup import block, text
from dashboard.fetch import people

GONE = "erased-subject"


def export(subject: wire.Subject) -> None:
    st.markdown(
        "One JSON file with everything that is held on this person and on every record merged into it: profile,"
        " pictures, templates, enrolments, pairs, cases, decisions, events. Other people occur by their ids"
        " alone. **The export is audited.** The file is as sensitive as the pictures themselves."
    )
    st.html(
        block(
            f'<form method="post" action="{text(exporting.path(subject.id))}">'
            '<button class="do" type="submit">Download the export</button></form>'
        )
    )


def erase_sample(subject: wire.Subject) -> None:
    """One sample by its number, as it stands in the record below."""
    if len(subject.samples) < 2:
        frame.empty("It has one sample only, which goes with the record: erase the record instead.")
        return
    numbers = {sample.id: place for place, sample in enumerate(subject.samples, start=1)}
    chosen = st.selectbox(
        "Sample", list(numbers), format_func=lambda sample_id: f"Sample {numbers[sample_id]}", key=f"erase-sample-{subject.id}"
    )
    sample = next(one for one in subject.samples if one.id == chosen)
    quality = f"quality {sample.quality.overall} of 100"
    when = phrases.when(sample.created_at, parts.current().now(), frame.zone())
    st.markdown(
        f"Sample {numbers[chosen]} ({quality}, added {phrases.plain(when)}): its picture and its template are destroyed for good,"
        " in every index too. Pairs that rest on it alone are closed."
    )
    typed.confirm(f"sample {numbers[chosen]}", "Erase the sample", lambda: _erase_sample(subject, chosen), key=f"erase-{chosen}")


def _erase_sample(subject: wire.Subject, sample_id: str) -> None:
    def act() -> str:
        parts.current().backend.erase_sample(subject.id, sample_id, version=subject.version)
        st.session_state.get("crops", {}).pop(sample_id, None)
        return "The sample is erased."

    once.attempt(act)


def erase(subject: wire.Subject) -> None:
    also = f" and of the {phrases.counted(len(subject.merged), 'record')} merged into it" if subject.merged else ""
    held = phrases.counted(len(subject.samples), "sample")
    st.markdown(
        f"**This cannot be undone.** Of {phrases.plain(faces.label(subject))}{also} are destroyed: {held} with pictures and"
        " templates, external id, metadata, stored answers and reviewers' notes, and the key with which all of it is encrypted;"
        " every replica drops the person from its index within seconds, snapshots of it within 15 minutes.\n\n"
        "What remains: ids and codes in the audit trail, without a name; backups until they expire."
    )
    if subject.merged_into:
        st.caption("Only this record goes. The one that it was merged into keeps its own samples.")
    typed.confirm(typed.word_of(subject), "Erase for good", lambda: _erase(subject), key=f"erase-{subject.id}")


def _erase(subject: wire.Subject) -> None:
    def act() -> str:
        parts.current().backend.erase_subject(subject.id, version=subject.version)
        people.forget()
        st.session_state.pop(f"change-{subject.id}", None)
        st.session_state[GONE] = subject.id
        return "Erased."

    if once.attempt(act):
        st.session_state.pop(once.KEY, None)  # the page says it at length


def gone(subject_id: str) -> bool:
    """Says that this record was erased a moment ago, where it was; its name is not remembered."""
    if st.session_state.get(GONE) != subject_id:
        return False
    st.success(
        f"The record {phrases.plain(phrases.short_id(subject_id))} is gone. Its pictures, templates and data are destroyed;"
        " the audit trail keeps that it was erased, when and by whom.",
        icon=":material/delete_forever:",
    )
    return True
