"""Identical pictures, many cases at a time: what would be decided, the exact number typed, what became of it, and its undo."""

from __future__ import annotations

import streamlit as st

from backend import wire
from dashboard import parts, phrases
from dashboard.bulk_desk import BulkDesk, left_out
from dashboard.components import frame
from dashboard.components.markup import block, said, table

NUMBER, NOTE = "bulk-number", "bulk-note"
LISTED = 20


def draw(desk: BulkDesk) -> None:
    backend = parts.current().backend
    st.subheader("Identical pictures", anchor=False)
    st.caption(
        "Cases of one pair whose stored pictures are the same file, byte for byte, and that nobody judged before. They are"
        " decided as the same person; of two records the one that was enrolled first remains. Everything else needs an eye."
    )
    if desk.said is not None:
        st.html(block(said(desk.said.tone, desk.said.text)))
    with st.container(horizontal=True):
        st.button("Back to the queue", shortcut="B", on_click=desk.close)
        st.button("Look again", key="bulk-again", shortcut="L", on_click=frame.acting(_again), args=(desk,))
        if desk.decided_id is not None:
            st.button("Undo this bulk", key="bulk-undo", shortcut="U", on_click=frame.acting(desk.undo), args=(backend,))
    if desk.preview is not None:
        _preview(desk, desk.preview)


def _preview(desk: BulkDesk, preview: wire.BulkPreview) -> None:
    count = len(preview.items)
    reasons = left_out(preview)
    if not count:
        frame.empty("No case is of identical pictures only. Records that were enrolled twice from one file would be here.")
    else:
        st.markdown(f"**{phrases.counted(count, 'case')}** would be decided: {phrases.counted(count, 'record')} merged away.")
        rows = [(phrases.short_id(one.case_id), phrases.short_id(one.survivor_id)) for one in preview.items[:LISTED]]
        st.html(block(table(["Case", "Remains"], rows)))
        if count > LISTED:
            st.caption(f"and {count - LISTED:,} more like these")
        _confirm(desk, count)
    if reasons:
        told = ", ".join(f"{number:,} {reason}" for reason, number in reasons)
        st.caption(
            phrases.plain(f"Left for reviewers, {phrases.counted(len(preview.left_out), 'case')} of {preview.found:,}: {told}.")
        )
    if preview.more:
        st.caption("There are more than were looked at: decide these, and the next ones come.")


def _confirm(desk: BulkDesk, count: int) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        typed = st.text_input(f"Type {count} to confirm", key=NUMBER, width=180, placeholder="the number of cases")
        st.text_input("Note", key=NOTE, max_chars=2000, placeholder="for whoever reads this later")
        st.button(
            f"Decide {phrases.counted(count, 'case')}",
            key="bulk-decide",
            type="primary",
            disabled=not desk.confirmed_by(typed),
            on_click=frame.acting(_decide),
            args=(desk,),
        )


def _decide(desk: BulkDesk) -> None:
    desk.decide(parts.current().backend, st.session_state.pop(NUMBER, ""), st.session_state.get(NOTE))


def _again(desk: BulkDesk) -> None:
    desk.said = None
    desk.open(parts.current().backend)
