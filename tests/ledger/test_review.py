from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import update

from backend import wire
from backend.errors import (
    CaseJoined,
    CaseNotFound,
    CaseStateConflict,
    Conflict,
    Forbidden,
    LeaseHeld,
    LeaseLost,
    NothingToReview,
    SurvivorNotInCase,
    VersionConflict,
)
from backend.review_policy import Judged, Round, may_work_on, round_of, state_after
from backend.store.tables import DuplicateCase
from backend.wire import CaseState, ClaimRequest, DecideRequest, UndoRequest, Verdict
from tests.ledger.world import ANNA, BERT, CLIENT, SUSI, Node, People, World, face


def make_cases(node: Node, people: People, scores: list[float]) -> list[str]:
    made = []
    for person, score in zip(people.strangers(len(scores)), scores, strict=True):
        node.enrol(person)
        made.append(node.enrol(people.like(person, score)).case_id or "")
    return made


def end_lease(node: Node, case_id: str) -> None:
    with node.store.write() as session:
        session.exec(update(DuplicateCase).where(DuplicateCase.id == case_id).values(lease_until=node.store.now(session)))  # type: ignore[arg-type]


def decide(node: Node, case_id: str, verdict: Verdict, version: int, caller: object = ANNA, **more: str) -> wire.Case:
    return node.adjudication.decide(case_id, DecideRequest(verdict=verdict, version=version, **more), caller)  # type: ignore[arg-type]


# --- the queue ----------------------------------------------------------------------------------------------------


def test_the_queue_is_empty_before_anybody_was_flagged(node: Node) -> None:
    assert node.adjudication.list().items == []
    with pytest.raises(NothingToReview):
        node.adjudication.next(ANNA)


def test_the_most_pressing_case_comes_first_and_pages_neither_skip_nor_repeat(node: Node, people: People) -> None:
    ids = make_cases(node, people, [0.7, 0.95, 0.8, 0.9, 0.85])
    ordered = [ids[i] for i in (1, 3, 4, 2, 0)]
    first = node.adjudication.list(limit=2)
    second = node.adjudication.list(limit=2, cursor=first.next)
    third = node.adjudication.list(limit=2, cursor=second.next)
    assert [case.id for page in (first, second, third) for case in page.items] == ordered
    assert third.next is None
    assert first.total == 5
    assert [case.id for case in node.adjudication.list(min_score=0.875).items] == ordered[:2]


def test_next_gives_each_reviewer_another_case(world: World, people: People) -> None:
    nodes = [world.node() for _ in range(2)]
    ids = make_cases(nodes[0], people, [0.7, 0.8, 0.9, 0.75])
    together = threading.Barrier(4)

    def claim(i: int) -> str:
        caller = ANNA.__class__(id=f"usr_{i}", name=f"R{i}", kind="person", roles=frozenset({"reviewer"}))
        together.wait()
        return nodes[i % 2].adjudication.next(caller).id

    with ThreadPoolExecutor(4) as pool:
        claimed = list(pool.map(claim, range(4)))
    assert sorted(claimed) == sorted(ids)


def test_next_claims_the_most_pressing_case(node: Node, people: People) -> None:
    ids = make_cases(node, people, [0.7, 0.9])
    case = node.adjudication.next(ANNA)
    assert case.id == ids[1]
    assert case.state is CaseState.claimed
    assert case.lease is not None
    assert (case.lease.holder, case.lease.holder_name) == (ANNA.id, "Anna")
    assert node.adjudication.next(BERT).id == ids[0]
    with pytest.raises(NothingToReview):
        node.adjudication.next(SUSI)


def test_a_reviewer_holds_one_case_ahead_and_no_more(node: Node, people: People) -> None:
    make_cases(node, people, [0.95, 0.9, 0.85])
    first, second, third = (node.adjudication.next(ANNA).id for _ in range(3))
    held = {case.id for case in node.cases(CaseState.claimed)}
    assert held == {second, third}
    assert node.adjudication.next(BERT).id == first


def test_a_list_by_state_tells_claimed_from_open(node: Node, people: People) -> None:
    ids = make_cases(node, people, [0.7, 0.9])
    node.adjudication.claim(ids[0], None, ANNA)
    assert [case.id for case in node.cases(CaseState.claimed)] == [ids[0]]
    assert [case.id for case in node.cases(CaseState.open)] == [ids[1]]
    end_lease(node, ids[0])
    assert node.cases(CaseState.claimed) == []
    assert len(node.cases(CaseState.open)) == 2
    node.decide(ids[1], Verdict.different)
    assert [case.id for case in node.cases(CaseState.resolved)] == [ids[1]]


