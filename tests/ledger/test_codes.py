from __future__ import annotations

import pytest

from backend import wire
from backend.adjudication import Adjudication
from backend.errors import NoteRequired, UnknownReason, VerdictNotOffered, VersionConflict
from backend.evidence import Evidence
from backend.review_codes import Codes
from backend.review_policy import SecondReview
from backend.wire import DecideRequest, Verdict
from tests.ledger.world import ANNA, BERT, CARD, THRESHOLDS, Node

SITE = Codes(
    offered=(Verdict.same, Verdict.different, Verdict.unsure, Verdict.suspected_fraud),
    reasons={Verdict.different: ("different_ears", "other_build"), Verdict.suspected_fraud: ("presented_mask",)},
    note_required=frozenset({Verdict.suspected_fraud, Verdict.unsure}),
)


def at_the_site(node: Node, second_review: SecondReview = SecondReview.none) -> Adjudication:
    evidence = Evidence(node.store, CARD, THRESHOLDS)
    return Adjudication(node.store, evidence, second_review=second_review, codes=SITE)


def said(verdict: Verdict, **more: str) -> DecideRequest:
    return DecideRequest(verdict=verdict, version=1, **more)  # type: ignore[arg-type]


def test_a_reason_is_kept_with_its_decision_and_shown_told_and_exported(node: Node, case_id: str) -> None:
    case = at_the_site(node).decide(case_id, said(Verdict.different, reason="different_ears"), ANNA)
    (decision,) = case.decisions
    assert (decision.verdict, decision.reason, decision.note) == ("different", "different_ears", None)
    (event,) = [event for event in node.audit.list().items if event.action == "case.decide"]
    assert (event.detail["verdict"], event.detail["reason"]) == ("different", "different_ears")
    (exported,) = node.export(case.subjects[0].id).decisions
    assert exported.reason == "different_ears"


def test_a_reason_is_refused_where_it_is_not_one_of_its_verdict(node: Node, case_id: str) -> None:
    review = at_the_site(node)
    with pytest.raises(UnknownReason, match="different_ears, other_build"):
        review.decide(case_id, said(Verdict.different, reason="presented_mask"), ANNA)
    with pytest.raises(UnknownReason, match="No reasons are configured for `unsure`"):
        review.decide(case_id, said(Verdict.unsure, reason="different_ears"), ANNA)
    with pytest.raises(UnknownReason):
        node.adjudication.decide(case_id, said(Verdict.different, reason="different_ears"), ANNA)
    assert node.open_case(case_id).decisions == []


def test_a_verdict_that_is_not_offered_is_refused(node: Node, case_id: str) -> None:
    with pytest.raises(VerdictNotOffered, match="`poor_image` is not offered here: decide same, different, "):
        at_the_site(node).decide(case_id, said(Verdict.poor_image), ANNA)
    assert node.open_case(case_id).version == 1


def test_a_verdict_that_wants_a_word_of_why_takes_a_note_or_a_reason(node: Node, case_id: str) -> None:
    review = at_the_site(node)
    for empty in ({}, {"note": "  "}):
        with pytest.raises(NoteRequired, match="`suspected_fraud` needs a note or a reason"):
            review.decide(case_id, said(Verdict.suspected_fraud, **empty), ANNA)
    assert (
        review.decide(case_id, said(Verdict.suspected_fraud, reason="presented_mask"), ANNA).state is wire.CaseState.arbitration
    )


def test_a_note_alone_is_enough_of_a_why(node: Node, case_id: str) -> None:
    decided = at_the_site(node).decide(case_id, said(Verdict.unsure, note="half a face"), ANNA)
    assert decided.state is wire.CaseState.arbitration


def test_the_reason_of_a_first_decision_is_as_hidden_as_its_verdict_and_two_may_agree_for_different_reasons(
    node: Node, case_id: str
) -> None:
    review = at_the_site(node, SecondReview.all)
    first = review.decide(case_id, said(Verdict.different, reason="different_ears"), ANNA)
    assert first.state is wire.CaseState.second_review
    assert "different_ears" not in first.model_dump_json()
    assert "different_ears" not in str([event.detail for event in node.audit.list().items])
    assert "different_ears" not in node.export(first.subjects[0].id).model_dump_json()
    again = DecideRequest(verdict=Verdict.different, version=first.version, reason="other_build")
    agreed = review.decide(case_id, again, BERT)
    assert agreed.state is wire.CaseState.resolved
    assert [one.reason for one in agreed.decisions] == ["different_ears", "other_build"]
    event = next(event for event in node.audit.list().items if event.action == "case.decide")
    assert (event.detail["first"]["reason"], event.detail["reason"]) == ("different_ears", "other_build")


def test_the_same_decision_with_another_reason_is_not_the_same_request(node: Node, case_id: str) -> None:
    review = at_the_site(node)
    review.decide(case_id, said(Verdict.different, reason="different_ears"), ANNA)
    review.decide(case_id, said(Verdict.different, reason="different_ears"), ANNA)
    with pytest.raises(VersionConflict):
        review.decide(case_id, said(Verdict.different, reason="other_build"), ANNA)
    assert len(node.open_case(case_id).decisions) == 1
