"""One subject: what is held, its samples, and what became of it."""

from __future__ import annotations

import streamlit as st

from backend import wire
from dashboard import identity, parts, phrases
from dashboard.components import faces, frame
from dashboard.components.markup import badge, block, facts, table, text
from dashboard.fetch import people
from dashboard.palette import SUBJECTS
from dashboard.roles import Right, may


def draw(subject_id: str) -> None:
    subject = frame.shown(people.subject(subject_id), "record")
    if subject is None:
        return
    zone = frame.zone()
    st.html(
        block(
            f'<div class="head"><h3>{text(faces.label(subject))}</h3>{badge(SUBJECTS[subject.state])}</div>',
            facts(
                [
                    ("External id", subject.external_id or phrases.NOTHING),
                    ("Enrolled", phrases.moment(subject.created_at, zone)),
                    ("Samples", str(len(subject.samples))),
                    ("Version", str(subject.version)),
                    ("Subject id", subject.id),
                ],
                wide=True,
            ),
        )
    )
    _merges(subject)
    st.subheader("Metadata", anchor=False)
    if subject.metadata:
        st.html(block(table(["Field", "Value"], sorted(subject.metadata.items()))))
    else:
        frame.empty("No metadata was given at enrolment: names and values would be here.")
    _samples(subject)
    st.subheader("History", anchor=False)
    st.html(block(table(["When", "What"], _history(subject))))


def _merges(subject: wire.Subject) -> None:
    if subject.merged_into:
        st.info(
            f"A reviewer decided that this is the same person as {phrases.plain(subject.merged_into)}.", icon=":material/merge:"
        )
        st.button("Open the record that remains", on_click=_open, args=(subject.merged_into,))
    for loser in subject.merged:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{phrases.short_id(loser)} was merged into this record.", width="content")
            st.button("Open it", key=f"open-{loser}", on_click=_open, args=(loser,))


def _samples(subject: wire.Subject) -> None:
    st.subheader("Samples", anchor=False)
    if not subject.samples:
        frame.empty("No sample is held: each enrolled image would be here.")
        return
    crops: dict[str, bytes | str] = {}
    if may(identity.person().roles, Right.see_faces):
        for sample in subject.samples:
            if sample.image is not None:
                seen = people.crop(subject.id, sample.id)
                crops[sample.id] = seen.value if seen.value is not None else seen.failure or "No picture."
    else:
        st.caption("Faces are shown to reviewers only.")
    st.html(block(faces.samples(subject, crops, frame.zone())))


def _history(subject: wire.Subject) -> list[tuple[str, str]]:
    zone = frame.zone()
    lines = [(subject.created_at, "enrolled")]
    lines += [(sample.created_at, f"sample {place} added") for place, sample in enumerate(subject.samples, start=1)]
    told = [(f"{phrases.moment(at, zone)} ({phrases.since(at, parts.current().now())})", what) for at, what in sorted(lines)]
    told += [("since then", f"{loser} was merged into this record") for loser in subject.merged]
    return told + ([("since then", f"merged into {subject.merged_into}")] if subject.merged_into else [])


def _open(subject_id: str) -> None:
    st.query_params["subject"] = subject_id
