"""What the numbers of reviewing say, and that they tell nothing of what is still hidden."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlmodel import col, update

from backend.review_policy import SecondReview
from backend.store.review_numbers import kappa, review_numbers
from backend.store.tables import AuditRow
from backend.wire import Agreement, Verdict
from tests.ledger.world import ANNA, BERT, SUSI, Node, People, World


def cases(node: Node, people: People, count: int) -> list[str]:
    made = []
    for person in people.strangers(count):
        node.enrol(person)
        made.append(node.enrol(people.like(person, 0.8)).case_id or "")
    return made


@pytest.fixture
def blind(world: World) -> Node:
    return world.node(second_review=SecondReview.all)


def test_kappa_is_one_for_the_same_and_nought_for_what_chance_would_give() -> None:
    assert kappa([("a", "a"), ("b", "b")]) == 1
    assert kappa([("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]) == 0
    # Cohen's own kind of table: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no
    table = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert kappa(table) == pytest.approx(0.4)
    assert kappa([("a", "b"), ("b", "a")]) == -1
    assert kappa([]) is None
    assert kappa([("a", "a"), ("a", "a")]) is None


def test_each_reviewer_has_his_decisions_and_their_median_time(node: Node, people: People) -> None:
    ids = cases(node, people, 3)
    for case_id in ids[:2]:
        node.adjudication.claim(case_id, None, ANNA)
    with node.store.write() as session:
        for case_id, seconds in zip(ids, (40, 20), strict=False):
            claimed = update(AuditRow).where(col(AuditRow.object_id) == case_id, col(AuditRow.action) == "case.claim")
            session.exec(claimed.values(at=node.store.now(session) - timedelta(seconds=seconds)))
    node.decide(ids[0], Verdict.different)
    node.decide(ids[1], Verdict.poor_image)
    node.decide(ids[2], Verdict.different, caller=BERT)  # nobody claimed it

    found = review_numbers(node.store, days=1)

    anna, bert = found.reviewers
    assert (anna.actor, anna.actor_name, anna.decisions) == (ANNA.id, "Anna", 2)
    assert anna.verdicts == {Verdict.different: 1, Verdict.poor_image: 1}
    assert anna.median_s == pytest.approx(30, abs=5)
    assert (bert.decisions, bert.median_s) == (1, None)
    assert (found.opened, found.resolved) == (3, 3)


def test_what_others_took_back_or_settled_otherwise_is_overturned(node: Node, people: People) -> None:
    own, other, passed_on = cases(node, people, 3)
    for case_id, who in ((own, ANNA), (other, BERT)):
        node.decide(case_id, Verdict.different, caller=ANNA)
        node.undo(case_id, who)
    node.decide(passed_on, Verdict.unsure, caller=BERT)
    node.decide(passed_on, Verdict.different, caller=SUSI)
    overturned = {one.actor: one.overturned for one in review_numbers(node.store, days=1).reviewers}
    assert overturned == {ANNA.id: 1, BERT.id: 1, SUSI.id: 0}


def test_agreement_is_of_cases_that_two_judged(blind: Node, people: People) -> None:
    for case_id, second in zip(
        cases(blind, people, 4), (Verdict.different, Verdict.different, Verdict.poor_image, Verdict.poor_image), strict=True
    ):
        first = Verdict.different if second is Verdict.different else Verdict.poor_image
        blind.decide(case_id, first, caller=ANNA)
        blind.decide(case_id, second, caller=BERT)
    disputed = cases(blind, people, 1)[0]
    blind.decide(disputed, Verdict.different, caller=ANNA)
    blind.decide(disputed, Verdict.poor_image, caller=BERT)
    found = review_numbers(blind.store, days=1).agreement
    assert (found.cases, found.agreed) == (5, 4)
    assert found.kappa == pytest.approx(8 / 13)


def test_a_first_decision_is_in_no_number_before_the_second(blind: Node, people: People) -> None:
    case_id = cases(blind, people, 1)[0]
    before = review_numbers(blind.store, days=1)
    blind.decide(case_id, Verdict.different, caller=ANNA)
    after = review_numbers(blind.store, days=1)
    assert after.model_dump(exclude={"since"}) == before.model_dump(exclude={"since"})
    assert after.agreement == Agreement(cases=0, agreed=0, kappa=None)
    blind.decide(case_id, Verdict.different, caller=BERT)
    assert {one.actor for one in review_numbers(blind.store, days=1).reviewers} == {ANNA.id, BERT.id}


def test_a_case_that_grew_overturns_nobody(blind: Node, people: People) -> None:
    """What was judged is taken back by the system, as there is more to judge now: nobody was wrong."""
    person = people.stranger()
    first, second = blind.enrol(person), blind.enrol(people.like(person, 0.95))
    blind.decide(second.case_id or "", Verdict.same, first.subject_id)
    blind.enrol(people.like(person, 0.95))
    for reviewer in (ANNA, BERT):
        blind.decide(second.case_id or "", Verdict.same, first.subject_id, reviewer)
    told = {one.actor: one for one in review_numbers(blind.store, days=1).reviewers}
    assert (told[ANNA.id].decisions, told[ANNA.id].overturned) == (2, 0)
    assert (told[BERT.id].decisions, told[BERT.id].overturned) == (1, 0)
