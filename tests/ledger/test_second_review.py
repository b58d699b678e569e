"""Two people judge a case, neither knowing what the other says; nothing is applied before both have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend import wire
from backend.errors import CaseStateConflict, Forbidden, NothingToReview, VersionConflict
from backend.review_policy import Judged, SecondReview, decisions_are_hidden, needs_second, state_after, state_left
from backend.store.tables import Decision, DistinctPair
from backend.wire import CaseState, DecideRequest, UndoRequest, Verdict
from tests.ledger.world import ANNA, BERT, CLIENT, SUSI, Node, People, World, face

CARL = replace(ANNA, id="usr_carl", name="Carl")
TWO = Judged(Verdict.same, "a"), Judged(Verdict.same, "b")


@pytest.fixture
def node(world: World) -> Node:
    return world.node(second_review=SecondReview.all)


def blind(case: wire.Case) -> bool:
    return case.state is CaseState.second_review and case.decisions == []


# --- policy -------------------------------------------------------------------------------------------------------


def test_a_second_review_is_asked_for_by_band() -> None:
    asked = {policy: [band for band in ("review", "certain") if needs_second(policy, band)] for policy in SecondReview}  # type: ignore[arg-type]
    assert asked == {
        SecondReview.none: [],
        SecondReview.certain: ["certain"],
        SecondReview.review: ["review"],
        SecondReview.all: ["review", "certain"],
    }


def test_agreement_resolves_and_anything_else_is_arbitrated() -> None:
    same, different, unsure = TWO[0], Judged(Verdict.different), Judged(Verdict.unsure)
    assert state_after(CaseState.open, same, two_must_agree=True) is CaseState.second_review
    assert state_after(CaseState.open, unsure, two_must_agree=True) is CaseState.arbitration
    assert state_after(CaseState.second_review, same, earlier=same) is CaseState.resolved
    assert state_after(CaseState.second_review, same, earlier=different) is CaseState.arbitration
    assert state_after(CaseState.second_review, same, earlier=TWO[1]) is CaseState.arbitration
    assert state_after(CaseState.second_review, unsure, earlier=unsure) is CaseState.arbitration


def test_what_is_left_after_an_undo_decides_the_state() -> None:
    assert state_left([]) is CaseState.open
    assert state_left([Verdict.same]) is CaseState.second_review
    assert state_left([Verdict.unsure]) is CaseState.arbitration
    assert state_left([Verdict.same, Verdict.different]) is CaseState.arbitration


def test_what_was_not_applied_is_hidden_while_somebody_may_still_judge_blind() -> None:
    assert {state for state in CaseState if not decisions_are_hidden(state)} == {CaseState.arbitration, CaseState.resolved}


# --- two people ---------------------------------------------------------------------------------------------------


def test_nothing_is_applied_or_told_before_the_second_and_both_are_told_then(
    node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], case_id: str
) -> None:
    older, newer = (one.subject_id for one in pair)
    assert blind(node.decide(case_id, Verdict.same, older, ANNA))
    assert blind(node.open_case(case_id))
    assert node.subjects.get(newer).merged_into is None
    assert node.audit.list(limit=1).items[0].detail["verdict"] is None
    assert node.export(older).decisions == []

    done = node.decide(case_id, Verdict.same, older, BERT)

    assert done.state is CaseState.resolved
    assert [(one.actor, one.verdict, one.survivor_id) for one in done.decisions] == [
        (ANNA.id, Verdict.same, older),
        (BERT.id, Verdict.same, older),
    ]
    assert node.subjects.get(newer).merged_into == older
    told = node.audit.list(limit=1).items[0].detail
    assert (told["verdict"], told["first"]["verdict"], told["first"]["survivor"]) == ("same", "same", older)
    assert len(node.export(older).decisions) == 2


def test_the_first_reviewer_gets_and_decides_no_second_review_of_his_own(node: Node, case_id: str) -> None:
    node.decide(case_id, Verdict.different, caller=ANNA)
    with pytest.raises(NothingToReview):
        node.adjudication.next(ANNA)
    with pytest.raises(Forbidden):
        node.decide(case_id, Verdict.different, caller=ANNA)
    assert node.adjudication.next(BERT).id == case_id


def test_the_first_decision_sent_again_is_answered_again(
    node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], case_id: str
) -> None:
    request = DecideRequest(verdict=Verdict.same, version=1, survivor_id=pair[0].subject_id)
    assert node.adjudication.decide(case_id, request, ANNA) == node.adjudication.decide(case_id, request, ANNA)
    with pytest.raises(VersionConflict):
        node.adjudication.decide(case_id, request.model_copy(update={"survivor_id": pair[1].subject_id}), ANNA)


@pytest.mark.parametrize("second", [Verdict.different, Verdict.unsure])
def test_disagreement_goes_to_a_supervisor_who_sees_both(
    node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], case_id: str, second: Verdict
) -> None:
    node.decide(case_id, Verdict.same, pair[0].subject_id, ANNA)
    case = node.decide(case_id, second, caller=BERT)
    assert case.state is CaseState.arbitration
    assert [one.verdict for one in case.decisions] == [Verdict.same, second]
    assert node.subjects.get(pair[1].subject_id).merged_into is None
    with pytest.raises(Forbidden):
        node.decide(case_id, Verdict.different, caller=CARL)
    settled = node.decide(case_id, Verdict.same, pair[0].subject_id, SUSI)
    assert settled.state is CaseState.resolved
    assert node.subjects.get(pair[1].subject_id).merged_into == pair[0].subject_id


def test_two_who_name_different_survivors_do_not_agree(
    node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], case_id: str
) -> None:
    node.decide(case_id, Verdict.same, pair[0].subject_id, ANNA)
    assert node.decide(case_id, Verdict.same, pair[1].subject_id, BERT).state is CaseState.arbitration


def test_only_the_bands_that_are_configured_are_reviewed_twice(world: World, people: People) -> None:
    node = world.node(second_review=SecondReview.certain)
    for score, expected in ((0.7, CaseState.resolved), (0.95, CaseState.second_review)):
        person = people.stranger()
        node.enrol(person)
        case_id = node.enrol(people.like(person, score)).case_id or ""
        assert node.decide(case_id, Verdict.different).state is expected


# --- taking back --------------------------------------------------------------------------------------------------


def test_undoing_what_two_agreed_on_takes_both_back(
    node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], case_id: str
) -> None:
    node.decide(case_id, Verdict.same, pair[0].subject_id, ANNA)
    node.decide(case_id, Verdict.same, pair[0].subject_id, BERT)
    case = node.undo(case_id, CARL)
    assert case.state is CaseState.open
    assert node.subjects.get(pair[1].subject_id).merged_into is None
    assert [(one.actor, one.verdict) for one in case.decisions] == [(BERT.id, Verdict.same), (CARL.id, "undo")]
    assert blind(node.decide(case_id, Verdict.different, caller=ANNA)) is False  # what was applied stays on record
    assert node.open_case(case_id).state is CaseState.second_review


def test_a_first_decision_is_taken_back_by_whoever_made_it_and_leaves_no_trace_to_see(node: Node, case_id: str) -> None:
    first = node.decide(case_id, Verdict.different, caller=ANNA)
    with pytest.raises(Forbidden):
        node.adjudication.undo(case_id, UndoRequest(version=first.version), BERT)
    case = node.undo(case_id, ANNA)
    assert case.state is CaseState.open
    assert case.decisions == []
    node.decide(case_id, Verdict.same, case.subjects[0].id, ANNA)
    node.decide(case_id, Verdict.same, case.subjects[0].id, BERT)
    shown = node.open_case(case_id).decisions
    assert [(one.verdict, one.undone) for one in shown] == [
        (Verdict.different, True),
        ("undo", False),
        (Verdict.same, False),
        (Verdict.same, False),
    ]


def test_who_saw_what_the_other_said_does_not_take_his_own_back_to_say_the_same(node: Node, case_id: str) -> None:
    node.decide(case_id, Verdict.different, caller=ANNA)
    node.decide(case_id, Verdict.poor_image, caller=BERT)
    for reviewer in (ANNA, BERT, CARL):
        with pytest.raises(Forbidden):
            node.undo(case_id, reviewer)
    case = node.undo(case_id, SUSI)
    assert (case.state, case.decisions) == (CaseState.open, []), "both are taken back: two judge it anew"
    assert blind(node.decide(case_id, Verdict.different, caller=CARL))


def test_a_refusal_does_not_tell_the_second_what_the_first_said(node: Node, people: People) -> None:
    """`same` that contradicts an earlier decision is refused whatever the first said."""
    first, second = people.strangers(2)
    a, b = node.enrol(first), node.enrol(second)
    between = node.enrol((0.7071 * (first + second)).astype("float32"))
    case_id = between.case_id or ""
    with node.store.write() as session:
        said = Decision(
            id="dec_before",
            gallery_id="main",
            case_id=case_id,
            version=0,
            round="first",
            verdict="different",
            applied=True,
            actor=SUSI.id,
            actor_name=SUSI.name,
            at=node.store.now(session),
            undone_by="dec_none",
        )
        session.add(said)
        session.flush()
        apart = sorted((a.subject_id, b.subject_id))
        session.add(
            DistinctPair(
                id="dis_before", gallery_id="main", a_subject_id=apart[0], b_subject_id=apart[1], decision_id=said.id, at=said.at
            )
        )
    with pytest.raises(CaseStateConflict, match="different people"):
        node.decide(case_id, Verdict.same, a.subject_id, ANNA)
    assert node.decide(case_id, Verdict.different, caller=ANNA).state is CaseState.second_review
    with pytest.raises(CaseStateConflict, match="different people"):
        node.decide(case_id, Verdict.same, a.subject_id, BERT)


def test_an_arbitrated_case_that_grew_never_counts_an_old_decision_as_a_first(node: Node, people: People) -> None:
    person = people.stranger()
    first = node.enrol(person)
    case_id = node.enrol(people.like(person, 0.95)).case_id or ""
    node.decide(case_id, Verdict.same, first.subject_id, ANNA)
    node.decide(case_id, Verdict.poor_image, caller=BERT)
    node.enrol(people.like(person, 0.95))
    assert node.undo(case_id, SUSI).state is CaseState.open
    assert blind(node.decide(case_id, Verdict.same, first.subject_id, CARL)), "nothing that is about fewer counts"


def test_a_case_in_arbitration_that_is_joined_starts_the_other_over(node: Node, people: People) -> None:
    one, other = people.strangers(2)
    a, c = node.enrol(one), node.enrol(other)
    waits = node.enrol(people.like(one, 0.95)).case_id or ""
    arbitrated = node.enrol(people.like(other, 0.95)).case_id or ""
    node.decide(waits, Verdict.same, a.subject_id, ANNA)
    node.decide(arbitrated, Verdict.unsure, caller=BERT)
    joined = node.enrol((0.7071 * (one + other)).astype("float32")).case_id or ""
    assert node.open_case(joined).state is CaseState.arbitration
    assert all(said.undone for said in node.open_case(joined).decisions if said.actor == ANNA.id)
    assert node.undo(joined, BERT).state is CaseState.open
    assert blind(node.decide(joined, Verdict.same, c.subject_id, CARL))


def test_who_judged_an_earlier_round_may_judge_the_next(node: Node, people: People) -> None:
    """A poor image settled it; there is better evidence now, and two people are all that there are."""
    person = people.stranger()
    first = node.enrol(person)
    case_id = node.enrol(people.like(person, 0.7)).case_id or ""
    for reviewer in (ANNA, BERT):
        node.decide(case_id, Verdict.poor_image, caller=reviewer)
    node.enrolments.add_samples(first.subject_id, [face(people.like(person, 0.98))], caller=CLIENT)
    node.enrol(people.like(person, 0.99))
    assert node.open_case(case_id).state is CaseState.open
    assert node.adjudication.next(BERT).id == case_id
    assert node.decide(case_id, Verdict.same, first.subject_id, BERT).state is CaseState.second_review
    assert node.adjudication.next(ANNA).id == case_id
    assert node.decide(case_id, Verdict.same, first.subject_id, ANNA).state is CaseState.resolved


def test_undoing_an_arbitration_leaves_the_disagreement(node: Node, case_id: str) -> None:
    node.decide(case_id, Verdict.different, caller=ANNA)
    node.decide(case_id, Verdict.poor_image, caller=BERT)
    node.decide(case_id, Verdict.different, caller=SUSI)
    assert node.undo(case_id, SUSI).state is CaseState.arbitration


# --- what changes meanwhile ---------------------------------------------------------------------------------------


def test_a_case_that_grew_after_the_first_decision_is_judged_from_the_start(node: Node, people: People) -> None:
    person = people.stranger()
    older = node.enrol(person)
    case_id = node.enrol(people.like(person, 0.8)).case_id or ""
    node.decide(case_id, Verdict.same, older.subject_id, ANNA)
    third = node.enrol(people.like(person, 0.85))
    assert third.case_id == case_id
    case = node.open_case(case_id)
    assert case.state is CaseState.open
    assert case.decisions == []
    assert node.adjudication.next(ANNA).id == case_id  # who judged the smaller one may judge this
    assert blind(node.decide(case_id, Verdict.same, older.subject_id, ANNA))
    assert node.decide(case_id, Verdict.same, older.subject_id, BERT).state is CaseState.resolved
    assert node.subjects.get(third.subject_id).merged_into == older.subject_id


def test_cases_that_are_joined_after_a_first_decision_are_judged_from_the_start(node: Node, people: People) -> None:
    a, b = people.strangers(2)
    ids = []
    for person in (a, b):
        node.enrol(person)
        ids.append(node.enrol(people.like(person, 0.9)).case_id or "")
    node.decide(ids[1], Verdict.different, caller=ANNA)
    bridge = node.enrol((a + b) / 2**0.5)
    assert bridge.case_id == ids[0]
    case = node.open_case(ids[0])
    assert (case.state, case.decisions) == (CaseState.open, [])


def test_erasing_one_of_three_after_the_first_decision_starts_over(node: Node, people: People) -> None:
    person = people.stranger()
    older = node.enrol(person)
    node.enrol(people.like(person, 0.8))
    third = node.enrol(people.like(person, 0.85))
    case_id = third.case_id or ""
    node.decide(case_id, Verdict.same, third.subject_id, ANNA)
    node.subjects.erase(third.subject_id, caller=SUSI)
    case = node.open_case(case_id)
    assert (case.state, case.decisions) == (CaseState.open, [])
    assert older.subject_id in {subject.id for subject in case.subjects}


def test_what_one_of_two_said_stays_hidden_when_the_case_is_closed_without_a_decision(node: Node, people: People) -> None:
    """A picture is erased, and with it the reason to ask; the next picture may ask again, and both judge blind then."""
    person = people.stranger()
    node.enrol(person)
    second = node.enrol(people.like(person, 0.8))
    case_id = second.case_id or ""
    node.enrolments.add_samples(second.subject_id, [face(people.like(person, 0.7))], caller=CLIENT)
    node.decide(case_id, Verdict.different, caller=ANNA)
    node.subjects.erase(second.subject_id, caller=SUSI)
    case = node.open_case(case_id)
    assert case.state is CaseState.resolved
    assert [said for said in case.decisions if said.actor == ANNA.id] == []
