"""Which records are one person by a decision, and taking such a decision back."""

from __future__ import annotations

import streamlit as st

from backend import wire
from dashboard import identity, parts, phrases
from dashboard.components import frame, once, typed
from dashboard.roles import Right, may
from dashboard.tables.history import merging


def draw(subject: wire.Subject, cases: list[wire.Case]) -> None:
    """`cases`: the resolved ones of the subject, as far as this person may see them."""
    if subject.merged_into:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("A reviewer decided that this is the same person as another record.", width="content")
            st.button("Open the record that remains", key="open-survivor", on_click=_open, args=(subject.merged_into,))
    for loser in subject.merged:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{phrases.short_id(loser)} was merged into this record.", width="content")
            st.button("Open it", key=f"open-{loser}", on_click=_open, args=(loser,))
    if not subject.merged_into and not subject.merged:
        return
    if not may(identity.person().roles, Right.decide):
        st.caption("Reviewers can take a merge back.")
        return
    found = [(case, decision) for case in cases if (decision := merging(case)) is not None]
    if not found:
        st.caption(
            "The decision that merged them is older than what is shown here: undo it in Duplicates, among the resolved cases."
        )
    for case, decision in found:
        _un_merge(subject, case, decision)


def _un_merge(subject: wire.Subject, case: wire.Case, decision: wire.DecisionRecord) -> None:
    when = phrases.when(decision.at, parts.current().now(), frame.zone())
    with st.expander(f"Un-merge: undo what {phrases.plain(decision.actor_name)} decided {phrases.plain(when)}"):
        st.markdown(
            f"The {phrases.counted(len(case.subjects), 'record')} of this case become separate people again, each with its own"
            " samples and metadata; what was changed since stays on the record on which it was changed. The case goes back to the"
            " reviewers. Where a second review is required, another person has to agree first."
        )
        typed.confirm(typed.word_of(subject), "Un-merge", lambda: _undo(case), key=f"unmerge-{case.id}")


def _undo(case: wire.Case) -> None:
    def act() -> str:
        after = parts.current().backend.undo(case.id, version=case.version)
        return said(after)

    once.attempt(act)


def said(after: wire.Case) -> str:
    if after.state is wire.CaseState.resolved:
        return "The decision was taken back; the case stays resolved by an earlier one."
    if after.state is wire.CaseState.second_review:
        return "You asked to undo it. A second reviewer decides too before the records are separated."
    if after.state is wire.CaseState.arbitration:
        return "You asked to undo it. A supervisor settles this case before the records are separated."
    return "Un-merged: the records are separate again, and their case waits in the queue."


def _open(subject_id: str) -> None:
    st.query_params["id"] = subject_id
