"""Merges that rest on one another, taken back in any order: nobody is left merged with whom he was never compared with."""

from __future__ import annotations

import pytest
from sqlmodel import select

from backend.errors import CaseStateConflict
from backend.store.tables import DistinctPair
from backend.wire import CaseState, Verdict
from tests.ledger.invariants import assert_whoever_is_called_one_is_one
from tests.ledger.world import Node, People


def test_a_merge_under_another_is_taken_back_after_it(node: Node, people: People) -> None:
    """B stood for C when it was merged into A: without B's merge, C would be A's, whom nobody compared with it."""
    first, second = people.strangers(2)
    a = node.enrol(first).subject_id
    c = node.enrol(second).subject_id
    b = node.enrol((0.7071 * (first + second)).astype("float32"))
    case_id = b.case_id or ""
    node.decide(case_id, Verdict.same, a)
    assert node.subjects.get(a).merged == sorted([b.subject_id, c])
    later = node.enrol(people.like(second, 0.95))
    later_case = later.case_id or ""
    node.decide(later_case, Verdict.same, later.subject_id)
    with pytest.raises(CaseStateConflict, match=f"{later_case} rests on this one: undo that first"):
        node.undo(case_id)
    assert_whoever_is_called_one_is_one(node.store)
    assert node.subjects.get(a).merged_into == later.subject_id, "nothing of the refused undo is done"
    node.undo(later_case)
    node.undo(case_id)
    assert all(node.subjects.get(one).state == "active" for one in (a, b.subject_id, c, later.subject_id))


def test_a_later_merge_of_others_does_not_hold_an_undo_up(node: Node, people: People) -> None:
    first = people.stranger()
    a, b = node.enrol(first), node.enrol(people.like(first, 0.8))
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    other = people.stranger()
    c, d = node.enrol(other), node.enrol(people.like(other, 0.8))
    node.decide(d.case_id or "", Verdict.same, c.subject_id)
    assert node.undo(b.case_id or "").state is CaseState.open
    assert node.subjects.get(d.subject_id).merged_into == c.subject_id


def test_different_is_said_of_those_who_were_compared_not_of_whom_they_were_merged_with(node: Node, people: People) -> None:
    """A and B were one, by mistake, when E was decided to be somebody else: B is compared with E again once they are two."""
    person = people.stranger()
    a = node.enrol(person)
    b = node.enrol(people.like(person, 0.62))
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    e = node.enrol(people.like(person, 0.95))
    asked = node.open_case(e.case_id or "")
    node.decide(asked.id, Verdict.different)
    compared = {subject for pair in asked.pairs for subject in (pair.a.subject_id, pair.b.subject_id)}
    assert _distinct(node) == {frozenset((e.subject_id, one)) for one in compared - {e.subject_id}}


def test_versions_of_everybody_whose_set_changed_rise(node: Node, people: People) -> None:
    person = people.stranger()
    a = node.enrol(person)
    b = node.enrol(people.like(person, 0.8))
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    before = node.subjects.get(a.subject_id).version
    node.undo(b.case_id or "")
    assert node.subjects.get(a.subject_id).version == before + 1


def _distinct(node: Node) -> set[frozenset[str]]:
    with node.store.read() as session:
        return {frozenset((row.a_subject_id, row.b_subject_id)) for row in session.exec(select(DistinctPair))}
