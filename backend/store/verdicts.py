"""What a decision does to the ledger, and how it is undone completely. Under the ledger lock, after every check of who and when.

`same` sets pointers that carry the decision's id, `different` writes pairs that carry it: undoing is taking away exactly those.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import TYPE_CHECKING

from sqlalchemy import insert
from sqlmodel import Session, col, delete, select

from backend.errors import CaseStateConflict, SurvivorNotInCase
from backend.store import admission, asked, distinct, gallery_log
from backend.store.caller import Caller
from backend.store.case_view import records_of
from backend.store.forest import chunks, roots, trees
from backend.store.ids import new_id
from backend.store.pairs import open_pairs
from backend.store.sides import of_either
from backend.store.tables import (
    CaseKind,
    Decision,
    DistinctPair,
    DuplicateCase,
    DuplicatePair,
    Enrolment,
    EnrolmentState,
    Sample,
    SampleState,
    Subject,
    Template,
)
from backend.wire import CaseState, SubjectState, Verdict

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
        _merge(session, case, decision)
    elif verdict in DIFFERENT:
        _set_apart(session, case, decision)
    session.flush()


@dataclass(frozen=True)
class Undone:
    """Records: who was taken apart, and of whom it is no longer said that they differ."""

    loosened: set[str]
    no_longer_distinct: set[str]


def undo(store: Store, session: Session, case: DuplicateCase, decision: Decision) -> Undone:
    """Takes away what `apply` did; what happened meanwhile on either record stays there."""
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
    apart = session.exec(select(DistinctPair).where(DistinctPair.decision_id == decision.id)).all()
    no_longer_distinct = {record for pair in apart for record in (pair.a_subject_id, pair.b_subject_id)}
    session.exec(delete(DistinctPair).where(col(DistinctPair.decision_id) == decision.id))
    session.flush()
    _refuse_what_rests_on_it(session, case, losers | tops)
    _raise_versions(session, set(roots(session, tops).values()))
    return Undone(losers | tops, no_longer_distinct)


def _refuse_what_rests_on_it(session: Session, case: DuplicateCase, loosened: set[str]) -> None:
    """A later `same` merged whoever stood for these people then: taken apart now, two whom it called one would be two."""
    records = trees(session, set(roots(session, loosened).values()))
    resting: set[str] = set()
    for chunk in chunks(records):
        found = select(DuplicatePair.case_id).where(
            of_either(DuplicatePair, gallery_id=case.gallery_id, records=chunk),
            DuplicatePair.kind == CaseKind.duplicate,
            DuplicatePair.case_id != case.id,
        )
        resting.update(case_id for case_id in session.exec(found) if case_id is not None)
    for case_id in sorted(resting & _merging(session, resting)):
        if len(set(roots(session, records_of(open_pairs(session, case_id))).values())) > 1:
            raise CaseStateConflict(f"The merge of {case_id} rests on this one: undo that first")


def _merging(session: Session, case_ids: Iterable[str]) -> set[str]:
    """Those of the cases that are resolved by a `same` that stands."""
    found: set[str] = set()
    for chunk in chunks(case_ids):
        query = (
            select(DuplicateCase.id)
            .join(Decision, col(Decision.case_id) == DuplicateCase.id)
            .where(col(DuplicateCase.id).in_(chunk), DuplicateCase.state == CaseState.resolved)
            .where(Decision.verdict == Verdict.same, Decision.applied, col(Decision.undone_by).is_(None))
        )
        found.update(session.exec(query))
    return found


def must_be_mergeable(session: Session, case: DuplicateCase) -> list[Subject]:
    """The people whom `same` makes one. Asked at every `same`, also one that is not applied yet: of two who judge blind,
    the second must not learn from a refusal that the first agrees.

    Raises CaseStateConflict.
    """
    if case.kind == CaseKind.sample:
        return []
    pairs = open_pairs(session, case.id)
    root = roots(session, records_of(pairs))
    tops = sorted(set(root.values()))
    owner, excused = trees(session, tops), asked.excused(pairs, root)
    if clash := distinct.contradiction(session, gallery_id=case.gallery_id, owner=owner, excused=excused):
        one, other = clash.a_subject_id, clash.b_subject_id
        raise CaseStateConflict(f"{one} and {other} were decided to be different people: undo that decision first")
    people = {subject.id: subject for subject in _subjects(session, tops)}
    for top in tops:
        if top not in people or people[top].state != SubjectState.active:
            raise CaseStateConflict(f"{top} is still being enrolled: try again in a moment")
    return [people[top] for top in tops]


def _merge(session: Session, case: DuplicateCase, decision: Decision) -> None:
    survivor = decision.survivor_id or ""
    for subject in must_be_mergeable(session, case):
        subject.version += 1
        if subject.id != survivor:
            subject.state, subject.merged_into, subject.merged_by = SubjectState.merged, survivor, decision.id


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


def _subjects(session: Session, ids: Iterable[str]) -> list[Subject]:
    return [subject for chunk in chunks(ids) for subject in session.exec(select(Subject).where(col(Subject.id).in_(chunk)))]


def _raise_versions(session: Session, ids: Iterable[str]) -> None:
    """Of people who have other records now than before."""
    for subject in _subjects(session, ids):
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
