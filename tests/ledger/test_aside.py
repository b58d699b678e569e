"""What was found while nobody had to be asked is asked about once that which settled it is gone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlmodel import select

from backend import wire
from backend.store.tables import DuplicatePair, PairState
from backend.wire import CaseState, Verdict
from tests.ledger.invariants import assert_each_person_is_in_one_open_case_at_most, assert_no_pair_is_missed
from tests.ledger.test_scans import run
from tests.ledger.world import CLIENT, SUSI, THRESHOLDS, Node, People, face, unit


@dataclass(frozen=True)
class Known:
    """A and B are one by a decision, E was decided to be another than B, and so than A for as long as they are one."""

    a: str
    b: str
    e: str
    merge: str
    distinction: str


def state_of(node: Node, one: str, other: str) -> tuple[str, str | None] | None:
    a, b = sorted((one, other))
    query = select(DuplicatePair).where(DuplicatePair.a_subject_id == a, DuplicatePair.b_subject_id == b)
    with node.store.read() as session:
        row = session.exec(query).first()
    return None if row is None else (row.state, row.case_id)


def asked_about(node: Node) -> set[frozenset[str]]:
    return {
        frozenset((pair.a.subject_id, pair.b.subject_id))
        for case in node.cases(CaseState.open)
        for pair in node.open_case(case.id).pairs
    }


@pytest.fixture
def known(node: Node, people: People) -> Known:
    x, y, z = people.strangers(3)
    a = node.enrol(x).subject_id
    b = node.enrol(unit(0.8 * x + 0.6 * y))
    node.decide(b.case_id or "", Verdict.same, a)
    e = node.enrol(unit(0.4 * x + 0.6 * y + 0.69 * z))
    assert state_of(node, a, e.subject_id) is None
    node.decide(e.case_id or "", Verdict.different)
    of_a = unit(0.55 * x + 0.35 * y + 0.76 * z)
    more = node.enrolments.add_samples(a, [face(of_a)], caller=CLIENT).answer
    assert (more.duplicates, more.case_id) == ([], None), "it is known that they differ: nobody is asked"
    assert state_of(node, a, e.subject_id) == (PairState.aside, None)
    return Known(a, b.subject_id, e.subject_id, b.case_id or "", e.case_id or "")


def whole(node: Node) -> None:
    assert_no_pair_is_missed(node.store, threshold=THRESHOLDS.review)
    assert_each_person_is_in_one_open_case_at_most(node.store)


def test_records_of_one_person_that_turn_out_alike_are_asked_about_once_they_are_two(node: Node, people: People) -> None:
    first, second, third = people.strangers(3)
    a, c = node.enrol(first).subject_id, node.enrol(second).subject_id
    bridge = node.enrol(unit(first + second)).case_id or ""
    node.decide(bridge, Verdict.same, a)
    more = node.enrolments.add_samples(a, [face(unit(first + second + 0.2 * third))], caller=CLIENT).answer
    assert (more.duplicates, more.case_id) == ([], None), "they are one person: nobody is asked"
    assert state_of(node, a, c) == (PairState.aside, None)
    node.undo(bridge)
    assert frozenset((a, c)) in asked_about(node)
    assert len(node.cases(CaseState.open)) == 1
    whole(node)


def test_of_whom_it_was_known_through_a_merge_that_they_differ_it_is_asked_when_the_merge_is_undone(
    node: Node, known: Known
) -> None:
    node.undo(known.merge)
    assert asked_about(node) == {frozenset((known.a, known.b)), frozenset((known.a, known.e))}
    whole(node)


def test_an_undone_different_asks_about_what_it_had_settled_in_the_same_case(node: Node, known: Known) -> None:
    node.undo(known.distinction)
    assert asked_about(node) == {frozenset((known.b, known.e)), frozenset((known.a, known.e))}
    assert len(node.cases(CaseState.open)) == 1
    whole(node)


def test_it_is_asked_in_the_case_of_those_who_hang_together_by_a_merge(node: Node, people: People) -> None:
    """Of A, B and C, one person, A and C turned out alike; C is another again, A and B stay one."""
    first, second, third = people.strangers(3)
    a, b = node.enrol(first).subject_id, node.enrol(unit(0.8 * first + 0.6 * second))
    node.decide(b.case_id or "", Verdict.same, a)
    c = node.enrol(unit(0.4 * first + 0.6 * second + 0.69 * third))
    node.decide(c.case_id or "", Verdict.same, c.subject_id)
    node.enrolments.add_samples(a, [face(unit(0.55 * first + 0.35 * second + 0.76 * third))], caller=CLIENT)
    node.undo(c.case_id or "")
    assert asked_about(node) == {frozenset((b.subject_id, c.subject_id)), frozenset((a, c.subject_id))}
    whole(node)


def test_it_is_asked_when_the_record_through_which_it_was_known_is_erased(node: Node, known: Known) -> None:
    node.subjects.erase(known.b, caller=SUSI)
    assert asked_about(node) == {frozenset((known.a, known.e))}
    whole(node)


def test_a_rest_of_doubt_is_not_left_by_other_undos(node: Node, known: Known) -> None:
    """Both say that they differ; one of them still does."""
    case_id = node.together.ask(wire.TogetherRequest(subject_ids=[known.a, known.e], override_different=True), SUSI)[0].id
    node.decide(case_id, Verdict.different, caller=SUSI)
    node.undo(known.merge)
    assert asked_about(node) == {frozenset((known.a, known.b))}
    whole(node)


def test_what_a_scan_found_of_settled_people_is_kept_too(node: Node, people: People) -> None:
    x, y, z = people.strangers(3)
    a = node.enrol(x).subject_id
    b = node.enrol(unit(0.8 * x + 0.6 * y))
    node.decide(b.case_id or "", Verdict.same, a)
    e = node.enrol(unit(0.4 * x + 0.6 * y + 0.69 * z))
    node.decide(e.case_id or "", Verdict.different)
    assert run(node, threshold=0.35, whole=True, dry_run=True).pairs_found == 0
    assert state_of(node, a, e.subject_id) is None, "a dry run changes nothing"
    assert run(node, threshold=0.35, whole=True).pairs_found == 0
    assert state_of(node, a, e.subject_id) == (PairState.aside, None)
    node.undo(b.case_id or "")
    assert asked_about(node) == {frozenset((a, b.subject_id)), frozenset((a, e.subject_id))}
