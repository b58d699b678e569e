"""Two records that no search paired, put before reviewers by a person."""

from __future__ import annotations

import pytest
from sqlmodel import select

from backend import wire
from backend.errors import (
    CaseStateConflict,
    DecidedDifferent,
    Forbidden,
    NotComparable,
    SamePerson,
    SubjectNotFound,
)
from backend.review_policy import SecondReview
from backend.store.tables import DistinctPair, DuplicatePair
from backend.wire import CaseState, TogetherRequest, Verdict
from tests.ledger.invariants import assert_each_person_is_in_one_open_case_at_most
from tests.ledger.test_erasure import raw_files
from tests.ledger.test_scans import run
from tests.ledger.world import ANNA, BERT, CARD, SUSI, THRESHOLDS, Node, People, World, face, unit


def ask(node: Node, *subject_ids: str, caller: object = ANNA, **more: object) -> tuple[wire.Case, bool]:
    return node.together.ask(TogetherRequest(subject_ids=list(subject_ids), **more), caller)  # type: ignore[arg-type]


def strangers(node: Node, people: People, n: int) -> list[str]:
    return [node.enrol(vector).subject_id for vector in people.strangers(n)]


def apart(node: Node, people: People) -> tuple[str, str, str]:
    """Two who were decided to be different, and the case in which they were."""
    person = people.stranger()
    a = node.enrol(person).subject_id
    b = node.enrol(people.like(person, 0.8))
    node.decide(b.case_id or "", Verdict.different)
    return a, b.subject_id, b.case_id or ""


def distinct_pairs(node: Node) -> int:
    with node.store.read() as session:
        return len(session.exec(select(DistinctPair)).all())


# --- asking -------------------------------------------------------------------------------------------------------


def test_two_that_score_below_the_threshold_stand_in_a_case_with_their_real_score_and_nothing_is_merged(
    node: Node, people: People
) -> None:
    person = people.stranger()
    a, b = node.enrol(person).subject_id, node.enrol(people.like(person, 0.31)).subject_id
    assert node.cases() == []
    case, new = ask(node, b, a, note="the same scar")
    assert new
    assert (case.state, case.source, case.version) == (CaseState.open, "manual", 1)
    (pair,) = case.pairs
    assert pair.score == pytest.approx(0.31, abs=1e-6)
    assert (pair.threshold, pair.band, pair.model_id, pair.gallery_size) == (THRESHOLDS.review, "review", CARD.model_id, 2)
    (asked,) = case.asked
    assert (set(asked.subject_ids), asked.asked_by, asked.note, asked.overrides_different) == (
        {a, b},
        ANNA.id,
        "the same scar",
        False,
    )
    assert node.subjects.get(a).merged == []
    assert [one.id for one in node.cases()] == [case.id]
    event = node.audit.list().items[0]
    assert (event.action, event.object_id, event.actor, event.detail["opened"]) == ("case.ask", case.id, ANNA.id, True)
    assert "scar" not in str(event.detail)


def test_the_evidence_is_the_best_pair_of_samples_of_all_their_records(node: Node, people: People) -> None:
    one, other = people.strangers(2)
    a, b = node.enrol(one), node.enrol(other)
    near = unit(0.9 * other + 0.19**0.5 * one)
    added = node.enrolments.add_samples(b.subject_id, [face(near)], caller=ANNA).answer.sample_ids[0]
    assert node.cases() == []
    (pair,) = ask(node, a.subject_id, b.subject_id)[0].pairs
    sides = {side.subject_id: side.sample_id for side in (pair.a, pair.b)}
    assert sides[b.subject_id] == added
    assert pair.score == pytest.approx(0.19**0.5, abs=1e-3)


def test_such_a_case_is_claimed_decided_and_undone_like_any_other(node: Node, people: People) -> None:
    a, b = strangers(node, people, 2)
    case = ask(node, a, b)[0]
    assert node.adjudication.next(BERT).id == case.id
    node.adjudication.release(case.id, BERT)
    node.decide(case.id, Verdict.same, a)
    assert node.subjects.get(b).merged_into == a
    undone = node.undo(case.id)
    assert undone.state is CaseState.open
    assert node.subjects.get(b).merged_into is None


def test_two_must_agree_where_the_sites_policy_says_so(world: World, people: People) -> None:
    node = world.node(second_review=SecondReview.review)
    a, b = strangers(node, people, 2)
    case = ask(node, a, b)[0]
    assert node.decide(case.id, Verdict.same, a, ANNA).state is CaseState.second_review
    assert node.subjects.get(b).merged_into is None
    assert node.decide(case.id, Verdict.same, a, BERT).state is CaseState.resolved
    assert node.subjects.get(b).merged_into == a


