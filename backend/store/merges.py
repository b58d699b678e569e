"""Merges as pointers that carry the decision's id. Under the ledger lock.

A `same` says that the records of its case are one person; its pointers go to whoever stood for these records then. When an
earlier merge is undone, somebody else may stand for them: the later decision still holds, so its pointers are set anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlmodel import Session, col, select

from backend.errors import CaseStateConflict
from backend.store import asked, distinct
from backend.store.case_view import records_of
from backend.store.forest import chunks, roots, trees
from backend.store.pairs import ends, open_pairs
from backend.store.sides import of_either
from backend.store.tables import CaseKind, Decision, DuplicateCase, DuplicatePair, Subject
from backend.wire import CaseState, SubjectState, Verdict


def people_to_merge(session: Session, case: DuplicateCase) -> list[Subject]:
    """Whom `same` makes one. Asked at every `same`, also one that is not applied yet: of two who judge blind, the second
    must not learn from a refusal that the first agrees.

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


def make(session: Session, case: DuplicateCase, decision: Decision, *, survivor: str) -> None:
    """Raises CaseStateConflict where it would contradict an earlier decision."""
    for subject in people_to_merge(session, case):
        subject.version += 1
        if subject.id != survivor:
            subject.state, subject.merged_into, subject.merged_by = SubjectState.merged, survivor, decision.id
    session.flush()


@dataclass(frozen=True)
class Loosened:
    """`records`: whose person is another now. `merged_again`: decisions whose pointers were set anew, oldest first."""

    records: set[str]
    merged_again: list[str]


def undo(session: Session, case: DuplicateCase, decision: Decision) -> Loosened:
    """Takes the decision's pointers away, and sets those of later decisions anew that rest on it.

    Raises CaseStateConflict where one of them cannot be without it.
    """
    before = _take_away(session, decision)
    changed, gone = {*before.values()}, dict(before)
    again: dict[str, tuple[DuplicateCase, Decision, dict[str, str]]] = {}
    while resting := _resting(session, case, {*gone, *gone.values()}, known=again.keys()):
        for other, later in resting:
            again[other.id] = (other, later, _take_away(session, later))
            gone |= again[other.id][2]
    redone = sorted(again.values(), key=lambda one: (one[1].at, one[1].id))
    for other, later, pointers in redone:
        make(session, other, later, survivor=_stand_in(session, other, later, before))
        before |= pointers
    if redone:
        _refuse_what_changes_nothing(session, case, redone[-1][0])
    _raise_versions(session, set(roots(session, changed).values()))
    return Loosened({*gone, *gone.values()}, [later.id for _, later, _ in redone])


def _take_away(session: Session, decision: Decision) -> dict[str, str]:
    """Who was merged → into whom."""
    gone = {}
    for loser in session.exec(select(Subject).where(Subject.merged_by == decision.id)).all():
        gone[loser.id] = loser.merged_into or loser.id
        loser.merged_into = loser.merged_by = None
        loser.state, loser.version = SubjectState.active, loser.version + 1
    session.flush()
    return gone


def _resting(
    session: Session, undone: DuplicateCase, loosened: Iterable[str], *, known: Iterable[str]
) -> list[tuple[DuplicateCase, Decision]]:
    """Cases, with their decisions, that call records one who are several people now."""
    records = trees(session, set(roots(session, loosened).values()))
    touched: set[str] = set()
    for chunk in chunks(records):
        query = select(DuplicatePair.case_id).where(
            of_either(DuplicatePair, gallery_id=undone.gallery_id, records=chunk), DuplicatePair.kind == CaseKind.duplicate
        )
        touched.update(case_id for case_id in session.exec(query) if case_id is not None)
    merging = _merging(session, touched - {undone.id, *known})
    return [(case, decision) for case, decision in merging if len(_people(session, case)) > 1]


def _merging(session: Session, case_ids: Iterable[str]) -> list[tuple[DuplicateCase, Decision]]:
    """Those of the cases that are resolved by a `same` that stands."""
    last: dict[str, tuple[DuplicateCase, Decision]] = {}
    for chunk in chunks(case_ids):
        query = (
            select(DuplicateCase, Decision)
            .join(Decision, col(Decision.case_id) == DuplicateCase.id)
            .where(col(DuplicateCase.id).in_(chunk), DuplicateCase.state == CaseState.resolved)
            .where(Decision.verdict == Verdict.same, Decision.applied, col(Decision.undone_by).is_(None))
            .order_by(col(Decision.at), col(Decision.id))
        )
        last.update({case.id: (case, decision) for case, decision in session.exec(query)})
    return [last[case_id] for case_id in sorted(last)]


def _people(session: Session, case: DuplicateCase) -> set[str]:
    return set(roots(session, ends(open_pairs(session, case.id))).values())


def _stand_in(session: Session, case: DuplicateCase, decision: Decision, before: Mapping[str, str]) -> str:
    """Of whom the case's records are now: he whom the chosen survivor is, or stood for then; the oldest where nobody is.

    `before`: pointers of earlier decisions that were taken away.
    """
    tops, survivor = sorted(_people(session, case)), decision.survivor_id or ""
    present = roots(session, [survivor]).get(survivor)
    if present in tops:
        return present
    return next((top for top in tops if _led_to(session, top, survivor, before)), tops[0])


def _led_to(session: Session, record: str, survivor: str, before: Mapping[str, str]) -> bool:
    """By the pointers that were taken away, and those that stand; of two times, they may lead in a circle."""
    node: str | None = record
    passed: set[str] = set()
    while node is not None and node != survivor and node not in passed:
        passed.add(node)
        subject = session.get(Subject, node)
        node = before.get(node) or (subject.merged_into if subject is not None else None)
    return node == survivor


def _refuse_what_changes_nothing(session: Session, case: DuplicateCase, later: DuplicateCase) -> None:
    """Asked again about two who stay one, a reviewer would have nothing to decide."""
    root = roots(session, ends(pairs := open_pairs(session, case.id)))
    if any(root[pair.a_subject_id] == root[pair.b_subject_id] for pair in pairs):
        raise CaseStateConflict(f"The merge of {later.id} makes the same records one: undo that first")


def _subjects(session: Session, ids: Iterable[str]) -> list[Subject]:
    return [subject for chunk in chunks(ids) for subject in session.exec(select(Subject).where(col(Subject.id).in_(chunk)))]


def _raise_versions(session: Session, ids: Iterable[str]) -> None:
    """Of people who have other records now than before."""
    for subject in _subjects(session, ids):
        subject.version += 1
