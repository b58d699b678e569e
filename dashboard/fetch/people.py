"""Whatever has a face, a subject: asked with the person's token, kept in that person's session alone."""

from __future__ import annotations

from collections import OrderedDict

import streamlit as st

from backend import wire
from dashboard import parts
from dashboard.fetch.seen import REMEMBERED, Seen, own


def stats() -> Seen[wire.Stats]:
    return own().ask("stats", parts.current().backend.stats, parts.current().now)


def subjects(query: str | None, state: wire.SubjectState | None, cursor: str | None) -> Seen[wire.Page[wire.Subject]]:
    def ask() -> wire.Page[wire.Subject]:
        return parts.current().backend.subjects(query=query, state=state, cursor=cursor, limit=20)

    return own().ask(("subjects", query, state, cursor), ask, parts.current().now)


def subject(subject_id: str) -> Seen[wire.Subject]:
    return own().ask(("subject", subject_id), lambda: parts.current().backend.subject(subject_id), parts.current().now)


def crop(subject_id: str, sample_id: str) -> Seen[bytes]:
    """A face crop. Each look is audited, so it is asked once per session and record, not at every redraw."""
    held: OrderedDict[str, bytes] = st.session_state.setdefault("crops", OrderedDict())
    if sample_id in held:
        return Seen(held[sample_id], None)
    seen = own().ask(
        ("crop", sample_id), lambda: parts.current().backend.sample_image(subject_id, sample_id), parts.current().now
    )
    if seen.value is not None and seen.failure is None:
        held[sample_id] = seen.value
        while len(held) > REMEMBERED:
            held.popitem(last=False)
    return seen


def cases_of(subject_id: str) -> Seen[wire.Page[wire.CaseSummary]]:
    """Every case in which this record, or one merged into it, stands; the first twenty."""

    def ask() -> wire.Page[wire.CaseSummary]:
        return parts.current().backend.cases(subject_id=subject_id, limit=20)

    return own().ask(("cases of", subject_id), ask, parts.current().now)


def case_as_of(case_id: str, version: int) -> Seen[wire.Case]:
    """A case as it was at `version`: asked once in a session, as no version ever changes."""
    held: OrderedDict[tuple[str, int], wire.Case] = st.session_state.setdefault("cases-seen", OrderedDict())
    if (case_id, version) in held:
        return Seen(held[case_id, version], None)
    seen = own().ask(("case", case_id), lambda: parts.current().backend.case(case_id), parts.current().now)
    if seen.value is not None and seen.failure is None:
        held[case_id, seen.value.version] = seen.value
        while len(held) > REMEMBERED:
            held.popitem(last=False)
    return seen


def trail(object_id: str) -> Seen[wire.Page[wire.AuditEvent]]:
    """What the audit trail says of one object, newest first."""

    def ask() -> wire.Page[wire.AuditEvent]:
        return parts.current().backend.audit(object_id=object_id, limit=50)

    return own().ask(("trail", object_id), ask, parts.current().now)


def forget() -> None:
    """After an erasure: nothing that this session remembers of anybody stays."""
    for kept in ("crops", "cases-seen", "last_seen"):
        st.session_state.pop(kept, None)
