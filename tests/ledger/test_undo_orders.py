"""Merges that rest on one another, taken back in any order: nobody is left merged with whom he was never compared with."""

from __future__ import annotations

from collections import defaultdict
from itertools import permutations

import pytest
from sqlmodel import select

from backend.errors import CaseStateConflict
from backend.store.tables import DistinctPair
from backend.wire import CaseState, Verdict
from tests.ledger.invariants import (
    assert_each_person_is_in_one_open_case_at_most,
    assert_no_pair_is_missed,
    assert_whoever_is_called_one_is_one,
)
from tests.ledger.world import THRESHOLDS, Node, People, unit


def merged(node: Node) -> dict[str, str]:
    """Who is merged → into whom."""
    subjects = [node.subjects.get(subject.id) for subject in node.subjects.list(limit=100).items]
    return {subject.id: subject.merged_into for subject in subjects if subject.merged_into is not None}


def test_a_merge_under_another_is_taken_back_and_the_other_holds(node: Node, people: People) -> None:
    """B stood for C when it was merged into A, and A for B: without the first decision A is nobody's, as nobody compared it."""
    first, second = people.strangers(2)
    a = node.enrol(first).subject_id
    b = node.enrol(unit(0.7 * first + 0.72 * second))
    node.decide(b.case_id or "", Verdict.same, a)
    c = node.enrol(unit(0.05 * first + second))
    node.decide(c.case_id or "", Verdict.same, c.subject_id)
    assert merged(node) == {b.subject_id: a, a: c.subject_id}
    assert node.undo(b.case_id or "").state is CaseState.open
    assert merged(node) == {b.subject_id: c.subject_id}
    assert_whoever_is_called_one_is_one(node.store)
    undone = next(event for event in node.audit.list().items if event.action == "case.undo")
    assert len(undone.detail["merged_again"]) == 1
    node.undo(c.case_id or "")
    assert merged(node) == {}


def test_who_stood_for_the_survivor_survives_where_that_one_is_taken_apart(node: Node, people: People) -> None:
    first, second = people.strangers(2)
    a = node.enrol(first).subject_id
    b = node.enrol(unit(0.7 * first + 0.72 * second))
    node.decide(b.case_id or "", Verdict.same, a)
    c = node.enrol(unit(0.05 * first + second))
    node.decide(c.case_id or "", Verdict.same, a)
    assert merged(node) == {b.subject_id: a, c.subject_id: a}
    node.undo(b.case_id or "")
    assert merged(node) == {c.subject_id: b.subject_id}
    node.undo(c.case_id or "")
    assert merged(node) == {}


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("newest", [True, False])
def test_three_merges_that_rest_on_one_another_are_taken_back_in_any_order(
    node: Node, people: People, order: tuple[int, ...], newest: bool
) -> None:
    x, y, z = people.strangers(3)
    looks = [x, unit(0.7 * x + 0.7 * y), unit(0.9 * y + 0.44 * z), unit(0.44 * y + 0.9 * z)]
    subjects, cases = [], []
    for look in looks:
        answer = node.enrol(look)
        subjects.append(answer.subject_id)
        if answer.case_id is not None:
            node.decide(answer.case_id, Verdict.same, subjects[-1] if newest else subjects[-2])
            cases.append(answer.case_id)
    assert len(cases) == len(merged(node)) == 3
    standing = {0, 1, 2}
    for taken in order:
        node.undo(cases[taken])
        standing.remove(taken)
        assert together(node, subjects) == hanging_together(standing)
        assert_whoever_is_called_one_is_one(node.store)
        assert_each_person_is_in_one_open_case_at_most(node.store)
        assert_no_pair_is_missed(node.store, threshold=THRESHOLDS.review)


def together(node: Node, subjects: list[str]) -> set[frozenset[int]]:
    """Which of them are one person, by their places."""
    into = merged(node)
    people: dict[str, set[int]] = defaultdict(set)
    for place, subject in enumerate(subjects):
        while subject in into:
            subject = into[subject]
        people[subject].add(place)
    return {frozenset(places) for places in people.values()}


def hanging_together(standing: set[int]) -> set[frozenset[int]]:
    """Of four in a row, of whom decision i said that i and i + 1 are one."""
    people = [{0}]
    for place in range(1, 4):
        if place - 1 in standing:
            people[-1].add(place)
        else:
            people.append({place})
    return {frozenset(places) for places in people}


def test_a_merge_that_another_says_too_is_taken_back_after_it(node: Node, people: People) -> None:
    """A and B are one by the first case; by the second both are one with C, so taking the first back would change nothing."""
    person, other = people.strangers(2)
    a = node.enrol(person)
    b = node.enrol(people.like(person, 0.9))
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    c = node.enrol(unit(0.95 * person + 0.3 * other))
    node.decide(c.case_id or "", Verdict.same, c.subject_id)
    before = merged(node)
    with pytest.raises(CaseStateConflict, match=f"The merge of {c.case_id} makes the same records one: undo that first"):
        node.undo(b.case_id or "")
    assert merged(node) == before, "nothing of the refused undo is done"
    node.undo(c.case_id or "")
    node.undo(b.case_id or "")
    assert merged(node) == {}


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
