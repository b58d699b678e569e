"""Two records that a person put before reviewers: no search paired them, or it had been decided that they are two people.

The pair stands in a case like any other, with its real score, and is merged by nothing but that case's decision. Nothing of an
earlier "different" is taken away for it: a decision `same` on the case where it was asked again is merely not held up by it. So
undoing that decision leaves the two as different as they were.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, NoReturn

from sqlmodel import Session, col, select

from backend import wire
from backend.errors import DecidedDifferent, NotComparable, SamePerson, SubjectNotFound
from backend.store import clusters, templates
from backend.store.caller import Caller
from backend.store.clusters import Placed
from backend.store.forest import chunks, roots, trees
from backend.store.pairs import Circumstances, FoundPair, band_of, ends, find, open_pairs
from backend.store.sample_erasure import Compare
from backend.store.sealing import key_of
from backend.store.tables import Decision, DistinctPair, DuplicateCase, DuplicatePair, SampleState, Subject
from backend.store.templates import StoredTemplate
from backend.wire import CaseState, SubjectState

if TYPE_CHECKING:
    from backend.store.database import Store


@dataclass(frozen=True)
class People:
    """`tops`: the persons asked about; `owner`: every record of theirs → its person."""

    tops: Sequence[str]
    owner: Mapping[str, str]

    def two(self, pair: DistinctPair | DuplicatePair) -> frozenset[str]:
        """The persons of its two records."""
        return frozenset((self.owner[pair.a_subject_id], self.owner[pair.b_subject_id]))


@dataclass(frozen=True)
class Asking:
    """`again`: pairs of persons that it is asked about although they were decided to be different."""

    caller: Caller
    note: str | None
    people: People
    again: Collection[frozenset[str]]


def people_of(store: Store, session: Session, subject_ids: Sequence[str]) -> People:
    """Raises SubjectNotFound for what is gone or not there yet, SamePerson, and NotComparable for a rejected one."""
    for place, subject_id in enumerate(subject_ids):
        subject = session.get(Subject, subject_id)
        if subject is None or subject.gallery_id != store.gallery_id or subject.state == SubjectState.pending:
            raise SubjectNotFound(f"subject_ids[{place}]: no such subject in this gallery")
        if subject.state == SubjectState.rejected:
            raise NotComparable(subject_id)
    root = roots(session, subject_ids)
    for one, other in combinations(subject_ids, 2):
        if root[one] == root[other]:
            raise SamePerson(one, other)
    tops = [root[subject_id] for subject_id in subject_ids]
    return People(tops, trees(session, tops))


def case_of_all(session: Session, people: People, *, gallery_id: str) -> DuplicateCase | None:
    """The one case under review that all of them are in already, if any."""
    open_cases = [clusters.open_cases_of(session, gallery_id, {top}) for top in people.tops]
    common = set.intersection(*open_cases)
    return session.get(DuplicateCase, common.pop()) if common else None


def differing(session: Session, people: People, *, gallery_id: str) -> list[DistinctPair]:
    """What says that two of them are different people, oldest first."""
    rows: list[DistinctPair] = []
    for chunk in chunks(people.owner):
        query = select(DistinctPair).where(DistinctPair.gallery_id == gallery_id, col(DistinctPair.a_subject_id).in_(chunk))
        rows += [row for row in session.exec(query) if row.b_subject_id in people.owner]
    return sorted((row for row in rows if len(people.two(row)) == 2), key=lambda row: row.id)


def asked_again(session: Session, case: DuplicateCase | None) -> set[frozenset[str]]:
    """Of whom it is asked again in a case under review: see `excused`."""
    pairs = [] if case is None else open_pairs(session, case.id)
    return excused(pairs, roots(session, ends(pairs)))


def refuse(session: Session, row: DistinctPair) -> NoReturn:
    decision = session.get_one(Decision, row.decision_id)
    raise DecidedDifferent(row.a_subject_id, row.b_subject_id, decision.case_id)


def found_pairs(
    store: Store, session: Session, people: People, *, compare: Compare, model_id: str, certain_threshold: float
) -> list[FoundPair]:
    """Each two of them by the best pair of their samples, whatever it scores. Raises NotComparable."""
    stored = templates.of_subjects(
        session, store.keyring, gallery_id=store.gallery_id, subject_ids=sorted(people.owner), model_id=model_id
    )
    active = [template for template in stored if template.sample_state == SampleState.active]
    of = {top: [template for template in active if people.owner[template.subject_id] == top] for top in people.tops}
    for top in people.tops:
        if not of[top]:
            raise NotComparable(top)
    return [_best(of[one], of[other], compare, certain_threshold) for one, other in combinations(people.tops, 2)]


def _best(
    one: Sequence[StoredTemplate], other: Sequence[StoredTemplate], compare: Compare, certain_threshold: float
) -> FoundPair:
    best = compare(one, other)
    if best is None:
        raise ValueError("a side has no template")
    owners = {template.sample_id: template.subject_id for template in (*one, *other)}
    a, b = best.sample_ids
    return FoundPair((owners[a], owners[b]), best.sample_ids, best.score, band_of(best.score, certain_threshold)).ordered()


def put(store: Store, session: Session, found: Sequence[FoundPair], circumstances: Circumstances, asking: Asking) -> Placed:
    """Into the one case of their cluster; the pairs say who asked."""
    _leave_settled_cases(session, found, store.gallery_id)
    placed = clusters.place(session, found, gallery_id=store.gallery_id, circumstances=circumstances)
    for pair in found:
        row = find(session, pair, store.gallery_id)
        if row is not None:
            _sign(store, session, row, circumstances, asking)
    session.flush()
    return placed


def _leave_settled_cases(session: Session, found: Sequence[FoundPair], gallery_id: str) -> None:
    """A resolved case of several pairs keeps the others, with what was decided of them: only these are asked about again."""
    asked = {row.id: row for pair in found if (row := find(session, pair, gallery_id)) is not None}
    for row in asked.values():
        case = session.get(DuplicateCase, row.case_id) if row.case_id is not None else None
        settled = case is not None and case.state == CaseState.resolved
        if case is not None and settled and {pair.id for pair in open_pairs(session, case.id)} - asked.keys():
            row.case_id, row.left_cases = None, [*(row.left_cases or []), case.id]
            session.flush()
            clusters.refresh(session, case)
    session.flush()


def _sign(store: Store, session: Session, row: DuplicatePair, circumstances: Circumstances, asking: Asking) -> None:
    row.overrides_distinct = asking.people.two(row) in asking.again or row.overrides_distinct
    row.asked_by, row.asked_by_name, row.asked_at = asking.caller.id, asking.caller.name, circumstances.at
    subject = session.get(Subject, row.a_subject_id)
    key = key_of(store.keyring, subject) if subject is not None else None
    row.sealed_asking_note = key.seal(asking.note.encode(), context=_context(row)) if key is not None and asking.note else None


def excused(pairs: Iterable[DuplicatePair], root: Mapping[str, str]) -> set[frozenset[str]]:
    """The pairs of persons, by their roots, of whom it is asked again although they were decided to be different."""
    return {
        frozenset((root[pair.a_subject_id], root[pair.b_subject_id]))
        for pair in pairs
        if pair.overrides_distinct and {pair.a_subject_id, pair.b_subject_id} <= root.keys()
    }


def asked_pairs(store: Store, session: Session, pairs: Collection[DuplicatePair]) -> list[wire.AskedPair]:
    """Those among them that a person asked for, with their notes."""
    return [
        wire.AskedPair(
            subject_ids=(pair.a_subject_id, pair.b_subject_id),
            asked_by=pair.asked_by,
            asked_by_name=pair.asked_by_name or pair.asked_by,
            asked_at=pair.asked_at,
            note=_note(store, session, pair),
            overrides_different=bool(pair.overrides_distinct),
        )
        for pair in pairs
        if pair.asked_by is not None and pair.asked_at is not None
    ]


def _note(store: Store, session: Session, pair: DuplicatePair) -> str | None:
    subject = session.get(Subject, pair.a_subject_id) if pair.sealed_asking_note is not None else None
    key = key_of(store.keyring, subject) if subject is not None else None
    return (
        None
        if key is None or pair.sealed_asking_note is None
        else key.open(pair.sealed_asking_note, context=_context(pair)).decode()
    )


def _context(pair: DuplicatePair) -> str:
    return f"asking:{pair.id}"
