"""What a decision does to the ledger, and how it is undone completely. Under the ledger lock, after every check of who and when.

`same` sets pointers that carry the decision's id, `different` writes pairs that carry it: undoing is taking away exactly those.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import TYPE_CHECKING

from sqlalchemy import insert
from sqlmodel import Session, col, delete, select

from backend.errors import SurvivorNotInCase
from backend.store import gallery_log, merges, readmission
from backend.store.caller import Caller
from backend.store.case_view import records_of
from backend.store.forest import roots
from backend.store.ids import new_id
from backend.store.pairs import open_pairs
from backend.store.tables import (
    CaseKind,
    Decision,
    DistinctPair,
    DuplicateCase,
    Enrolment,
    EnrolmentState,
    Sample,
    SampleState,
    Subject,
    Template,
)
from backend.wire import Verdict

if TYPE_CHECKING:
    from backend.store.database import Store

DIFFERENT = (Verdict.different, Verdict.twin_or_relative)


def survivor_of(session: Session, case: DuplicateCase, survivor_id: str | None) -> str | None:
    """The root of the subject that was chosen; raises SurvivorNotInCase where it is none of the case's."""
    if case.kind == CaseKind.sample:
        return None  # there is one record, whatever was named
    root = roots(session, records_of(open_pairs(session, case.id)))
    named = {**root, **{top: top for top in root.values()}}
    if survivor_id not in named:
        raise SurvivorNotInCase()
    return named[survivor_id]


def was_named(session: Session, decision: Decision, survivor_id: str | None) -> bool:
    """Whether `survivor_id` stood for the survivor that `decision` has: pointers that the decision itself made do not count."""
    if survivor_id is None or decision.survivor_id is None:  # a held picture has no survivor, whatever was named
        return decision.survivor_id is None
    subject = session.get(Subject, survivor_id)
    while subject is not None and subject.id != decision.survivor_id and subject.merged_into is not None:
        if subject.merged_by == decision.id:
            break
        subject = session.get(Subject, subject.merged_into)
    return subject is not None and subject.id == decision.survivor_id


def apply(store: Store, session: Session, case: DuplicateCase, decision: Decision, *, caller: Caller) -> None:
    """Raises CaseStateConflict where it would contradict an earlier decision."""
    verdict = Verdict(decision.verdict)
    if case.kind == CaseKind.sample:
        _judge_sample(store, session, case, accepted=verdict is Verdict.same, caller=caller)
    elif verdict is Verdict.same:
        merges.make(session, case, decision, survivor=decision.survivor_id or "")
    elif verdict in DIFFERENT:
        _set_apart(session, case, decision)
    session.flush()


@dataclass(frozen=True)
class Undone:
    """Records: who was taken apart, and of whom it is no longer said that they differ. `merged_again`: see `merges`."""

    loosened: set[str]
    no_longer_distinct: set[str]
    merged_again: list[str]


def undo(store: Store, session: Session, case: DuplicateCase, decision: Decision) -> Undone:
    """Takes away what `apply` did; what happened meanwhile on either record stays there.

    Raises CaseStateConflict where a later merge cannot be without this one.
    """
    now = store.now(session)
    if case.kind == CaseKind.sample and decision.applied:
        _hold_again(store, session, case, now)
    apart = session.exec(select(DistinctPair).where(DistinctPair.decision_id == decision.id)).all()
    no_longer_distinct = {record for pair in apart for record in (pair.a_subject_id, pair.b_subject_id)}
    session.exec(delete(DistinctPair).where(col(DistinctPair.decision_id) == decision.id))
    apart_again = merges.undo(session, case, decision)
    return Undone(apart_again.records, no_longer_distinct, apart_again.merged_again)


def _set_apart(session: Session, case: DuplicateCase, decision: Decision) -> None:
    """Said of the records that were compared: who is merged with one of them is reached through it, for as long as he is."""
    root = roots(session, records_of(open_pairs(session, case.id)))
    rows = [
        {
            "id": new_id("dis"),
            "gallery_id": case.gallery_id,
            "a_subject_id": a,
            "b_subject_id": b,
            "decision_id": decision.id,
            "at": decision.at,
        }
        for a, b in combinations(sorted(root), 2)
        if root[a] != root[b]
    ]
    if rows:
        session.execute(insert(DistinctPair), rows)


# --- a picture that may show somebody else ------------------------------------------------------------------------


def _held_sample(session: Session, case: DuplicateCase) -> Sample | None:
    pairs = open_pairs(session, case.id)
    return session.get(Sample, pairs[0].held_sample_id) if pairs else None


def _judge_sample(store: Store, session: Session, case: DuplicateCase, *, accepted: bool, caller: Caller) -> None:
    sample = _held_sample(session, case)
    if sample is None or sample.state not in (SampleState.held, SampleState.refused):
        return
    if not accepted:
        sample.state = SampleState.refused
        return
    enrolment = session.get(Enrolment, sample.enrolment_id)
    if enrolment is not None:
        readmission.admit_again(store, session, enrolment, sample, caller=caller)


def _hold_again(store: Store, session: Session, case: DuplicateCase, now: datetime) -> None:
    sample = _held_sample(session, case)
    if sample is None:
        return
    if sample.state in (SampleState.active, SampleState.pending):
        for template in session.exec(select(Template).where(Template.sample_id == sample.id)).all():
            gallery_log.append_remove(session, template, at=now)
        store.gallery(session).active_templates -= sample.state == SampleState.active
        enrolment = session.get(Enrolment, sample.enrolment_id)
        if enrolment is not None and enrolment.state == EnrolmentState.pending:
            enrolment.state, enrolment.finished_at = EnrolmentState.rejected, now
    sample.state = SampleState.held