def test_asking_again_is_answered_with_the_same_case_and_changes_nothing(node: Node, people: People) -> None:
    a, b, c = strangers(node, people, 3)
    first, new = ask(node, a, b, c)
    assert (new, len(first.pairs)) == (True, 3)
    again, new = ask(node, c, a, caller=BERT, note="another word")
    assert (new, again) == (False, first)
    assert len([event for event in node.audit.list().items if event.action == "case.ask"]) == 1


def test_what_is_asked_joins_the_open_cases_of_both(node: Node, people: People) -> None:
    one, other = people.strangers(2)
    a, b = node.enrol(one).subject_id, node.enrol(other).subject_id
    first = node.enrol(people.like(one, 0.8)).case_id
    second = node.enrol(people.like(other, 0.8)).case_id
    case, new = ask(node, a, b)
    assert (new, case.id, len(case.pairs), case.source) == (True, first, 3, "enrolment")
    assert [one.id for one in node.cases(CaseState.open)] == [first]
    event = node.audit.list().items[0]
    assert event.detail["joined"] == [second]
    assert_each_person_is_in_one_open_case_at_most(node.store)


def test_a_first_decision_about_less_is_taken_back(world: World, people: People) -> None:
    node = world.node(second_review=SecondReview.all)
    a, b, c = strangers(node, people, 3)
    case = ask(node, a, b)[0]
    node.decide(case.id, Verdict.same, a, ANNA)
    joined, new = ask(node, b, c, caller=BERT)
    assert (new, joined.id, joined.state) == (True, case.id, CaseState.open)
    assert joined.decisions == []


def test_a_case_that_was_resolved_without_an_answer_is_opened_again(node: Node, people: People) -> None:
    person = people.stranger()
    a, b = node.enrol(person).subject_id, node.enrol(people.like(person, 0.8))
    node.decide(b.case_id or "", Verdict.poor_image)
    case, new = ask(node, a, b.subject_id)
    assert (new, case.id, case.state) == (True, b.case_id, CaseState.open)


# --- what is refused ----------------------------------------------------------------------------------------------


def test_the_same_person_is_not_asked_about(node: Node, people: People) -> None:
    a, b, c = strangers(node, people, 3)
    node.decide(ask(node, a, b)[0].id, Verdict.same, a)
    for asked in ((a, b), (c, b, a)):
        with pytest.raises(SamePerson, match="are the same person already"):
            ask(node, *asked)
    case, _ = ask(node, b, c)
    assert {subject.id for subject in case.subjects} >= {c, a}


def test_nobody_is_asked_about_who_is_gone_not_there_yet_or_rejected(node: Node, people: People) -> None:
    a, b = strangers(node, people, 2)
    person = people.stranger()
    node.enrol(person)
    rejected = node.enrol(person, on_duplicate=wire.OnDuplicate.reject)
    assert rejected.state is wire.SubjectState.rejected
    node.subjects.erase(b, caller=SUSI)
    for nobody in (b, "sub_nobody"):
        with pytest.raises(SubjectNotFound, match=r"subject_ids\[1\]"):
            ask(node, a, nobody)
    with pytest.raises(NotComparable, match="no active sample"):
        ask(node, a, rejected.subject_id)
    assert node.cases(CaseState.open) == []


# --- decided to be different --------------------------------------------------------------------------------------


def test_two_who_were_decided_to_be_different_are_refused_and_the_case_is_named(node: Node, people: People) -> None:
    a, b, case_id = apart(node, people)
    with pytest.raises(DecidedDifferent, match=case_id) as refused:
        ask(node, a, b)
    assert refused.value.case == case_id
    with pytest.raises(Forbidden, match="supervisor"):
        ask(node, a, b, override_different=True)


def test_a_supervisor_may_ask_again_and_undo_leaves_them_as_different_as_before(node: Node, people: People) -> None:
    a, b, case_id = apart(node, people)
    case, new = ask(node, a, b, caller=SUSI, override_different=True)
    assert (new, case.id, case.state) == (True, case_id, CaseState.open)
    assert case.asked[0].overrides_different
    assert ask(node, a, b, caller=SUSI, override_different=True) == (case, False)
    assert ask(node, a, b) == (case, False)
    event = node.audit.list().items[0]
    assert event.detail["overrides"] == [case.decisions[0].id]
    node.decide(case.id, Verdict.same, a)
    assert node.subjects.get(b).merged_into == a
    node.undo(case.id)
    assert node.subjects.get(b).merged_into is None
    assert distinct_pairs(node) == 1
    node.decide(case.id, Verdict.different)
    with pytest.raises(DecidedDifferent):
        ask(node, a, b)


