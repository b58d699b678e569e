"""One subject: what is held, its samples, what happened to it, and what may be done with it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from backend import wire
from dashboard import identity, parts, phrases
from dashboard.components import faces, frame, links, once
from dashboard.components.markup import badge, block, facts, table, text
from dashboard.fetch import people
from dashboard.fetch.trail import key_names
from dashboard.palette import SUBJECTS
from dashboard.roles import Right, may
from dashboard.tables import history, samples
from dashboard.views import changing, leaving, merges

READ = "Read"
CASES_READ = 5
"""resolved cases whose decisions are read for the history, the newest"""
WORKS: dict[str, tuple[Right, Callable[[wire.Subject], None]]] = {
    "Change": (Right.enrol, changing.change),
    "Add samples": (Right.enrol, changing.add_samples),
    "Erase a sample": (Right.erase, leaving.erase_sample),
    "Export": (Right.export, leaving.export),
    "Erase": (Right.erase, leaving.erase),
}


def draw(subject_id: str) -> None:
    if leaving.gone(subject_id):
        return
    once.draw()
    subject = frame.shown(people.subject(subject_id), "record")
    if subject is None:
        return
    _head(subject)
    roles = identity.person().roles
    offered = [work for work, (right, _) in WORKS.items() if may(roles, right)]
    if offered and subject.state in (wire.SubjectState.active, wire.SubjectState.merged):
        work = st.segmented_control(
            "What to do with this record",
            [READ, *offered],
            default=READ,
            required=True,
            key=f"record-work-{subject.id}",
            label_visibility="collapsed",
        )
        if work in WORKS:
            with st.container(border=True, key=f"record-doing-{subject.id}"):
                WORKS[work][1](subject)
    cases = _cases(subject)
    merges.draw(subject, cases[1])
    _samples(subject)
    left, right = st.columns([2, 5], gap="medium")
    with left:
        _metadata(subject)
    with right:
        _history(subject, *cases)


def _head(subject: wire.Subject) -> None:
    zone = frame.zone()
    kept = "the service's own period" if subject.retain_until is None else phrases.moment(subject.retain_until, zone)
    st.html(
        block(
            f'<div class="head"><h3>{text(faces.label(subject))}</h3>{badge(SUBJECTS[subject.state])}</div>',
            facts(
                [
                    ("External id", subject.external_id or phrases.NOTHING),
                    ("Enrolled", phrases.when(subject.created_at, parts.current().now(), zone)),
                    ("Samples", str(len(subject.samples))),
                    ("Kept until", kept),
                    ("Version", str(subject.version)),
                    ("Subject id", subject.id),
                ],
                wide=True,
            ),
        )
    )


def _metadata(subject: wire.Subject) -> None:
    st.subheader("Metadata", anchor=False)
    if subject.metadata:
        st.html(block(table(["Field", "Value"], sorted(subject.metadata.items()))))
    else:
        frame.empty("No metadata is kept: names and values would be here.")


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
    heads, rows = samples.by_component(subject.samples)
    if rows:
        with st.expander("Quality by component (0 worst, 100 best)"):
            st.html(block(table(heads, rows, numeric=heads[1:])))


def _cases(subject: wire.Subject) -> tuple[list[wire.CaseSummary], list[wire.Case]]:
    """Of those who may see the queue: the subject's cases, and the newest resolved ones with their decisions."""
    if not may(identity.person().roles, Right.see_queue):
        return [], []
    seen = people.cases_of(subject.id)
    summaries = list(seen.value.items) if seen.value is not None else []
    resolved = [one for one in summaries if one.state is wire.CaseState.resolved]
    newest = sorted(resolved, key=lambda one: one.created_at, reverse=True)[:CASES_READ]
    read = [people.case_as_of(one.id, one.version).value for one in newest]
    return summaries, [case for case in read if case is not None]


def _history(subject: wire.Subject, summaries: list[wire.CaseSummary], read: list[wire.Case]) -> None:
    st.subheader("History", anchor=False)
    roles = identity.person().roles
    happened = history.of_cases(summaries, read)
    if may(roles, Right.see_audit):
        seen = people.trail(subject.id)
        told = seen.value.items if seen.value is not None else None
        happened += history.of_record(subject) if told is None else history.of_trail(told, key_names())
        if seen.failure is not None:
            st.caption(f"The audit trail could not be read: {phrases.plain(seen.failure)}")
    else:
        happened += history.of_record(subject)
    rows = history.rows(happened, parts.current().now(), frame.zone())
    st.html(block(f'<div class="history">{table(history.HEADS, rows)}</div>'))
    for one in summaries:
        if one.state is not wire.CaseState.resolved:
            link = links.to_case(one.id, f"Case {phrases.short_id(one.id)}")
            st.html(block(f'<p class="soft">{link} waits for a decision (score {one.score:.3f}).</p>'))
    if not may(roles, Right.see_queue):
        st.caption("Cases and decisions are shown to reviewers, the audit trail to supervisors.")
