"""What a decision does to the ledger, and how it is undone completely. Under the ledger lock, after every check of who and when.

`same` sets pointers that carry the decision's id, `different` writes pairs that carry it: undoing is taking away exactly those.
"""

from __future__ import annotations

from datetime import datetime
from itertools import combinations
from typing import TYPE_CHECKING

from sqlmodel import Session, col, delete, select

from backend.errors import CaseStateConflict, SurvivorNotInCase
from backend.store import admission, asked, distinct, gallery_log
from backend.store.caller import Caller
from backend.store.case_view import records_of
from backend.store.forest import roots, trees
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
from backend.wire import SubjectState, Verdict

if TYPE_CHECKING:
    from backend.store.database import Store

DIFFERENT = (Verdict.different, Verdict.twin_or_relative)


def survivor_of(session: Session, case: DuplicateCase, survivor_id: str | None) -> str | None:
    """The root of the subject that was chosen; raises SurvivorNotInCase where it is none of the case's."""
    if survivor_id is None and case.kind == CaseKind.sample:
        return None
    root = roots(session, records_of(open_pairs(session, case.id)))
    named = {**root, **{top: top for top in root.values()}}
    if survivor_id not in named:
        raise SurvivorNotInCase()
    return named[survivor_id]


def was_named(session: Session, decision: Decision, survivor_id: str | None) -> bool:
    """Whether `survivor_id` stood for the survivor that `decision` has: pointers that the decision itself made do not count."""
    if survivor_id is None:
        return decision.survivor_id is None
    subject = session.get(Subject, survivor_id)
    while subject is not None and subject.merged_into is not None and subject.merged_by != decision.id:
        subject = session.get(Subject, subject.merged_into)
    return subject is not None and subject.id == decision.survivor_id


def apply(store: Store, session: Session, case: DuplicateCase, decision: Decision, *, caller: Caller) -> None:
    """Raises CaseStateConflict where it would contradict an earlier decision."""
    verdict = Verdict(decision.verdict)
    if case.kind == CaseKind.sample:
        _judge_sample(store, session, case, accepted=verdict is Verdict.same, caller=caller)
    elif verdict is Verdict.same:
        _merge(session, case, decision)
    elif verdict in DIFFERENT:
        _set_apart(session, case, decision)
    session.flush()


def undo(store: Store, session: Session, case: DuplicateCase, decision: Decision) -> set[str]:
    """Takes away what `apply` did; what happened meanwhile on either record stays there. Gives whom it took apart."""
    now = store.now(session)
    if case.kind == CaseKind.sample and decision.applied:
        _hold_again(store, session, case, now)
    losers: set[str] = set()
    tops: set[str] = set()
    for loser in session.exec(select(Subject).where(Subject.merged_by == decision.id)).all():
        losers.add(loser.id)
        tops.add(loser.merged_into or loser.id)
        loser.merged_into = loser.merged_by = None
        loser.state, loser.version = SubjectState.active, loser.version + 1
    for top in sorted(tops):
        _bump(session, top)
    session.exec(delete(DistinctPair).where(col(DistinctPair.decision_id) == decision.id))
    session.flush()
    return losers | tops


def _merge(session: Session, case: DuplicateCase, decision: Decision) -> None:
    pairs = open_pairs(session, case.id)
    root = roots(session, records_of(pairs))
    tops = set(root.values())
    owner = trees(session, tops)
    excused = asked.excused(pairs, root)
    if clash := distinct.contradiction(session, gallery_id=case.gallery_id, owner=owner, excused=excused):
        one, other = clash.a_subject_id, clash.b_subject_id
        raise CaseStateConflict(f"{one} and {other} were decided to be different people: undo that decision first")
    survivor = decision.survivor_id or ""
    for top in sorted(tops):
        subject = session.get(Subject, top)
        if subject is None or subject.state != SubjectState.active:
            raise CaseStateConflict(f"{top} is still being enrolled: try again in a moment")
        subject.version += 1
        if top != survivor:
            subject.state, subject.merged_into, subject.merged_by = SubjectState.merged, survivor, decision.id


def _set_apart(session: Session, case: DuplicateCase, decision: Decision) -> None:
    tops = set(roots(session, records_of(open_pairs(session, case.id))).values())
    owner = trees(session, tops)
    for a, b in combinations(sorted(owner), 2):
        if owner[a] != owner[b]:
            row = DistinctPair(
                id=new_id("dis"),
                gallery_id=case.gallery_id,
                a_subject_id=a,
                b_subject_id=b,
                decision_id=decision.id,
                at=decision.at,
            )
            session.add(row)


def _bump(session: Session, subject_id: str) -> None:
    subject = session.get(Subject, subject_id)
    if subject is not None:
        subject.version += 1


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
        admission.admit_again(session, enrolment, sample, caller=caller, now=store.now(session))


def _hold_again(store: Store, session: Session, case: DuplicateCase, now: datetime) -> None:
    sample = _held_sample(session, case)
    if sample is None:
        return
    if sample.state in (SampleState.active, SampleState.pending):
        template = session.exec(select(Template).where(Template.sample_id == sample.id)).one()
        gallery_log.append_remove(session, template, at=now)
        store.gallery(session).active_templates -= sample.state == SampleState.active
        enrolment = session.get(Enrolment, sample.enrolment_id)
        if enrolment is not None and enrolment.state == EnrolmentState.pending:
            enrolment.state, enrolment.finished_at = EnrolmentState.rejected, now
    sample.state = SampleState.held
