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