# --- claims -------------------------------------------------------------------------------------------------------


def test_a_claimed_case_is_refused_to_others_until_it_is_released(node: Node, case_id: str) -> None:
    node.adjudication.claim(case_id, ClaimRequest(version=1), ANNA)
    node.adjudication.claim(case_id, None, ANNA)  # renews
    with pytest.raises(LeaseHeld):
        node.adjudication.claim(case_id, None, BERT)
    with pytest.raises(LeaseHeld):
        decide(node, case_id, Verdict.different, 1, BERT)
    with pytest.raises(LeaseLost):
        node.adjudication.release(case_id, BERT)
    assert node.adjudication.release(case_id, ANNA).state is CaseState.open
    assert node.adjudication.claim(case_id, None, BERT).state is CaseState.claimed


def test_a_claim_ends_by_itself_and_a_heartbeat_keeps_it(node: Node, case_id: str) -> None:
    claimed = node.adjudication.claim(case_id, None, ANNA)
    beaten = node.adjudication.heartbeat(case_id, ANNA)
    assert claimed.lease is not None
    assert beaten.lease is not None
    assert beaten.lease.until > claimed.lease.until
    end_lease(node, case_id)
    assert node.open_case(case_id).lease is None
    with pytest.raises(LeaseLost):
        node.adjudication.heartbeat(case_id, ANNA)
    node.adjudication.claim(case_id, None, BERT)


def test_a_supervisor_takes_over_and_the_former_holder_is_told(node: Node, case_id: str) -> None:
    node.adjudication.claim(case_id, None, ANNA)
    with pytest.raises(Forbidden):
        node.adjudication.takeover(case_id, BERT)
    taken = node.adjudication.takeover(case_id, SUSI)
    assert taken.lease is not None
    assert taken.lease.holder == SUSI.id
    with pytest.raises(LeaseLost):
        node.adjudication.heartbeat(case_id, ANNA)
    with pytest.raises(LeaseHeld):
        decide(node, case_id, Verdict.different, 1, ANNA)


def test_a_claim_of_a_version_that_is_not_the_present_one_is_refused(node: Node, case_id: str) -> None:
    with pytest.raises(VersionConflict):
        node.adjudication.claim(case_id, ClaimRequest(version=9), ANNA)


def test_a_case_that_does_not_exist_is_not_found(node: Node) -> None:
    with pytest.raises(CaseNotFound):
        node.adjudication.read("case_none", ANNA)


# --- decisions ----------------------------------------------------------------------------------------------------


def test_same_merges_into_the_survivor_with_the_decisions_id(node: Node, pair: tuple[wire.Enrolment, wire.Enrolment]) -> None:
    a, b = pair
    case = decide(node, b.case_id or "", Verdict.same, 1, survivor_id=b.subject_id, note="same ears")
    assert (case.state, case.version, case.lease) == (CaseState.resolved, 2, None)
    (decision,) = case.decisions
    assert (decision.verdict, decision.survivor_id, decision.note) == ("same", b.subject_id, "same ears")
    assert (decision.actor, decision.actor_name, decision.undone) == (ANNA.id, "Anna", False)
    assert node.subjects.get(a.subject_id).merged_into == b.subject_id


def test_same_needs_a_survivor_of_the_case(node: Node, case_id: str, people: People) -> None:
    stranger = node.enrol(people.stranger())
    for wrong in ({}, {"survivor_id": stranger.subject_id}, {"survivor_id": "sub_nobody"}):
        with pytest.raises(SurvivorNotInCase):
            decide(node, case_id, Verdict.same, 1, **wrong)
    assert node.open_case(case_id).state is CaseState.open
    assert node.open_case(case_id).decisions == []


def test_a_decision_is_accepted_from_anybody_while_nobody_holds_the_case_and_it_has_not_changed(node: Node, case_id: str) -> None:
    node.adjudication.claim(case_id, None, ANNA)
    end_lease(node, case_id)
    assert decide(node, case_id, Verdict.different, 1, ANNA).state is CaseState.resolved


