"""An answer that was lost on its way: the request comes again, through another replica, and does nothing twice."""

from __future__ import annotations

import pytest

from backend.errors import CaseJoined, Forbidden, LeaseHeld, LeaseLost, NothingToReview, VersionConflict
from backend.review_policy import SecondReview
from backend.wire import CaseState, DecideRequest, UndoRequest, Verdict
from tests.ledger.world import ANNA, BERT, CLIENT, SUSI, Node, People, World, face


def test_next_with_the_same_key_is_the_same_case_and_frees_no_other(world: World, people: People) -> None:
    b1, b2 = world.node(), world.node()
    for stranger in people.strangers(3):
        b1.enrol(stranger)
        b1.enrol(people.like(stranger, 0.8))
    first = b1.adjudication.next(ANNA, "one")
    second = b1.adjudication.next(ANNA, "two")
    again = b2.adjudication.next(ANNA, "two")
    assert (again.id, again.lease) == (second.id, second.lease)
    assert {case.id for case in b1.cases() if case.lease is not None} == {first.id, second.id}
    assert b2.adjudication.next(BERT, "two").id not in (first.id, second.id), "a key is its caller's"


def test_the_key_of_next_counts_no_longer_than_the_claim(node: Node, case_id: str) -> None:
    assert node.adjudication.next(ANNA, "one").id == case_id
    node.adjudication.release(case_id, ANNA)
    assert node.adjudication.next(BERT, "one").id == case_id
    with pytest.raises(LeaseHeld):
        node.decide(case_id, Verdict.different, caller=ANNA)


def test_a_release_that_came_again_is_answered_and_one_of_anothers_claim_is_not(node: Node, case_id: str) -> None:
    node.adjudication.claim(case_id, None, ANNA)
    assert node.adjudication.release(case_id, ANNA).lease is None
    assert node.adjudication.release(case_id, ANNA).lease is None
    assert [event.action for event in node.audit.list().items].count("case.release") == 1
    node.adjudication.claim(case_id, None, BERT)
    with pytest.raises(LeaseLost):
        node.adjudication.release(case_id, ANNA)


def test_a_first_decision_that_came_again_after_the_second_is_answered(world: World, people: People) -> None:
    node = world.node(second_review=SecondReview.all)
    person = people.stranger()
    node.enrol(person)
    case_id = node.enrol(people.like(person, 0.8)).case_id or ""
    request = DecideRequest(verdict=Verdict.different, version=node.open_case(case_id).version)
    node.adjudication.decide(case_id, request, ANNA)
    node.decide(case_id, Verdict.different, caller=BERT)
    assert node.adjudication.decide(case_id, request, ANNA).state is CaseState.resolved
    assert len(node.open_case(case_id).decisions) == 2


def test_a_decision_that_was_taken_back_meanwhile_is_not_answered_as_if_it_stood(node: Node, case_id: str) -> None:
    request = DecideRequest(verdict=Verdict.different, version=node.open_case(case_id).version)
    node.adjudication.decide(case_id, request, ANNA)
    node.undo(case_id, SUSI)
    with pytest.raises(VersionConflict):
        node.adjudication.decide(case_id, request, ANNA)


def test_an_undo_that_came_again_after_others_went_on_is_answered(node: Node, case_id: str) -> None:
    node.decide(case_id, Verdict.different)
    request = UndoRequest(version=node.open_case(case_id).version)
    node.adjudication.undo(case_id, request, ANNA)
    node.decide(case_id, Verdict.poor_image, caller=BERT)
    assert node.adjudication.undo(case_id, request, ANNA).state is CaseState.resolved
    assert [said.verdict for said in node.open_case(case_id).decisions] == ["different", "undo", "poor_image"]


def test_an_undo_that_joined_an_older_case_is_answered_with_that_one(node: Node, people: People) -> None:
    one, other = people.strangers(2)
    node.enrol(one)
    older_case = node.enrol(people.like(one, 0.8)).case_id or ""
    node.enrol(other)
    case_id = node.enrol(people.like(other, 0.95)).case_id or ""
    node.decide(case_id, Verdict.poor_image)
    bridge = node.enrol((0.7071 * (one + other)).astype("float32"))
    assert bridge.case_id == older_case
    request = UndoRequest(version=node.open_case(case_id).version)
    answer = node.adjudication.undo(case_id, request, ANNA)
    assert answer.id == older_case
    assert node.adjudication.undo(case_id, request, ANNA).id == older_case
    with pytest.raises(CaseJoined):
        node.adjudication.undo(case_id, request, BERT)


def test_a_held_picture_that_was_accepted_is_answered_again_whomever_the_request_names(node: Node, people: People) -> None:
    subject = node.enrol(people.stranger()).subject_id
    held = node.enrolments.add_samples(subject, [face(people.stranger())], caller=CLIENT).answer
    case_id = held.case_id or ""
    request = DecideRequest(verdict=Verdict.same, version=node.open_case(case_id).version, survivor_id=subject)
    node.adjudication.decide(case_id, request, ANNA)
    assert node.adjudication.decide(case_id, request, ANNA).state is CaseState.resolved
    assert len(node.open_case(case_id).decisions) == 1


def test_what_was_said_of_a_case_that_was_joined_away_answers_nothing_about_the_one_that_lives_on(
    node: Node, people: People
) -> None:
    """Versions begin at one in every case: Anna's word on the younger one is none on the older, though all of it is alike."""
    one, other = people.strangers(2)
    node.enrol(one)
    older = node.enrol(people.like(one, 0.8)).case_id or ""
    node.enrol(other)
    younger = node.enrol(people.like(other, 0.8)).case_id or ""
    seen = node.open_case(older).version
    assert node.open_case(younger).version == seen
    request = DecideRequest(verdict=Verdict.unsure, version=seen)
    node.adjudication.decide(younger, request, ANNA)
    assert node.enrol((0.7071 * (one + other)).astype("float32")).case_id == older
    with pytest.raises(VersionConflict):
        node.adjudication.decide(older, request, ANNA)
    with pytest.raises(VersionConflict):
        node.adjudication.undo(older, UndoRequest(version=seen), ANNA)


def test_who_passed_a_case_on_arbitrates_it_no_more_when_another_is_joined_with_it(node: Node, people: People) -> None:
    """That the other was settled since, settles nothing that was said of this one."""
    one, other = people.strangers(2)
    node.enrol(one)
    passed_on = node.enrol(people.like(one, 0.8)).case_id or ""
    node.enrol(other)
    settled = node.enrol(people.like(other, 0.7)).case_id or ""
    node.decide(passed_on, Verdict.unsure, caller=SUSI)
    node.decide(settled, Verdict.poor_image)
    node.enrol(people.like(other, 0.95))
    assert node.enrol((0.7071 * (one + other)).astype("float32")).case_id == passed_on
    assert node.open_case(passed_on).state is CaseState.arbitration
    with pytest.raises(Forbidden):
        node.decide(passed_on, Verdict.different, caller=SUSI)
    with pytest.raises(NothingToReview):
        node.adjudication.next(SUSI)