def test_only_those_are_asked_about_again_and_the_rest_of_what_was_decided_stays(node: Node, people: People) -> None:
    a, b, c = strangers(node, people, 3)
    settled = ask(node, a, b, c)[0].id
    node.decide(settled, Verdict.different)
    case, _ = ask(node, a, b, caller=SUSI, override_different=True)
    assert case.id != settled
    assert len(case.pairs) == 1
    assert len(node.open_case(settled).pairs) == 2
    node.decide(case.id, Verdict.same, a)
    assert node.subjects.get(b).merged_into == a
    with pytest.raises(DecidedDifferent):
        ask(node, b, c)
    undone = node.undo(settled)
    assert undone.state is CaseState.open
    assert distinct_pairs(node) == 0


def test_a_note_of_the_case_that_a_pair_left_goes_with_its_people_too(node: Node, people: People) -> None:
    a, b, c = strangers(node, people, 3)
    settled = ask(node, a, b, c)[0]
    request = wire.DecideRequest(verdict=Verdict.different, version=settled.version, note="b has a beard")
    node.adjudication.decide(settled.id, request, ANNA)
    for two in ((a, b), (b, c)):
        ask(node, *two, caller=SUSI, override_different=True)
    assert {one.case_id for one in node.export(b).decisions} == {settled.id}
    assert node.open_case(settled.id).decisions[0].note == "b has a beard"
    node.subjects.erase(b, caller=SUSI)
    assert node.open_case(settled.id).decisions[0].note is None


def test_an_override_opens_no_door_to_a_third(node: Node, people: People) -> None:
    a, b, c = strangers(node, people, 3)
    node.decide(ask(node, a, b, c)[0].id, Verdict.different)
    case, _ = ask(node, a, b, caller=SUSI, override_different=True)
    d = node.enrol(people.stranger()).subject_id
    node.decide(ask(node, c, d)[0].id, Verdict.same, c)
    joined, _ = ask(node, a, d, caller=SUSI, override_different=True)
    assert joined.id == case.id
    with pytest.raises(CaseStateConflict, match="different people"):
        node.decide(joined.id, Verdict.same, a)


# --- what comes later ---------------------------------------------------------------------------------------------


def test_a_scan_and_a_further_enrolment_leave_it_alone(world: World, node: Node, people: People) -> None:
    one, other = people.strangers(2)
    a, b = node.enrol(one).subject_id, node.enrol(other).subject_id
    case = node.open_case(ask(node, a, b)[0].id)
    assert run(node, whole=True).state is wire.ScanState.done
    assert node.open_case(case.id) == case
    c = node.enrol(people.like(one, 0.8))
    assert c.case_id == case.id
    assert [pair.score for pair in node.open_case(case.id).pairs] == pytest.approx([0.8, float(one @ other)], abs=1e-5)


def test_better_evidence_keeps_who_asked(node: Node, people: People) -> None:
    one, other = people.strangers(2)
    a, b = node.enrol(one).subject_id, node.enrol(other).subject_id
    case, _ = ask(node, a, b, note="ask them")
    node.enrolments.add_samples(b, [face(unit(one + other))], caller=ANNA)
    (pair,) = node.open_case(case.id).pairs
    assert pair.score > 0.7
    assert node.open_case(case.id).asked == case.asked


def test_erasing_a_sample_leaves_it_open_with_the_best_of_what_is_left(node: Node, people: People) -> None:
    person = people.stranger()
    a = node.enrol(person, people.like(person, 0.9))
    b = node.enrol(people.like(person, 0.4)).subject_id
    case, _ = ask(node, a.subject_id, b)
    (pair,) = case.pairs
    used = pair.a.sample_id if pair.a.subject_id == a.subject_id else pair.b.sample_id
    node.subjects.erase_sample(a.subject_id, used, caller=SUSI)
    left = node.open_case(case.id)
    assert left.state is CaseState.open
    assert left.pairs[0].score < pair.score


def test_erasing_one_of_two_ends_the_case_and_the_note_is_gone(world: World, node: Node, people: People) -> None:
    a, b, c = strangers(node, people, 3)
    case, _ = ask(node, a, b, note="the same scar")
    with node.store.read() as session:
        (sealed,) = session.exec(select(DuplicatePair.sealed_asking_note)).all()
    assert sealed is not None
    assert b"scar" not in sealed
    node.subjects.erase(b, caller=SUSI)
    assert node.open_case(case.id).state is CaseState.resolved
    with node.store.read() as session:
        assert session.exec(select(DuplicatePair)).all() == []
    if world.is_sqlite:
        assert sealed not in raw_files(world)
    assert ask(node, a, c)[1]


def test_a_note_goes_with_anybody_whom_it_was_given_for(node: Node, people: People) -> None:
    a, b, c = strangers(node, people, 3)
    case, _ = ask(node, a, b, c, note="C is the brother of A")
    assert {one.note for one in node.open_case(case.id).asked or []} == {"C is the brother of A"}
    node.subjects.erase(c, caller=SUSI)
    assert [one.note for one in node.open_case(case.id).asked or []] == [None]