def test_a_decision_on_a_case_that_changed_is_refused_also_to_its_holder(
    node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], people: People
) -> None:
    a, b = pair
    node.adjudication.claim(b.case_id or "", None, ANNA)
    with node.store.read() as session:
        from backend.store import templates

        stored = templates.of_subjects(
            session, node.store.keyring, gallery_id="main", subject_ids=[a.subject_id], model_id="synthetic-cosine-64"
        )
    c = node.enrol(people.like(stored[0].vector, 0.9))
    assert c.case_id == b.case_id
    with pytest.raises(VersionConflict):
        decide(node, b.case_id or "", Verdict.same, 1, survivor_id=a.subject_id)
    assert node.subjects.get(b.subject_id).merged_into is None
    merged = decide(node, b.case_id or "", Verdict.same, 2, survivor_id=a.subject_id)
    assert merged.state is CaseState.resolved
    assert node.subjects.get(a.subject_id).merged == sorted([b.subject_id, c.subject_id])


def test_the_same_decision_sent_again_is_answered_again_and_done_once(node: Node, case_id: str) -> None:
    first = decide(node, case_id, Verdict.different, 1)
    assert decide(node, case_id, Verdict.different, 1) == first
    with pytest.raises(VersionConflict):
        decide(node, case_id, Verdict.different, 1, BERT)
    with pytest.raises(VersionConflict):
        decide(node, case_id, Verdict.poor_image, 1)
    assert len(node.open_case(case_id).decisions) == 1


def test_the_same_merge_sent_again_names_the_same_survivor_or_is_refused(
    node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], case_id: str
) -> None:
    older, newer = (one.subject_id for one in pair)
    first = decide(node, case_id, Verdict.same, 1, survivor_id=older)
    assert decide(node, case_id, Verdict.same, 1, survivor_id=older) == first
    with pytest.raises(VersionConflict):
        decide(node, case_id, Verdict.same, 1, survivor_id=newer)


def test_a_resolved_case_cannot_be_claimed_or_decided_again(node: Node, case_id: str) -> None:
    decide(node, case_id, Verdict.different, 1)
    with pytest.raises(CaseStateConflict):
        node.adjudication.claim(case_id, None, BERT)
    with pytest.raises(CaseStateConflict):
        decide(node, case_id, Verdict.same, 2, BERT)


def test_of_two_who_decide_at_once_one_is_refused(world: World, people: People) -> None:
    nodes = [world.node() for _ in range(2)]
    (case_id,) = make_cases(nodes[0], people, [0.8])

    def attempt(i: int) -> str:
        try:
            return str(decide(nodes[i], case_id, Verdict.different, 1, (ANNA, BERT)[i]).state)
        except VersionConflict:
            return "refused"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(attempt, range(2))) == ["refused", "resolved"]


def test_the_holder_of_a_case_that_was_joined_away_is_told_where_it_went(node: Node, people: People) -> None:
    left, right = people.strangers(2)
    node.enrol(left)
    older = node.enrol(people.like(left, 0.9)).case_id or ""
    node.enrol(right)
    newer = node.enrol(people.like(right, 0.9)).case_id or ""
    node.adjudication.claim(newer, None, ANNA)
    node.enrol((0.7071 * (left + right)).astype("float32"))
    for attempt in (
        lambda: decide(node, newer, Verdict.different, 1),
        lambda: node.adjudication.heartbeat(newer, ANNA),
        lambda: node.adjudication.read(newer, ANNA),
    ):
        with pytest.raises(CaseJoined) as refused:
            attempt()
        assert refused.value.into == older


@pytest.mark.parametrize("verdict", [Verdict.unsure, Verdict.suspected_fraud])
def test_what_a_reviewer_cannot_settle_goes_to_a_supervisor(node: Node, case_id: str, verdict: Verdict) -> None:
    assert decide(node, case_id, verdict, 1).state is CaseState.arbitration
    with pytest.raises(NothingToReview):
        node.adjudication.next(BERT)
    with pytest.raises(Forbidden):
        node.adjudication.claim(case_id, None, BERT)
    with pytest.raises(Forbidden):
        decide(node, case_id, Verdict.different, 2, BERT)
    assert node.adjudication.next(SUSI).id == case_id
    assert decide(node, case_id, Verdict.different, 2, SUSI).state is CaseState.resolved


def test_a_poor_image_resolves_without_merging_and_a_better_one_reopens(
    node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], people: People
) -> None:
    a, b = pair
    assert node.decide(b.case_id or "", Verdict.poor_image).state is CaseState.resolved
    assert node.subjects.get(b.subject_id).merged_into is None
    with node.store.read() as session:
        from backend.store import templates

        vector = templates.of_subjects(
            session, node.store.keyring, gallery_id="main", subject_ids=[a.subject_id], model_id="synthetic-cosine-64"
        )[0].vector
    better = node.enrolments.add_samples(b.subject_id, [face(people.like(vector, 0.97))], caller=CLIENT).answer
    assert better.case_id == b.case_id
    reopened = node.open_case(b.case_id or "")
    assert reopened.state is CaseState.open
    assert reopened.score == pytest.approx(0.97, abs=1e-5)
    assert [pair.b.sample_id for pair in reopened.pairs] == better.sample_ids


# --- undo ---------------------------------------------------------------------------------------------------------


def test_undo_takes_a_merge_back_completely_and_opens_the_case(node: Node, pair: tuple[wire.Enrolment, wire.Enrolment]) -> None:
    a, b = pair
    before = (node.subjects.get(a.subject_id), node.subjects.get(b.subject_id))
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    case = node.undo(b.case_id or "", BERT)
    assert case.state is CaseState.open
    assert [(d.verdict, d.undone) for d in case.decisions] == [("same", True), ("undo", False)]
    after = (node.subjects.get(a.subject_id), node.subjects.get(b.subject_id))
    for old, new in zip(before, after, strict=True):
        assert new.model_dump(exclude={"version"}) == old.model_dump(exclude={"version"})
        assert new.version > old.version
    assert node.adjudication.next(ANNA).id == case.id


def test_the_same_undo_sent_again_is_answered_again_and_done_once(node: Node, case_id: str) -> None:
    settled = decide(node, case_id, Verdict.different, 1)
    request = UndoRequest(version=settled.version)
    first = node.adjudication.undo(case_id, request, ANNA)
    assert node.adjudication.undo(case_id, request, ANNA) == first
    with pytest.raises(VersionConflict):
        node.adjudication.undo(case_id, request, BERT)
    assert [one.verdict for one in node.open_case(case_id).decisions] == [Verdict.different, "undo"]


def test_undo_of_different_lets_the_pair_be_found_again(node: Node, people: People) -> None:
    person = people.stranger()
    a, b = node.enrol(person), node.enrol(people.like(person, 0.8))
    node.decide(b.case_id or "", Verdict.different)
    more = face(people.like(person, 0.75))
    assert node.enrolments.add_samples(b.subject_id, [more], caller=CLIENT).answer.duplicates == []
    node.undo(b.case_id or "")
    found = node.enrolments.add_samples(b.subject_id, [more], caller=CLIENT).answer.duplicates
    assert [d.subject_id for d in found] == [a.subject_id]


def test_there_is_nothing_to_undo_where_nothing_was_decided(node: Node, case_id: str) -> None:
    with pytest.raises(CaseStateConflict):
        node.undo(case_id)
    node.decide(case_id, Verdict.different)
    with pytest.raises(VersionConflict):
        node.adjudication.undo(case_id, UndoRequest(version=1), ANNA)
    node.undo(case_id)
    with pytest.raises(CaseStateConflict):
        node.undo(case_id)


def test_an_undone_case_joins_the_open_case_that_it_now_hangs_together_with(node: Node, people: People) -> None:
    person = people.stranger()
    a, b = node.enrol(person), node.enrol(people.like(person, 0.8))
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    c = node.enrol(people.like(person, 0.85))
    assert c.case_id not in (None, b.case_id)
    assert [d.subject_id for d in c.duplicates] == [a.subject_id]
    joined = node.undo(b.case_id or "")
    assert joined.id == b.case_id
    assert {s.id for s in joined.subjects} == {a.subject_id, b.subject_id, c.subject_id}
    with pytest.raises(CaseJoined):
        node.open_case(c.case_id or "")


def test_undoing_a_merge_after_one_side_was_erased_leaves_no_empty_case(node: Node, people: People) -> None:
    person = people.stranger()
    a, b = node.enrol(person), node.enrol(people.like(person, 0.8))
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    node.subjects.erase(b.subject_id, caller=CLIENT)
    assert node.undo(b.case_id or "").state is CaseState.resolved
    assert node.cases(CaseState.open) == []
    assert node.subjects.get(a.subject_id).merged == []


def test_undoing_a_merge_cuts_a_case_that_only_the_merge_held_together(node: Node, people: People) -> None:
    left, right = people.strangers(2)
    a, c = node.enrol(left), node.enrol(right)
    b = node.enrol((0.7071 * (left + right)).astype("float32"))
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    x = node.enrol(people.like(left, 0.85))
    y = node.enrol(people.like(right, 0.85))
    assert x.case_id == y.case_id
    node.subjects.erase(b.subject_id, caller=CLIENT)
    node.undo(b.case_id or "")
    assert {frozenset(case.subject_ids) for case in node.cases(CaseState.open)} == {
        frozenset((a.subject_id, x.subject_id)),
        frozenset((c.subject_id, y.subject_id)),
    }


def test_merging_people_who_were_decided_to_differ_is_refused(node: Node, people: People) -> None:
    left, right = people.strangers(2)
    middle = (0.7071 * (left + right)).astype("float32")
    a, b = node.enrol(left), node.enrol((0.7 * left + 0.7141 * right).astype("float32"))
    node.decide(b.case_id or "", Verdict.different)
    c = node.enrol(middle)
    with pytest.raises(CaseStateConflict, match="different people"):
        node.decide(c.case_id or "", Verdict.same, c.subject_id)
    assert node.subjects.get(a.subject_id).merged_into is None
    node.undo(b.case_id or "")
    (case,) = node.cases(CaseState.open)
    node.decide(case.id, Verdict.same, c.subject_id)
    assert node.subjects.get(a.subject_id).merged_into == c.subject_id


def test_every_refusal_is_a_conflict_that_a_client_can_tell(node: Node, case_id: str) -> None:
    for error in (VersionConflict, LeaseHeld, LeaseLost, CaseJoined, CaseStateConflict):
        assert issubclass(error, Conflict)
    assert node.open_case(case_id).version == 1


def test_claims_and_decisions_stand_in_the_audit_trail_with_the_person_and_no_words(node: Node, case_id: str) -> None:
    node.adjudication.claim(case_id, None, ANNA)
    decide(node, case_id, Verdict.different, 1, note="he has a scar")
    node.undo(case_id, SUSI)
    events = node.audit.list(limit=3).items
    assert [(event.action, event.actor) for event in events] == [
        ("case.undo", SUSI.id),
        ("case.decide", ANNA.id),
        ("case.claim", ANNA.id),
    ]
    assert "scar" not in str(events)


# --- policy -------------------------------------------------------------------------------------------------------


def test_one_review_applies_what_is_clear() -> None:
    for verdict in Verdict:
        expected = CaseState.arbitration if verdict in (Verdict.unsure, Verdict.suspected_fraud) else CaseState.resolved
        assert state_after(CaseState.open, Judged(verdict)) is expected
        assert state_after(CaseState.arbitration, Judged(verdict)) is CaseState.resolved


def test_a_later_round_is_for_somebody_who_has_not_decided() -> None:
    assert may_work_on(CaseState.second_review, actor="b", supervises=False, deciders={"a"})
    assert not may_work_on(CaseState.second_review, actor="a", supervises=True, deciders={"a"})
    assert may_work_on(CaseState.arbitration, actor="c", supervises=True, deciders={"a", "b"})
    assert not may_work_on(CaseState.arbitration, actor="c", supervises=False, deciders={"a", "b"})
    assert not may_work_on(CaseState.resolved, actor="c", supervises=True, deciders=set())
    assert round_of(CaseState.open) is Round.first


def test_a_reviewer_takes_no_case_back_from_a_supervisor(node: Node, case_id: str) -> None:
    passed_on = decide(node, case_id, Verdict.suspected_fraud, 1, caller=ANNA)
    with pytest.raises(Forbidden):  # before the supervisor decided
        node.adjudication.undo(case_id, UndoRequest(version=passed_on.version), BERT)
    settled = decide(node, case_id, Verdict.different, passed_on.version, caller=SUSI)
    assert settled.state is CaseState.resolved
    for reviewer in (ANNA, BERT):
        with pytest.raises(Forbidden):
            node.adjudication.undo(case_id, UndoRequest(version=settled.version), reviewer)
    again = node.adjudication.undo(case_id, UndoRequest(version=settled.version), SUSI)
    assert again.state is CaseState.arbitration  # what Anna could not settle still stands
    back = node.adjudication.undo(case_id, UndoRequest(version=again.version), ANNA)
    assert back.state is CaseState.open
